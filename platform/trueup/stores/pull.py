"""A source's rows as they are, for Feast's own engines and saved datasets: no declared types, no known time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from trueup.contracts.contract import Source
from trueup.stores.asof_sql import Rows, column
from trueup.stores.duckdb_tables import arrow, describe, require_columns, scratch, source_relation
from trueup.stores.history import refuse_ambiguous
from trueup.stores.landing import micros

_FAR = datetime.max.replace(tzinfo=UTC)


def pull(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    *,
    keys: Sequence[str],
    features: Sequence[str],
    timestamp_field: str,
    created_column: str | None,
    start: datetime | None,
    end: datetime | None,
    latest: bool,
    base_dir: Path,
    what: str,
) -> pa.Table:
    """The rows with start <= event time <= end, under the source's own column names and of its own types.

    latest: only the newest of each key by (event time, created), in key order; rows with a null key are left out.
    features empty: all columns. Clocks come as timestamp[us, UTC]; a row without event time is left out. Raises
    SourceError when the source cannot be read or has two newest rows with different values.
    """
    relation = source_relation(connection, source, base_dir, what=what)
    types = describe(connection, relation, what=what)
    clocks = [timestamp_field, *([created_column] if created_column is not None else [])]
    wanted = list(features) or [name for name in types if name not in {*keys, *clocks}]
    require_columns(types, [*keys, *wanted], clocks, what=what)
    rest = [] if latest else list(keys)
    rows = Rows(
        relation=relation,
        keys=tuple(map(column, keys)) if latest else (),
        event=timestamp_field,
        event_type=types[timestamp_field],
        created=created_column,
        features=(
            *map(column, [*rest, *wanted]),
            *(f"CAST({column(name)} AS TIMESTAMPTZ)" for name in clocks),
        ),
    )
    first = None if start is None else micros(start)
    last = micros(_FAR if end is None else end)
    with scratch(connection, what=what):
        if latest:
            connection.execute(rows.latest(start=first, end=last, known_at=None, known_after=None))
            refuse_ambiguous(connection, rows.ambiguous_latest(), keys, what=what)
            table = arrow(connection, rows.latest_rows())
        else:
            in_order = "" if source.query is None else " ORDER BY ALL"  # a file has an order of its own, a query none
            table = arrow(connection, rows.select(start=first, end=last) + in_order)
    table = table.select([*rows.key_names, *rows.feature_names])
    return table.rename_columns([*(keys if latest else ()), *rest, *wanted, *clocks])
