"""One feature of two tables, compared in batches. Memory: one column of the right table at most, less if it must be.

Cells that are plainly equal are settled in bulk; only the rest goes through `compare.outcomes`, which alone decides
what a mismatch is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.frame import Status
from trueup.parity.compare import EXACT, Cells, Codes, Mask, Outcome, Tolerance, outcomes
from trueup.parity.kinds import is_comparable, kind_of, plain
from trueup.parity.tables.buffers import Buffers
from trueup.parity.tables.files import Table
from trueup.parity.tables.gather import gathered
from trueup.parity.tables.matching import Matching
from trueup.parity.tables.result import CLASSES, CellSample, FeatureDifference, Side
from trueup.parity.tally import shown

SAMPLES = 3
"""Cells that are shown of each class."""
_MANY = 1 << 15
"""Cells to be classified at a time, at least."""
_WIDEST = 9
"""Bytes of a value in the quick form and of whether it is there, at most."""
_LONGEST = 200
"""Characters of a value that are shown."""

_SIDES: tuple[Side, Side] = ("left", "right")
_CLASS_OF = {Outcome.VALUE: "value", Outcome.NORMAL_FORM: "normal_form", Outcome.TYPE: "type"}


@dataclass(frozen=True)
class Column:
    """A feature and how it is compared. dtype: its Feast type, where that says more than its Arrow type."""

    name: str
    tolerance: Tolerance = EXACT
    dtype: str | None = None


def compare_column(
    left: Table, right: Table, matching: Matching, column: Column, memory: int, buffers: Buffers | None = None
) -> FeatureDifference:
    """memory: bytes that the right column may take at a time; where that is too little for all of it, the left one is
    read once for each part. buffers: to be used again by the next column."""
    types = [table.schema.field(column.name).type for table in (left, right)]
    blank = FeatureDifference(str(types[0]), str(types[1]))
    for side, type_ in zip(("left", "right"), types, strict=True):
        if not is_comparable(type_):
            return replace(blank, uncompared=f"{side} is {type_}")
    codes = left.repeats(column.name) and right.repeats(column.name)
    count = _Count(column)
    start = 0
    if matching.aligned:
        sides = (map(_readable, table.column(column.name, codes=codes)) for table in (left, right))
        for one, other in _cut_alike(*sides):
            count.add(start, None, one, _alone(other), None)
            start += len(one)
        return count.result(blank)
    whole = matching.paired == left.rows
    for part in _parts(right, column.name, codes, memory, buffers or Buffers()):
        start = 0
        for one in map(_readable, left.column(column.name, codes=codes)):
            where = matching.partner[start : start + len(one)]
            rows = None if whole and part.rows == right.rows else _inside(where, part)
            if rows is not None:
                where = where[rows]
            chosen = one if rows is None else one.take(pa.array(rows))
            count.add(start, rows, chosen, part, where - part.start if part.start else where)
            start += len(one)
    return count.result(blank)


def _inside(where: npt.NDArray[Any], part: _Part) -> npt.NDArray[Any] | None:
    """Which of the rows have their partner in the part; None: all."""
    inside = (where >= part.start) & (where < part.start + part.rows)
    return None if inside.all() else np.flatnonzero(inside)


def _cut_alike(left: Iterator[pa.Array], right: Iterator[pa.Array]) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Both columns in pieces of equal lengths."""
    one, other = next(left, None), next(right, None)
    while one is not None and other is not None:
        size = min(len(one), len(other))
        if size:
            yield one.slice(0, size), other.slice(0, size)
        one = one.slice(size) if len(one) > size else next(left, None)
        other = other.slice(size) if len(other) > size else next(right, None)


@dataclass(frozen=True)
class _Part:
    """Rows [start, start + rows) of a column, kept so that rows in any order are found fast.

    quick: values as numpy has them (of text its codes) and which are there (None: all). array: the values where there
    is no such form. dictionary: what codes stand for.
    """

    start: int
    rows: int
    type: pa.DataType
    quick: tuple[npt.NDArray[Any], Mask | None] | None = None
    dictionary: pa.Array | None = None
    array: pa.Array | None = None

    def take(self, places: npt.NDArray[Any]) -> pa.Array:
        """Plain values at the places."""
        if self.quick is None:
            assert self.array is not None
            return plain(self.array.take(pa.array(places)))
        values, there = self.quick
        mask = None if there is None else ~gathered(there, places)
        chosen = pa.array(gathered(values, places), mask=mask)
        if self.dictionary is not None:
            return plain(pa.DictionaryArray.from_arrays(chosen, self.dictionary))
        return chosen.view(self.type)


def _parts(table: Table, name: str, codes: bool, memory: int, buffers: Buffers) -> Iterator[_Part]:
    """The column in runs of at most `memory` bytes (one batch at least). Each is good until the next is asked for."""
    start, size = 0, 0
    batches: list[pa.Array] = []
    for batch in map(_readable, table.column(name, codes=codes)):
        if batches and size + batch.nbytes > memory:
            rows = sum(map(len, batches))
            with buffers.lent(rows * _WIDEST) as buffer:
                yield _part(start, batches, buffer)
            start, size, batches = start + rows, 0, []
        batches.append(batch)
        size += batch.nbytes
    if batches:
        with buffers.lent(sum(map(len, batches)) * _WIDEST) as buffer:
            yield _part(start, batches, buffer)


def _alone(batch: pa.Array) -> _Part:
    """Of one batch, where it is."""
    dictionary = batch.dictionary if pa.types.is_dictionary(batch.type) else None
    quick = _quick(batch)
    return _Part(0, len(batch), batch.type, quick, dictionary, batch if quick is None else None)


def _part(start: int, batches: list[pa.Array], buffer: npt.NDArray[np.uint8]) -> _Part:
    """Of some batches, which are let go one by one. buffer: where it is kept, _WIDEST bytes a row."""
    rows, type_ = sum(map(len, batches)), batches[0].type
    if _quick(batches[0]) is None:
        return _Part(start, rows, type_, array=pa.concat_arrays(batches))
    # numpy asks for huge pages, which make finding rows in any order much faster than an Arrow buffer does.
    values: npt.NDArray[Any] | None = None
    there: Mask | None = None
    dictionary: pa.Array | None = None
    done = 0
    for index, batch in enumerate(batches):
        batches[index] = None
        if pa.types.is_dictionary(type_):
            dictionary, batch = _recoded(batch, dictionary)
        quick = _quick(batch)
        assert quick is not None
        if values is None:
            values = buffer[: rows * quick[0].itemsize].view(quick[0].dtype)
        values[done : done + len(batch)] = quick[0]
        if quick[1] is not None and there is None:
            there = buffer[rows * 8 : rows * _WIDEST].view(np.bool_)
            there[:done] = True
        if there is not None:
            there[done : done + len(batch)] = True if quick[1] is None else quick[1]
        done += len(batch)
    assert values is not None
    return _Part(start, rows, type_, (values, there), dictionary)


def _recoded(batch: pa.DictionaryArray, known: pa.Array | None) -> tuple[pa.Array, pa.DictionaryArray]:
    """The known dictionary with the batch's words added, and the batch in its codes."""
    words = batch.dictionary
    if known is not None:
        new = words.filter(pc.invert(pc.is_in(words, known)))
        known = pa.concat_arrays([known, new]) if len(new) else known
    else:
        known = words
    codes = pc.index_in(words, known).take(batch.indices) if words is not known else batch.indices
    return known, pa.DictionaryArray.from_arrays(codes.cast(pa.int32()), known)


def _readable(array: pa.Array) -> pa.Array:
    """Plain, but text may stay in codes."""
    is_text = pa.types.is_dictionary(array.type) and kind_of(array.type) in ("text", "bytes")
    return array if is_text else plain(array)


def _quick(array: pa.Array) -> tuple[npt.NDArray[Any], Mask | None] | None:
    there = np.asarray(array.is_valid()) if array.null_count else None
    if pa.types.is_dictionary(array.type):
        return np.asarray(array.indices.fill_null(0)), there
    if not pa.types.is_primitive(array.type) or array.type.bit_width not in (8, 16, 32, 64):
        return None
    width = array.type.bit_width // 8
    kind = "f" if pa.types.is_floating(array.type) else "u" if pa.types.is_unsigned_integer(array.type) else "i"
    return np.frombuffer(array.buffers()[1], f"{kind}{width}", len(array), array.offset * width), there


class _Count:
    """The counts of one feature while its batches go by."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self.compared = self.within_tolerance = self.both_null = 0
        self.by_class = dict.fromkeys(CLASSES, 0)
        self.nans: dict[Side, int] = {"left": 0, "right": 0}
        self.samples: dict[str, list[CellSample]] = {name: [] for name in CLASSES}
        self.pending: list[tuple[npt.NDArray[Any], pa.Array, pa.Array]] = []
        self.waiting = 0

    def add(
        self,
        start: int,
        rows: npt.NDArray[Any] | None,
        left: pa.Array,
        right: _Part,
        places: npt.NDArray[Any] | None,
    ) -> None:
        """rows: the numbers of the left rows, from `start` (None: all, one after the other). places: in the part, of
        their partners (None: the same)."""
        self.compared += len(left)
        rest = np.flatnonzero(self._undecided(left, right, places))
        if len(rest):
            numbers = start + (rest if rows is None else rows[rest])
            chosen = right.take(rest if places is None else places[rest])
            self.pending.append((numbers, plain(left.take(pa.array(rest))), chosen))
            self.waiting += len(rest)
            if self.waiting >= _MANY:
                self._settle()

    def _settle(self) -> None:
        """Classify what is pending, in one go: a batch has few such cells, and each go has its price."""
        if self.pending:
            numbers, *sides = zip(*self.pending, strict=True)
            self.pending, self.waiting = [], 0
            self._classify(np.concatenate(numbers), *map(pa.concat_arrays, sides))

    def _undecided(self, left: pa.Array, right: _Part, places: npt.NDArray[Any] | None) -> Mask:
        """Cells that are not plainly equal, nor null on both sides (which is counted here)."""
        quick = _quick(left)
        if not _same_type(left.type, right.type):
            return np.ones(len(left), np.bool_)
        if quick is None or right.quick is None:
            if kind_of(left.type) not in ("text", "bytes", "bool", "number"):
                return np.ones(len(left), np.bool_)
            others = right.take(np.arange(len(left)) if places is None else places)
            same = pc.equal(plain(left), others).fill_null(False)
            return ~np.asarray(same.to_numpy(zero_copy_only=False), np.bool_)
        values, there = quick
        others, others_there = right.quick
        if right.dictionary is not None:
            mapped = np.asarray(pc.index_in(left.dictionary, right.dictionary).fill_null(-1))
            values = mapped[values] if len(mapped) else values
        if places is not None:
            others = gathered(others, places)
            others_there = None if others_there is None else gathered(others_there, places)
        equal: Mask = values == others
        for mask in (there, others_there):
            if mask is not None:
                equal &= mask
        if there is not None and others_there is not None:
            neither = ~(there | others_there)
            self.both_null += int(np.count_nonzero(neither))
            equal |= neither
        return ~equal

    def _classify(self, numbers: npt.NDArray[Any], left: pa.Array, right: pa.Array) -> None:
        codes = self._outcomes(left, right)
        nulls = [np.asarray(array.is_null()) for array in (left, right)]
        self.both_null += int(np.count_nonzero(nulls[0] & nulls[1]))
        self.within_tolerance += int(np.count_nonzero(codes == Outcome.WITHIN_TOLERANCE))
        masks = {name: codes == outcome for outcome, name in _CLASS_OF.items()}
        for name, of in (("nan", Outcome.NAN_NULL), ("null", Outcome.STATUS)):
            by_side = nulls[::-1] if name == "nan" else nulls
            masks |= {f"{name}_{side}": (codes == of) & null for side, null in zip(_SIDES, by_side, strict=True)}
        for side, array in zip(_SIDES, (left, right), strict=True):
            self.nans[side] += _nan_count(array)
        for name, mask in masks.items():
            found = np.flatnonzero(mask)
            if not len(found):
                continue
            self.by_class[name] += len(found)
            # Parts of the right table come one after the other, so later ones can hold earlier rows of the left.
            first = found[np.argsort(numbers[found], kind="stable")[:SAMPLES]]
            chosen = self.samples[name] + [
                CellSample(int(numbers[row]), name, _text(left, int(row)), _text(right, int(row))) for row in first
            ]
            self.samples[name] = sorted(chosen, key=lambda sample: sample.row)[:SAMPLES]

    def _outcomes(self, left: pa.Array, right: pa.Array) -> Codes:
        """Of each distinct pair of texts once: they repeat, and their normal forms and their JSON are slow to tell."""
        if kind_of(left.type) == kind_of(right.type) == "text":
            first, back = _distinct_pairs(left, right)
            one, other = (_cells(side.take(pa.array(first))) for side in (left, right))
            return outcomes(one, other, self.column.tolerance, self.column.dtype)[back]
        return outcomes(_cells(left), _cells(right), self.column.tolerance, self.column.dtype)

    def result(self, blank: FeatureDifference) -> FeatureDifference:
        self._settle()
        found = self.by_class
        return replace(
            blank,
            compared=self.compared,
            within_tolerance=self.within_tolerance,
            both_null=self.both_null,
            by_class={name: count for name, count in found.items() if count},
            nulls={
                "left": self.both_null + found["null_left"] + found["nan_right"],
                "right": self.both_null + found["null_right"] + found["nan_left"],
            },
            nans=dict(self.nans),
            samples=tuple(sample for name in CLASSES for sample in self.samples[name]),
        )


def _distinct_pairs(left: pa.Array, right: pa.Array) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """A row of each pair of values, and which of those pairs each row has."""
    ones, others = (side.dictionary_encode("encode") for side in (left, right))
    pairs = np.asarray(ones.indices, np.int64) * len(others.dictionary) + np.asarray(others.indices)
    _, first, back = np.unique(pairs, return_index=True, return_inverse=True)
    return first, back


def _same_type(left: pa.DataType, right: pa.DataType) -> bool:
    """Whether equal bits are equal values: also for instants of one unit in other zones."""
    if pa.types.is_dictionary(left) or pa.types.is_dictionary(right):
        return pa.types.is_dictionary(left) and pa.types.is_dictionary(right) and kind_of(left) == kind_of(right)
    if pa.types.is_timestamp(left) and pa.types.is_timestamp(right):
        return str(left.unit) == str(right.unit)
    same: bool = left == right
    return same


def _cells(array: pa.Array) -> Cells:
    present = np.asarray(array.is_valid().to_numpy(zero_copy_only=False), np.bool_)
    return Cells(array, np.where(present, Status.PRESENT, Status.NULL).astype(np.int8), None)


def _nan_count(array: pa.Array) -> int:
    if not pa.types.is_floating(array.type):
        return 0
    return int(np.count_nonzero(np.isnan(array.drop_null().to_numpy(zero_copy_only=False))))


def _text(array: pa.Array, row: int) -> str:
    try:
        value = array[row].as_py()
    except (ValueError, OverflowError):  # an instant beyond what Python's datetime holds; Arrow's own text has it
        return _cut(" ".join(array.slice(row, 1).to_string(indent=0).split()))
    return _cut("null" if value is None else value.isoformat() if isinstance(value, datetime) else shown(value))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
