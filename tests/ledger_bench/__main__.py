"""The ledger bench: `python -m tests.ledger_bench [--out build/ledger.json]`.

Worlds with gaps of known size, one for each of the six causes, all pairs of them, and none; `trueup diagnose` has to
find the size, name the cause and claim nothing that is not there. Exit code 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from tests.ledger_bench import jobs
from tests.ledger_bench.definitions import make_contracts
from tests.ledger_bench.measure import summary
from tests.ledger_bench.people import fit_models
from tests.ledger_bench.plants import Plan, plans
from tests.ledger_bench.worlds import Kit

PROCESSES = 2
EACH, EACH_PAIR, NONE = 70, 14, 160


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    wanted = list(plans(options.each, options.each_pair, options.none, seed=options.seed))
    began = time.monotonic()
    root = Path(tempfile.mkdtemp(prefix="trueup-ledger-bench-"))
    try:
        rows = run(wanted, root, processes=options.processes)
    finally:
        shutil.rmtree(root)
    found = summary(rows)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if options.rows is not None:
        options.rows.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for sentence in found["missed"]:
        _say(f"MISSED: {sentence}")
    _say(f"{len(rows)} worlds in {time.monotonic() - began:.0f} s; wrote {options.out}")
    return exit_code(found)


def exit_code(found: dict[str, Any]) -> int:
    return 1 if found["missed"] else 0


def run(wanted: Sequence[Plan], root: Path, *, processes: int = PROCESSES) -> list[dict[str, Any]]:
    """Each world's row, in their order; told kind by kind, as they end."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, jobs.begin, (Kit(make_contracts(), fit_models()),)) as pool:
        _say("the truth of each kind of world, from two million people")
        halves = [[plan for plan in wanted if plan.shifted is shifted] for shifted in (True, False)]
        truths = {name: truth for found in pool.map(jobs.truths, halves) for name, truth in found.items()}
        waiting = [
            pool.submit(jobs.world, plan, root / f"world-{plan.seed}", truths[jobs.name(plan)]) for plan in wanted
        ]
        _say(f"{'kind':28} {'world':>12} {'first':14} {'claimed':28} {'s':>5}")
        rows = []
        for job in waiting:
            rows.append(job.result())
            _show(rows[-1])
    return rows


def _show(row: dict[str, Any]) -> None:
    covered = "" if all(size["covered"] for size in row["sizes"].values()) else "  outside"
    claimed = ", ".join(row["claimed"]) or "-"
    _say(f"{row['kind']:28} {row['seed']:12} {row['ranked'][0]:14} {claimed:28} {row['seconds']:5.1f}{covered}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.ledger_bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--each", type=int, default=EACH, help="worlds of each single cause")
    parser.add_argument("--each-pair", type=int, default=EACH_PAIR, help="worlds of each pair of causes")
    parser.add_argument("--none", type=int, default=NONE, help="worlds without a cause")
    parser.add_argument("--seed", type=int, default=0, help="other worlds")
    parser.add_argument("--out", type=Path, default=Path("build/ledger.json"))
    parser.add_argument("--rows", type=Path, metavar="FILE", help="every world, as JSON lines")
    parser.add_argument("--processes", type=int, default=PROCESSES, help="worlds at a time")
    return parser


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
