"""How often the drift test is wrong and how often right: worlds without a change, and worlds with one of known size.

The generator knows nothing of the engine: it draws rows with numpy, one column a world, and hands them over as the
engine's evidence. `python -m tests.faults.drift_power --worlds 400` prints what it measured.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
import pyarrow as pa

from trueup.frame import FeatureFrame
from trueup.parity.checks.distribution import Sample, Samples, check_distribution
from trueup.parity.distribution.settings import DriftSettings

Values = list[Any]
Draw = Callable[[np.random.Generator, int], Values]

SIZES = ((300, 300), (1000, 200), (200, 2000), (5000, 500), (2000, 2000))
"""Rows of reference and current."""
NOMINAL = 0.01
FAMILY = 10
"""Features of a result, where what is measured is the result."""


def _normal(random: np.random.Generator, rows: int) -> Values:
    return list(random.normal(10, 2, rows))


def _heavy(random: np.random.Generator, rows: int) -> Values:
    return list(random.standard_t(1.5, rows))


def _zero_inflated(random: np.random.Generator, rows: int) -> Values:
    return list(np.where(random.random(rows) < 0.7, 0.0, random.lognormal(1, 1, rows)))


def _rare_levels(random: np.random.Generator, rows: int) -> Values:
    shares = 1 / np.arange(1, 41) ** 1.5
    return [f"level {number}" for number in random.choice(40, rows, p=shares / shares.sum())]


def _few_integers(random: np.random.Generator, rows: int) -> Values:
    return [int(number) for number in random.poisson(2, rows)]


def _with_nulls(random: np.random.Generator, rows: int) -> Values:
    lost = random.random(rows) < 0.05
    return [None if gone else float(value) for gone, value in zip(lost, random.exponential(1, rows), strict=True)]


WORLDS: Mapping[str, Draw] = {
    "normal": _normal,
    "heavy-tailed": _heavy,
    "zero-inflated": _zero_inflated,
    "categories with rare levels": _rare_levels,
    "few integers": _few_integers,
    "with nulls": _with_nulls,
}


@dataclass(frozen=True)
class Change:
    """What is done to the current rows of a world. sizes: graded, from small to large."""

    world: str
    sizes: tuple[float, ...]
    apply: Callable[[np.random.Generator, Values, float], Values]


def _some(random: np.random.Generator, values: Values, share: float, new: Callable[[Any], Any]) -> Values:
    return [new(value) if hit else value for value, hit in zip(values, random.random(len(values)) < share, strict=True)]


CHANGES: Mapping[str, Change] = {
    "mean, in standard deviations": Change("normal", (0.05, 0.1, 0.2, 0.5), lambda r, v, s: [x + 2 * s for x in v]),
    "scale, relative": Change("normal", (0.05, 0.1, 0.25, 0.5), lambda r, v, s: [10 + (x - 10) * (1 + s) for x in v]),
    "null rate, added": Change("with nulls", (0.01, 0.03, 0.1), lambda r, v, s: _some(r, v, s, lambda _: None)),
    "new category, share": Change(
        "categories with rare levels", (0.003, 0.01, 0.05), lambda r, v, s: _some(r, v, s, lambda _: "ZZ")
    ),
    "point mass, share": Change("normal", (0.01, 0.03, 0.1), lambda r, v, s: _some(r, v, s, lambda _: 10.0)),
    "outliers, share": Change("normal", (0.003, 0.01, 0.03), lambda r, v, s: _some(r, v, s, lambda x: x + 100)),
}
POWER_SIZES = ((300, 300), (20_000, 2_000))


def measure(seed: int, worlds: int) -> dict[str, Any]:
    """False alarms over `worlds` null worlds of each kind and size, and power over a tenth of that for each change.

    measured_false_alarm: share of single features whose p-value is at most the nominal rate, nothing having changed.
    standard_error: of it. family: of results of `FAMILY` features without a change, the share with any drifted feature
    (Benjamini-Hochberg keeps it at the nominal rate when nothing changed).
    """
    random = np.random.default_rng([seed, 1])
    cells: dict[str, list[float]] = {}
    for name, draw in WORLDS.items():
        for sizes in SIZES:
            p_values = [_p_value(draw(random, sizes[0]), draw(random, sizes[1]), number) for number in range(worlds)]
            cells[f"{name}, {sizes[0]} against {sizes[1]}"] = p_values
    everything = np.concatenate([np.asarray(found) for found in cells.values()])
    measured = float((everything <= NOMINAL).mean())
    return {
        "nominal_false_alarm": NOMINAL,
        "measured_false_alarm": measured,
        "standard_error": sqrt(max(measured, NOMINAL) * (1 - measured) / len(everything)),
        "tests": len(everything),
        "at_other_rates": {str(rate): float((everything <= rate).mean()) for rate in (0.05, 0.1, 0.5)},
        "by_world": {name: float((np.asarray(found) <= NOMINAL).mean()) for name, found in cells.items()},
        "family": _family(seed, max(worlds // 2, 1)),
        "blocks": _blocks(seed, worlds),
        "power": _power(seed, max(worlds // 10, 1)),
    }


def _family(seed: int, results: int) -> dict[str, Any]:
    """Results of many features: none of which changed, and half of which did."""
    random = np.random.default_rng([seed, 2])
    kinds = list(WORLDS.values())
    alarmed = 0
    alarms = false = 0
    for number in range(results):
        sides = [{f"f{i}": kinds[i % len(kinds)](random, rows) for i in range(FAMILY)} for rows in (1000, 500)]
        alarmed += bool(_result(*sides, seed=number).drifted)
        changed = {f"n{i}": _normal(random, 500) for i in range(FAMILY)}
        moved = {name: [x + 1 for x in values] if i % 2 else values for i, (name, values) in enumerate(changed.items())}
        found = _result({f"n{i}": _normal(random, 500) for i in range(FAMILY)}, moved, seed=number).drifted
        alarms += len(found)
        false += sum(int(name[1:]) % 2 == 0 for name in found)
    return {
        "features": FAMILY,
        "results": results,
        "with_any_alarm_when_nothing_changed": alarmed / results,
        "false_among_alarms_when_half_changed": false / max(alarms, 1),
        "found_when_half_changed": (alarms - false) / (results * FAMILY / 2),
    }


def _blocks(seed: int, worlds: int) -> dict[str, Any]:
    """Rows that repeat one reading, nothing having changed: share of worlds called at the nominal rate, dealing rows
    and dealing blocks. As many rows a block on both sides, and (a sampled reference) far fewer in the reference."""
    random = np.random.default_rng([seed, 4])
    found: dict[str, Any] = {}
    for name, (thin, thick) in {"10 and 10 rows a block": (10, 10), "2 and 10 rows a block": (2, 10)}.items():
        called = dict.fromkeys(("by row", "by block"), 0)
        for number in range(worlds):
            sides = []
            for blocks, rows in ((120, thin), (40, thick)):
                values = np.repeat(random.normal(size=blocks), rows) + 0.3 * random.normal(size=blocks * rows)
                sides.append((_frame({"f": list(values)}), np.repeat(np.arange(blocks), rows).astype(np.int64)))
            for way, blocked in (("by row", False), ("by block", True)):
                samples = [Sample("side", frame, ids if blocked else None) for frame, ids in sides]
                settings = DriftSettings(false_alarm_rate=NOMINAL, seed=number)
                (drift,) = check_distribution(Samples("world", None, *samples, settings)).features.values()
                called[way] += drift.p_value <= NOMINAL
        found[name] = {way: count / worlds for way, count in called.items()}
    return found


def _power(seed: int, worlds: int) -> dict[str, Any]:
    """Change -> rows -> size -> share of worlds called drifted (significant, and large enough to count)."""
    random = np.random.default_rng([seed, 3])
    found: dict[str, Any] = {}
    for name, change in CHANGES.items():
        draw = WORLDS[change.world]
        found[name] = {
            f"{rows[0]} against {rows[1]}": {
                str(size): sum(
                    bool(
                        _result(
                            {"f": draw(random, rows[0])},
                            {"f": change.apply(random, draw(random, rows[1]), size)},
                            seed=number,
                        ).drifted
                    )
                    for number in range(worlds)
                )
                / worlds
                for size in change.sizes
            }
            for rows in POWER_SIZES
        }
    return found


def _p_value(reference: Values, current: Values, seed: int) -> float:
    (drift,) = _result({"f": reference}, {"f": current}, seed=seed).features.values()
    return drift.p_value


def _result(reference: Mapping[str, Values], current: Mapping[str, Values], *, seed: int) -> Any:
    return check_distribution(
        Samples(
            subject="world",
            version=None,
            reference=Sample("reference", _frame(reference)),
            current=Sample("current", _frame(current)),
            settings=DriftSettings(false_alarm_rate=NOMINAL, seed=seed),
        )
    )


def _frame(columns: Mapping[str, Values]) -> FeatureFrame:
    """Status 1 is a value and 2 is null, as Feast numbers them."""
    statuses = {name: pa.array([2 if v is None else 1 for v in values], pa.int8()) for name, values in columns.items()}
    return FeatureFrame(pa.table(dict(columns)), pa.table(statuses), pa.table({}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    print(json.dumps(measure(asked.seed, asked.worlds), indent=2))  # noqa: T201


if __name__ == "__main__":
    main()
