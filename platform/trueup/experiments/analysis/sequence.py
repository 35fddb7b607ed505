"""Always-valid confidence sequences: intervals that may be looked at at any time, and stopped by. Pure.

Asymptotic confidence sequences of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (arXiv 2103.06476, eq. 9): with the
running mean and standard deviation of the first t observations,

    mean_t +- sd_t * sqrt( 2 (t rho^2 + 1) / (t^2 rho^2) * log( sqrt(t rho^2 + 1) / alpha ) )

covers the mean at every t at once, with probability 1 - alpha, as the first look is taken later and later. rho makes it
tightest around a number of observations; it must not be chosen by looking at the data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

FIRST_LOOK = 100
"""Observations before the first interval: it is asymptotic, and before that there is none to be had."""


@dataclass(frozen=True)
class Sequence:
    """center, low, high: at each number of observations; NaN before `FIRST_LOOK`."""

    center: Floats
    low: Floats
    high: Floats

    @property
    def last(self) -> tuple[float, float] | None:
        """The interval now; None before the first look."""
        if len(self.low) < FIRST_LOOK:
            return None
        return float(self.low[-1]), float(self.high[-1])


def rho_for(observations: int, alpha: float) -> float:
    """The rho that makes the sequence tightest at so many observations: sqrt((-2 ln a + ln(-2 ln a + 1)) / t)."""
    twice = -2 * math.log(alpha)
    return math.sqrt((twice + math.log(twice + 1)) / observations)


def margins(observations: npt.NDArray[np.int64], rho: float, alpha: float) -> Floats:
    """Half widths for a standard deviation of 1."""
    t = observations.astype(np.float64)
    inner = t * rho**2 + 1
    widths: Floats = np.sqrt(2 * inner / (t**2 * rho**2) * np.log(np.sqrt(inner) / alpha))
    return widths


def mean_sequence(values: Floats, *, intended: int, alpha: float = 0.05) -> Sequence:
    """Of the mean of independent observations, in their order. intended: observations it shall be tightest at."""
    t = np.arange(1, len(values) + 1, dtype=np.int64)
    mean = np.cumsum(values) / t
    variance = np.maximum(np.cumsum(values**2) / t - mean**2, 0)
    half = np.sqrt(variance) * margins(t, rho_for(intended, alpha), alpha)
    half[: min(FIRST_LOOK - 1, len(half))] = np.nan
    return Sequence(mean, mean - half, mean + half)


def difference_sequence(
    values: Floats, treated: npt.NDArray[np.bool_], share: float, *, intended: int, alpha: float = 0.05
) -> Sequence:
    """Of the difference of two variants' means, in the order of exposure. share: of the treatment, by design.

    Each unit is one observation, (y - m) * (treated / share - control / (1 - share)), with m the mean of all units
    before it: its expectation is the difference whatever m is, as assignment is random and independent of the past, and
    with m near the mean its variance is small. The first unit has none before it and is only that to the second.
    """
    if len(values) == 0:
        return mean_sequence(values, intended=intended, alpha=alpha)
    before = np.cumsum(values)[:-1] / np.arange(1, len(values))
    weights = np.where(treated[1:], 1 / share, -1 / (1 - share))
    return mean_sequence((values[1:] - before) * weights, intended=intended, alpha=alpha)
