"""The same bins for both sides: every row of either falls into exactly one.

Where the bins lie goes by both sides' rows together and not by which side a row is of. So they are the same bins
however the rows are dealt to the sides, which is what makes a resampling test on them exact.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trueup.frame import Status
from trueup.instants import EPOCH, format_instant
from trueup.parity.distribution.columns import Column, Side
from trueup.parity.distribution.histogram import Aligned, Counts, Floats, Numbers, align
from trueup.parity.distribution.profiles import Spread, spread
from trueup.parity.results import Bin, BinKind

NULL, MISSING, EXPIRED, NAN, MINUS_INFINITY, PLUS_INFINITY = range(6)
STATES = ("null", "missing", "expired", "NaN", "-infinity", "+infinity")
"""What the first bins hold, always in this order: rows without a finite value."""

FEW_VALUES = 32
"""Numbers with at most so many values are a bin each, and count as categories."""
POINT_MASS = 1 / 50
"""A value with at least this share of both sides' numbers is a bin of its own."""
GROUPS = 20
"""About so many groups of ranges, of equal share: what PSI, JS and Cramér's V go by, and what a reader is shown."""
NAMED = 256
"""Categories that are a bin each, the largest; the others share one."""
NAMED_GROUPS = 30

_ENDS = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3)
_LEVELS = np.array([*_ENDS, *(n / 100 for n in range(1, 100)), *(1 - share for share in reversed(_ENDS))])
"""Shares of the numbers at which ranges begin: every hundredth, and finer towards both ends."""

Mask = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Group:
    """Bins that are counted as one where few bins are wanted."""

    label: str
    kind: BinKind
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, eq=False)
class Layout:
    """Bins and both sides' rows in them; the first six are `STATES`.

    group: number of each bin's group, ascending. position: where the ordered bins (those from `first` on, of
    numbers) lie, in units of the reference's spread. outer: bins outside both sides' joint robust range. named: bins
    of one category each. starts, categories: which bin a number or a text belongs to.
    """

    reference: Counts
    current: Counts
    group: Index
    groups: tuple[Group, ...]
    outer: Mask
    named: Mask
    position: Floats = field(default_factory=lambda: np.empty(0))
    starts: Floats = field(default_factory=lambda: np.empty(0))
    categories: Mapping[str, int] = field(default_factory=dict)

    first = len(STATES)

    @property
    def size(self) -> int:
        return len(self.reference)

    @property
    def pooled(self) -> Counts:
        return self.reference + self.current

    def grouped(self, counts: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
        """Counts by bin (the last axis) added up by group."""
        starts = np.flatnonzero(np.diff(self.group, prepend=-1))
        sums: npt.NDArray[np.float64] = np.add.reduceat(counts, starts, axis=-1).astype(np.float64)
        return sums

    def bins(self) -> tuple[Bin, ...]:
        """The groups that have rows, as a reader is shown them."""
        sides = self.grouped(self.reference), self.grouped(self.current)
        return tuple(
            Bin(group.label, int(a), int(b), group.low, group.high, group.kind)
            for group, a, b in zip(self.groups, *sides, strict=True)
            if a or b
        )

    def bin(self, place: int) -> Bin:
        """One bin alone, as a reader is shown it."""
        group = self.groups[self.group[place]]
        counts = int(self.reference[place]), int(self.current[place])
        texts = list(self.categories)
        if 0 <= place - self.first < len(texts):
            return Bin(text_label(texts[place - self.first]), *counts, kind="category")
        if group.kind != "range" or group.low is None or group.high is None:
            return Bin(group.label, *counts, group.low, group.high, group.kind)
        # Within its group: from its own beginning to the next one's.
        low, rest = float(self.starts[place - self.first]), self.starts[place - self.first + 1 :]
        last = place == self.size - 1 or self.group[place + 1] != self.group[place]
        high = group.high if last else float(rest[0])
        label = f"[{low:.4g}, {high:.4g}{group.label[-1] if last else ')'}"
        return Bin(label, *counts, low, high, "range")

    def assign(self, column: Column) -> Index:
        """The bin of each row of a column that is counted in this layout."""
        found = np.full(len(column.statuses), NULL, np.intp)
        found[column.statuses == Status.MISSING] = MISSING
        found[column.statuses == Status.EXPIRED] = EXPIRED
        found[column.present] = self._of_texts(column) if column.kind == "category" else self._of_numbers(column)
        return found

    def _of_numbers(self, column: Column) -> Index:
        values = column.numbers()
        found: Index = self.first + np.searchsorted(self.starts, values, "right") - 1
        for place, mask in (
            (NAN, np.isnan(values)),
            (MINUS_INFINITY, np.isneginf(values)),
            (PLUS_INFINITY, np.isposinf(values)),
        ):
            found[mask] = place
        return found

    def _of_texts(self, column: Column) -> Index:
        encoded = pa.chunked_array(column.texts().chunks, pa.string()).combine_chunks().dictionary_encode()
        rest = self.first + len(self.categories)
        places = [self.categories.get(text, rest) for text in encoded.dictionary.to_pylist()]
        found: Index = np.array(places, np.intp)[encoded.indices.to_numpy(zero_copy_only=False).astype(np.intp)]
        return found


def layout(reference: Side, current: Side) -> Layout:
    """Bins for two sides of the same kind."""
    states = [
        np.array([t.null, t.missing, t.expired, t.nan, t.minus_infinity, t.plus_infinity], np.int64)
        for t in (reference.whole, current.whole)
    ]
    if reference.kind == "category":
        return _of_categories(reference, current, states)
    numbers = align(reference.whole.numbers, current.whole.numbers)
    return _of_numbers(numbers, states, spread(reference.whole.numbers), instants=reference.kind == "instant")


def recounted(layout: Layout, side: Side) -> list[Counts]:
    """Rows of each window of a side in the bins of a layout that was made for it."""
    found = []
    for tally in side.windows:
        counts = np.zeros(layout.size, np.int64)
        counts[: layout.first] = (
            tally.null,
            tally.missing,
            tally.expired,
            tally.nan,
            tally.minus_infinity,
            tally.plus_infinity,
        )
        if side.kind == "category":
            rest = layout.first + len(layout.categories)
            for text, number in tally.categories.counts.items():
                counts[layout.categories.get(text, rest)] += number
            if tally.categories.rest:
                counts[rest] += tally.categories.rest
        else:
            places = layout.first + np.searchsorted(layout.starts, tally.numbers.low, "right") - 1
            np.add.at(counts, places, tally.numbers.count)
        found.append(counts)
    return found


def _of_categories(reference: Side, current: Side, states: Sequence[Counts]) -> Layout:
    sides = reference.whole.categories, current.whole.categories
    both = sides[0].add(sides[1]).counts
    kept = sorted(both, key=lambda text: (-both[text], text))[:NAMED]
    counts = [
        np.concatenate([state, [side.counts.get(text, 0) for text in kept], [0]]).astype(np.int64)
        for state, side in zip(states, sides, strict=True)
    ]
    for own, side in zip(counts, sides, strict=True):
        own[-1] = side.total - own[len(STATES) : -1].sum()
    shown = min(len(kept), NAMED_GROUPS)
    size = len(counts[0])
    number = np.arange(size)
    number[len(STATES) + shown :] = len(STATES) + shown
    named = np.zeros(size, np.bool_)
    named[len(STATES) : -1] = True
    return Layout(
        reference=counts[0],
        current=counts[1],
        group=number,
        groups=(
            *_state_groups(),
            *(Group(text_label(text), "category") for text in kept[:shown]),
            Group("other categories", "rest"),
        ),
        outer=np.zeros(size, np.bool_),
        named=named,
        categories={text: len(STATES) + place for place, text in enumerate(kept)},
    )


def _of_numbers(numbers: Aligned, states: Sequence[Counts], unit: Spread, *, instants: bool) -> Layout:
    pooled = numbers.reference + numbers.current
    total = int(pooled.sum())
    before = (np.cumsum(pooled) - pooled) / max(total, 1)
    few = len(pooled) <= FEW_VALUES and numbers.exact
    mass = np.full(len(pooled), few) if few else (numbers.low == numbers.high) & (pooled >= POINT_MASS * total)
    outside = _outside(numbers, pooled)
    level = np.searchsorted(_LEVELS, before, "right")
    bins = np.flatnonzero(_breaks(level, mass) | _changes(outside))
    group_breaks = _breaks((before[bins] * GROUPS).astype(np.int64), mass[bins])
    middle = numbers.low / 2 + numbers.high / 2
    position = _summed(middle * (pooled / max(total, 1)), bins) / np.maximum(
        _summed(pooled / max(total, 1), bins), np.finfo(float).tiny
    )
    counts = [
        np.concatenate([state, _summed(side, bins)]).astype(np.int64)
        for state, side in zip(states, (numbers.reference, numbers.current), strict=True)
    ]
    return Layout(
        reference=counts[0],
        current=counts[1],
        group=np.concatenate([np.arange(len(STATES)), len(STATES) - 1 + np.cumsum(group_breaks)]).astype(np.intp),
        groups=(*_state_groups(), *_number_groups(numbers, bins[group_breaks], mass, instants=instants)),
        outer=np.concatenate([np.zeros(len(STATES), np.bool_), outside[bins]]),
        named=np.concatenate([np.zeros(len(STATES), np.bool_), np.full(len(bins), few)]),
        position=scaled(position, unit),
        starts=numbers.low[bins],
    )


def scaled(values: Floats, unit: Spread) -> Floats:
    """In units of the spread, cut off where squares and sums of them would no longer be doubles."""
    with np.errstate(over="ignore"):
        return np.clip(values / unit.unit, -1e100, 1e100)


def _outside(numbers: Aligned, pooled: Counts) -> Mask:
    """Places outside the robust range of both sides' numbers together."""
    both = spread(Numbers(numbers.low, numbers.high, pooled))
    if both.low is None or both.high is None:
        return np.zeros(len(pooled), np.bool_)
    middle = numbers.low / 2 + numbers.high / 2
    outside: Mask = (middle < both.low) | (middle > both.high)
    return outside


def _breaks(level: npt.NDArray[np.integer], mass: Mask) -> Mask:
    """Where a run of one level begins; a mass stands alone, so the place after it begins one too."""
    breaks = _changes(level) | mass
    breaks[1:] |= mass[:-1]
    return breaks


def _changes(values: npt.NDArray[np.generic]) -> Mask:
    changes = np.ones(len(values), np.bool_)
    changes[1:] = values[1:] != values[:-1]
    return changes


def _summed(values: npt.NDArray[np.generic], starts: Index) -> npt.NDArray[np.generic]:
    return np.add.reduceat(values, starts) if len(starts) else values[:0]


def _state_groups() -> tuple[Group, ...]:
    return tuple(Group(state, "state") for state in STATES)


def _number_groups(numbers: Aligned, starts: Index, mass: Mask, *, instants: bool) -> list[Group]:
    """The ends of a range are the next one's beginning, and of the last one the largest number."""
    if not len(starts):
        return []
    ends = np.append(numbers.low[starts[1:]], numbers.high[-1])
    write = instant_label if instants else _number_writer(np.append(numbers.low[starts], ends[-1:]))
    found = []
    for index, (start, end) in enumerate(zip(starts, ends, strict=True)):
        low, high = float(numbers.low[start]), float(end)
        if mass[start]:
            found.append(Group(write(low), "value", low, low))
        else:
            close = "]" if index == len(starts) - 1 else ")"
            found.append(Group(f"[{write(low)}, {write(high)}{close}", "range", low, high))
    return found


def _number_writer(edges: Floats) -> Callable[[float], str]:
    """Writes numbers as short as keeps neighbouring edges apart."""
    kept = np.unique(edges)
    digits = next((n for n in range(3, 17) if len({f"{edge:.{n}g}" for edge in kept}) == len(kept)), 17)
    return lambda value: f"{value:.{digits}g}"


def instant_label(micros: float) -> str:
    """Microseconds since 1970 as ISO 8601."""
    try:
        return format_instant(EPOCH + timedelta(microseconds=int(micros)))
    except OverflowError:  # before the year 1 or after 9999: Arrow has such instants, Python has not
        return f"{micros:.0f} us"


def text_label(text: str) -> str:
    """As it is; in quotes where it could be mistaken for something else, or cannot be seen."""
    hidden = text in (*STATES, "other categories") or text != text.strip() or not text
    return json.dumps(text, ensure_ascii=False) if hidden else text
