"""`DuckDBQuerySource`: a Feast data source whose rows are a SQL query over Parquet files.

Batch feature logic stands in the query, and both materialization and history run it: one definition.
Importing this file needs no DuckDB, so that a serving process can read a registry that names the class.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from feast.data_source import DataSource
from feast.protos.feast.core.DataSource_pb2 import DataSource as DataSourceProto
from feast.repo_config import RepoConfig
from feast.value_type import ValueType

from trueup.errors import SourceError
from trueup.hashing import canonical_json
from trueup.stores.asof_sql import is_timestamp, subquery

FORMAT = 1
"""Version of the JSON in the proto's `custom_options.configuration`."""

_SCALARS: dict[str, ValueType] = {
    "BOOLEAN": ValueType.BOOL,
    "TINYINT": ValueType.INT32,
    "SMALLINT": ValueType.INT32,
    "INTEGER": ValueType.INT32,
    "UTINYINT": ValueType.INT32,
    "USMALLINT": ValueType.INT32,
    "UINTEGER": ValueType.INT64,
    "BIGINT": ValueType.INT64,
    "UBIGINT": ValueType.INT64,
    "HUGEINT": ValueType.INT64,  # what sum() of integers gives; a sum beyond 64 bits is an error when it is read
    "FLOAT": ValueType.FLOAT,
    "DOUBLE": ValueType.DOUBLE,
    "VARCHAR": ValueType.STRING,
    "BLOB": ValueType.BYTES,
    "DATE": ValueType.UNIX_TIMESTAMP,
    "JSON": ValueType.JSON,
    "UUID": ValueType.UUID,
}
_DECIMAL = re.compile(r"DECIMAL\(\d+,\d+\)")


class DuckDBQuerySource(DataSource):
    """Rows of `query`, run by DuckDB with each of `tables` as a view of that name.

    tables: view name -> Parquet file, directory or glob. Relative paths are relative to the feature
    repository. The query's time zone is UTC; its row order does not matter, but it must give the same rows
    every time it runs over the same files. timestamp_field and created_timestamp_column are columns of the
    query's result: the event time, and when the row became known (without one, a row counts as known at its
    event time).
    """

    def __init__(
        self,
        *,
        name: str,
        query: str,
        tables: Mapping[str, str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        field_mapping: Mapping[str, str] | None = None,
        description: str = "",
        tags: Mapping[str, str] | None = None,
        owner: str = "",
    ) -> None:
        if not query.strip():
            raise SourceError(f"source {name}: its query is empty.", hint="Give it a SELECT over its tables.")
        if not timestamp_field:
            raise SourceError(f"source {name}: it has no timestamp_field.", hint="Name the event time column.")
        super().__init__(
            name=name,
            timestamp_field=timestamp_field,
            created_timestamp_column=created_timestamp_column,
            field_mapping=dict(field_mapping or {}),
            description=description,
            tags=dict(tags or {}),
            owner=owner,
        )
        self.query = query
        self.tables = dict(tables)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, DuckDBQuerySource)
            and bool(super().__eq__(other))
            and self.query == other.query
            and self.tables == other.tables
        )

    def __hash__(self) -> int:
        return hash((self.name, self.timestamp_field, self.query))

    def source_type(self) -> DataSourceProto.SourceType.ValueType:
        return DataSourceProto.CUSTOM_SOURCE

    def _to_proto_impl(self) -> DataSourceProto:
        configuration = canonical_json({"format": FORMAT, "query": self.query, "tables": self.tables})
        return DataSourceProto(
            name=self.name,
            type=DataSourceProto.CUSTOM_SOURCE,
            data_source_class_type=f"{type(self).__module__}.{type(self).__name__}",
            timestamp_field=self.timestamp_field,
            created_timestamp_column=self.created_timestamp_column,
            field_mapping=self.field_mapping,
            custom_options=DataSourceProto.CustomSourceOptions(configuration=configuration),
            description=self.description,
            tags=self.tags,
            owner=self.owner,
        )

    @staticmethod
    def from_proto(data_source: DataSourceProto) -> DuckDBQuerySource:
        configuration = json.loads(data_source.custom_options.configuration)
        if configuration.get("format") != FORMAT:
            raise SourceError(
                f"source {data_source.name}: the registry holds format {configuration.get('format')!r} of it; "
                f"this version reads {FORMAT}.",
                hint="Run `feast apply` with this version of trueup.",
            )
        return DuckDBQuerySource(
            name=data_source.name,
            query=configuration["query"],
            tables=configuration["tables"],
            timestamp_field=data_source.timestamp_field,
            created_timestamp_column=data_source.created_timestamp_column or None,
            field_mapping=dict(data_source.field_mapping),
            description=data_source.description,
            tags=dict(data_source.tags),
            owner=data_source.owner,
        )

    def validate(self, config: RepoConfig) -> None:
        """Raises SourceError when the query cannot run, or gives no such timestamp columns."""
        types = dict(self.get_table_column_names_and_types(config))
        for column in filter(None, (self.timestamp_field, self.created_timestamp_column)):
            if column not in types:
                raise SourceError(
                    f"source {self.name}: its query gives no column {column!r}; it gives {', '.join(types)}.",
                    hint="Select it in the query, or name another timestamp column.",
                )
            if not is_timestamp(types[column]):
                raise SourceError(
                    f"source {self.name}: column {column!r} is {types[column]}, expected a TIMESTAMP.",
                    hint=f"Cast it in the query: CAST({column} AS TIMESTAMP).",
                )

    def get_table_column_names_and_types(self, config: RepoConfig) -> Iterable[tuple[str, str]]:
        """Columns of the query's result with their DuckDB type names."""
        # DuckDB is heavy and optional: a serving process imports this file and never calls this.
        from trueup.stores.duckdb_tables import connect, describe, register_tables

        with connect() as connection:
            register_tables(connection, self.tables, repo_dir(config), what=f"source {self.name}")
            return list(describe(connection, subquery(self.query), what=f"source {self.name}").items())

    @staticmethod
    def source_datatype_to_feast_value_type() -> Callable[[str], ValueType]:
        return feast_value_type

    def get_table_query_string(self) -> str:
        return subquery(self.query)


def repo_dir(config: RepoConfig) -> Path:
    """The feature repository's folder, which relative paths of sources are relative to."""
    repo_path: Any = getattr(config, "repo_path", None)
    return Path(repo_path) if repo_path else Path()


def feast_value_type(duckdb_type: str) -> ValueType:
    """Feast's type of a DuckDB type name, as `feast apply` infers it for a view without a schema."""
    if duckdb_type in _SCALARS:
        return _SCALARS[duckdb_type]
    if is_timestamp(duckdb_type):
        return ValueType.UNIX_TIMESTAMP
    if _DECIMAL.fullmatch(duckdb_type):
        return ValueType.DOUBLE
    if duckdb_type.endswith("[]"):
        item = feast_value_type(duckdb_type.removesuffix("[]"))
        if not item.name.endswith("_LIST") and f"{item.name}_LIST" in ValueType.__members__:
            return ValueType[f"{item.name}_LIST"]
    raise SourceError(
        f"DuckDB type {duckdb_type} has no Feast type.",
        hint="Cast the column in the source's query, or declare the view's schema.",
    )
