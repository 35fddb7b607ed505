"""The entity rows of a training set: whose features are read, as of when, and what the answer was. SQL, run by DuckDB.

Rows whose answer was not known by the pinned instant are left out before anything is asked of them: what lands later
changes neither the rows nor whether they can be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from trueup.contracts.contract import FeatureContract
from trueup.datasets.spec import INSTANT, LABEL_KNOWN_AT, DatasetSpec, Span
from trueup.errors import InputError, SourceError
from trueup.instants import format_instant
from trueup.stores.asof_sql import identifier, is_timestamp
from trueup.stores.duckdb_tables import connect, describe, first_line, register_tables

_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")


@dataclass(frozen=True)
class Counts:
    """What became of the entity rows of the two windows.

    train, holdout: rows used. not_sampled: of the training window, left out by `rows.sample`. label_unknown: of
    both windows, left out because their answer was not known in time; None when that is not recorded (a snapshot does
    not, since every late row changes it).
    """

    train: int
    holdout: int
    not_sampled: int
    label_unknown: int | None


def read_entity_rows(spec: DatasetSpec, contract: FeatureContract, *, repo: Path) -> tuple[pa.Table, Counts]:
    """The rows to read features for: training window first, then holdout, each by (instant, id).

    Columns: id, the contract's entity and request columns, `event_timestamp`, label, `label_known_at` (both
    timestamp[us, UTC]). Raises InputError for a query whose rows cannot be learned from, SourceError for a table that
    cannot be read.
    """
    what = f"recipe {spec.name}"
    wanted = _wanted(spec, contract)
    with connect() as connection:
        register_tables(connection, spec.rows.tables, repo, what=what)
        relation = f"(\n{spec.rows.query}\n)"
        try:
            types = describe(connection, relation, what=f"{what}: rows.query")
        except SourceError as error:
            raise InputError("rows.query", error.message, hint="Mend the recipe's query.") from error
        _check_columns(types, wanted, spec, contract)
        columns = ", ".join(
            f"CAST({identifier(name)} AS TIMESTAMPTZ) AS {identifier(name)}"
            if name in (INSTANT, LABEL_KNOWN_AT)
            else identifier(name)
            for name in wanted
        )
        known = f"coalesce({identifier(LABEL_KNOWN_AT)} <= $known_by, false)"
        try:
            connection.execute(
                f"CREATE TEMP TABLE trueup_asked AS SELECT *, {known} AS trueup_known "
                f"FROM (SELECT {columns} FROM {relation} AS trueup_query)",
                {"known_by": spec.pinned},
            )
        except duckdb.Error as error:
            raise InputError("rows.query", f"{what}: rows.query fails: {first_line(error)}") from error
        connection.execute(
            "CREATE TEMP VIEW trueup_rows AS SELECT * EXCLUDE (trueup_known) FROM trueup_asked WHERE trueup_known"
        )
        _check_rows(connection, spec)
        train = _window(connection, spec, spec.train, sample=spec.rows.sample)
        holdout = _window(connection, spec, spec.holdout, sample=None)
        known_rows, known_train, unknown = _counted(connection, spec)
    for name, table, window in (("train", train, spec.train), ("holdout", holdout, spec.holdout)):
        if table.num_rows == 0:
            raise InputError(
                name,
                f"{what}: no row from {window} ({name}) has a label known by {format_instant(spec.pinned)}; of both "
                f"windows, {known_rows:,} rows have one and {unknown:,} do not.",
                hint="Mend the window, as_of.pinned or rows.query.",
            )
    return pa.concat_tables([train, holdout]).combine_chunks(), Counts(
        train=train.num_rows,
        holdout=holdout.num_rows,
        not_sampled=known_train - train.num_rows,
        label_unknown=unknown,
    )


def _wanted(spec: DatasetSpec, contract: FeatureContract) -> list[str]:
    asked = (item.name for item in (*contract.entity_fields, *contract.request_fields))
    return list(dict.fromkeys([spec.rows.id, *asked, INSTANT, spec.rows.label, LABEL_KNOWN_AT]))


def _check_columns(types: dict[str, str], wanted: list[str], spec: DatasetSpec, contract: FeatureContract) -> None:
    what = f"recipe {spec.name}: rows.query"
    if missing := [name for name in wanted if name not in types]:
        raise InputError(
            "rows.query",
            f"{what} gives no column {', '.join(map(repr, missing))}; it gives {', '.join(types)}. It needs the id, "
            f"the label, {INSTANT}, {LABEL_KNOWN_AT} and what feature service {contract.service} asks for.",
        )
    for name in (INSTANT, LABEL_KNOWN_AT):
        if not is_timestamp(types[name]):
            raise InputError("rows.query", f"{what}: column {name} is {types[name]}, expected a TIMESTAMP.")
    label = types[spec.rows.label]
    if label != "BOOLEAN" and label not in _INTEGERS:
        raise InputError(
            "rows.label", f"{what}: label {spec.rows.label} is {label}, expected BOOLEAN, or an integer of 0 and 1."
        )


def _check_rows(connection: duckdb.DuckDBPyConnection, spec: DatasetSpec) -> None:
    """Raises InputError for rows that cannot be placed, told apart or learned from."""
    what = f"recipe {spec.name}: rows.query"
    row_id, label, instant = (identifier(name) for name in (spec.rows.id, spec.rows.label, INSTANT))
    problems = (
        (f"{instant} IS NULL", "rows.query", f"{INSTANT} is null, so its features have no instant"),
        (f"{row_id} IS NULL", "rows.id", f"the id {spec.rows.id} is null"),
        (
            f"{label} IS NULL",
            "rows.label",
            f"the label {spec.rows.label} is null, though {LABEL_KNOWN_AT} says that it was known",
        ),
        (f"CAST({label} AS INTEGER) NOT IN (0, 1)", "rows.label", f"the label {spec.rows.label} is neither 0 nor 1"),
    )
    for condition, field, problem in problems:
        count, example = connection.execute(
            f"SELECT count(*), min(CAST({row_id} AS VARCHAR)) FROM trueup_rows WHERE {condition}"
        ).fetchall()[0]
        if count:
            named = f", such as {spec.rows.id} {example}" if example is not None else ""
            raise InputError(field, f"{what}: of {count:,} rows{named}, {problem}.", hint="Mend the query.")
    twice = connection.execute(
        f"SELECT CAST({row_id} AS VARCHAR), count(*) FROM trueup_rows GROUP BY {row_id} HAVING count(*) > 1 "
        "ORDER BY 1 LIMIT 1"
    ).fetchone()
    if twice is not None:
        raise InputError(
            "rows.id",
            f"{what}: {spec.rows.id} {twice[0]} names {twice[1]} rows; the id must name each row once.",
            hint="Name another column as rows.id, or mend the query.",
        )


def _window(connection: duckdb.DuckDBPyConnection, spec: DatasetSpec, window: Span, *, sample: int | None) -> pa.Table:
    row_id, instant = identifier(spec.rows.id), identifier(INSTANT)
    # md5, not DuckDB's hash(): its values may change between versions.
    chosen = f"QUALIFY row_number() OVER (ORDER BY md5(CAST({row_id} AS VARCHAR)), {row_id}) <= {sample}"
    table: pa.Table = connection.sql(
        f"SELECT * FROM trueup_rows WHERE {instant} >= $start AND {instant} < $end "
        f"{chosen if sample is not None else ''} ORDER BY {instant}, {row_id}",
        params={"start": window.start, "end": window.end},
    ).to_arrow_table()
    return table


def _counted(connection: duckdb.DuckDBPyConnection, spec: DatasetSpec) -> tuple[int, int, int]:
    """Rows of both windows whose label was known in time, those of the training window, and those not known."""
    instant = identifier(INSTANT)
    known, train, unknown = connection.execute(
        f"""
        SELECT
            count(*) FILTER (trueup_known),
            count(*) FILTER (trueup_known AND train),
            count(*) FILTER (NOT trueup_known)
        FROM (
            SELECT
                trueup_known,
                {instant} >= $train_start AND {instant} < $train_end AS train,
                {instant} >= $holdout_start AND {instant} < $holdout_end AS holdout
            FROM trueup_asked
        )
        WHERE train OR holdout
        """,
        {
            "train_start": spec.train.start,
            "train_end": spec.train.end,
            "holdout_start": spec.holdout.start,
            "holdout_end": spec.holdout.end,
        },
    ).fetchall()[0]
    return known, train, unknown
