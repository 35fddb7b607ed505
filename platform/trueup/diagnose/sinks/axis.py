"""Where numbers stand on a drawing's axis, in percent of its width. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from trueup.diagnose.gap_ledger import Estimate

Move = Literal["loss", "gain", "same"]
"""What a change does to the metric: loss makes it worse, gain better, same is nothing to four digits."""
MOVED: dict[Move, str] = {"loss": "worse", "gain": "better", "same": ""}
_MARGIN = 4.0
"""Percent on both sides, so that the outermost marks lie within the drawing."""
_MOST_TICKS = 5
_SAME = 5e-5
"""Effects that four digits show as zero."""


@dataclass(frozen=True)
class Tick:
    """at: percent of the width."""

    at: float
    text: str


@dataclass(frozen=True)
class Axis:
    """low, high: what its two edges stand for, low < high."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Iterable[float]) -> Axis:
        """From just below the smallest to just above the largest: it begins at zero only where that is one of them."""
        finite = [value for value in values if math.isfinite(value)]
        low, high = min(finite, default=0.0), max(finite, default=1.0)
        margin = (high - low or 1.0) * _MARGIN / (100 - 2 * _MARGIN)
        return cls(low - margin, high + margin)

    def at(self, value: float) -> float:
        return round(100 * (value - self.low) / (self.high - self.low), 2)

    def whisker(self, estimate: Estimate, origin: float = 0.0) -> tuple[float, float] | None:
        """Both ends of the interval, counted from an origin; None without one."""
        ends = interval(estimate)
        return (self.at(origin + ends[0]), self.at(origin + ends[1])) if ends else None

    def ticks(self) -> tuple[Tick, ...]:
        """At round numbers, two to five of them."""
        step = _round_step((self.high - self.low) / _MOST_TICKS)
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        return tuple(Tick(self.at(value), f"{value:.{digits}f}") for value in self._multiples(step))

    def _multiples(self, step: float) -> Iterator[float]:
        # Not quite to the edges, where a number would reach out of the drawing.
        inner = 0.03 * (self.high - self.low)
        for count in range(math.ceil((self.low + inner) / step), math.floor((self.high - inner) / step) + 1):
            yield count * step + 0.0


def interval(estimate: Estimate) -> tuple[float, ...]:
    """Both ends, or none."""
    return () if estimate.low is None or estimate.high is None else (estimate.low, estimate.high)


def move(effect: float, *, higher_is_better: bool) -> Move:
    if abs(effect) < _SAME:
        return "same"
    return "gain" if (effect > 0) == higher_is_better else "loss"


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, .. (and their tenths) that is not below."""
    size: float = 10 ** math.floor(math.log10(least))
    return next(size * factor for factor in (1, 2, 5, 10) if size * factor >= least * (1 - 1e-9))
