"""Rows paired by a table of positions: for each key of a range, its row. For one integer key of bounded range. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from trueup.parity.tables.gather import gathered
from trueup.parity.tables.matching import Alone, Matching, Positions, aligned, width

_AT_A_TIME = 1 << 17
"""Keys: what is made of them on the way stays in a processor's cache."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class IntegerKeys:
    """A side's keys in row order, without nulls. there: which rows have one (None: all). lowest, highest: of the keys,
    0 and -1 without any. ascends: each key is greater than the one before."""

    values: npt.NDArray[np.int64]
    there: Mask | None
    lowest: int
    highest: int
    ascends: bool

    @property
    def rows(self) -> int:
        return len(self.values) if self.there is None else len(self.there)

    @cached_property
    def row_of(self) -> Positions | None:
        """The row of each key; None: its own number."""
        return None if self.there is None else np.flatnonzero(self.there).astype(width(self.rows))


class Collector:
    """Keys of a side while its batches go by; what must be known of all is looked at while a batch is in the cache."""

    def __init__(self, rows: int) -> None:
        self._values = np.empty(rows, np.int64)
        self._there: Mask | None = None
        self._known = 0
        self._range: tuple[int, int] | None = None
        self._ascends = True

    def add(self, start: int, values: npt.NDArray[np.int64], there: Mask | None) -> None:
        """values: without nulls. there: which rows from `start` have one (None: all)."""
        if there is not None:
            self._there = np.ones(len(self._values), np.bool_) if self._there is None else self._there
            self._there[start : start + len(there)] = there
        if not len(values):
            return
        before = self._known
        self._values[before : before + len(values)] = values
        self._known += len(values)
        if self._ascends:
            known = self._values[max(before - 1, 0) : self._known]
            self._ascends = bool((known[1:] > known[:-1]).all())
        lowest, highest = (int(values[0]), int(values[-1])) if self._ascends else (int(values.min()), int(values.max()))
        if self._range is not None:
            lowest, highest = min(lowest, self._range[0]), max(highest, self._range[1])
        self._range = lowest, highest

    def keys(self) -> IntegerKeys:
        lowest, highest = self._range or (0, -1)
        return IntegerKeys(self._values[: self._known], self._there, lowest, highest, self._ascends)


def by_position(left: IntegerKeys, right: IntegerKeys, memory: int) -> Matching | None:
    """memory: bytes that may be used beyond the keys and the result. None where the range of the keys is too wide."""
    may_be_aligned = left.ascends and right.ascends and left.there is None and right.there is None
    if may_be_aligned and np.array_equal(left.values, right.values):
        return aligned(left.rows)
    sides = [side for side in (left, right) if len(side.values)]
    lowest = min((side.lowest for side in sides), default=0)
    span = max((side.highest for side in sides), default=-1) - lowest + 1
    if span * (2 * np.dtype(width(max(left.rows, right.rows))).itemsize + 3) > memory:
        return None
    place = _places(right, lowest, span)
    partner = _looked_up(place, left, lowest)
    if left.ascends and int(np.count_nonzero(partner >= 0)) == right.rows:
        # The keys of the left differ, and as many of them as the right has rows are there: those differ too.
        return _whole(partner, left)
    doubles_there = _doubles(place, right, lowest)
    doubles_here = None if left.ascends else _doubles(_places(left, lowest, span), left, lowest)
    if doubles_there is not None:
        place[doubles_there] = Alone.DUPLICATE_THERE
    if doubles_here is not None:
        place[doubles_here] = Alone.DUPLICATE
    if doubles_there is not None or doubles_here is not None:
        partner = _looked_up(place, left, lowest)
    if int(np.count_nonzero(partner >= 0)) == right.rows:
        return _whole(partner, left)
    state = np.full(span, Alone.ONLY_HERE, np.int8)
    for _, offsets in _offsets(left, lowest):
        state[offsets] = 0
    for doubles, alone in ((doubles_here, Alone.DUPLICATE_THERE), (doubles_there, Alone.DUPLICATE)):
        if doubles is not None:
            state[doubles] = alone
    others = _spread(_looked_up(state, right, lowest), right.there)
    return Matching(_spread(partner, left.there), others, aligned=False)


def _whole(partner: Positions, left: IntegerKeys) -> Matching:
    """Where every right row has a partner."""
    spread = _spread(partner, left.there)
    counts_up = all(
        np.array_equal(spread[start : start + _AT_A_TIME], np.arange(start, min(start + _AT_A_TIME, len(spread))))
        for start in range(0, len(spread), _AT_A_TIME)
    )
    return Matching(spread, None, aligned=counts_up)


def _offsets(side: IntegerKeys, lowest: int) -> Iterator[tuple[slice, npt.NDArray[np.int64]]]:
    """The keys' places in the range, some at a time."""
    for start in range(0, len(side.values), _AT_A_TIME):
        some = slice(start, min(start + _AT_A_TIME, len(side.values)))
        yield some, side.values[some] - lowest


def _places(side: IntegerKeys, lowest: int, span: int) -> Positions:
    """For each key of the range a row that has it; ONLY_HERE (the other side's word) where none has."""
    place = np.full(span, Alone.ONLY_HERE, width(side.rows))
    for some, offsets in _offsets(side, lowest):
        place[offsets] = _numbers(side, some, place.dtype)
    return place


def _numbers(side: IntegerKeys, some: slice, dtype: np.dtype[Any]) -> Positions:
    """The rows of some keys."""
    return np.arange(some.start, some.stop, dtype=dtype) if side.row_of is None else side.row_of[some]


def _looked_up(table: npt.NDArray[Any], side: IntegerKeys, lowest: int) -> npt.NDArray[Any]:
    """What the table of the range has for each key."""
    found = np.empty(len(side.values), table.dtype)
    for some, offsets in _offsets(side, lowest):
        found[some] = gathered(table, offsets)
    return found


def _doubles(place: Positions, side: IntegerKeys, lowest: int) -> Mask | None:
    """Which keys of the range more than one row has; None if none is. place: a row of each."""
    more = np.zeros(len(place), np.bool_)
    for some, offsets in _offsets(side, lowest):
        more[offsets[gathered(place, offsets) != _numbers(side, some, place.dtype)]] = True
    return more if more.any() else None


def _spread(found: npt.NDArray[Any], there: Mask | None) -> npt.NDArray[Any]:
    """Of the rows that have a key, to all rows."""
    if there is None:
        return found
    every = np.full(len(there), Alone.NULL_KEY, found.dtype)
    every[there] = found
    return every
