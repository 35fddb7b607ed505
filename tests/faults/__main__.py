"""The fault bench: `python -m tests.faults [--quick] [--only NAME] [--out build/faults.json]`.

Injects every fault that parity names into clean worlds, at four rates, and counts how many of the changed cells are
found and named right; compares clean worlds cell by cell; and measures the drift check's false alarms. Exit code 1 when
a goal is missed, 2 when it could not run.
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
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from tests.faults import flights, jobs
from tests.faults.clean import Clean
from tests.faults.measure import Measured

SEED = 20_131_101
CLEAN_CELLS = 10_000_000
CAUSES_RIGHT = 0.99
FALSE_ALARM_MARGIN = 0.01
PROCESSES = 2
WIDTH = 100


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if unknown := [name for name in options.only or () if name not in jobs.NAMES]:
        sys.stderr.write(f"--only: there is no fault {unknown[0]!r}; there are {', '.join(sorted(jobs.NAMES))}.\n")
        return 2
    root = Path(tempfile.mkdtemp(prefix="trueup-faults-"))
    began = time.monotonic()
    try:
        result = run(
            jobs.Options(
                root=root,
                feature_repo=Path("feature_repo"),
                seed=options.seed,
                quick=options.quick,
                only=tuple(options.only) if options.only else None,
                began=began,
                cells=CLEAN_CELLS,
            )
        )
    finally:
        shutil.rmtree(root)
    result["seconds"] = round(time.monotonic() - began, 1)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    _say(f"wrote {options.out}")
    for goal in result["goals_missed"]:
        _say(f"goal missed: {goal}")
    return 1 if result["goals_missed"] else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few rows, rate 1 %% alone, the generated world alone")
    parser.add_argument("--only", action="append", help="this fault (again for more); nothing else is measured")
    parser.add_argument("--out", type=Path, default=Path("build/faults.json"))
    parser.add_argument("--seed", type=int, default=SEED)
    return parser


def run(options: jobs.Options) -> dict[str, Any]:
    """All jobs, a few at a time; prints the table as they end, in their order."""
    chosen: list[Callable[[jobs.Options], jobs.Done]] = [jobs.generated_faults]
    if not options.quick and options.wanted(flights.NAMES):
        chosen.append(jobs.flights_faults)
    if options.only is None:
        chosen += [jobs.drift] if options.quick else [jobs.clean_worlds, jobs.drift]
    measured: list[Measured] = []
    clean, distribution = Clean(), {}
    _say(f"{'fault':28} {'world':9} {'check':6} {'rate':>6} {'injected':>9} {'detected':>9} {'cause right':>11}")
    # Spawned, not forked: each job has threads and connections of its own.
    with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn")) as pool:
        for running in [pool.submit(job, options) for job in chosen]:
            done = running.result()
            for item in done.measured:
                _show(item)
            measured += done.measured
            clean += done.clean
            distribution = done.distribution or distribution
    if options.only is None:
        _say(f"clean: {clean.compared:,} cells compared, {clean.false_alarms:,} false alarms")
        _say(
            f"drift: false alarms {distribution['measured_false_alarm']:.4f}, "
            f"nominal {distribution['nominal_false_alarm']:.4f}"
        )
    return {
        "seed": options.seed,
        "quick": options.quick,
        "faults": [item.to_json() for item in measured],
        "clean": clean.to_json(),
        "distribution": distribution,
        "goals_missed": goals_missed(options, measured, clean, distribution),
    }


def _show(item: Measured) -> None:
    _say(
        f"{item.name:28} {item.world:9} {item.check:6} {item.rate:6.2%} {item.injected:9,} {item.detected:9,} "
        f"{item.cause_right:11,}"
    )
    notes = []
    if item.wrong:
        notes.append("named: " + ", ".join(f"{name} {count:,}" for name, count in item.wrong.items()))
    if item.false_alarms:
        notes.append(f"mismatches in cells that nobody touched: {dict(item.elsewhere)}")
    notes += [problem for problem in item.problems if "not landed yet" not in problem]
    for note in notes:
        for line in textwrap.wrap(note, WIDTH - 4):
            _say(f"    {line}")


def goals_missed(
    options: jobs.Options, measured: Sequence[Measured], clean: Clean, distribution: dict[str, Any]
) -> list[str]:
    missed = []
    for name in dict.fromkeys(item.name for item in measured):
        mine = [item for item in measured if item.name == name]
        injected = sum(item.injected for item in mine)
        detected = sum(item.detected for item in mine)
        right = sum(item.cause_right for item in mine)
        if not injected:
            missed.append(f"{name}: nothing could be injected")
        if detected < injected:
            missed.append(f"{name}: {detected:,} of {injected:,} changed cells detected")
        if right < CAUSES_RIGHT * injected:
            missed.append(f"{name}: {right:,} of {injected:,} with the right cause ({right / injected:.1%})")
        if elsewhere := sum(item.false_alarms for item in mine):
            missed.append(f"{name}: {elsewhere:,} mismatches in cells that nobody touched")
        missed += [f"{name}: {problem}" for item in mine for problem in item.stopped]
    if options.only is not None:
        return missed
    if clean.false_alarms:
        missed.append(f"clean: {clean.false_alarms:,} false alarms")
    missed += [f"clean: {problem}" for problem in clean.problems]
    if not options.quick:
        if clean.compared < CLEAN_CELLS:
            missed.append(f"clean: {clean.compared:,} cells compared, {CLEAN_CELLS:,} wanted")
        gap = abs(distribution["measured_false_alarm"] - distribution["nominal_false_alarm"])
        if gap > FALSE_ALARM_MARGIN:
            missed.append(f"drift: false-alarm rate {gap:.3f} from the nominal one")
    return missed


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
