"""The fault bench: `python -m tests.faults [--quick] [--only NAME] [--out build/faults.json]`.

Injects every fault that parity names into clean worlds, at four rates, and counts how many of the changed cells it
finds and names right; compares clean worlds cell by cell; and measures the drift check's false alarms. Exit code 1 when
a goal is missed, 2 when it could not run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import textwrap
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import prometheus_client  # noqa: F401 - before Feast, which else turns its metrics into shared files
import redis
from tests.faults import bench, clean, definitions, flights, generated
from tests.faults.measure import Measured
from tests.faults.site import contract_file, write_rows

from trueup.stores.local_redis import LocalRedis

SEED = 20_131_101
CLEAN_CELLS = 10_000_000
CAUSES_RIGHT = 0.99
FALSE_ALARM_MARGIN = 0.01


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    known = {*bench.NAMES, *definitions.NAMES}
    if unknown := [name for name in options.only or () if name not in known]:
        sys.stderr.write(f"--only: there is no fault {unknown[0]!r}; there are {', '.join(sorted(known))}." + "\n")
        return 2
    began = time.monotonic()

    def say(what: str) -> None:
        sys.stderr.write(f"{time.monotonic() - began:6.0f} s  {what}" + "\n")
        sys.stderr.flush()

    root = Path(tempfile.mkdtemp(prefix="trueup-faults-"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Feast's
            result = run(root, Path("feature_repo"), options, say)
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
    parser.add_argument("--quick", action="store_true", help="few rows, rate 1 %% alone")
    parser.add_argument("--only", action="append", help="this fault (again for more); nothing else is measured")
    parser.add_argument("--out", type=Path, default=Path("build/faults.json"))
    parser.add_argument("--seed", type=int, default=SEED)
    return parser


def run(root: Path, feature_repo: Path, options: argparse.Namespace, say: bench.Say) -> dict[str, Any]:
    """All of it; prints the table as it goes."""
    rates = (0.01,) if options.quick else bench.RATES
    sizes = generated.Sizes(600, 200, 40, 1200) if options.quick else generated.Sizes()
    measured: list[Measured] = []
    total = clean.Clean()
    _say(HEADER)

    def wanted(names: Sequence[str]) -> list[str]:
        return [name for name in names if options.only is None or name in options.only]

    with LocalRedis(root / "redis") as server, redis.Redis.from_url(server.url) as client:
        names, of_definitions = wanted(bench.NAMES), wanted(definitions.NAMES)
        if names or of_definitions:
            say("build the generated world")
            played = generated.build(root / "generated", client, server.url, sizes, options.seed)
            world = generated.harmed(played)
            if options.only is None:
                clean.check(total, "generated", played.site, [generated.at(h) for h in (1.2, 2.0, 3.0)], say)
            measured += _shown(bench.run(world, rates, options.seed, say, names))
            measured += _shown(definitions.run(world, rates, options.seed, say, of_definitions))
        if (names := wanted(flights.NAMES)) and not options.quick:
            say("build the flights world")
            world = flights.build(root / "flights", feature_repo, client, server.url, 3000, options.seed)
            if options.only is None:
                clean.check(total, "flights", world.site, [bench.instant(world.time.serving[1])], say)
            measured += _shown(bench.run(world, rates, options.seed, say, names))
        seed = options.seed
        while options.only is None and not options.quick and total.compared < CLEAN_CELLS:
            seed += 1
            say(f"clean world {seed}: {total.compared:,} cells so far")
            folder = root / f"clean-{seed}"
            played = generated.build(folder, client, server.url, generated.CLEAN, seed)
            clean.check(total, "generated", played.site, [generated.at(h) for h in (1.2, 2.0, 3.0)], say)
            log = write_rows(folder / "last", contract_file(played.site.log), played.base)
            for view, table in played.quiet.items():
                generated.write_source(played.site.repo, view, table)
            for rule in ("label", "unbounded"):
                clean.check_rule(total, "generated", played.site, played.site.repo, log, rule, say)
            shutil.rmtree(folder)
    distribution = _distribution(options, say)
    _say(f"clean: {total.compared:,} cells compared, {total.false_alarms:,} false alarms {dict(total.features) or ''}")
    _say(f"distribution: {distribution}")
    return {
        "seed": options.seed,
        "quick": options.quick,
        "faults": [item.to_json() for item in measured],
        "clean": total.to_json(),
        "distribution": distribution,
        "goals_missed": _missed(measured, total, distribution, options),
    }


HEADER = f"{'fault':28} {'world':9} {'check':6} {'rate':>6} {'injected':>9} {'detected':>9} {'cause right':>11}"
WIDTH = 100


def _shown(found: Sequence[Measured]) -> list[Measured]:
    for item in found:
        _say(
            f"{item.name:28} {item.world:9} {item.check:6} {item.rate:6.2%} {item.injected:9,} {item.detected:9,} "
            f"{item.cause_right:11,}"
        )
        notes = []
        if item.wrong:
            notes.append("named: " + ", ".join(f"{name} {count:,}" for name, count in item.wrong.items()))
        if item.elsewhere and item.known_at == "served":
            notes.append(f"mismatches in cells that nobody touched: {dict(item.elsewhere)}")
        notes += [problem for problem in item.problems if "not landed yet" not in problem]
        for note in notes:
            for line in textwrap.wrap(note, WIDTH - 4):
                _say(f"    {line}")
    return list(found)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _distribution(options: argparse.Namespace, say: bench.Say) -> dict[str, Any]:
    if options.only is not None:
        return {}
    try:
        from tests.faults.drift_power import measure
    except ModuleNotFoundError:
        return {}
    say("drift: false alarms and power")
    found: dict[str, Any] = measure(options.seed, 20 if options.quick else 200)
    return found


def _missed(
    measured: Sequence[Measured], total: clean.Clean, distribution: dict[str, Any], options: argparse.Namespace
) -> list[str]:
    missed = []
    for name in dict.fromkeys(item.name for item in measured):
        mine = [item for item in measured if item.name == name]
        injected, detected, right = (
            sum(getattr(item, n) for item in mine) for n in ("injected", "detected", "cause_right")
        )
        if detected < injected:
            missed.append(f"{name}: {detected:,} of {injected:,} changed cells detected")
        if right < CAUSES_RIGHT * injected:
            missed.append(f"{name}: {right:,} of {injected:,} with the right cause ({right / max(injected, 1):.1%})")
        if not injected:
            missed.append(f"{name}: nothing could be injected")
        if elsewhere := sum(sum(item.elsewhere.values()) for item in mine if item.known_at == "served"):
            missed.append(f"{name}: {elsewhere:,} mismatches in cells that nobody touched")
    if total.false_alarms:
        missed.append(f"clean: {total.false_alarms:,} false alarms")
    if options.only is None and not options.quick and total.compared < CLEAN_CELLS:
        missed.append(f"clean: {total.compared:,} cells compared, {CLEAN_CELLS:,} wanted")
    if distribution and not options.quick:
        gap = abs(distribution["measured_false_alarm"] - distribution["nominal_false_alarm"])
        if gap > FALSE_ALARM_MARGIN:
            missed.append(f"distribution: false-alarm rate {gap:.3f} from nominal")
    return missed


if __name__ == "__main__":
    sys.exit(main())
