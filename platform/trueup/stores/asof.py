"""As-of reads of one feature view's source: `read_view` for history, `read_latest` for materialization.

Both run the source's query once, on the connection they are given, and keep what may count in a table of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trueup.contracts.contract import View
from trueup.errors import InputError, SourceError
from trueup.instants import AsOfRule
from trueup.stores.asof_sql import Rows, column, is_key_type, key
from trueup.stores.duckdb_tables import arrow, describe, require_columns, scratch, source_relation
from trueup.stores.history import ViewHistory, ViewRows, describe_view, no_rows, refuse_ambiguous
from trueup.stores.landing import Micros, micros
from trueup.stores.ledger import Run
from trueup.stores.typed import as_timestamps, feature_column, instants, key_column


@dataclass(frozen=True)
class LatestRows:
    """What one materialization writes: one row per entity key, in key order.

    keys: one column per join key, under its own name. features: one column per feature, under its own name.
    event_timestamps, created_timestamps: timestamp[us, UTC]; created is null where the source does not say.
    """

    keys: pa.Table
    features: pa.Table
    event_timestamps: pa.Array
    created_timestamps: pa.Array

    @property
    def num_rows(self) -> int:
        return len(self.event_timestamps)


def read_view(
    connection: duckdb.DuckDBPyConnection,
    view: View,
    rows: pa.Table,
    *,
    instant: str,
    rule: AsOfRule,
    runs: Sequence[Run] = (),
    base_dir: Path,
) -> ViewRows:
    """The features of `view` as of each row's own instant: one row in, one row out, in order.

    rows: the view's key columns (`JoinKey.request`) and the column `instant` (timestamps; without a time zone, UTC),
    in any order, with any duplicates; a row with a null key is MISSING. runs: the view's runs in the ledger; only
    `served` looks at them. base_dir: the feature repository, which relative paths of the source are relative to.

    Of an entity's rows with effective instant <= T (and created <= rule.pinned) the greatest (event time, created)
    wins, and is EXPIRED if T - event time > TTL. The effective instant is the later of the event time and the landing:
    none (unbounded), the created time (label), or what ledger and schedule say (served). A row without created time
    is known at its event time; one without event time or with a null key never counts. Two rows of an entity with
    both clocks equal and different values are an error where they decide a result that is not expired: elsewhere they
    change nothing that is read.

    Raises SourceError when the source cannot be read, is ambiguous, or holds values its declared types cannot;
    InputError when a key or instant of `rows` cannot be used.
    """
    if rows.num_rows == 0:
        _requests(view, rows, instant)
        return no_rows(view)
    pinned = None if rule.pinned is None else micros(rule.pinned)
    with open_history(
        connection, view, rows, instant=instant, runs=runs, known_until=pinned, ahead=False, base_dir=base_dir
    ) as history:
        return history.read(rule.known_at)


@contextmanager
def open_history(
    connection: duckdb.DuckDBPyConnection,
    view: View,
    rows: pa.Table,
    *,
    instant: str,
    runs: Sequence[Run] = (),
    known_until: int | None = None,
    ahead: bool = True,
    base_dir: Path,
) -> Iterator[ViewHistory]:
    """What a view's source has of the entities of `rows`, read once, to be read as of their instants many times over.

    rows, instant, runs, base_dir: as for `read_view`. known_until: rows created later (microseconds since 1970) are
    left out. ahead: whether rows of event times after the latest instant are kept. Raises as `read_view` does.
    """
    what = describe_view(view)
    request, last = _requests(view, rows, instant)
    with _source(connection, view, base_dir, what) as source:
        connection.register("trueup_requests", request)
        connection.execute("CREATE OR REPLACE TABLE trueup.requests AS FROM trueup_requests")
        connection.unregister("trueup_requests")
        connection.execute(source.history(until=None if ahead else last, known_until=known_until))
        connection.execute(source.versions())
        connection.execute(source.ties())
        yield ViewHistory(connection, view, source, request, tuple(runs))


def read_latest(
    connection: duckdb.DuckDBPyConnection,
    view: View,
    *,
    start: datetime | None,
    end: datetime,
    known_at: datetime,
    known_after: datetime | None = None,
    base_dir: Path,
) -> LatestRows:
    """Of each entity the row with the greatest (event time, created) that a materialization may write.

    A row may be written if start <= event time <= end (start None: from the beginning), created <= known_at and, where
    known_after is given, max(event time, created) > known_after. Raises SourceError as `read_view` does.
    """
    what = describe_view(view)
    with _source(connection, view, base_dir, what) as source:
        latest = source.latest(
            start=None if start is None else micros(start),
            end=micros(end),
            known_at=micros(known_at),
            known_after=None if known_after is None else micros(known_after),
        )
        connection.execute(latest)
        refuse_ambiguous(connection, source.ambiguous_latest(), _key_names(view), what=what)
        table = arrow(connection, source.latest_rows())
    keys = {
        item.name: feature_column(table[name], item.dtype, what=f"{what}: join key {item.name}")
        for item, name in zip(view.keys, source.key_names, strict=True)
    }
    features = {
        item.name: feature_column(table[name], item.dtype, what=f"{what}: feature {item.name}")
        for item, name in zip(view.features, source.feature_names, strict=True)
    }
    created = table["c"].combine_chunks()
    if view.source.created_column is None:
        created = pa.nulls(table.num_rows, pa.int64())
    return LatestRows(
        keys=pa.table(keys),
        features=pa.table(features),
        event_timestamps=as_timestamps(table["e"].combine_chunks()),
        created_timestamps=as_timestamps(created),
    )


def read_entities(
    connection: duckdb.DuckDBPyConnection, view: View, *, start: datetime | None, end: datetime, base_dir: Path
) -> pa.Table:
    """Every entity that has a row with start <= event time <= end, in key order, as columns `JoinKey.request`.

    A view without keys gives one row without a column that means anything. Raises SourceError as `read_view` does.
    """
    what = describe_view(view)
    with _source(connection, view, base_dir, what) as source:
        bound = None if start is None else micros(start)
        table = arrow(connection, source.entities(start=bound, end=micros(end)))
    return table if not view.keys else table.rename_columns([item.request for item in view.keys])


def read_owners(
    connection: duckdb.DuckDBPyConnection, view: View, times: Micros, *, width: int = 1, most: int, base_dir: Path
) -> tuple[pa.Table, ViewRows]:
    """Every row that the source has at one of these event times (microseconds since 1970), whoever's it is.

    width: of microseconds from each time on, for times that were cut off to whole multiples of it. Gives the entity
    keys of the rows, as columns `JoinKey.request`, and the rows. Of more than `most` entities those times are left out
    that the most have a row at. Raises SourceError as `read_view` does.
    """
    what = describe_view(view)
    names = [item.request for item in view.keys]
    keys = pa.table({name: pa.nulls(0) for name in names})
    if not len(times) or not names:
        return keys, no_rows(view)
    with _source(connection, view, base_dir, what) as source:
        connection.register("trueup_times", pa.table({"t": np.unique(times)}))
        connection.execute("CREATE OR REPLACE TABLE trueup.times AS FROM trueup_times")
        connection.unregister("trueup_times")
        sql = source.owners(start=int(times.min()), end=int(times.max()), width=width, most=most + 1)
        table = arrow(connection, sql)
    if table.num_rows > most:
        table = table.filter(pc.not_equal(table["t"], _busiest(table["t"])))
    found_at = np.asarray(table["e"].combine_chunks()).astype(np.int64)
    rows = pa.table({name: table[key] for name, key in zip(names, source.key_names, strict=True)})
    rows = rows.append_column("__trueup_event", as_timestamps(pa.array(found_at)))
    if not rows.num_rows:
        return keys, no_rows(view)
    with open_history(connection, view, rows, instant="__trueup_event", base_dir=base_dir) as history:
        found, read = history.at_event_times(found_at, np.arange(len(found_at), dtype=np.int64))
    return rows.select(names).take(pa.array(found)), read


def _busiest(times: pa.ChunkedArray) -> int:
    """The time that most rows have; of several the last, as `Rows.owners` takes them."""
    counted = [(item["counts"], item["values"]) for item in times.value_counts().to_pylist()]
    return int(max(counted)[1])


def _requests(view: View, rows: pa.Table, instant: str) -> tuple[pa.Table, int]:
    """Table of row number `i`, instant `t` and the typed keys; and the latest instant."""
    wanted = [*dict.fromkeys(item.request for item in view.keys), instant]
    for name in wanted:
        if name not in rows.column_names:
            raise InputError(
                name,
                f"{describe_view(view)} needs column {name!r}; the rows have "
                f"{', '.join(rows.column_names) or 'no columns'}.",
            )
        if rows.column_names.count(name) > 1:
            raise InputError(name, f"column {name!r} stands in the rows more than once.")
    times = instants(rows[instant], field=instant)
    columns = {"i": pa.array(np.arange(rows.num_rows, dtype=np.int64)), "t": times}
    columns |= {
        f"k{i}": key_column(rows[item.request], item.dtype, field=item.request) for i, item in enumerate(view.keys)
    }
    return pa.table(columns), pc.max(times).as_py() if rows.num_rows else 0


@contextmanager
def _source(connection: duckdb.DuckDBPyConnection, view: View, base_dir: Path, what: str) -> Iterator[Rows]:
    """The source's rows, with its tables registered; what a read leaves in the connection is dropped again.

    Whatever DuckDB finds wrong while the source is read is the source's fault, and is raised as a SourceError.
    """
    source = view.source
    relation = source_relation(connection, source, base_dir, what=what)
    types = describe(connection, relation, what=what)
    for item in view.keys:
        if not is_key_type(item.dtype):
            raise SourceError(f"{what}: join key {item.name} is {item.dtype}, which cannot be a key.")
    clocks = [source.timestamp_field, *([source.created_column] if source.created_column is not None else [])]
    names = [*(item.name for item in view.keys), *(item.name for item in view.features)]
    columns = [*map(source.column, names), *clocks]
    require_columns(types, columns, clocks, what=what)
    rows = Rows(
        relation=relation,
        keys=tuple(key(source.column(k.name), types[source.column(k.name)], k.dtype) for k in view.keys),
        event=source.timestamp_field,
        event_type=types[source.timestamp_field],
        created=source.created_column,
        features=tuple(column(source.column(item.name)) for item in view.features),
    )
    with scratch(connection, what=what):
        yield rows


def _key_names(view: View) -> list[str]:
    return [item.name for item in view.keys]
