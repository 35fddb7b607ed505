"""Faults of a source: its Parquet files changed after the fact, so that training reads what no server could have had.

The served rows stay as they are; what changes is what is expected of them, which each injector says cell by cell.
Shares no code with trueup.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tests.faults import documents
from tests.faults.cells import EXPIRED, MISSING, NULL, PRESENT, Ints
from tests.faults.site import ViewSpec
from tests.faults.store_faults import HOUR, Key, Scene, SourceRow, other_value, pick

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class SourceFile:
    """A view's Parquet file. columns: feature or join key -> column. created: None where the source does not say."""

    path: Path
    columns: Mapping[str, str]
    event: str
    created: str | None


@dataclass
class Expected:
    """What training reads at some served rows of a view: values and statuses by feature, one for each of `rows`."""

    view: ViewSpec
    rows: Ints
    values: Mapping[str, list[Any]]
    statuses: Mapping[str, list[int]]


@dataclass
class Edit:
    """expected: what the edited source says where it says something new. parts: name of a cause -> column -> served
    rows, where not all cells have all the causes."""

    expected: list[Expected]
    eligible: int
    chosen: int
    parts: dict[str, dict[str, list[int]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Timeline:
    """runs: starts of the ledger's runs, the last one the latest. serving: first and last instant served. Microseconds.
    Between the last run and the first request there is time for something to become known."""

    runs: tuple[int, ...]
    serving: tuple[int, int]


Files = Mapping[str, SourceFile]
Edits = Callable[[Scene, Files, Timeline, np.random.Generator, float], Edit]


def late_arrival(scene: Scene, files: Files, time: Timeline, random: np.random.Generator, rate: float) -> Edit:
    """A newer row of an entity that became known two days after the requests."""
    return _newer_rows(scene, files, time, random, rate, created=time.serving[1] + 48 * HOUR)


def lag(scene: Scene, files: Files, time: Timeline, random: np.random.Generator, rate: float) -> Edit:
    """A newer row of an entity, known before the requests, that no run has taken along yet."""
    return _newer_rows(scene, files, time, random, rate, created=time.serving[0] - 60_000_000)


def late_and_lag(scene: Scene, files: Files, time: Timeline, random: np.random.Generator, rate: float) -> Edit:
    """Both in one entity: a row that was known and had not landed, and a newer one that was not known.

    Where the two have one value (there are but two booleans), learning from the newer one changes nothing: that cell
    has the lag alone.
    """
    victims, eligible = _victims(scene, files, random, rate)
    lagging = [(*victim, time.serving[0] - 120_000_000, time.serving[0] - 60_000_000) for victim in victims]
    known = _append(scene, files, lagging, random)
    unknown = [(*victim, time.serving[0] - 90_000_000, time.serving[1] + 48 * HOUR) for victim in victims]
    late = _append(scene, files, unknown, random)
    edit = Edit([], eligible, len(victims), {"late_arrival": {}, "lag": {}})
    for (view, entity), first, second in zip(victims, known, late, strict=True):
        rows = scene.rows_of[view.name][entity]
        edit.expected.append(_as_read(scene, view, rows, second))
        for feature in view.features:
            edit.parts["lag"].setdefault(view.column(feature), []).extend(rows.tolist())
            if first.values[feature] != second.values[feature]:
                edit.parts["late_arrival"].setdefault(view.column(feature), []).extend(rows.tolist())
    return edit


def lag_of_expired(scene: Scene, files: Files, time: Timeline, random: np.random.Generator, rate: float) -> Edit:
    """A newer row, known and not landed, of entities whose landed row has expired."""
    victims, eligible = _victims(scene, files, random, rate, status=EXPIRED)
    rows = [(*v, time.serving[0] - 120_000_000, time.serving[0] - 60_000_000) for v in victims]
    return _expect(scene, files, rows, random, eligible)


def tombstone_missing(scene: Scene, files: Files, time: Timeline, random: np.random.Generator, rate: float) -> Edit:
    """Rows deleted at the source after they were brought: every row of an entity, or its newest landed one alone."""
    victims, eligible = _victims(scene, files, random, rate)
    gone: dict[str, list[tuple[Key, int | None]]] = {}
    expected = []
    for number, (view, entity) in enumerate(victims):
        rows = scene.rows_of[view.name][entity]
        history = [row for row in scene.history[view.name][entity] if _landed(row, view, time)]
        newest = max(history, key=lambda row: (row.event, row.created)).event if history else None
        left = [row for row in history if row.event != newest]
        if number % 2 and left and newest is not None:
            gone.setdefault(view.name, []).append((entity, newest))
            expected.append(_as_read(scene, view, rows, max(left, key=lambda row: (row.event, row.created))))
        else:
            gone.setdefault(view.name, []).append((entity, None))
            states = {feature: [MISSING] * len(rows) for feature in view.features}
            expected.append(Expected(view, rows, {feature: [None] * len(rows) for feature in view.features}, states))
    for view in scene.views:
        if view.name in gone:
            _delete(files[view.name], view, dict(gone[view.name]))
    return Edit(expected, eligible, len(victims))


def ambiguous_source(scene: Scene, files: Files, time: Timeline, random: np.random.Generator, rate: float) -> Edit:
    """A second row of an entity with both clocks those of its newest landed one, and other values."""
    victims, eligible = _victims(scene, files, random, rate)
    rows = []
    for view, entity in victims:
        history = [row for row in scene.history[view.name][entity] if _landed(row, view, time)]
        newest = max(history, key=lambda row: (row.event, row.created))
        rows.append((view, entity, newest.event, newest.created))
    return _expect(scene, files, rows, random, eligible)


def finer_timestamps(scene: Scene, files: Files, time: Timeline, random: np.random.Generator, rate: float) -> Edit:
    """Instants with microseconds in the source, of which Feast keeps the whole seconds online."""
    return _rewrite(
        scene, files, time, random, rate, "UnixTimestamp", lambda value: value + timedelta(microseconds=123_456)
    )


def fractions(scene: Scene, files: Files, time: Timeline, random: np.random.Generator, rate: float) -> Edit:
    """A column of floats that is declared Int64: Feast cuts off what is behind the point on the way online, and reads
    history as it is."""
    away = 0.75
    return _rewrite(
        scene, files, time, random, rate, "Int64", lambda value: value + (away if value >= 0 else -away), pa.float64()
    )


def _rewrite(
    scene: Scene,
    files: Files,
    time: Timeline,
    random: np.random.Generator,
    rate: float,
    dtype: str,
    change: Callable[[Any], Any],
    kind: pa.DataType | None = None,
) -> Edit:
    """Other values of one type in the newest landed rows of some entities. kind: the column's type from now on."""
    candidates = []
    for view in scene.views:
        if view.name not in files or files[view.name].created is None:
            continue
        for feature in view.features:
            if view.features[feature] == dtype and feature != "big":  # which a float cannot hold
                candidates += [(view, feature, entity) for entity in scene.entities(view, PRESENT)]
    chosen = pick(random, candidates, rate)
    wanted: dict[tuple[str, str], dict[tuple[Key, int, int], Any]] = {}
    expected = []
    for view, feature, entity in chosen:
        history = [row for row in scene.history[view.name][entity] if _landed(row, view, time)]
        newest = max(history, key=lambda row: (row.event, row.created))
        if newest.values[feature] is None:
            continue
        value = change(newest.values[feature])
        wanted.setdefault((view.name, feature), {})[(entity, newest.event, newest.created)] = value
        one = replace(view, features={feature: dtype})
        rows = scene.rows_of[view.name][entity]
        expected.append(_as_read(scene, one, rows, SourceRow(newest.event, newest.created, {feature: value})))
    for (name, feature), values in wanted.items():
        (view,) = (view for view in scene.views if view.name == name)
        _set_values(files[name], view, feature, values, kind)
    return Edit(expected, len(candidates), len(chosen))


def _set_values(
    file: SourceFile,
    view: ViewSpec,
    feature: str,
    values: Mapping[tuple[Key, int, int], Any],
    kind: pa.DataType | None,
) -> None:
    with file.path.open("rb") as opened:
        table = pq.read_table(opened)
    keys = zip(*(table.column(file.columns.get(name, name)).to_pylist() for name, _, _ in view.keys), strict=True)
    clocks = (
        table.column(name).cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_pylist()
        for name in (file.event, file.created or file.event)
    )
    column = file.columns.get(feature, feature)
    place = table.column_names.index(column)
    old = table.column(column).to_pylist()
    new = [values.get(where, value) for where, value in zip(zip(keys, *clocks, strict=True), old, strict=True)]
    kind = kind or table.schema.field(column).type
    table = table.set_column(place, pa.field(column, kind), pa.array(new, kind))
    pq.write_table(table, file.path, write_statistics=False)


def _victims(
    scene: Scene, files: Files, random: np.random.Generator, rate: float, status: int = PRESENT
) -> tuple[list[tuple[ViewSpec, Key]], int]:
    candidates = [
        (view, entity)
        for view in scene.views
        if view.name in files and files[view.name].created is not None
        for entity in scene.entities(view, status)
        if entity in scene.history[view.name]
    ]
    return pick(random, candidates, rate), len(candidates)


def _newer_rows(
    scene: Scene, files: Files, time: Timeline, random: np.random.Generator, rate: float, *, created: int
) -> Edit:
    victims, eligible = _victims(scene, files, random, rate)
    event = time.serving[0] - 120_000_000
    return _expect(scene, files, [(*victim, event, created) for victim in victims], random, eligible)


def _expect(
    scene: Scene,
    files: Files,
    rows: list[tuple[ViewSpec, Key, int, int]],
    random: np.random.Generator,
    eligible: int,
) -> Edit:
    """Appends the rows and expects them wherever their entities were served."""
    new = _append(scene, files, rows, random)
    expected = [
        _as_read(scene, view, scene.rows_of[view.name][entity], row)
        for (view, entity, _, _), row in zip(rows, new, strict=True)
    ]
    return Edit(expected, eligible, len(rows))


def _append(
    scene: Scene, files: Files, rows: list[tuple[ViewSpec, Key, int, int]], random: np.random.Generator
) -> list[SourceRow]:
    """Rows of the given clocks with values that the entity's served ones are not."""
    made = []
    by_view: dict[str, list[tuple[Key, SourceRow]]] = {}
    for view, entity, event, created in rows:
        first = int(scene.rows_of[view.name][entity][0])
        values = {}
        for feature, dtype in view.features.items():
            column = view.column(feature)
            now = scene.base.column(column)[first].as_py() if column in scene.base.column_names else None
            values[feature] = as_python(dtype, other_value(dtype, as_stored(dtype, now), random))
        row = SourceRow(event, created, values)
        by_view.setdefault(view.name, []).append((entity, row))
        made.append(row)
    for view in scene.views:
        if view.name in by_view:
            append_rows(files[view.name], view, by_view[view.name])
    return made


def append_rows(file: SourceFile, view: ViewSpec, rows: list[tuple[Key, SourceRow]]) -> None:
    """More rows in a view's Parquet file."""
    with file.path.open("rb") as opened:
        table = pq.read_table(opened)
    named = []
    for entity, row in rows:
        record = {file.columns.get(name, name): part for (name, _, _), part in zip(view.keys, entity, strict=True)}
        record |= {file.columns.get(name, name): value for name, value in row.values.items()}
        record[file.event] = instant(row.event)
        if file.created is not None:
            record[file.created] = instant(row.created)
        named.append({field.name: _in_source(record.get(field.name), field.type) for field in table.schema})
    schema = pa.schema([column.with_nullable(True) for column in table.schema])
    more = pa.Table.from_pylist(named, schema)
    pq.write_table(pa.concat_tables([table.cast(schema), more]), file.path, write_statistics=False)


def _in_source(value: Any, kind: pa.DataType) -> Any:
    """A value as a column of this type takes it."""
    if isinstance(value, str) and pa.types.is_decimal(kind):
        return Decimal(value)
    return documents.text(value) if isinstance(value, dict | list) and pa.types.is_string(kind) else value


def _delete(file: SourceFile, view: ViewSpec, gone: Mapping[Key, int | None]) -> None:
    """Without these entities' rows, all of them or those of one event time."""
    with file.path.open("rb") as opened:
        table = pq.read_table(opened)
    keys = zip(*(table.column(file.columns.get(name, name)).to_pylist() for name, _, _ in view.keys), strict=True)
    events = table.column(file.event).cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_pylist()
    keep = [
        key not in gone or (gone[key] is not None and event != gone[key])
        for key, event in zip(keys, events, strict=True)
    ]
    pq.write_table(table.filter(pa.array(keep)), file.path, write_statistics=False)


def _as_read(scene: Scene, view: ViewSpec, rows: Ints, row: SourceRow) -> Expected:
    """What a read of this row gives at the instants of these served rows."""
    expired = np.zeros(len(rows), np.bool_) if view.ttl is None else scene.instants[rows] - row.event > view.ttl
    values: dict[str, list[Any]] = {}
    statuses: dict[str, list[int]] = {}
    for feature in view.features:
        value = row.values[feature]
        value = None if isinstance(value, float) and value != value else value
        values[feature] = [None if old else value for old in expired]
        statuses[feature] = [EXPIRED if old else NULL if value is None else PRESENT for old in expired]
    return Expected(view, rows, values, statuses)


def _landed(row: SourceRow, view: ViewSpec, time: Timeline) -> bool:
    """Whether a run took the row along: the first one after it was known, if it was not too old for it by then."""
    known = max(row.event, row.created)
    run = next((start for start in time.runs if start >= known), None)
    return run is not None and (view.ttl is None or run - row.event <= view.ttl)


def as_stored(dtype: str, value: Any) -> Any:
    if value is None:
        return None
    if documents.is_document(dtype):
        return documents.parsed(value)
    if dtype == "UnixTimestamp":
        return int(value.timestamp())
    return [int(item.timestamp()) for item in value] if dtype.endswith("(UnixTimestamp)") else value


def as_python(dtype: str, value: Any) -> Any:
    """Whole seconds as aware instants."""
    if dtype == "UnixTimestamp":
        return _EPOCH + timedelta(seconds=value)
    return [_EPOCH + timedelta(seconds=item) for item in value] if dtype.endswith("(UnixTimestamp)") else value


def instant(stored: int) -> datetime:
    return _EPOCH + timedelta(microseconds=stored)
