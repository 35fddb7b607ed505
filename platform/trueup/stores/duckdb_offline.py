"""`DuckDBOfflineStore`: Feast's offline store over the as-of read, so that plain Feast calls obey the laws too.

Importing this file needs no DuckDB: Feast imports the class of every store named in feature_store.yaml, also in a
process that only reads online. (DuckDB is therefore imported where it is used.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import FeatureView, OnDemandFeatureView
from feast.data_source import DataSource
from feast.feature_logging import LoggingConfig, LoggingSource
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.infra.offline_stores.file_source import FileLoggingDestination, FileSource
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob, RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel, RepoConfig
from feast.utils import compute_non_entity_date_range
from pydantic import StrictStr, field_validator

from trueup.contracts.extract import source_from_feast
from trueup.errors import InputError, StoreError
from trueup.instants import AsOfRule, KnownAt, as_utc, parse_instant
from trueup.stores.ledger_engine import ledger_of
from trueup.stores.offline_entities import all_entities, entity_table, instant_column, parsed_instants
from trueup.stores.offline_features import on_demand_outputs, refuse_collisions, views_of, wanted_features
from trueup.stores.parquet_files import append_parquet, write_parquet
from trueup.stores.query_source import repo_dir
from trueup.stores.retrieval_job import DuckDBRetrievalJob, local_path, refuse_delta


class DuckDBOfflineStoreConfig(FeastConfigBaseModel):
    """known_at, pinned: the as-of rule of `get_historical_features`. threads, memory_limit: DuckDB's own settings.

    The default is `label`: what was known by each entity row's own instant. Stock Feast ignores when a row became known
    unless every call asks for `filter_by_created_timestamp=True`; that default learns from the future, so here it must
    be asked for by name (`known_at: unbounded`). `served` is nearer still to what the online store held, but depends
    on the ledger beside the repository, and a plain Feast call should give the same rows on every machine: it is
    there for the asking too. A call with `filter_by_created_timestamp=True` is always `label`.
    """

    type: StrictStr = "trueup.stores.duckdb_offline.DuckDBOfflineStore"
    known_at: KnownAt = "label"
    pinned: datetime | None = None
    threads: int | None = None
    memory_limit: StrictStr | None = None

    @field_validator("pinned", mode="before")
    @classmethod
    def _aware(cls, value: Any) -> Any:
        if isinstance(value, str):
            return parse_instant(value, field="offline_store.pinned")
        return as_utc(value) if isinstance(value, datetime) else value


class DuckDBOfflineStore(OfflineStore):
    """Reads Parquet file sources and SQL query sources. See `trueup.stores.asof` for the semantics."""

    supports_filter_by_created_timestamp = True

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """Features as of each entity row's own instant: one row in, one row out, in order.

        entity_df: a DataFrame, or a SELECT that DuckDB runs (file paths in it are relative to the repository). Its
        timestamp column is `event_timestamp` or the only timestamp there is; all its columns come back as they are,
        and the features follow in the order of feature_refs. Without entity_df: every entity with an event between
        start_date and end_date, as of end_date (the views must then have the same keys).
        """
        from trueup.stores.duckdb_tables import connect

        options: DuckDBOfflineStoreConfig = config.offline_store
        known_at: KnownAt = "label" if filter_by_created_timestamp else options.known_at
        rule = AsOfRule(known_at, options.pinned)
        repo = repo_dir(config)
        on_demand = OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry)
        wanted = wanted_features(feature_refs, feature_views, full_feature_names)
        views = views_of(wanted)

        if entity_df is None:
            start, end = compute_non_entity_date_range(feature_views, start_date=start_date, end_date=end_date)
            entities = all_entities(
                views, as_utc(start), as_utc(end), repo, threads=options.threads, memory_limit=options.memory_limit
            )
        else:
            with connect(threads=options.threads, memory_limit=options.memory_limit) as connection:
                entities = entity_table(connection, entity_df, repo)
        instant = instant_column(entities)
        outputs = [item.output for item in wanted]
        computed = on_demand_outputs(on_demand, feature_refs, full_feature_names)
        refuse_collisions(entities.column_names, outputs, computed, full_feature_names)
        times = parsed_instants(entities, instant)

        def evaluate() -> pa.Table:
            from trueup.stores.asof import read_view

            rows = entities.set_column(entities.column_names.index(instant), instant, times)
            columns: dict[str, pa.ChunkedArray] = {}
            with connect(threads=options.threads, memory_limit=options.memory_limit) as connection:
                for view in views:
                    runs = ledger_of(config).runs(project, view.table) if known_at == "served" else ()
                    read = read_view(connection, view, rows, instant=instant, rule=rule, runs=runs, base_dir=repo)
                    columns |= dict(zip(read.values.column_names, read.values.columns, strict=True))
            table = entities
            for item in wanted:
                table = table.append_column(item.output, columns[item.column])
            return table

        present = pd.Series(times.to_pandas())
        return DuckDBRetrievalJob(
            evaluate,
            repo=repo,
            full_feature_names=full_feature_names,
            on_demand_feature_views=on_demand,
            metadata=RetrievalMetadata(
                features=feature_refs,
                keys=[name for name in entities.column_names if name != instant],
                min_event_timestamp=None if present.empty else present.min().to_pydatetime(),
                max_event_timestamp=None if present.empty else present.max().to_pydatetime(),
            ),
        )

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> RetrievalJob:
        """The newest row of each entity in the event window, by (event time, created), in key order.

        What Feast's own engines materialize from: the columns are the source's, of the source's types, and no created
        time is too late. (`LedgerEngine` reads `read_latest` instead, with declared types and both clocks.) Rows with a
        null key are skipped; two rows that are newest alike with different values are a SourceError.
        """
        return _pull(
            config,
            data_source,
            join_key_columns,
            feature_name_columns,
            timestamp_field,
            created_timestamp_column,
            start_date,
            end_date,
            latest=True,
        )

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """Every row in the event window (both ends inclusive); without feature_name_columns, with all columns."""
        return _pull(
            config,
            data_source,
            join_key_columns,
            feature_name_columns,
            timestamp_field,
            created_timestamp_column,
            start_date,
            end_date,
            latest=False,
        )

    @staticmethod
    def write_logged_features(
        config: RepoConfig,
        data: pa.Table | Path,
        source: LoggingSource,  # noqa: ARG004 - Feast passes it by name
        logging_config: LoggingConfig,
        registry: BaseRegistry,  # noqa: ARG004 - Feast passes it by name
    ) -> None:
        """Appends one Parquet file to a file destination's directory."""
        destination = logging_config.destination
        if not isinstance(destination, FileLoggingDestination):
            raise StoreError(
                f"feature logs cannot be written to a {type(destination).__name__}; this store writes Parquet files.",
                hint="Use a FileLoggingDestination.",
            )
        table = pq.read_table(data) if isinstance(data, Path) else data
        directory = local_path(destination.to_data_source(), repo_dir(config), "feature log")
        append_parquet(table, directory, partition_by=destination.partition_by or ())

    @staticmethod
    def offline_write_batch(
        config: RepoConfig,
        feature_view: FeatureView,
        table: pa.Table,
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Appends rows to a Parquet file source: to the file, or as one more file of a directory."""
        source = feature_view.batch_source
        what = f"feature view {feature_view.name}"
        if not isinstance(source, FileSource):
            raise StoreError(
                f"{what}: rows cannot be written to its {type(source).__name__}.",
                hint="Write to the tables its query reads, or use a FileSource.",
            )
        path = local_path(source, repo_dir(config), what)
        if path.is_dir():
            append_parquet(table, path)
        else:
            write_parquet(_appended(path, table, what), path)
        if progress is not None:
            progress(table.num_rows)


def _pull(
    config: RepoConfig,
    data_source: DataSource,
    join_keys: Sequence[str],
    features: Sequence[str],
    timestamp_field: str,
    created_column: str | None,
    start: datetime | None,
    end: datetime | None,
    *,
    latest: bool,
) -> RetrievalJob:
    refuse_delta(data_source)
    options: DuckDBOfflineStoreConfig = config.offline_store
    source = source_from_feast(data_source.name, data_source)
    keys = [name for name in join_keys if name != DUMMY_ENTITY_ID]

    def evaluate() -> pa.Table:
        from trueup.stores.duckdb_tables import connect
        from trueup.stores.pull import pull

        with connect(threads=options.threads, memory_limit=options.memory_limit) as connection:
            table = pull(
                connection,
                source,
                keys=keys,
                features=list(features),
                timestamp_field=timestamp_field,
                created_column=created_column or None,
                start=None if start is None else as_utc(start),
                end=None if end is None else as_utc(end),
                latest=latest,
                base_dir=repo_dir(config),
                what=f"source {data_source.name}",
            )
        if not keys and DUMMY_ENTITY_ID not in table.column_names:
            table = table.append_column(DUMMY_ENTITY_ID, pa.array([DUMMY_ENTITY_VAL] * table.num_rows, pa.string()))
        return table

    return DuckDBRetrievalJob(evaluate, repo=repo_dir(config))


def _appended(path: Path, table: pa.Table, what: str) -> pa.Table:
    if not path.exists():
        return table
    stored = pq.read_table(path)
    if sorted(stored.column_names) != sorted(table.column_names):
        raise InputError(
            "table",
            f"{what}: the rows have columns {', '.join(table.column_names)}; {path.name} has "
            f"{', '.join(stored.column_names)}.",
        )
    try:
        return pa.concat_tables([stored, table.select(stored.column_names).cast(stored.schema)])
    except pa.ArrowException as error:
        raise InputError("table", f"{what}: the rows do not fit the types of {path.name}: {error}.") from error
