"""Which row of one table is which row of the other, by key. Every row that has no partner has a reason.

A key that is there twice on a side pairs with nothing: any choice would be a guess. Three ways, the cheapest first, and
all give the same: both sides strictly ascending and equal (nothing to look up), one integer key of bounded range (a
table of positions), anything else (DuckDB groups both sides by key, within its memory limit, on disk beyond it).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.errors import InputError
from trueup.parity.kinds import kind_of, plain, plain_type
from trueup.parity.tables.files import Table
from trueup.parity.tables.keys_sql import pairs_sql

Positions = npt.NDArray[Any]
"""int32 where the rows allow it, int64 beyond."""

_FINEST = ("s", "ms", "us", "ns")


class Alone(IntEnum):
    """Why a row has no partner, in place of the partner's row number."""

    ONLY_HERE = -1
    NULL_KEY = -2
    DUPLICATE = -3
    """Another row of its own side has the same key."""
    DUPLICATE_THERE = -4
    """More than one row of the other side has its key."""


REASONS: Mapping[Alone, str] = {
    Alone.ONLY_HERE: "only here",
    Alone.NULL_KEY: "null key",
    Alone.DUPLICATE: "duplicate key",
    Alone.DUPLICATE_THERE: "key duplicated on the other side",
}


@dataclass(frozen=True)
class Matching:
    """partner: for each left row its right row, or an `Alone`. right: for each right row an `Alone`, or 0 where it has
    a partner; None when all have. aligned: row i of one is row i of the other, all the way."""

    partner: Positions
    right: npt.NDArray[np.int8] | None
    aligned: bool

    @property
    def paired(self) -> int:
        return int(np.count_nonzero(self.partner >= 0))

    def alone(self, side: str) -> npt.NDArray[Any]:
        """An `Alone` or something above it for each row of a side; empty when all right rows have a partner."""
        if side == "left":
            return self.partner
        return np.zeros(0, np.int8) if self.right is None else self.right


def match_rows(left: Table, right: Table, keys: Sequence[str], *, memory: int, threads: int) -> Matching:
    """memory: bytes that may be used for it, beyond four (eight past 2^31 rows) for each left row.

    Raises InputError for a key that a side lacks, or that is no key (a float that is no whole number, a list), or of
    different kinds.
    """
    types = [_common_type(left, right, key) for key in keys]
    if len(keys) == 1 and types[0] == pa.int64() and (left.rows + right.rows) * 8 <= memory // 2:
        found = _by_position(_integers(left, keys[0]), _integers(right, keys[0]), memory // 4)
        if found is not None:
            return found
    elif _ascending_and_equal(left, right, keys, types):
        return _aligned(left.rows)
    return _by_grouping(left, right, keys, types, memory=memory, threads=threads)


def read_keys(table: Table, keys: Sequence[str], rows: Sequence[int]) -> dict[int, tuple[Any, ...]]:
    """Row number -> its key, as Python values."""
    wanted, found, start = sorted(set(rows)), {}, 0
    for batch in table.batches(keys) if wanted else ():
        for row in (row for row in wanted if start <= row < start + len(batch)):
            found[row] = tuple(plain(batch.column(i))[row - start].as_py() for i in range(len(keys)))
        start += len(batch)
    return found


def _aligned(rows: int) -> Matching:
    return Matching(np.arange(rows, dtype=_width(rows)), None, aligned=True)


def _width(rows: int) -> type[np.signedinteger[Any]]:
    return np.int32 if rows < 2**31 else np.int64


def _common_type(left: Table, right: Table, key: str) -> pa.DataType:
    """What both sides' keys are read as."""
    for table in (left, right):
        if key not in table.schema.names:
            raise InputError(
                key, f"key {key!r}: not a column of {table.name}; there are {', '.join(table.schema.names)}."
            )
    one, other = (plain_type(table.schema.field(key).type) for table in (left, right))
    kinds = kind_of(one), kind_of(other)
    if kinds[0] == kinds[1]:
        if kinds[0] == "number" and not any(map(pa.types.is_decimal, (one, other))):
            return pa.uint64() if pa.types.is_uint64(one) and pa.types.is_uint64(other) else pa.int64()
        if kinds[0] == "instant":
            units = ["s" if pa.types.is_date32(t) else "ms" if pa.types.is_date64(t) else t.unit for t in (one, other)]
            return pa.timestamp(max(units, key=_FINEST.index))
        if one == other and kinds[0] in ("number", "text", "bytes", "bool"):
            return one
    raise InputError(
        key,
        f"key {key!r}: it is {one} in {left.name} and {other} in {right.name}; expected integers, texts, bytes, "
        f"booleans, instants or one decimal type on both sides.",
        hint="Cast it where the tables are written.",
    )


def _as_key(array: pa.Array, type_: pa.DataType, key: str, table: Table) -> pa.Array:
    array = plain(array)
    try:
        if pa.types.is_floating(array.type):
            # A pandas column of integers with nulls is one of floats, its nulls NaN.
            array = pc.if_else(pc.is_nan(array.cast(pa.float64())), None, array.cast(pa.float64()))
        if pa.types.is_date(array.type):
            array = array.cast(pa.timestamp("s" if pa.types.is_date32(array.type) else "ms"))
        if pa.types.is_timestamp(array.type):
            array = array.cast(pa.timestamp(array.type.unit))  # the same instant without its zone
        return array.cast(type_)
    except pa.ArrowInvalid as error:
        raise InputError(key, f"key {key!r} of {table.name}: {error}.", hint="A key must be exact.") from error


def _key_columns(
    table: Table, keys: Sequence[str], types: Sequence[pa.DataType]
) -> Iterator[tuple[int, list[pa.Array]]]:
    """The number of the first row, and the key columns of some rows from there."""
    start = 0
    for batch in table.batches(keys):
        columns = zip(batch.columns, types, keys, strict=True)
        yield start, [_as_key(column, type_, key, table) for column, type_, key in columns]
        start += len(batch)


def _integers(table: Table, key: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_] | None]:
    """All values of a key, and which are there (None: all)."""
    values = np.empty(table.rows, np.int64)
    there: npt.NDArray[np.bool_] | None = None
    for start, (column,) in _key_columns(table, [key], [pa.int64()]):
        if column.null_count:
            there = np.ones(table.rows, np.bool_) if there is None else there
            there[start : start + len(column)] = np.asarray(column.is_valid())
            column = column.fill_null(0)
        values[start : start + len(column)] = column.to_numpy(zero_copy_only=False)
    return values, there


def _by_position(
    left: tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_] | None],
    right: tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_] | None],
    memory: int,
) -> Matching | None:
    """By a table of each key's right row; None if the keys' range is too wide for one."""
    (ones, ones_there), (others, others_there) = left, right
    if ones_there is None and others_there is None and np.array_equal(ones, others) and _ascends(ones):
        return _aligned(len(ones))
    kept, others_kept = (
        values if there is None else values[there] for values, there in ((ones, ones_there), (others, others_there))
    )
    if not len(kept) and not len(others_kept):
        lowest = span = 0
    else:
        both = [side for side in (kept, others_kept) if len(side)]
        lowest, highest = min(int(side.min()) for side in both), max(int(side.max()) for side in both)
        span = highest - lowest + 1
    if span * (np.dtype(_width(len(others))).itemsize + 2) > memory:
        return None
    place = np.full(span, Alone.ONLY_HERE, _width(len(others)))
    rows = np.arange(len(others), dtype=place.dtype)
    place[others_kept - lowest] = rows if others_there is None else rows[others_there]
    doubles_there = _doubles(others_kept, lowest, span, int(np.count_nonzero(place >= 0)))
    doubles_here = None if _ascends(kept) else _doubles(kept, lowest, span, None)
    if doubles_there is not None:
        place[doubles_there] = Alone.DUPLICATE_THERE
    if doubles_here is not None:
        place[doubles_here] = Alone.DUPLICATE
    partner = _spread(place[kept - lowest], ones_there)
    if int(np.count_nonzero(partner >= 0)) == len(others):
        aligned = len(ones) == len(others) and bool((partner == np.arange(len(ones))).all())
        return Matching(partner, None, aligned)
    state = np.full(span, Alone.ONLY_HERE, np.int8)
    state[kept - lowest] = 0
    for doubles, alone in ((doubles_here, Alone.DUPLICATE_THERE), (doubles_there, Alone.DUPLICATE)):
        if doubles is not None:
            state[doubles] = alone
    return Matching(partner, _spread(state[others_kept - lowest], others_there), aligned=False)


def _doubles(
    values: npt.NDArray[np.int64], lowest: int, span: int, distinct: int | None
) -> npt.NDArray[np.bool_] | None:
    """Which keys of the range are there more than once; None if none is. distinct: how many there are, if known."""
    if distinct is None:
        seen = np.zeros(span, np.bool_)
        seen[values - lowest] = True
        distinct = int(np.count_nonzero(seen))
    if distinct == len(values):
        return None
    more: npt.NDArray[np.bool_] = np.bincount(values - lowest, minlength=span) > 1
    return more


def _spread(found: npt.NDArray[Any], there: npt.NDArray[np.bool_] | None) -> npt.NDArray[Any]:
    """Of the rows that have a key, to all rows."""
    if there is None:
        return found
    every = np.full(len(there), Alone.NULL_KEY, found.dtype)
    every[there] = found
    return every


def _ascends(values: npt.NDArray[np.int64]) -> bool:
    return bool((values[1:] > values[:-1]).all())


def _ascending_and_equal(left: Table, right: Table, keys: Sequence[str], types: Sequence[pa.DataType]) -> bool:
    """Whether both have the same keys in the same rows, each greater than the one before: then none is there twice."""
    if left.rows != right.rows:
        return False
    last: list[pa.Array] | None = None
    for ones, others in zip(_tables(left, keys, types), _tables(right, keys, types), strict=True):
        if any(column.null_count for column in ones) or any(
            not one.equals(other) for one, other in zip(ones, others, strict=True)
        ):
            return False
        joined = ones if last is None else [pa.concat_arrays([end, one]) for end, one in zip(last, ones, strict=True)]
        if not _strictly_ascending(joined):
            return False
        last = [column.slice(len(column) - 1) for column in ones]
    return True


def _tables(table: Table, keys: Sequence[str], types: Sequence[pa.DataType]) -> Iterator[list[pa.Array]]:
    """Key columns, cut alike whatever the row groups are."""
    pending: list[pa.Array] | None = None
    size = 1 << 16
    for _, columns in _key_columns(table, keys, types):
        joined = columns if pending is None else [pa.concat_arrays(p) for p in zip(pending, columns, strict=True)]
        whole = len(joined[0]) // size * size
        for start in range(0, whole, size):
            yield [column.slice(start, size) for column in joined]
        pending = [column.slice(whole) for column in joined]
    if pending is not None and len(pending[0]):
        yield pending


def _strictly_ascending(columns: Sequence[pa.Array]) -> bool:
    """Row by row, the first column that differs from the row before is greater there."""
    tied = np.ones(max(len(columns[0]) - 1, 0), np.bool_)
    for column in columns:
        before, after = column.slice(0, len(column) - 1), column.slice(1)
        if (tied & np.asarray(pc.less(after, before))).any():
            return False
        tied &= np.asarray(pc.equal(after, before))
    return not tied.any()


def _by_grouping(
    left: Table, right: Table, keys: Sequence[str], types: Sequence[pa.DataType], *, memory: int, threads: int
) -> Matching:
    import duckdb  # where it is used: heavy, and an extra

    partner = np.full(left.rows, Alone.DUPLICATE, _width(max(left.rows, right.rows)))
    state = np.full(right.rows, Alone.DUPLICATE, np.int8)
    with tempfile.TemporaryDirectory() as spill, duckdb.connect() as connection:
        connection.execute(f"SET threads = {threads:d}; SET memory_limit = '{max(memory, 1 << 26):d}B'")
        connection.execute("SET preserve_insertion_order = false")
        connection.execute("SET temp_directory = ?", [spill])
        connection.register("left_keys", _numbered(left, keys, types, partner))
        connection.register("right_keys", _numbered(right, keys, types, state))
        pairs = connection.sql(pairs_sql("left_keys", "right_keys", len(keys))).to_arrow_reader(1 << 20)
        for batch in pairs:
            ones, others, here, there = (np.asarray(column.fill_null(0)) for column in batch.columns)
            single, single_there = here == 1, there == 1
            both = single & single_there
            partner[ones[both]] = others[both]
            state[others[both]] = 0
            partner[ones[single & (there == 0)]] = Alone.ONLY_HERE
            partner[ones[single & (there > 1)]] = Alone.DUPLICATE_THERE
            state[others[single_there & (here == 0)]] = Alone.ONLY_HERE
            state[others[single_there & (here > 1)]] = Alone.DUPLICATE_THERE
    whole = bool((state == 0).all())
    aligned = whole and left.rows == right.rows and bool((partner == np.arange(left.rows)).all())
    return Matching(partner, None if whole else state, aligned)


def _numbered(
    table: Table, keys: Sequence[str], types: Sequence[pa.DataType], states: npt.NDArray[Any]
) -> pa.RecordBatchReader:
    """Rows that have a key, with their numbers; the others are noted in `states`."""
    names = ["row", *(f"k{index}" for index in range(len(keys)))]

    def batches() -> Iterator[pa.RecordBatch]:
        for start, columns in _key_columns(table, keys, types):
            rows = np.arange(start, start + len(columns[0]))
            there = np.logical_and.reduce([np.asarray(column.is_valid()) for column in columns])
            states[rows[~there]] = Alone.NULL_KEY
            chosen = pa.array(there)
            arrays = [pa.array(rows).filter(chosen), *(column.filter(chosen) for column in columns)]
            yield pa.RecordBatch.from_arrays(arrays, names=names)

    schema = pa.schema([("row", pa.int64()), *zip(names[1:], types, strict=True)])
    return pa.RecordBatchReader.from_batches(schema, batches())
