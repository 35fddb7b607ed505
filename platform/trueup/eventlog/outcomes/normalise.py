"""A source's columns as outcomes are kept: which row each is of, its value, and when it was known. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from trueup.errors import InputError
from trueup.eventlog.instants import Unit, read_instants
from trueup.eventlog.outcomes.kept import SCHEMA
from trueup.eventlog.outcomes.keys import column_texts, entity_texts
from trueup.eventlog.outcomes.numbers import as_numbers
from trueup.frame import EVENT_TIME

_MICROSECOND = timedelta(microseconds=1)
REQUEST_IDS = ("request_id", "__request_id")
ROWS = ("row", "__row")
INSTANTS = ("event_timestamp", "at", "timestamp")
KNOWN = ("known_at", "label_known_at")
"""Names that a column is looked for under when none is given; of a value: the outcome's own, then `value`."""


@dataclass(frozen=True)
class Columns:
    """Which column of the source is what; None: the first of the usual names that is there.

    By request: request_id, and row (0 without one). By entity: keys (join key -> column) and at, the instant the
    outcome is of; the row served at most `within` before it is meant. known_at: when the value became known; without
    such a column, at the import's own instant. unit: of instants that are numbers since 1970.

    Raises InputError for columns that say two things.
    """

    value: str | None = None
    request_id: str | None = None
    row: str | None = None
    keys: Mapping[str, str] | None = None
    at: str | None = None
    within: timedelta = timedelta()
    known_at: str | None = None
    unit: Unit | None = None

    def __post_init__(self) -> None:
        if self.keys and (self.request_id or self.row):
            option = "request-id" if self.request_id else "row"
            raise InputError(option, f"{option}: an outcome is by request id or by entity (--key), not by both.")
        if not self.keys and (self.at or self.within):
            option = "at" if self.at else "within"
            raise InputError(
                option,
                f"{option}: it is the instant of an entity, and no join key is named.",
                hint="Name one with --key KEY=COLUMN, or leave it out to join by request id.",
            )

    @property
    def texts(self) -> tuple[str, ...]:
        """Columns that must not be read as numbers where a file does not say what they are: 0012 is no 12."""
        if self.keys:
            return tuple(self.keys.values())
        return (self.request_id,) if self.request_id else REQUEST_IDS


@dataclass(frozen=True)
class Normalised:
    """table: columns of `SCHEMA`. by: how the rows are keyed. dated: the source says when values were known. naive:
    instants without a time zone, which were taken for UTC. pending: rows without a value, which are left out: what is
    not known yet is no outcome."""

    table: pa.Table
    by: str
    dated: bool
    naive: int
    pending: int


def normalise(source: pa.Table, outcome: str, columns: Columns, *, now: datetime) -> Normalised:
    """source: plain (see `as_plain`). now: the import's instant.

    Raises InputError for a column that is not there or cannot be what it is for, and where no row has a value.
    """
    if not source.num_rows:
        raise InputError("source", "source: it has no rows.", hint="Was it written whole?")
    name = columns.value or _first(source, "value", (outcome, "value"), "--value")
    numbers = as_numbers(_column(source, name, "value"), name)
    has_value = numbers.is_valid()
    if not pc.any(has_value).as_py():
        raise InputError("value", f"value: not one of {source.num_rows:,} rows has a value in {name}.")
    rows = source.filter(has_value)
    known, known_naive, dated = _known_at(rows, columns, now)
    if columns.keys:
        placed, naive, by = _by_entity(rows, columns)
    else:
        placed, naive, by = _by_request(rows, columns), 0, "request id"
    given = {**placed, "value": numbers.drop_null(), "known_at": known}
    every = [given.get(field.name, pa.nulls(rows.num_rows, field.type)) for field in SCHEMA]
    table = pa.table([column.cast(field.type) for column, field in zip(every, SCHEMA, strict=True)], schema=SCHEMA)
    return Normalised(table, by, dated, naive + known_naive, source.num_rows - rows.num_rows)


def _by_request(rows: pa.Table, columns: Columns) -> dict[str, pa.Array]:
    name = columns.request_id or _first(rows, "request-id", REQUEST_IDS, "--request-id, or a join key with --key")
    column = _column(rows, name, "request-id")
    if pa.types.is_nested(column.type) or pa.types.is_floating(column.type):
        raise InputError("request-id", f"request-id: column {name} is {column.type}; expected text or whole numbers.")
    ids = _there(column_texts(column), "request-id", name)
    number = columns.row or next((name for name in ROWS if name in rows.column_names), None)
    return {"request_id": ids, "row": _zeros(len(ids)) if number is None else _row_numbers(rows, number)}


def _by_entity(rows: pa.Table, columns: Columns) -> tuple[dict[str, pa.Array], int, str]:
    keys = columns.keys or {}
    at_name = columns.at or _first(rows, "at", INSTANTS, "--at")
    at, naive = _instants(rows, at_name, "at", columns.unit)
    found = {key: _column(rows, name, "key") for key, name in sorted(keys.items())}
    for key, column in found.items():
        if pa.types.is_nested(column.type):
            raise InputError("key", f"key: column {keys[key]} is {column.type}; expected one value a row.")
        _there(column_texts(column), "key", keys[key])
    within = pa.array([columns.within // _MICROSECOND], pa.int64()).take(_zeros(rows.num_rows))
    by = f"entity ({', '.join(found)}) and time"
    return {"keys": entity_texts(found), "at": at, "within": within}, naive, by


def _known_at(rows: pa.Table, columns: Columns, now: datetime) -> tuple[pa.Array, int, bool]:
    """When each value was known, how many of these had no time zone, and whether the source says it."""
    name = columns.known_at or next((name for name in KNOWN if name in rows.column_names), None)
    if name is None:
        return pa.array([now], EVENT_TIME).take(_zeros(rows.num_rows)), 0, False
    return *_instants(rows, name, "known-at", columns.unit), True


def _zeros(count: int) -> pa.Array:
    return pa.repeat(pa.scalar(0, pa.int32()), count)


def _column(rows: pa.Table, name: str, field: str) -> pa.ChunkedArray:
    places = rows.schema.get_all_field_indices(name)
    if len(places) != 1:
        there = "no column" if not places else f"{len(places)} columns"
        raise InputError(field, f"{field}: the source has {there} {name!r}; it has {', '.join(rows.column_names)}.")
    return rows.column(places[0])


def _first(rows: pa.Table, field: str, names: Sequence[str], option: str) -> str:
    for name in names:
        if name in rows.column_names:
            return name
    raise InputError(
        field,
        f"{field}: the source has none of the columns {', '.join(names)}; it has {', '.join(rows.column_names)}.",
        hint=f"Name it with {option}.",
    )


def _there(texts: pa.Array, field: str, name: str) -> pa.Array:
    """The texts, none of which is null or empty."""
    empty = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(texts), ""), True)
    if lost := int(pc.sum(empty).as_py() or 0):
        raise InputError(
            field,
            f"{field}: {lost:,} of {len(texts):,} rows have none in {name}, so nothing says which row they are of.",
            hint="Leave them out of the source.",
        )
    return texts


def _row_numbers(rows: pa.Table, name: str) -> pa.Array:
    column = _column(rows, name, "row")
    try:
        numbers = column.cast(pa.int32()).combine_chunks()
    except pa.ArrowException as error:
        raise InputError(
            "row", f"row: column {name} is {column.type}; expected whole numbers from 0: {error}."
        ) from error
    wrong = pc.fill_null(pc.less(numbers, 0), True)
    if lost := int(pc.sum(wrong).as_py() or 0):
        raise InputError("row", f"row: {lost:,} of {len(numbers):,} rows have no whole number from 0 in {name}.")
    return numbers


def _instants(rows: pa.Table, name: str, field: str, unit: Unit | None) -> tuple[pa.Array, int]:
    column = _column(rows, name, field)
    kind = column.type
    if unit is None and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise InputError(
            field,
            f"{field}: column {name} holds {kind} numbers, and nothing says what they count.",
            hint="Name the unit with --unit: s, ms, us or ns since 1970.",
        )
    # A day is its first instant, as it is where it comes as text.
    plain = column.cast(pa.timestamp("us")) if pa.types.is_date(kind) else column
    read = read_instants(plain, field=f"{field}: {name}", unit=unit)
    if lost := read.column.null_count:
        raise InputError(
            field,
            f"{field}: {lost:,} of {len(column):,} rows have no instant in {name}.",
            hint="Expected ISO 8601, such as 2013-11-01T00:00:00Z, in each row that has a value.",
        )
    return read.column, int(read.naive.sum())
