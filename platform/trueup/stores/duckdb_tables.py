"""DuckDB connections and the tables of a source: the only place that opens DuckDB or names a file to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from trueup.contracts.contract import Source
from trueup.errors import SourceError
from trueup.stores.asof_sql import identifier, is_timestamp, literal, subquery


@contextmanager
def connect(*, threads: int | None = None, memory_limit: str | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory connection. threads, memory_limit (such as `2GB`): DuckDB's own default if None."""
    connection = duckdb.connect()
    try:
        connection.execute("SET enable_progress_bar = false")
        if threads is not None:
            connection.execute(f"SET threads = {int(threads)}")
        if memory_limit is not None:
            connection.execute(f"SET memory_limit = {literal(memory_limit)}")
        yield connection
    finally:
        connection.close()


def register_tables(
    connection: duckdb.DuckDBPyConnection, tables: Mapping[str, str], base_dir: Path, *, what: str
) -> None:
    """Makes each Parquet path a view of its name; a name registered before is replaced.

    A path is a file, a directory of Parquet files (Hive partitions become columns), a glob or a URI.
    Relative ones are relative to `base_dir`. Puts the connection's time zone to UTC, which the query's own time
    arithmetic depends on. Raises SourceError naming `what`, table and path.
    """
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET python_enable_replacements = false")  # a table is never some Python variable of that name
    for name, path in tables.items():
        try:
            connection.execute(
                f"CREATE OR REPLACE TEMP VIEW {identifier(name)} AS FROM {_parquet(path, base_dir, what)}"
            )
        except duckdb.Error as error:
            raise SourceError(
                f"{what}: table {name!r} cannot be read from {_located(path, base_dir)}: {first_line(error)}",
                hint="Write the file first (is the ingest step done?), or mend the path in the feature repository.",
            ) from error


def source_relation(connection: duckdb.DuckDBPyConnection, source: Source, base_dir: Path, *, what: str) -> str:
    """SQL of a source's rows: a query with its tables registered, or the one Parquet file itself."""
    if source.query is not None:
        register_tables(connection, source.tables, base_dir, what=what)
        return subquery(source.query)
    (path,) = source.tables.values()
    register_tables(connection, {path: path}, base_dir, what=what)
    return identifier(path)


def describe(connection: duckdb.DuckDBPyConnection, relation: str, *, what: str) -> dict[str, str]:
    """Column name -> DuckDB type name of a relation, in its order. Reads no row."""
    try:
        rows = connection.execute(f"DESCRIBE SELECT * FROM {relation} AS source").fetchall()
    except duckdb.Error as error:
        raise SourceError(
            f"{what}: its query fails: {first_line(error)}", hint="Mend the query in the feature repository."
        ) from error
    return {str(row[0]): str(row[1]) for row in rows}


def require_columns(types: Mapping[str, str], columns: Sequence[str], clocks: Sequence[str], *, what: str) -> None:
    """Raises SourceError when a source (its columns' types) lacks a column, or a clock is no timestamp."""
    if absent := [name for name in dict.fromkeys((*columns, *clocks)) if name not in types]:
        raise SourceError(
            f"{what}: its source has no column {', '.join(map(repr, absent))}; it has {', '.join(types)}.",
            hint="Mend the source's query or field_mapping, or the view's schema.",
        )
    for name in clocks:
        if not is_timestamp(types[name]):
            raise SourceError(
                f"{what}: column {name!r} of its source is {types[name]}, expected a TIMESTAMP.",
                hint="Cast it where the source is written.",
            )


@contextmanager
def scratch(connection: duckdb.DuckDBPyConnection, *, what: str) -> Iterator[None]:
    """Our own schema `trueup` for as long as one source is read; nothing of it stays in the connection.

    Whatever DuckDB finds wrong meanwhile is the source's fault, and is raised as a SourceError naming `what`.
    """
    connection.execute("CREATE SCHEMA trueup")
    try:
        with scratch_errors(what=what):
            yield
    finally:
        connection.execute("DROP SCHEMA trueup CASCADE")


@contextmanager
def scratch_errors(*, what: str) -> Iterator[None]:
    """Whatever DuckDB finds wrong while a source is read, as a SourceError naming `what`."""
    try:
        yield
    except duckdb.Error as error:
        raise SourceError(
            f"{what}: its source cannot be read: {first_line(error)}",
            hint="Mend the source's query or data, or the declared types.",
        ) from error


def arrow(connection: duckdb.DuckDBPyConnection, query: str) -> pa.Table:
    """The result of a query, in its order."""
    table: pa.Table = connection.sql(query).to_arrow_table()
    return table


def _parquet(path: str, base_dir: Path, what: str) -> str:
    located = _located(path, base_dir)
    if "://" in located or not Path(located).is_dir():
        return f"read_parquet({literal(located)}, hive_partitioning = false)"
    if (Path(located) / "_delta_log").exists():
        raise SourceError(
            f"{what}: {located} is a Delta table, and its files alone do not say which rows count.",
            hint="Write it as Parquet.",
        )
    return f"read_parquet({literal(f'{located}/**/*.parquet')}, hive_partitioning = true)"


def _located(path: str, base_dir: Path) -> str:
    return path if "://" in path else str(base_dir / path)


def first_line(error: Exception) -> str:
    """What DuckDB says is wrong, without its drawing of where, as a sentence."""
    return f"{str(error).strip().splitlines()[0].rstrip('.')}."
