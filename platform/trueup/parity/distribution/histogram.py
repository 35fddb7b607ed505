"""Counts of values that add up: exact while the values are few, in buckets of known width once they are many.

A bucket is the set of doubles that share sign, exponent and the first eight bits of the mantissa, so its width is at
most 1/256 of its values (0.4 %) and every side has the same buckets, whatever it saw first. Of each bucket the smallest
and the largest value seen are kept: what is computed from buckets is wrong by no more than lies between those two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

MOST_VALUES = 1 << 17
"""Distinct values of a sample that are kept apart; it bounds the memory (and the groups of a category feature)."""
_BUCKET_BITS = 44
"""Bits of a double below the eighth of its mantissa."""
_MAGNITUDE = np.int64(0x7FFFFFFFFFFFFFFF)


@dataclass(frozen=True, eq=False)
class Numbers:
    """Finite numbers, ascending: `count` of them lie within [low, high], and both ends were seen. -0.0 is 0.0."""

    low: Floats
    high: Floats
    count: Counts

    @property
    def exact(self) -> bool:
        """Every value is kept apart."""
        return bool((self.low == self.high).all())

    @property
    def total(self) -> int:
        return int(self.count.sum())

    @property
    def middle(self) -> Floats:
        return self.low / 2 + self.high / 2

    @classmethod
    def of(cls, ascending: Floats, *, most: int = MOST_VALUES) -> Numbers:
        """Sorted finite values. most: 0 puts them into buckets without a look at how many there are."""
        starts = _starts(ascending) if most else None
        if starts is None or len(starts) > most:
            starts = _starts(_bucket(ascending))
        ends = np.append(starts, len(ascending))[1:]
        return cls(ascending[starts], ascending[ends - 1], (ends - starts).astype(np.int64))

    def add(self, other: Numbers, *, most: int = MOST_VALUES) -> Numbers:
        both = align(self, other)
        return Numbers(both.low, both.high, both.reference + both.current)._within(most)

    def _within(self, most: int) -> Numbers:
        if len(self.low) <= most:
            return self
        low, high, count = _grouped(self.low, self.high, self.count[:, None], buckets=True)
        return Numbers(low, high, count[:, 0])

    def quantile(self, share: float) -> float:
        """The smallest value that at least `share` of the values do not exceed; of a bucket its middle, of the first
        and the last bucket the ends. nan of no values."""
        if not len(self.count):
            return float("nan")
        if share <= 0 or share >= 1:
            return float(self.low[0] if share <= 0 else self.high[-1])
        rank = int(np.searchsorted(np.cumsum(self.count), np.ceil(share * self.total)))
        return float(self.middle[rank])

    def rows_outside(self, low: float, high: float) -> int:
        """Values below `low` or above `high`; a bucket counts by its middle."""
        outside = (self.middle < low) | (self.middle > high)
        return int(self.count[outside].sum())


NO_NUMBERS = Numbers(np.empty(0), np.empty(0), np.empty(0, np.int64))


@dataclass(frozen=True)
class Categories:
    """Values as text -> how many. rest: rows of categories that were too many to keep apart, the rarest ones."""

    counts: Mapping[str, int] = field(default_factory=dict)
    rest: int = 0

    def add(self, other: Categories, *, most: int = MOST_VALUES) -> Categories:
        counts = dict(self.counts)
        for value, count in other.counts.items():
            counts[value] = counts.get(value, 0) + count
        return Categories(counts, self.rest + other.rest).within(most)

    def within(self, most: int = MOST_VALUES) -> Categories:
        if len(self.counts) <= most:
            return self
        kept = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))[:most]
        return Categories(dict(kept), self.rest + sum(self.counts.values()) - sum(count for _, count in kept))

    @property
    def total(self) -> int:
        return sum(self.counts.values()) + self.rest


@dataclass(frozen=True, eq=False)
class Aligned:
    """Both sides' numbers over the same places, ascending: those of either side, so that no value falls off."""

    low: Floats
    high: Floats
    reference: Counts
    current: Counts

    @property
    def exact(self) -> bool:
        return bool((self.low == self.high).all())


def align(reference: Numbers, current: Numbers) -> Aligned:
    counts = np.zeros((len(reference.count) + len(current.count), 2), np.int64)
    counts[: len(reference.count), 0] = reference.count
    counts[len(reference.count) :, 1] = current.count
    low, high, grouped = _grouped(
        np.concatenate([reference.low, current.low]),
        np.concatenate([reference.high, current.high]),
        counts,
        buckets=not (reference.exact and current.exact),
    )
    return Aligned(low, high, grouped[:, 0], grouped[:, 1])


def _grouped(low: Floats, high: Floats, counts: Counts, *, buckets: bool) -> tuple[Floats, Floats, Counts]:
    """Counts of the same value, or of the same bucket, added up; ascending. counts: one column a side."""
    if not len(low):
        return low, high, counts
    order = np.argsort(low, kind="stable")
    low, high = low[order], high[order]
    starts = _starts(_bucket(low)) if buckets else _starts(low)
    return low[starts], np.maximum.reduceat(high, starts), np.add.reduceat(counts[order], starts, axis=0)


def _bucket(values: Floats) -> Counts:
    """Number of a double's bucket; it ascends with the values."""
    bits = values.view(np.int64)
    ordered: Counts = bits >> 63
    ordered &= _MAGNITUDE
    ordered ^= bits
    ordered >>= _BUCKET_BITS
    return ordered


def _starts(ascending: npt.NDArray[np.generic]) -> npt.NDArray[np.intp]:
    """Where each run of equal values begins."""
    if not len(ascending):
        return np.empty(0, np.intp)
    begins = np.empty(len(ascending), np.bool_)
    begins[0] = True
    np.not_equal(ascending[1:], ascending[:-1], out=begins[1:])
    return np.flatnonzero(begins)
