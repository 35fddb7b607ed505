"""Two tables compared: rows paired by key, then every feature on its own, several at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from trueup.errors import InputError
from trueup.parity.compare import EXACT, Tolerance
from trueup.parity.kinds import has_numbers
from trueup.parity.tables.buffers import Buffers
from trueup.parity.tables.columns import SAMPLES, Column, compare_column
from trueup.parity.tables.files import Table, open_table
from trueup.parity.tables.keys import match_rows, read_keys
from trueup.parity.tables.matching import REASONS, Matching
from trueup.parity.tables.result import CellSample, FeatureDifference, Side, SideRows, TableComparison

MEMORY_LIMIT = 2 << 30
"""Bytes, unless asked otherwise."""
SMALLEST_MEMORY = 64 << 20


def _unwatched(_: str, /) -> None:
    """Where nobody looks on."""


def compare_tables(
    left: str,
    right: str,
    *,
    keys: Sequence[str],
    features: Sequence[str] | None = None,
    tolerances: Mapping[str, Tolerance] | None = None,
    dtypes: Mapping[str, str] | None = None,
    memory_limit: int = MEMORY_LIMIT,
    threads: int = 2,
    progress: Callable[[str], object] = _unwatched,
) -> TableComparison:
    """Every cell of `left` against the cell of `right` in the row of the same key.

    left, right: a Parquet file, a directory or a glob. features: all columns that are no key by default. tolerances:
    feature -> how far apart its numbers may be; exact without one, and a relative one is of the right side's magnitude.
    dtypes: feature -> Feast type (`Json`, `Set(Int64)`), where it says more than the column's. memory_limit: bytes for
    data; the libraries themselves take some 200 MiB beside it. The result does not depend on threads or memory.

    Raises InputError for what cannot be read or compared: no file, no such key or feature, a key that is no key.
    """
    if not keys or len(set(keys)) < len(keys):
        raise InputError("key", f"keys are {', '.join(keys) or 'missing'}; expected one column or more, each once.")
    if memory_limit < SMALLEST_MEMORY:
        raise InputError("memory", f"memory limit is {memory_limit} bytes; expected {SMALLEST_MEMORY} at least.")
    progress("reading footers")
    tables = open_table(left), open_table(right)
    columns = _columns(tables, keys, features, tolerances or {}, dtypes or {})
    progress("pairing rows")
    row_map = 8 * tables[0].rows
    matching = match_rows(*tables, keys, memory=max(memory_limit - row_map, memory_limit // 4), threads=threads)
    # A column is there twice while it is joined, and a batch of either side beside it.
    share = max(memory_limit - row_map, memory_limit // 4) // (3 * max(threads, 1))

    buffers = Buffers()

    def one(column: Column) -> FeatureDifference:
        found = compare_column(*tables, matching, column, share, buffers)
        progress(column.name)
        return found

    # Threads, not processes: numpy and Arrow let go of the interpreter where it matters.
    with ThreadPoolExecutor(max(threads, 1)) as pool:
        running = {column.name: pool.submit(one, column) for column in sorted(columns, key=_costliest_first(tables))}
        found = {column.name: running[column.name].result() for column in columns}
    return _result(tables, keys, matching, found, whole=features is None)


def _costliest_first(tables: tuple[Table, Table]) -> Callable[[Column], tuple[bool, int]]:
    """So that no thread is left with a long column when the others are done."""

    def cost(column: Column) -> tuple[bool, int]:
        type_ = tables[1].schema.field(column.name).type
        return pa.types.is_primitive(type_), -sum(table.encoded_bytes(column.name) for table in tables)

    return cost


def _columns(
    tables: tuple[Table, Table],
    keys: Sequence[str],
    features: Sequence[str] | None,
    tolerances: Mapping[str, Tolerance],
    dtypes: Mapping[str, str],
) -> list[Column]:
    left, right = tables
    common = [name for name in left.schema.names if name in right.schema.names and name not in keys]
    for name in features or ():
        if name not in common:
            missing = next((table.name for table in tables if name not in table.schema.names), None)
            why = "it is a key" if missing is None else f"no such column in {missing}"
            raise InputError(name, f"feature {name!r}: {why}; there are {', '.join(common) or 'none on both sides'}.")
    wanted = list(dict.fromkeys(features)) if features is not None else common
    for option, named in (("tolerance", tolerances), ("type", dtypes)):
        for name in named:
            if name not in wanted:
                raise InputError(name, f"{option} for {name!r}: no such feature; there are {', '.join(wanted)}.")
    for name in tolerances:
        type_ = right.schema.field(name).type
        if not has_numbers(type_):
            raise InputError(name, f"tolerance for {name!r}: it is {type_}; only numbers have a tolerance.")
    return [Column(name, tolerances.get(name, EXACT), dtypes.get(name) or _own_dtype(left, name)) for name in wanted]


def _own_dtype(table: Table, name: str) -> str | None:
    """A Parquet column can say itself that it is JSON."""
    type_ = table.schema.field(name).type
    is_json = isinstance(type_, pa.BaseExtensionType) and type_.extension_name == "arrow.json"
    return "Json" if is_json else None


def _result(
    tables: tuple[Table, Table],
    keys: Sequence[str],
    matching: Matching,
    features: Mapping[str, FeatureDifference],
    *,
    whole: bool,
) -> TableComparison:
    left, right = tables
    wanted = [sample.row for feature in features.values() for sample in feature.samples]
    key_of = {row: tuple(map(str, key)) for row, key in read_keys(left, keys, wanted).items()}

    def keyed(sample: CellSample) -> CellSample:
        return replace(sample, key=key_of[sample.row])

    return TableComparison(
        keys=tuple(keys),
        plan="aligned" if matching.aligned else "keyed",
        rows=matching.paired,
        left=_side("left", left, right, keys, matching, whole=whole),
        right=_side("right", right, left, keys, matching, whole=whole),
        features={
            name: replace(feature, samples=tuple(map(keyed, feature.samples))) for name, feature in features.items()
        },
    )


def _side(side: Side, table: Table, other: Table, keys: Sequence[str], matching: Matching, *, whole: bool) -> SideRows:
    states = matching.alone(side)
    rows: dict[str, Any] = {}
    for alone, reason in REASONS.items():
        if (count := int(np.count_nonzero(states == alone))) > 0:
            rows[reason] = count, np.flatnonzero(states == alone)[:SAMPLES].tolist()
    key_of = read_keys(table, keys, [row for _, some in rows.values() for row in some])
    return SideRows(
        table=table.name,
        files=len(table.files),
        rows=table.rows,
        alone={reason: count for reason, (count, _) in rows.items()},
        examples={reason: tuple(tuple(map(str, key_of[row])) for row in some) for reason, (_, some) in rows.items()},
        only_features=tuple(name for name in table.schema.names if name not in other.schema.names) if whole else (),
    )
