"""Samples of rows, what is measured on them, and how both are drawn again: the bootstrap of the ledger. Pure.

Every number of the ledger is an array of 1 + `replicates` entries: first what was measured, then what was measured on
each of the samples drawn again. Differences and sums of such arrays are intervals that need no formula, and what adds
up in the first entry adds up in every other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trueup.diagnose.gap_ledger import CONFIDENCE, Estimate
from trueup.diagnose.metrics import Floats, MetricKind, weighted

Draws = Floats
"""Shape (1 + replicates,): the measured number, then one for each replicate."""
_CELLS = 4_000_000
"""Weights held at a time."""
_UNDEFINED = 0.01
"""Share of replicates in which a metric may be undefined (one class only) before there is no interval."""


@dataclass(frozen=True)
class Sample:
    """Rows that are drawn together by unit. unit: of each row, 0 .. units - 1. seed: of the draws."""

    unit: npt.NDArray[np.int64]
    units: int
    seed: tuple[int, ...]

    def weights(self, replicates: int) -> Iterator[Floats]:
        """How often each unit was drawn, replicates x units, some replicates at a time; the first has each once.

        units are drawn with replacement, as many as there are: a user with ten rows brings all ten or none.
        """
        chunk = max(1, _CELLS // max(self.units, 1))
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed)))
        yield np.ones((1, self.units))
        for begin in range(0, replicates, chunk):
            count = min(chunk, replicates - begin)
            drawn = rng.integers(self.units, size=(count, self.units), dtype=np.int64)
            offsets = np.arange(count, dtype=np.int64)[:, None] * self.units
            yield (
                np.bincount((drawn + offsets).ravel(), minlength=count * self.units)
                .reshape(count, self.units)
                .astype(np.float64)
            )


@dataclass(frozen=True)
class Scored:
    """Some rows of a sample with labels and predictions. rows: of the sample. mass: of each, before it is drawn."""

    rows: npt.NDArray[np.int64]
    labels: Floats
    predictions: Floats
    mass: Floats | None = None


def measure(kind: MetricKind, sample: Sample, scored: Sequence[Scored], replicates: int) -> list[Draws]:
    """The metric of each of these, on the same draws: their differences are paired."""
    found: list[list[Floats]] = [[] for _ in scored]
    for drawn in sample.weights(replicates):
        for values, item in zip(found, scored, strict=True):
            values.append(_measured(kind, sample, item, drawn))
    return [np.concatenate(values) for values in found]


def measure_pooled(kind: MetricKind, parts: Sequence[tuple[Sample, Sequence[Scored]]], replicates: int) -> list[Draws]:
    """The metric of rows from several samples taken together: item i of every sample makes one measured whole.

    Each sample is drawn by itself: they are independent of each other.
    """
    wholes = len(parts[0][1])
    columns: list[list[Floats]] = [[] for _ in range(wholes)]
    drawn_parts = [_aligned(sample, replicates, most=max(s.units for s, _ in parts)) for sample, _ in parts]
    for drawn in zip(*drawn_parts, strict=True):
        for index, values in enumerate(columns):
            pieces = [(sample, items[index], w) for (sample, items), w in zip(parts, drawn, strict=True)]
            values.append(_pooled(kind, pieces))
    return [np.concatenate(values) for values in columns]


def estimate(draws: Draws, confidence: float = CONFIDENCE) -> Estimate:
    """The number with its percentile interval; without one where it is undefined in too many replicates."""
    value, again = float(draws[0]), draws[1:]
    defined = again[np.isfinite(again)]
    if len(again) == 0 or len(defined) < (1 - _UNDEFINED) * len(again):
        return Estimate(value)
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return Estimate(value, float(low), float(high))


def _measured(kind: MetricKind, sample: Sample, item: Scored, drawn: Floats) -> Floats:
    unit = sample.unit[item.rows]

    def weigh(rows: npt.NDArray[np.int64]) -> Floats:
        weights = drawn[:, unit[rows]]
        return weights if item.mass is None else weights * item.mass[rows]

    return weighted(kind, item.labels, item.predictions, weigh)


def _pooled(kind: MetricKind, pieces: Sequence[tuple[Sample, Scored, Floats]]) -> Floats:
    labels = np.concatenate([item.labels for _, item, _ in pieces])
    predictions = np.concatenate([item.predictions for _, item, _ in pieces])
    weights = np.concatenate(
        [
            drawn[:, sample.unit[item.rows]] * (1.0 if item.mass is None else item.mass)
            for sample, item, drawn in pieces
        ],
        axis=1,
    )
    return weighted(kind, labels, predictions, lambda rows: weights[:, rows])


def _aligned(sample: Sample, replicates: int, *, most: int) -> Iterator[Floats]:
    """The sample's weights in chunks that are as long for every sample, whatever its own units."""
    chunk = max(1, _CELLS // max(most, 1))
    waiting: Floats | None = None
    parts = sample.weights(replicates)
    yield next(parts)
    left = replicates
    while left:
        count = min(chunk, left)
        while waiting is None or len(waiting) < count:
            more = next(parts)
            waiting = more if waiting is None else np.concatenate([waiting, more])
        yield waiting[:count]
        waiting = waiting[count:]
        left -= count
