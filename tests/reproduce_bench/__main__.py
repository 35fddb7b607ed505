"""The reproduce bench: `python -m tests.reproduce_bench [--only WORLD] [--out build/reproduce.json]`.

In each world a run is trained and reproduced to the bit; then a culprit is planted, or none, and `trueup reproduce` has
to name just that. Exit code 1 when one is not named right, 2 when one could not be run.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import sys
import tempfile
import textwrap
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from tests.reproduce_bench.measure import measure_named
from tests.reproduce_bench.worlds import WORLDS, World
from tests.training import shop

PROCESSES = 2
WIDTH = 100


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    known = {world.name: world for world in WORLDS}
    if unknown := [name for name in options.only or () if name not in known]:
        sys.stderr.write(f"--only: there is no world {unknown[0]!r}; there are: {'; '.join(known)}.\n")
        return 2
    worlds = [known[name] for name in options.only] if options.only else list(WORLDS)
    began = time.monotonic()
    root = Path(tempfile.mkdtemp(prefix="trueup-reproduce-bench-"))
    try:
        rows = run(worlds, root, processes=options.processes)
    finally:
        shutil.rmtree(root)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    right = sum(row["right"] for row in rows)
    _say(f"{right} of {len(rows)} worlds named right in {time.monotonic() - began:.0f} s; wrote {options.out}")
    return exit_code(rows)


def exit_code(rows: Sequence[dict[str, Any]]) -> int:
    """2 when all that is not right could not be run."""
    wrong = [row for row in rows if not row["right"]]
    if not wrong and rows:
        return 0
    return 2 if all(row["problem"] is not None for row in wrong) else 1


def run(worlds: Sequence[World], root: Path, *, processes: int = PROCESSES) -> list[dict[str, Any]]:
    """Each world's row, in their order; told as they end, in that order too."""
    shop_repo = shop.make_repo(root / "shop")
    names = [world.name for world in worlds]
    _say(f"{'world':58} {'planted':12} {'named':12} {'before':>7} {'s':>5}")
    with ProcessPoolExecutor(min(processes, len(worlds)), multiprocessing.get_context("spawn")) as pool:
        jobs = [pool.submit(measure_named, name, root / f"world-{i}", shop_repo) for i, name in enumerate(names)]
        rows = []
        for job in jobs:
            rows.append(job.result())
            _show(rows[-1])
    return rows


def _show(row: dict[str, Any]) -> None:
    before = "same" if row["bit_identical_before"] else "DIFFERS"
    planted, named = row["planted"] or "-", row["named"] or "-"
    mark = "" if row["right"] else "  WRONG"
    _say(f"{row['world']:58} {planted:12} {named:12} {before:>7} {row['seconds']:5.0f}{mark}")
    if row["problem"] is not None:
        for line in textwrap.wrap(f"could not run: {row['problem']}", WIDTH - 4):
            _say(f"    {line}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.reproduce_bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", action="append", metavar="WORLD", help="this world (again for more)")
    parser.add_argument("--out", type=Path, default=Path("build/reproduce.json"))
    parser.add_argument("--processes", type=int, default=PROCESSES, help="worlds at a time")
    return parser


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
