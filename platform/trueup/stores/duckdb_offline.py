"""`DuckDBOfflineStore`: Feast's offline store over the as-of read, so that plain Feast calls obey the laws too.

Importing this file needs no DuckDB: Feast imports the class of every store named in feature_store.yaml, also in a
process that only reads online. (DuckDB is therefore imported where it is used.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import FeatureView, OnDemandFeatureView
from feast.data_format import DeltaFormat
from feast.data_source import DataSource
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.feature_logging import LoggingConfig, LoggingSource
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.infra.offline_stores.file_source import FileLoggingDestination, FileSource
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob, RetrievalMetadata
from feast.infra.offline_stores.offline_utils import (
    DEFAULT_ENTITY_DF_EVENT_TIMESTAMP_COL,
    infer_event_timestamp_from_entity_df,
)
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel, RepoConfig
from feast.saved_dataset import SavedDatasetStorage
from feast.utils import _parse_feature_ref, compute_non_entity_date_range
from pydantic import StrictStr, field_validator
from typing_extensions import override

from trueup.contracts.contract import View
from trueup.contracts.extract import source_from_feast, view_from_feast
from trueup.errors import InputError, SourceError, StoreError
from trueup.instants import AsOfRule, KnownAt, as_utc, parse_instant
from trueup.stores.ledger_engine import ledger_of
from trueup.stores.parquet_files import append_parquet, write_parquet
from trueup.stores.query_source import repo_dir


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


class DuckDBRetrievalJob(RetrievalJob):
    """A read that runs once, when its result is first asked for. Its tables have one chunk per column.

    (Feast's conversion to online rows reads the first chunk of a table only.)
    """

    def __init__(
        self,
        evaluate: Callable[[], pa.Table],
        *,
        repo: Path,
        full_feature_names: bool = False,
        on_demand_feature_views: Sequence[OnDemandFeatureView] = (),
        metadata: RetrievalMetadata | None = None,
    ) -> None:
        super().__init__()
        self._evaluate = evaluate
        self._table: pa.Table | None = None
        self._repo = repo
        self._full_feature_names = full_feature_names
        self._on_demand_feature_views = list(on_demand_feature_views)
        self._metadata = metadata

    @override
    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        if self._table is None:
            self._table = self._evaluate().combine_chunks()
        return self._table

    @override
    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._to_arrow_internal().to_pandas()
        return frame

    @property
    def full_feature_names(self) -> bool:
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        return self._on_demand_feature_views

    @property
    def metadata(self) -> RetrievalMetadata | None:
        return self._metadata

    @override
    def persist(self, storage: SavedDatasetStorage, allow_overwrite: bool = False, timeout: int | None = None) -> None:
        """Writes the result, on-demand features included, to a Parquet file (or a directory of one)."""
        path = _local_path(storage.to_data_source(), self._repo, "saved dataset")
        if path.exists() and not allow_overwrite:
            raise SavedDatasetLocationAlreadyExists(location=str(path))
        table = self.to_arrow()
        if path.suffix == ".parquet":
            write_parquet(table, path)
            return
        for old in path.glob("**/*.parquet"):
            old.unlink()
        append_parquet(table, path)

    @override
    def to_sql(self) -> str:
        raise NotImplementedError(
            "this read is not one statement: it loads the entity rows, ranks each view's history, and gathers the "
            "features. trueup.stores.asof_sql builds its steps."
        )


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
        wanted = _wanted(feature_refs, feature_views, full_feature_names)
        views = _views(wanted)

        if entity_df is None:
            start, end = compute_non_entity_date_range(feature_views, start_date=start_date, end_date=end_date)
            entities = _all_entities(views, as_utc(start), as_utc(end), repo, options)
        else:
            with connect(threads=options.threads, memory_limit=options.memory_limit) as connection:
                entities = _entity_table(connection, entity_df, repo)
        instant = _instant_column(entities)
        outputs = [item.output for item in wanted]
        on_demand_outputs = _on_demand_outputs(on_demand, feature_refs, full_feature_names)
        _refuse_collisions(entities.column_names, outputs, on_demand_outputs, full_feature_names)
        times = _parsed(entities, instant)

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
        directory = _local_path(destination.to_data_source(), repo_dir(config), "feature log")
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
        path = _local_path(source, repo_dir(config), what)
        if path.is_dir():
            append_parquet(table, path)
        else:
            write_parquet(_appended(path, table, what), path)
        if progress is not None:
            progress(table.num_rows)


@dataclass(frozen=True)
class _Wanted:
    """One requested feature: where it is read, and what its column is called in the result."""

    view: View
    feature: str
    output: str

    @property
    def column(self) -> str:
        return self.view.column(self.feature)


def _wanted(refs: Sequence[str], feature_views: Sequence[FeatureView], full_names: bool) -> list[_Wanted]:
    """The features among the references, in their order; references to on-demand views are Feast's to compute."""
    by_name = {view.projection.name_to_use(): view for view in feature_views}
    asked: dict[tuple[str, str], None] = {}
    for ref in refs:
        name, version, feature = _parse_feature_ref(ref)
        if (used := name if version is None else f"{name}@v{version}") in by_name:
            asked[used, feature] = None
    views = {
        used: view_from_feast(
            view,
            [feature for name, feature in asked if name == used],
            name=view.projection.name_alias or view.name,
        )
        for used, view in by_name.items()
        if any(name == used for name, _ in asked)
    }
    return [
        _Wanted(views[used], feature, views[used].column(feature) if full_names else feature) for used, feature in asked
    ]


def _views(wanted: Sequence[_Wanted]) -> list[View]:
    return list({id(item.view): item.view for item in wanted}.values())


def _entity_table(connection: Any, entity_df: pd.DataFrame | str, repo: Path) -> pa.Table:
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


def _all_entities(
    views: Sequence[View], start: datetime, end: datetime, repo: Path, options: DuckDBOfflineStoreConfig
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
    with connect(threads=options.threads, memory_limit=options.memory_limit) as connection:
        found = [read_entities(connection, view, start=start, end=end, base_dir=repo) for view in views]
    table = pa.concat_tables([part.select(names) for part in found]) if names else pa.table({"one": [0]})
    if names:
        table = table.group_by(list(names)).aggregate([]).sort_by([(name, "ascending") for name in names])
    times = pa.array([end] * table.num_rows, pa.timestamp("us", tz="UTC"))
    return table.select(names).append_column(DEFAULT_ENTITY_DF_EVENT_TIMESTAMP_COL, times)


def _instant_column(entities: pa.Table) -> str:
    """As Feast infers it. Raises Feast's EntityTimestampInferenceException."""
    empty = entities.schema.empty_table().to_pandas()
    return str(infer_event_timestamp_from_entity_df(dict(zip(empty.columns, empty.dtypes, strict=True))))


def _parsed(entities: pa.Table, instant: str) -> pa.ChunkedArray:
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


def _on_demand_outputs(views: Sequence[OnDemandFeatureView], refs: Sequence[str], full_names: bool) -> list[str]:
    names = {view.projection.name_to_use(): view.projection.name_alias or view.name for view in views}
    parsed = [_parse_feature_ref(ref) for ref in refs]
    return [f"{names[name]}__{feature}" if full_names else feature for name, _, feature in parsed if name in names]


def _refuse_collisions(
    entities: Sequence[str], outputs: Sequence[str], on_demand: Sequence[str], full_names: bool
) -> None:
    taken = set(entities)
    for name in (*outputs, *on_demand):
        if name in taken:
            raise InputError(
                "entity_df" if name in entities else "features",
                f"feature column {name!r} has the name of "
                f"{'a column of entity_df' if name in entities else 'another feature'}.",
                hint="Rename the entity_df column." if full_names else "Ask for full_feature_names=True, or rename it.",
            )
        taken.add(name)


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
    _refuse_delta(data_source)
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


def _refuse_delta(source: DataSource) -> None:
    if isinstance(getattr(source, "file_format", None), DeltaFormat):
        raise SourceError(
            f"source {source.name} is a Delta table, which is not supported.", hint="Write it as Parquet."
        )


def _local_path(source: DataSource, repo: Path, what: str) -> Path:
    _refuse_delta(source)
    path = str(getattr(source, "path", ""))
    if not path or "://" in path:
        raise StoreError(f"{what}: {path or type(source).__name__} is not a local path.", hint="Write to a local file.")
    return repo / path


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
