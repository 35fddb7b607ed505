"""Which row of one table is which row of the other, by key. Every row that has no partner has a reason.

A key that is there twice on a side pairs with nothing: any choice would be a guess. Three ways, the cheapest first, and
all give the same: both sides strictly ascending and equal (nothing to look up), one integer key of bounded range (a
table of positions), anything else (DuckDB groups both sides by key, within its memory limit, on disk beyond it).
"""

from __future__ import annotations

import tempfile
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.errors import InputError
from trueup.parity.kinds import kind_of, plain, plain_type
from trueup.parity.tables.files import Table
from trueup.parity.tables.keys_sql import pairs_sql
from trueup.parity.tables.matching import Alone, Matching, aligned, width
from trueup.parity.tables.positions import Collector, IntegerKeys, by_position

_FINEST = ("s", "ms", "us", "ns")


def match_rows(left: Table, right: Table, keys: Sequence[str], *, memory: int, threads: int) -> Matching:
    """memory: bytes that may be used for it, beyond four (eight past 2^31 rows) for each left row.

    Raises InputError for a key that a side lacks, or that is no key (a float that is no whole number, a list), or of
    different kinds.
    """
    types = [_common_type(left, right, key) for key in keys]
    if len(keys) == 1 and types[0] == pa.int64() and (left.rows + right.rows) * 8 <= memory // 2:
        with ThreadPoolExecutor(max(1, min(threads, 2))) as pool:
            ones, others = pool.map(lambda table: _integers(table, keys[0]), (left, right))
        found = by_position(ones, others, memory // 2)
        if found is not None:
            return found
    elif _ascending_and_equal(left, right, keys, types):
        return aligned(left.rows)
    return _by_grouping(left, right, keys, types, memory=memory, threads=threads)


def read_keys(table: Table, keys: Sequence[str], rows: Sequence[int]) -> dict[int, tuple[Any, ...]]:
    """Row number -> its key, as Python values."""
    wanted, found, start = sorted(set(rows)), {}, 0
    if not wanted:
        return {}
    for batch in table.batches(keys):
        for row in wanted[bisect_left(wanted, start) : bisect_left(wanted, start + len(batch))]:
            found[row] = tuple(plain(batch.column(i))[row - start].as_py() for i in range(len(keys)))
        start += len(batch)
        if start > wanted[-1]:
            break
    return found


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


def _integers(table: Table, key: str) -> IntegerKeys:
    collected = Collector(table.rows)
    for start, (column,) in _key_columns(table, [key], [pa.int64()]):
        there = np.asarray(column.is_valid()) if column.null_count else None
        collected.add(start, column.drop_null().to_numpy(), there)
    return collected.keys()


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

    partner = np.full(left.rows, Alone.DUPLICATE, width(max(left.rows, right.rows)))
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
