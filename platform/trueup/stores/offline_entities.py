"""The rows that a historical read is made for: those of an entity_df, or every entity of the views."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from feast.infra.offline_stores.offline_utils import (
    DEFAULT_ENTITY_DF_EVENT_TIMESTAMP_COL,
    infer_event_timestamp_from_entity_df,
)

from trueup.contracts.contract import View
from trueup.errors import InputError


def entity_table(connection: Any, entity_df: pd.DataFrame | str, repo: Path) -> pa.Table:
    import duckdb

    from trueup.stores.asof_sql import literal
    from trueup.stores.duckdb_tables import first_line

    if isinstance(entity_df, pd.DataFrame):
        if not entity_df.columns.is_unique:
            raise InputError("entity_df", f"entity_df has a column twice: {', '.join(map(str, entity_df.columns))}.")
        try:
            return pa.Table.from_pandas(entity_df, preserve_index=False)
        except pa.ArrowException as error:
            raise InputError("entity_df", f"entity_df: a column mixes types: {error}.") from error
    if not isinstance(entity_df, str):
        raise InputError("entity_df", f"entity_df is a {type(entity_df).__name__}; expected a DataFrame or a SELECT.")
    try:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"SET file_search_path = {literal(str(repo))}")
        return connection.sql(entity_df).to_arrow_table()
    except (duckdb.Error, AttributeError) as error:
        raise InputError("entity_df", f"entity_df: the query fails: {first_line(error)}") from error


def all_entities(
    views: Sequence[View],
    start: datetime,
    end: datetime,
    repo: Path,
    *,
    threads: int | None,
    memory_limit: str | None,
) -> pa.Table:
    """Without an entity_df: every entity of the views in the event window, once, as of its end."""
    from trueup.stores.asof import read_entities
    from trueup.stores.duckdb_tables import connect

    keys = {tuple(sorted(item.request for item in view.keys)) for view in views}
    if len(keys) != 1:
        raise InputError(
            "entity_df",
            "without an entity_df all views must have the same entity keys; these have "
            f"{' and '.join(', '.join(key) or 'none' for key in sorted(keys))}.",
            hint="Give an entity_df.",
        )
    (names,) = keys
    with connect(threads=threads, memory_limit=memory_limit) as connection:
        found = [read_entities(connection, view, start=start, end=end, base_dir=repo) for view in views]
    table = pa.concat_tables([part.select(names) for part in found]) if names else pa.table({"one": [0]})
    if names:
        table = table.group_by(list(names)).aggregate([]).sort_by([(name, "ascending") for name in names])
    times = pa.array([end] * table.num_rows, pa.timestamp("us", tz="UTC"))
    return table.select(names).append_column(DEFAULT_ENTITY_DF_EVENT_TIMESTAMP_COL, times)


def instant_column(entities: pa.Table) -> str:
    """As Feast infers it. Raises Feast's EntityTimestampInferenceException."""
    empty = entities.schema.empty_table().to_pandas()
    return str(infer_event_timestamp_from_entity_df(dict(zip(empty.columns, empty.dtypes, strict=True))))


def parsed_instants(entities: pa.Table, instant: str) -> pa.ChunkedArray:
    """The instants as timestamps; Feast takes text too."""
    column = entities[instant]
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    try:
        parsed = pd.to_datetime(column.to_pandas(), utc=True, format="ISO8601")
    except (ValueError, TypeError) as error:
        what = str(error).partition("\n")[0].partition(". You")[0]
        raise InputError(instant, f"{instant}: {what}.", hint="Write instants in ISO 8601.") from error
    return pa.chunked_array([pa.Array.from_pandas(parsed)])
