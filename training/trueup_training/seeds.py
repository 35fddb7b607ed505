"""How much the seed alone moves each metric, and whether an observed gap is inside that. Pure.

With n other seeds of mean m and standard deviation s (n - 1 in its denominator), taken as normal:

- band: m ± t·s·√(1 + 1/n), the 95 % prediction interval of one more training that differs in nothing but its seed;
- gap_band: t·s·√2, what two such trainings differ by at most, in 95 of 100 cases;

t is the 0.975 quantile of Student's distribution with n - 1 degrees of freedom.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scipy.special import stdtrit

from trueup.hashing import digest
from trueup_training.outcome import METRIC_TOLERANCE

CONFIDENCE = 0.95
BAND = "95% prediction interval of one more training with another seed (Student's t)"
FEWEST = 2
"""Seeds that have a standard deviation."""
_CONSTANT = frozenset({"rows", "positive_rate"})
"""Of the holdout alone: no seed moves them."""


@dataclass(frozen=True)
class Observed:
    """The recorded run's metric and the one it is held against. against: `today`, or what names the other run.

    same_data: whether both learned from and were measured on the same rows and values.
    """

    against: str
    recorded: float
    other: float
    same_data: bool

    @property
    def gap(self) -> float:
        return self.other - self.recorded


@dataclass(frozen=True)
class SeedBand:
    """One metric over the seeds. values: seed -> metric, the recorded seed left out: it is what is judged."""

    values: Mapping[int, float]
    observed: Observed | None = None

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values.values())

    @property
    def std(self) -> float:
        return statistics.stdev(self.values.values())

    @property
    def band(self) -> tuple[float, float]:
        half = _quantile(len(self.values)) * self.std * math.sqrt(1 + 1 / len(self.values))
        return self.mean - half, self.mean + half

    @property
    def gap_band(self) -> float:
        return _quantile(len(self.values)) * self.std * math.sqrt(2)

    @property
    def inside(self) -> bool | None:
        """Whether the seed alone could make the observed gap; None when none was observed."""
        return None if self.observed is None else abs(self.observed.gap) <= self.gap_band + METRIC_TOLERANCE

    def to_json(self) -> dict[str, Any]:
        observed = self.observed
        return {
            "seeds": len(self.values),
            "values": {str(seed): value for seed, value in self.values.items()},
            "mean": self.mean,
            "std": self.std,
            "min": min(self.values.values()),
            "max": max(self.values.values()),
            "confidence": CONFIDENCE,
            "band": list(self.band),
            "band_is": BAND,
            "gap_band": self.gap_band,
            "observed": None
            if observed is None
            else {
                "against": observed.against,
                "recorded": observed.recorded,
                "other": observed.other,
                "gap": observed.gap,
                "same_data": observed.same_data,
                "inside": self.inside,
            },
        }


def other_seeds(seed: int, count: int) -> tuple[int, ...]:
    """Other seeds than this one, all different; always the same ones for the same seed, more of them as count grows."""
    found: dict[int, None] = {}
    number = 0
    while len(found) < count:
        other = int(digest([seed, number])[:8], 16)
        number += 1
        if other != seed:
            found[other] = None
    return tuple(found)


def seed_bands(
    metrics: Mapping[int, Mapping[str, float]],
    recorded: Mapping[str, float],
    other: Mapping[str, float] | None = None,
    *,
    against: str = "today",
    same_data: bool = True,
) -> dict[str, SeedBand]:
    """Metric -> its band. metrics: seed -> what came of it. other: what the recorded metrics are held against, if any.

    A metric that the other side lacks has no observed gap.
    """
    names = [name for name in recorded if name not in _CONSTANT and all(name in found for found in metrics.values())]
    return {
        name: SeedBand(
            {seed: found[name] for seed, found in metrics.items()},
            Observed(against, recorded[name], other[name], same_data) if other is not None and name in other else None,
        )
        for name in names
    }


def _quantile(count: int) -> float:
    return float(stdtrit(count - 1, 1 - (1 - CONFIDENCE) / 2))
