"""The training set of a recipe: entity rows with their labels, and their features as of each row's instant."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.contracts.contract import FeatureContract
from trueup.errors import InputError, SourceError
from trueup.features.historical import read_as_of
from trueup.frame import FeatureFrame
from trueup.instants import format_instant
from trueup.stores.asof_sql import identifier, is_timestamp
from trueup.stores.duckdb_tables import connect, describe, first_line, register_tables
from trueup.stores.ledger import Ledger
from trueup_training.recipe import INSTANT, LABEL_KNOWN_AT, Recipe, Window

Progress = Callable[[str], None]
"""Told what is done next, before it is."""

_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")


@dataclass(frozen=True)
class Counts:
    """What became of the entity rows of the two windows.

    train, holdout: rows used. not_sampled: of the training window, left out by `rows.sample`. label_unknown: of
    both windows, left out because their answer was not known in time.
    """

    train: int
    holdout: int
    not_sampled: int
    label_unknown: int


@dataclass(frozen=True)
class TrainingSet:
    """rows: the entity rows, training window first, each window by (instant, id). features: one row for each.

    labels: 0 or 1, int8. digest: hash of the content of rows and features, not of how they lie in memory.
    """

    rows: pa.Table
    features: FeatureFrame
    labels: npt.NDArray[np.int8]
    counts: Counts
    digest: str

    @property
    def train(self) -> slice:
        return slice(0, self.counts.train)

    @property
    def holdout(self) -> slice:
        return slice(self.counts.train, self.counts.train + self.counts.holdout)


def build_training_set(
    recipe: Recipe,
    contract: FeatureContract,
    *,
    repo: Path,
    now: datetime,
    ledger: Ledger | None = None,
    progress: Progress | None = None,
) -> TrainingSet:
    """Entity rows and features of a recipe. The same recipe and data give the same set, in the same order.

    now: labels that became known later do not count (nor those after `as_of.pinned`). ledger: what `served` asks;
    without one, the views' declared schedules. Raises InputError when the query's rows cannot be learned from,
    SourceError when something cannot be read.
    """
    tell = progress or (lambda _: None)
    tell("entity rows")
    rows, counts = _entity_rows(recipe, contract, repo=repo, now=now)
    features = read_as_of(
        contract,
        rows,
        recipe.as_of.rule,
        repo=repo,
        ledger=ledger,
        instant=INSTANT,
        progress=lambda view: tell(f"features of {view}"),
    )
    labels = pc.cast(rows.column(recipe.rows.label), pa.int8()).to_numpy().copy()
    for window, part in (("train", labels[: counts.train]), ("holdout", labels[counts.train :])):
        if len(np.unique(part)) < 2:
            raise InputError(
                f"{window}",
                f"recipe {recipe.name}: all {len(part):,} rows of {window} have {recipe.rows.label} = {int(part[0])}; "
                "a classifier needs both answers.",
                hint=f"Widen the {window} window, or look at the query.",
            )
    return TrainingSet(rows, features, labels, counts, table_digest(rows, features.values))


def table_digest(*tables: pa.Table) -> str:
    """SHA-256 of the content of tables, in hex: names, types, nulls, values, row order; not chunks or padding."""
    found = hashlib.sha256()
    for table in tables:
        for field, column in zip(table.schema, table.columns, strict=True):
            found.update(f"{field.name}\0{field.type}\0{table.num_rows}\0".encode())
            _hash_array(found, column.combine_chunks() if column.num_chunks != 1 else column.chunk(0))
    return found.hexdigest()


def _hash_array(found: Any, array: pa.Array) -> None:
    """What lies under a null is not content, so nulls are hashed as a mask and their values as zero."""
    found.update(np.packbits(array.is_valid().to_numpy(zero_copy_only=False)).tobytes())
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        found.update(pc.fill_null(pc.list_value_length(array), 0).cast(pa.int64()).to_numpy().tobytes())
        _hash_array(found, array.flatten())
    elif pa.types.is_string(array.type) or pa.types.is_binary(array.type):
        found.update(pc.fill_null(pc.binary_length(array), 0).cast(pa.int64()).to_numpy().tobytes())
        found.update(b"".join(array.drop_null().cast(pa.binary()).to_pylist()))
    elif pa.types.is_boolean(array.type):
        found.update(np.packbits(pc.fill_null(array, False).to_numpy(zero_copy_only=False)).tobytes())
    else:
        width = {8: pa.int8(), 16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[array.type.bit_width]
        found.update(pc.fill_null(array.view(width), 0).to_numpy(zero_copy_only=False).tobytes())


def _entity_rows(recipe: Recipe, contract: FeatureContract, *, repo: Path, now: datetime) -> tuple[pa.Table, Counts]:
    """The rows to read features for, in order: training window, then holdout."""
    what = f"recipe {recipe.name}"
    wanted = list(
        dict.fromkeys(
            [
                recipe.rows.id,
                *(item.name for item in (*contract.entity_fields, *contract.request_fields)),
                INSTANT,
                recipe.rows.label,
                LABEL_KNOWN_AT,
            ]
        )
    )
    with connect() as connection:
        register_tables(connection, recipe.rows.tables, repo, what=what)
        relation = f"(\n{recipe.rows.query}\n)"
        try:
            types = describe(connection, relation, what=f"{what}: rows.query")
        except SourceError as error:
            raise InputError("rows.query", error.message, hint="Mend the recipe's query.") from error
        _check_columns(types, wanted, recipe, contract)
        columns = ", ".join(
            f"CAST({identifier(name)} AS TIMESTAMPTZ) AS {identifier(name)}"
            if name in (INSTANT, LABEL_KNOWN_AT)
            else identifier(name)
            for name in wanted
        )
        try:
            connection.execute(f"CREATE TEMP TABLE trueup_rows AS SELECT {columns} FROM {relation} AS trueup_query")
        except duckdb.Error as error:
            raise InputError("rows.query", f"{what}: rows.query fails: {first_line(error)}") from error
        known_by = min(now, recipe.as_of.pinned) if recipe.as_of.pinned is not None else now
        _check_rows(connection, recipe, known_by)
        train = _window(connection, recipe, recipe.train, known_by, sample=recipe.rows.sample)
        holdout = _window(connection, recipe, recipe.holdout, known_by, sample=None)
        rows_known, train_known, unknown = _counted(connection, recipe, known_by)
    for name, table in (("train", train), ("holdout", holdout)):
        if table.num_rows == 0:
            window: Window = getattr(recipe, name)
            raise InputError(
                name,
                f"{what}: no row from {format_instant(window.start)} to {format_instant(window.end)} ({name}) has a "
                f"label known by {format_instant(known_by)}; of both windows, {rows_known:,} rows have one and "
                f"{unknown:,} do not.",
                hint="Mend the window, as_of.pinned or rows.query.",
            )
    return pa.concat_tables([train, holdout]).combine_chunks(), Counts(
        train=train.num_rows,
        holdout=holdout.num_rows,
        not_sampled=train_known - train.num_rows,
        label_unknown=unknown,
    )


def _check_columns(types: dict[str, str], wanted: list[str], recipe: Recipe, contract: FeatureContract) -> None:
    what = f"recipe {recipe.name}: rows.query"
    if missing := [name for name in wanted if name not in types]:
        raise InputError(
            "rows.query",
            f"{what} gives no column {', '.join(map(repr, missing))}; it gives {', '.join(types)}. It needs the id, "
            f"the label, {INSTANT}, {LABEL_KNOWN_AT} and what feature service {contract.service} asks for.",
        )
    for name in (INSTANT, LABEL_KNOWN_AT):
        if not is_timestamp(types[name]):
            raise InputError("rows.query", f"{what}: column {name} is {types[name]}, expected a TIMESTAMP.")
    label = types[recipe.rows.label]
    if label != "BOOLEAN" and label not in _INTEGERS:
        raise InputError(
            "rows.label", f"{what}: label {recipe.rows.label} is {label}, expected BOOLEAN, or an integer of 0 and 1."
        )


def _check_rows(connection: duckdb.DuckDBPyConnection, recipe: Recipe, known_by: datetime) -> None:
    """Raises InputError for rows that cannot be placed, told apart or learned from."""
    what = f"recipe {recipe.name}: rows.query"
    row_id, label, instant = (identifier(name) for name in (recipe.rows.id, recipe.rows.label, INSTANT))
    problems = (
        (f"{instant} IS NULL", "rows.query", f"{INSTANT} is null, so its features have no instant"),
        (f"{row_id} IS NULL", "rows.id", f"the id {recipe.rows.id} is null"),
        (
            f"{label} IS NULL AND {identifier(LABEL_KNOWN_AT)} <= $known_by",
            "rows.label",
            f"the label {recipe.rows.label} is null, though {LABEL_KNOWN_AT} says that it was known",
        ),
        (f"CAST({label} AS INTEGER) NOT IN (0, 1)", "rows.label", f"the label {recipe.rows.label} is neither 0 nor 1"),
    )
    for condition, field, problem in problems:
        parameters = {"known_by": known_by} if "$known_by" in condition else {}
        count, example = connection.execute(
            f"SELECT count(*), min(CAST({row_id} AS VARCHAR)) FROM trueup_rows WHERE {condition}", parameters
        ).fetchall()[0]
        if count:
            named = f", such as {recipe.rows.id} {example}" if example is not None else ""
            raise InputError(field, f"{what}: of {count:,} rows{named}, {problem}.", hint="Mend the query.")
    twice = connection.execute(
        f"SELECT CAST({row_id} AS VARCHAR), count(*) FROM trueup_rows GROUP BY {row_id} HAVING count(*) > 1 "
        "ORDER BY 1 LIMIT 1"
    ).fetchone()
    if twice is not None:
        raise InputError(
            "rows.id",
            f"{what}: {recipe.rows.id} {twice[0]} names {twice[1]} rows; the id must name each row once.",
            hint="Name another column as rows.id, or mend the query.",
        )


def _window(
    connection: duckdb.DuckDBPyConnection, recipe: Recipe, window: Window, known_by: datetime, *, sample: int | None
) -> pa.Table:
    row_id, instant = identifier(recipe.rows.id), identifier(INSTANT)
    # md5, not DuckDB's hash(): its values may change between versions.
    chosen = f"QUALIFY row_number() OVER (ORDER BY md5(CAST({row_id} AS VARCHAR)), {row_id}) <= {sample}"
    table: pa.Table = connection.sql(
        f"SELECT * FROM trueup_rows WHERE {instant} >= $start AND {instant} < $end "
        f"AND {identifier(LABEL_KNOWN_AT)} <= $known_by {chosen if sample is not None else ''} "
        f"ORDER BY {instant}, {row_id}",
        params={"start": window.start, "end": window.end, "known_by": known_by},
    ).to_arrow_table()
    return table


def _counted(connection: duckdb.DuckDBPyConnection, recipe: Recipe, known_by: datetime) -> tuple[int, int, int]:
    """Rows of both windows whose label was known in time, those of the training window, and those not known."""
    instant, known_at = identifier(INSTANT), identifier(LABEL_KNOWN_AT)
    known, train, unknown = connection.execute(
        f"""
        SELECT count(*) FILTER (known), count(*) FILTER (known AND train), count(*) FILTER (NOT known)
        FROM (
            SELECT
                coalesce({known_at} <= $known_by, false) AS known,
                {instant} >= $train_start AND {instant} < $train_end AS train,
                {instant} >= $holdout_start AND {instant} < $holdout_end AS holdout
            FROM trueup_rows
        )
        WHERE train OR holdout
        """,
        {
            "known_by": known_by,
            "train_start": recipe.train.start,
            "train_end": recipe.train.end,
            "holdout_start": recipe.holdout.start,
            "holdout_end": recipe.holdout.end,
        },
    ).fetchall()[0]
    return known, train, unknown
