"""A source's columns as outcomes are kept: which row each is of, its value, and when it was known. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trueup.errors import InputError
from trueup.eventlog.instants import Unit, read_instants
from trueup.eventlog.outcomes.joining import key_text
from trueup.eventlog.outcomes.kept import SCHEMA
from trueup.frame import EVENT_TIME

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Columns:
    """Which column of the source is what; None: the first of the usual names that is there.

    By request: request_id, and row (0 without one). By entity: keys (join key -> column) and at, the instant the
    outcome is of; the row served at most `within` before it is meant. known_at: when the value became known; without
    such a column, at the import's own instant. unit: of instants that are numbers since 1970.
    """

    value: str | None = None
    request_id: str | None = None
    row: str | None = None
    keys: Mapping[str, str] | None = None
    at: str | None = None
    within: timedelta = timedelta()
    known_at: str | None = None
    unit: Unit | None = None


@dataclass(frozen=True)
class Normalised:
    """table: columns of `SCHEMA`. naive: instants without a time zone, which were taken for UTC. by: how the rows are
    keyed."""

    table: pa.Table
    naive: int
    by: str


def normalise(source: pa.Table, outcome: str, columns: Columns, *, now: datetime) -> Normalised:
    """now: the import's instant. Raises InputError for a column that is not there or cannot be what it is for."""
    if not source.num_rows:
        raise InputError("source", "source: it has no rows.", hint="Was it written whole?")
    rows = source.num_rows
    value = _value(source, columns.value or _first(source, "value", (outcome, "value", "label"), "--value"))
    usual = (name for name in ("known_at", "label_known_at") if name in source.column_names)
    named = columns.known_at or next(usual, None)
    naive = 0
    if named is None:
        known = pa.array([now] * rows, EVENT_TIME)
    else:
        known, naive = _instants(source, named, "known-at", columns.unit)
    if columns.keys:
        at_name = columns.at or _first(source, "at", ("at", "event_timestamp", "timestamp"), "--at")
        at, more = _instants(source, at_name, "at", columns.unit)
        lists = {key: _column(source, name, "key").to_pylist() for key, name in columns.keys.items()}
        texts = [key_text(dict(zip(lists, values, strict=True))) for values in zip(*lists.values(), strict=True)]
        table = pa.table(
            [
                pa.nulls(rows, pa.string()),
                pa.nulls(rows, pa.int32()),
                pa.array(texts, pa.string()),
                at,
                pa.array([columns.within // _MICROSECOND] * rows, pa.int64()),
                value,
                known,
            ],
            schema=SCHEMA,
        )
        return Normalised(table, naive + more, f"entity ({', '.join(lists)}) and time")
    usual_ids = ("request_id", "__request_id")
    request = columns.request_id or _first(source, "request-id", usual_ids, "--request-id, or --key")
    ids = _texts(source, request)
    number_name = columns.row or next((name for name in ("row", "__row") if name in source.column_names), None)
    table = pa.table(
        [
            ids,
            pa.array([0] * rows, pa.int32()) if number_name is None else _numbers(source, number_name),
            pa.nulls(rows, pa.string()),
            pa.nulls(rows, EVENT_TIME),
            pa.nulls(rows, pa.int64()),
            value,
            known,
        ],
        schema=SCHEMA,
    )
    return Normalised(table, naive, "request id")


def _column(source: pa.Table, name: str, field: str) -> pa.Array:
    if name not in source.column_names:
        raise InputError(field, f"{field}: the source has no column {name!r}; it has {', '.join(source.column_names)}.")
    return source.column(name).combine_chunks()


def _first(source: pa.Table, field: str, names: tuple[str, ...], option: str) -> str:
    for name in names:
        if name in source.column_names:
            return name
    raise InputError(
        field,
        f"{field}: the source has none of the columns {', '.join(names)}; it has {', '.join(source.column_names)}.",
        hint=f"Name it with {option}.",
    )


def _value(source: pa.Table, name: str) -> pa.Array:
    column = _column(source, name, "value")
    if not (pa.types.is_boolean(column.type) or pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise InputError(
            "value", f"value: column {name} is {column.type}; an outcome is a number or a boolean.", hint="Encode it."
        )
    plain = pc.cast(column, pa.int8()) if pa.types.is_boolean(column.type) else column
    numbers = pc.cast(plain, pa.float64(), safe=False)
    wrong = int(np.sum(~np.isfinite(pc.fill_null(numbers, float("nan")).to_numpy(zero_copy_only=False))))
    if wrong:
        raise InputError(
            "value",
            f"value: {wrong:,} of {len(column):,} rows have no finite number in {name}.",
            hint="An outcome that is not known yet is no outcome: leave its row out.",
        )
    return numbers


def _instants(source: pa.Table, name: str, field: str, unit: Unit | None) -> tuple[pa.Array, int]:
    column = _column(source, name, field)
    if unit is None and (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise InputError(
            field,
            f"{field}: column {name} holds {column.type} numbers, and nothing says what they count.",
            hint="Name the unit with --unit: s, ms, us or ns since 1970.",
        )
    read = read_instants(source.column(name), field=field, unit=unit)
    if lost := int(pc.sum(read.column.is_null()).as_py() or 0):
        raise InputError(field, f"{field}: {lost:,} of {len(column):,} rows have no instant in {name}.")
    return read.column, int(np.sum(read.naive))


def _texts(source: pa.Table, name: str) -> pa.Array:
    column = _column(source, name, "request-id")
    try:
        found = column.cast(pa.string())
    except pa.ArrowException as error:
        raise InputError("request-id", f"request-id: column {name} is {column.type}; expected text.") from error
    if found.null_count:
        raise InputError("request-id", f"request-id: {found.null_count:,} rows have none in {name}.")
    return found


def _numbers(source: pa.Table, name: str) -> pa.Array:
    column = _column(source, name, "row")
    try:
        return column.cast(pa.int32())
    except pa.ArrowException as error:
        raise InputError(
            "row", f"row: column {name} is {column.type}; expected whole numbers from 0: {error}."
        ) from error
