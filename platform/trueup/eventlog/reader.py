"""Reads served logs back. Whatever is there is read or named in an error: nothing is skipped unsaid."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trueup.contracts.contract import FeatureContract
from trueup.errors import ContractError, InputError, SourceError
from trueup.eventlog.layout import CONTRACT_FILE, SUFFIX, experiment_file, parse_date_directory, serving_file
from trueup.eventlog.records import (
    FEATURE_TIMESTAMP,
    LATER_COLUMNS,
    LOG_TIMESTAMP,
    MODEL,
    REQUEST_ID,
    ROLE,
    ROLES,
    ROW,
    Role,
    frame_of,
    inputs_of,
    log_schema,
)
from trueup.frame import FeatureFrame
from trueup.hashing import digest


@dataclass(frozen=True)
class ServedLog:
    """Rows served under one contract, oldest first. `table` has the columns of `log_schema(contract)`."""

    contract: FeatureContract
    table: pa.Table

    @property
    def num_rows(self) -> int:
        return int(self.table.num_rows)

    @property
    def frame(self) -> FeatureFrame:
        """The features as served, row by row of `table`."""
        return frame_of(self.contract, self.table)

    @property
    def inputs(self) -> pa.Table:
        """The entity and request columns as sent, row by row of `table`."""
        return inputs_of(self.contract, self.table)


def find_logs(root: Path) -> tuple[Path, ...]:
    """The directories under `root` that hold a contract's log (`root` itself may be one), sorted."""
    return tuple(sorted(path.parent for path in root.rglob(CONTRACT_FILE)))


def read_log(
    directory: Path,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    models: Collection[str] | None = None,
    roles: Collection[Role] | None = None,
) -> ServedLog:
    """The served rows of one contract's directory, sorted by instant, request, row, role and model.

    start, end: aware; start <= `__log_timestamp` < end. models: registered names. None means all.
    Raises SourceError for a directory that is no log, and for a file in it that is damaged or not of it;
    InputError for a role there is not. Files still being written (hidden names) are not part of a log yet.
    """
    if unknown := sorted(set(roles or ()) - set(ROLES)):
        raise InputError("roles", f"roles: {unknown[0]!r} is not one of {', '.join(ROLES)}.")
    contract = read_contract(directory)
    schema = log_schema(contract)
    tables = [
        _select(_read_file(path, schema), start, end, models, roles)
        for day, path in _files(directory)
        if _overlaps(day, start, end)
    ]
    table = pa.concat_tables([schema.empty_table(), *tables])
    order = pc.sort_indices(table, [(name, "ascending") for name in (LOG_TIMESTAMP, REQUEST_ID, ROW, ROLE, MODEL)])
    return ServedLog(contract, table.take(order).combine_chunks())


def read_log_batches(
    directory: Path,
    *,
    most_rows: int,
    start: datetime | None = None,
    end: datetime | None = None,
    models: Collection[str] | None = None,
) -> Iterator[ServedLog]:
    """The rows of `read_log`, some files at a time: at most `most_rows`, unless one file has more.

    Each batch is sorted by itself. A log without such rows is no batch.
    """
    contract = read_contract(directory)
    schema = log_schema(contract)
    waiting: list[pa.Table] = []

    def batch() -> ServedLog:
        table = pa.concat_tables(waiting)
        order = pc.sort_indices(table, [(name, "ascending") for name in (LOG_TIMESTAMP, REQUEST_ID, ROW, ROLE, MODEL)])
        return ServedLog(contract, table.take(order).combine_chunks())

    for day, path in _files(directory):
        if not _overlaps(day, start, end):
            continue
        table = _select(_read_file(path, schema), start, end, models, None)
        if waiting and sum(part.num_rows for part in waiting) + table.num_rows > most_rows:
            yield batch()
            waiting = []
        if table.num_rows:
            waiting.append(table)
    if waiting:
        yield batch()


def read_contract(directory: Path) -> FeatureContract:
    """The contract a log directory was written under."""
    path = directory / CONTRACT_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        logs = ", ".join(str(log) for log in find_logs(directory)) if directory.is_dir() else ""
        raise SourceError(
            f"{directory} is not a served log: it has no {CONTRACT_FILE}.",
            hint=f"Logs under it: {logs}." if logs else "Expected <log directory>/<feature service>/<contract hash>.",
        ) from error
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be read: {error}.") from error
    try:
        return FeatureContract.from_json(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, ContractError) as error:
        raise SourceError(f"{path} cannot be read as a contract: {type(error).__name__}: {error}") from error


def read_serving(directory: Path, version: str) -> dict[str, Any]:
    """What a serving version says that rows of a contract's log name. version: its hash.

    Raises SourceError when it is not there, or is not what its hash was taken of.
    """
    return _named(serving_file(directory, version), version, "serving version")


def read_experiment(directory: Path, version: str) -> dict[str, Any]:
    """The split of an experiment that rows of a contract's log name. version: its hash. Raises as `read_serving`."""
    return _named(experiment_file(directory, version), version, "split of an experiment")


def _named(path: Path, version: str, what: str) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SourceError(f"{path} is not there.", hint="It was moved without the rows that name it.") from error
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be read: {error}.") from error
    if not isinstance(document, dict) or digest(document) != version:
        raise SourceError(f"{path} is not the {what} it is named for: it was changed.")
    return document


def log_entries(
    directory: Path, *, start: datetime | None = None, end: datetime | None = None
) -> Iterator[tuple[date | None, Path]]:
    """Day and path of each file of the log, in order; the day is None for what does not belong there.

    start, end: without the days that hold no row with start <= instant < end.
    """
    for entry in _visible(directory):
        if entry.name == CONTRACT_FILE:
            continue
        day = parse_date_directory(entry.name)
        if day is None or not entry.is_dir():
            yield None, entry
            continue
        if not _overlaps(day, start, end):
            continue
        for path in _visible(entry):
            yield (day if path.suffix == SUFFIX and path.is_file() else None), path


def _files(directory: Path) -> Iterator[tuple[date, Path]]:
    """Day and path of each file of the log, in order; raises SourceError for what does not belong there."""
    for day, path in log_entries(directory):
        if day is None:
            among = "files named *.parquet" if path.parent != directory else "directories named date=YYYY-MM-DD"
            raise _foreign(path, f"expected {among}")
        yield day, path


def _visible(directory: Path) -> list[Path]:
    return sorted(entry for entry in directory.iterdir() if not entry.name.startswith((".", "_")))


def _read_file(path: Path, schema: pa.Schema) -> pa.Table:
    try:
        with path.open("rb") as file:  # a path would make pyarrow add the directory's `date=` as a column
            table = pq.read_table(file)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(
            f"{path} cannot be read as Parquet: {error}.",
            hint="It is damaged or cut short; move it away to read the rest of the log without its rows.",
        ) from error
    return conform(table, schema, path)


def conform(table: pa.Table, schema: pa.Schema, path: Path) -> pa.Table:
    """Rows of a file as the contract's log has them; columns that an older trueup did not write are null.

    Raises SourceError naming what differs in its columns.
    """
    table = _with_later_columns(table, schema)
    wrong = [
        f"{name} {_kind(table.schema, name)} instead of {_kind(schema, name)}"
        for name in dict.fromkeys([*schema.names, *table.column_names])
        if _kind(table.schema, name) != _kind(schema, name)
    ]
    if wrong or table.column_names != schema.names:
        raise _foreign(path, f"its columns differ from the contract's: {'; '.join(wrong[:5]) or 'their order'}")
    return table.cast(schema)


def _with_later_columns(table: pa.Table, schema: pa.Schema) -> pa.Table:
    for name in LATER_COLUMNS:
        if name not in table.column_names:
            at = min(schema.get_field_index(name), table.num_columns)
            table = table.add_column(at, schema.field(name), pa.nulls(table.num_rows, schema.field(name).type))
    return table


def _kind(schema: pa.Schema, name: str) -> str:
    positions = schema.get_all_field_indices(name)
    return _stored(schema.field(positions[0]).type) if positions else "absent"


def _stored(kind: pa.DataType) -> str:
    """A type as Parquet gives it back: it has no whole seconds, and a list's items have another name."""
    if pa.types.is_list(kind):
        return f"list<{_stored(kind.value_type)}>"
    if kind == FEATURE_TIMESTAMP:
        return str(pa.timestamp("ms", tz="UTC"))
    return str(kind)


def _select(
    table: pa.Table,
    start: datetime | None,
    end: datetime | None,
    models: Collection[str] | None,
    roles: Collection[Role] | None,
) -> pa.Table:
    instant = table.schema.field(LOG_TIMESTAMP).type
    wanted = []
    if start is not None:
        wanted.append(pc.field(LOG_TIMESTAMP) >= pa.scalar(start, instant))
    if end is not None:
        wanted.append(pc.field(LOG_TIMESTAMP) < pa.scalar(end, instant))
    if models is not None:
        wanted.append(pc.field(MODEL).isin(pa.array(sorted(models), pa.string())))
    if roles is not None:
        wanted.append(pc.field(ROLE).isin(pa.array(sorted(roles), pa.string())))
    for condition in wanted:
        table = table.filter(condition)
    return table


def _overlaps(day: date, start: datetime | None, end: datetime | None) -> bool:
    after_start = start is None or day >= start.astimezone(UTC).date()
    before_end = end is None or day <= end.astimezone(UTC).date()
    return after_start and before_end


def _foreign(path: Path, expected: str) -> SourceError:
    return SourceError(f"{path} does not belong to this log: {expected}.", hint="Move it away.")
