"""A frame taken apart: one column for each thing that has a distribution, and its counts.

A list has two: `feature[length]`, and `feature[item]`, for which each row gives one of its items. (One, because the
items of a row come together: counted all, they would pass for more evidence than there is. Which one goes by the row's
number, not by its content.) Instants are numbers: microseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.frame import FeatureFrame, Status
from trueup.parity.distribution.histogram import MOST_VALUES, NO_NUMBERS, Categories, Floats, Numbers
from trueup.parity.tally import shown

Kind = Literal["number", "instant", "category"]

CHUNK_ROWS = 1 << 20
"""Rows of a column that are sorted at once."""
WINDOWS = 4
"""Parts of a side, in the order of its rows, that are also counted alone."""
_GOLDEN = 0.6180339887498949
"""Multiples of it, modulo 1, are spread evenly (the golden ratio's fractional part)."""


@dataclass(frozen=True)
class Column:
    """Rows of one feature, in the frame's order. kind: None when the type has no distribution that is compared.

    statuses: `Status` numbers. A null value counts as null, whatever its status says, unless that says more.
    """

    name: str
    feature: str
    kind: Kind | None
    values: pa.ChunkedArray
    statuses: npt.NDArray[np.int8]

    @property
    def dtype(self) -> str:
        return str(self.values.type)

    def slice(self, start: int, stop: int) -> Column:
        return Column(
            self.name, self.feature, self.kind, self.values.slice(start, stop - start), self.statuses[start:stop]
        )

    @cached_property
    def present(self) -> npt.NDArray[np.bool_]:
        """Rows that have a value."""
        present: npt.NDArray[np.bool_] = self.statuses == Status.PRESENT
        if self.values.null_count:
            present &= np.asarray(self.values.is_valid().combine_chunks().to_numpy(zero_copy_only=False), np.bool_)
        return present

    def states(self) -> tuple[int, int, int]:
        """Rows that are null, missing and expired. A status that is none of Feast's counts as null."""
        missing, expired = (int(np.count_nonzero(self.statuses == state)) for state in (Status.MISSING, Status.EXPIRED))
        return len(self.statuses) - int(np.count_nonzero(self.present)) - missing - expired, missing, expired

    def numbers(self) -> Floats:
        """Values of the present rows as doubles, NaN and infinities too."""
        present = self.present
        values = self.values if present.all() else self.values.filter(pa.array(present))
        if self.kind == "instant":
            values = values.cast(pa.timestamp("us", tz=self.values.type.tz), safe=False).cast(pa.int64())
        doubles: Floats = values.to_numpy().astype(np.float64, copy=False)
        return doubles

    def texts(self) -> pa.ChunkedArray:
        """Values of the present rows as text."""
        values = self.values.filter(pa.array(self.present))
        if pa.types.is_string(values.type):
            return values
        return pa.chunked_array([pa.array([shown(value) for value in values.to_pylist()], pa.string())])


@dataclass(frozen=True, eq=False)
class Tally:
    """Counts of some rows of a column. Tallies of the same column add up."""

    rows: int = 0
    null: int = 0
    missing: int = 0
    expired: int = 0
    nan: int = 0
    minus_infinity: int = 0
    plus_infinity: int = 0
    numbers: Numbers = NO_NUMBERS
    categories: Categories = field(default_factory=Categories)

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.rows + other.rows,
            self.null + other.null,
            self.missing + other.missing,
            self.expired + other.expired,
            self.nan + other.nan,
            self.minus_infinity + other.minus_infinity,
            self.plus_infinity + other.plus_infinity,
            self.numbers.add(other.numbers),
            self.categories.add(other.categories),
        )


@dataclass(frozen=True)
class Side:
    """One sample of a column. windows: tallies of its parts, in the order of its rows."""

    dtype: str
    kind: Kind
    feature: str
    windows: tuple[Tally, ...]

    @cached_property
    def whole(self) -> Tally:
        return sum(self.windows, Tally())


def columns_of(frame: FeatureFrame, *, first_row: int = 0) -> dict[str, Column]:
    """Name -> column. first_row: number of the frame's first row, when it is a part of more."""
    found: dict[str, Column] = {}
    for name in frame.columns:
        statuses = frame.statuses.column(name).cast(pa.int8()).combine_chunks()
        states = np.asarray(pc.fill_null(statuses, int(Status.NULL)).to_numpy(zero_copy_only=False), np.int8)
        column = Column(name, name, _kind(frame.values.schema.field(name).type), frame.values.column(name), states)
        for part in _list_columns(column, first_row) if _is_list(column.values.type) else (column,):
            found[part.name] = part
    return found


def count(column: Column, *, before: Tally | None = None) -> Tally:
    """One pass over the rows, `CHUNK_ROWS` at a time. before: of earlier rows of the column, whose numbers, once in
    buckets, need no look at how many there are now."""
    total = Tally()
    for start in range(0, len(column.statuses), CHUNK_ROWS):
        exact = total.numbers.exact and (before is None or before.numbers.exact)
        part = column.slice(start, min(start + CHUNK_ROWS, len(column.statuses)))
        total += _count(part, MOST_VALUES if exact else 0)
    return total


def side(column: Column, *, windows: int = WINDOWS) -> Side:
    """A column whose rows stand in the order of time, counted in `windows` parts of the same size."""
    if column.kind is None:
        raise ValueError(f"{column.name}: {column.dtype} has no distribution")
    cuts = np.linspace(0, len(column.statuses), windows + 1).astype(int)
    parts = tuple(count(column.slice(int(a), int(b))) for a, b in pairwise(cuts) if a < b)
    return Side(column.dtype, column.kind, column.feature, parts)


def sides(frames: Iterable[FeatureFrame], *, windows: int = WINDOWS) -> dict[str, Side]:
    """Frames that follow each other, counted one by one, so that memory holds one of them and the counts.

    How many will come is not known, so parts of one frame each are joined in pairs whenever there are twice as many as
    `windows`; a rest at the end that is less than half a part joins the last one. Columns whose type has no
    distribution are left out.
    """
    parts: dict[str, list[Tally]] = {}
    columns: dict[str, Column] = {}
    rows, size, filled = 0, 1, 0
    for frame in frames:
        columns = columns_of(frame, first_row=rows)
        rows += frame.num_rows
        for name, column in columns.items():
            if column.kind is not None:
                own = parts.setdefault(name, [])
                counted = count(column, before=own[-1] if own else None)
                if filled:
                    own[-1] += counted
                else:
                    own.append(counted)
        filled = (filled + 1) % size
        if not filled and parts and len(next(iter(parts.values()))) == 2 * windows:
            parts = {name: [a + b for a, b in zip(own[::2], own[1::2], strict=True)] for name, own in parts.items()}
            size *= 2
    if filled and 2 * filled < size:
        parts = {name: _short_end_joined(own) for name, own in parts.items()}
    return {
        name: Side(columns[name].dtype, kind, columns[name].feature, tuple(own))
        for name, own in parts.items()
        if (kind := columns[name].kind) is not None
    }


def _short_end_joined(parts: Sequence[Tally]) -> list[Tally]:
    return [*parts[:-2], parts[-2] + parts[-1]] if len(parts) > 1 else list(parts)


def _count(column: Column, most: int) -> Tally:
    null, missing, expired = column.states()
    rows = len(column.statuses)
    if column.kind == "category":
        counted = column.texts().value_counts()
        texts = zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)
        return Tally(rows, null, missing, expired, categories=Categories(dict(texts)).within())
    # + 0.0 makes -0.0 the same value as 0.0, and a copy to sort.
    values = column.numbers() + 0.0
    values.sort()
    first, after, end = (int(np.searchsorted(values, *at)) for at in ((-np.inf, "right"), (np.inf,), (np.nan,)))
    return Tally(
        rows,
        null,
        missing,
        expired,
        nan=len(values) - end,
        minus_infinity=first,
        plus_infinity=end - after,
        numbers=Numbers.of(values[first:after], most=most),
    )


def _kind(dtype: pa.DataType) -> Kind | None:
    if pa.types.is_integer(dtype) or pa.types.is_floating(dtype):
        return "number"
    if pa.types.is_timestamp(dtype):
        return "instant"
    if pa.types.is_string(dtype) or pa.types.is_boolean(dtype) or pa.types.is_binary(dtype) or _is_list(dtype):
        return "category"
    return None


def _is_list(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_list(dtype) or pa.types.is_large_list(dtype))


def _list_columns(column: Column, first_row: int) -> tuple[Column, ...]:
    """Length, and one item of each row; an empty list has none, which is null."""
    lists = column.values.combine_chunks()
    lengths = pc.list_value_length(lists)
    sizes = np.asarray(pc.fill_null(lengths, 0).to_numpy(zero_copy_only=False), np.int64)
    ends = np.cumsum(sizes)
    spread = np.modf((np.arange(first_row, first_row + len(sizes)) + 1) * _GOLDEN)[0]
    chosen = ends - sizes + np.minimum((spread * sizes).astype(np.int64), np.maximum(sizes - 1, 0))
    items = lists.flatten().take(pa.array(chosen, mask=sizes == 0))
    kind = _kind(items.type)
    length_column = Column(
        f"{column.name}[length]", column.feature, "number", pa.chunked_array([lengths]), column.statuses
    )
    return (
        length_column,
        Column(f"{column.name}[item]", column.feature, kind, pa.chunked_array([items]), column.statuses),
    )
