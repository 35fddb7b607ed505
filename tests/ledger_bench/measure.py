"""One world measured: built, diagnosed by the real `trueup diagnose`, and compared with its truth. And all of them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.ledger_bench.oracle import Truth
from tests.ledger_bench.plants import UNTELLABLE, Plan
from tests.ledger_bench.worlds import Kit, build_world

from trueup.diagnose.answers import OTHER_NUMBERS
from trueup.diagnose.gap_ledger import Estimate, GapLedger
from trueup.diagnose.metrics import metric_kind
from trueup.diagnose.run import run_diagnose

REPLICATES = 1000
LEAST_COVERAGE = 0.93
NOMINAL = 0.05
_FLOATS = 1e-9
"""What floats leave of an effect that is known to be exactly so much."""


def measure(plan: Plan, folder: Path, kit: Kit, truth: Truth, *, replicates: int = REPLICATES) -> dict[str, Any]:
    """A row of the result."""
    began = time.monotonic()
    world = build_world(plan, folder, kit)
    ledger = run_diagnose(
        world.promised,
        world.places,
        world.wanted,
        metric_kind(plan.metric),
        replicates=replicates,
        seed=plan.seed,
    )
    shutil.rmtree(folder)
    return {**judge(plan, ledger, truth), "seconds": round(time.monotonic() - began, 2)}


def judge(plan: Plan, ledger: GapLedger, truth: Truth) -> dict[str, Any]:
    """What the ledger says beside what is true. An effect that was planted and is in no cause is beside its term."""
    totals = {total.cause: total.effect for total in ledger.causes}
    sizes = {cause: _beside(totals[cause], size) for cause, size in truth.causes.items()}
    if set(plan.causes) >= UNTELLABLE:
        sizes["environment"] = _beside(_untold(ledger), truth.untold)
    return {
        "kind": plan.kind,
        "plants": list(plan.plants),
        "harmless": list(plan.harmless),
        "shifted": plan.shifted,
        "metric": plan.metric,
        "seed": plan.seed,
        "ranked": [total.cause for total in ledger.causes],
        "claimed": [total.cause for total in ledger.claimed],
        "sums_exact": ledger.sums_exact,
        "complete": ledger.complete,
        "sizes": sizes,
        "harmless_sizes": {cause: _beside(totals[cause], 0.0) for cause in plan.harmless},
        "others": [name for name in totals if name not in plan.causes + plan.harmless and not _is_zero(totals[name])],
        "steps": {step.title: _beside(step.effect, truth.steps[step.title]) for step in ledger.steps},
        "gap": _beside(ledger.gap, truth.gap),
    }


def _untold(ledger: GapLedger) -> Estimate | None:
    """Other numbers that belong to no cause."""
    terms = [term for step in ledger.steps for split in step.splits for term in split.terms]
    return next((term.effect for term in terms if term.name == OTHER_NUMBERS and term.cause is None), None)


def _is_zero(effect: Estimate | None) -> bool:
    return effect is not None and effect.value == effect.low == effect.high == 0.0


def _beside(effect: Estimate | None, truth: float) -> dict[str, Any]:
    if effect is None or effect.low is None or effect.high is None:
        return {"truth": truth, "value": None, "low": None, "high": None, "covered": False}
    covered = effect.low - _FLOATS <= truth <= effect.high + _FLOATS
    return {"truth": truth, "value": effect.value, "low": effect.low, "high": effect.high, "covered": covered}


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of all worlds. coverage: of the planted sizes, how many their 95 % interval holds; of estimated: without those
    that the ledger knows exactly."""
    single = _by_kind(row for row in rows if len(row["plants"]) == 1)
    pairs = _by_kind(row for row in rows if len(row["plants"]) == 2)
    none = [row for row in rows if not row["plants"]]
    five = [row for row in none if len(row["harmless"]) > 1]
    sizes = [size for row in rows for size in row["sizes"].values()]
    steps = {name: _of([row["steps"].get(name) for row in rows]) for name in _STEPS}
    found: dict[str, Any] = {
        "worlds": len(rows),
        "sizes": len(sizes),
        "coverage": _coverage(sizes),
        "coverage_of_estimated": _coverage([size for size in sizes if size["low"] != size["high"]]),
        "sums_exact": all(row["sums_exact"] and row["complete"] for row in rows),
        "single_cause": {kind: _single(kind, mine) for kind, mine in single.items()},
        "pairs": {kind: _pair(mine) for kind, mine in pairs.items()},
        "null": {
            "worlds": len(none),
            "false_claims": sum(bool(row["claimed"]) for row in none),
            "nominal": NOMINAL,
            "five_at_once": {"worlds": len(five), "false_claims": sum(bool(row["claimed"]) for row in five)},
            **_of([size for row in none for size in row["harmless_sizes"].values()]),
        },
        "steps": {**steps, "gap": _of([row["gap"] for row in rows])},
        "by_metric": {
            name: _of([size for row in rows if row["metric"] == name for size in row["sizes"].values()])
            for name in sorted({row["metric"] for row in rows})
        },
        "by_plant": {name: _of(sizes) for name, sizes in _by_plant(rows).items()},
        "small_effects": _of([size for size in sizes if _is_small(size)]),
        "seconds": round(sum(row["seconds"] for row in rows), 1),
    }
    return {**found, "missed": missed_goals(found)}


_STEPS = ("reproduction", "population shift", "feature skew", "serving", "label delay")


def missed_goals(found: Mapping[str, Any]) -> list[str]:
    """The goals that were not reached, sentences. Nothing measured is a goal missed."""
    missed = []
    if not found["sums_exact"] or not found["worlds"]:
        missed.append("in a world the steps do not add up exactly, or one could not be measured")
    for what, coverage in (
        ("the planted sizes", found["coverage"]),
        ("the planted sizes that are estimated", found["coverage_of_estimated"]),
        ("the population shift", found["steps"]["population shift"]["coverage"]),
    ):
        if coverage is not None and coverage < LEAST_COVERAGE:
            missed.append(f"{coverage:.1%} of {what} are inside their interval; the goal is {LEAST_COVERAGE:.0%}")
    for kind, one in found["single_cause"].items():
        if one["ranked_first"] < one["worlds"]:
            missed.append(f"{kind} is ranked first in {one['ranked_first']} of {one['worlds']} worlds")
    for kind, one in (*found["single_cause"].items(), *found["pairs"].items()):
        if one["others"]:
            missed.append(f"{kind}: {one['others']} worlds have an effect of a cause that is not there")
    null = found["null"]
    if null["false_claims"] > NOMINAL * null["worlds"]:
        missed.append(f"{null['false_claims']} of {null['worlds']} worlds without a cause have one claimed")
    return missed


def _single(cause: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "worlds": len(rows),
        "ranked_first": sum(row["ranked"][0] == cause for row in rows),
        "claimed": sum(row["claimed"] == [cause] for row in rows),
        **_of([row["sizes"][cause] for row in rows]),
        "others": sum(bool(row["others"]) for row in rows),
    }


def _pair(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "worlds": len(rows),
        "ranked_first_two": sum(set(row["ranked"][:2]) == set(row["sizes"]) for row in rows),
        "claimed": sum(set(row["claimed"]) == set(row["sizes"]) for row in rows),
        **_of([size for row in rows for size in row["sizes"].values()]),
        "others": sum(bool(row["others"]) for row in rows),
    }


def _of(sizes: Sequence[Mapping[str, Any] | None]) -> dict[str, Any]:
    """bias: mean of what was found less what is true, standard error beside it; what is nothing on both sides is left
    out. width: of the intervals, mean."""
    there = [size for size in sizes if size is not None and not (size["truth"] == size["value"] == 0.0)]
    measured = [size for size in there if size["value"] is not None]
    errors = [size["value"] - size["truth"] for size in measured]
    bias = sum(errors) / len(errors) if errors else None
    spread = (sum((each - (bias or 0.0)) ** 2 for each in errors) / max(len(errors) - 1, 1)) ** 0.5
    return {
        "of": len(there),
        "bias": _short(bias),
        "bias_standard_error": _short(spread / len(errors) ** 0.5) if errors else None,
        "coverage": _coverage(there),
        "width": _short(sum(size["high"] - size["low"] for size in measured) / len(measured)) if measured else None,
    }


def _coverage(sizes: Sequence[Mapping[str, Any]]) -> float | None:
    return _short(sum(size["covered"] for size in sizes) / len(sizes)) if sizes else None


def _is_small(size: Mapping[str, Any]) -> bool:
    """Not larger than the interval is wide: more often than not it is not told from chance."""
    return size["value"] is not None and abs(size["truth"]) <= size["high"] - size["low"]


def _by_kind(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["kind"], []).append(row)
    return found


def _by_plant(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Of single-cause worlds."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if len(row["plants"]) == 1:
            found.setdefault(row["plants"][0], []).extend(row["sizes"].values())
    return found


def _short(number: float | None) -> float | None:
    return None if number is None else round(number, 5)
