"""Parquet files of a log, in batches. A file that cannot be read is a value that says so, not the end of the log."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from trueup.instants import as_utc

BATCH_ROWS = 65_536
"""Rows decoded at a time."""


@dataclass(frozen=True)
class Damaged:
    """A file, or the rest of one, that cannot be read. rows: how many that leaves out; None where nobody can know."""

    path: Path
    rows: int | None
    problem: str


@dataclass(frozen=True)
class Footer:
    """What a Parquet file says of itself. earliest: lower bound of its instants, None where it states none."""

    path: Path
    rows: int
    schema: pa.Schema
    earliest: datetime | None


def read_footer(path: Path, instant: str) -> Footer | Damaged:
    """instant: the column whose smallest value is `earliest`. Reads no row."""
    try:
        with path.open("rb") as stream, pq.ParquetFile(stream) as file:
            return Footer(path, file.metadata.num_rows, file.schema_arrow, _earliest(file, instant))
    except (pa.ArrowException, OSError) as error:
        return Damaged(path, None, unreadable(error))


def read_batches(path: Path, *, batch_rows: int = BATCH_ROWS) -> Iterator[pa.Table | Damaged]:
    """The rows of a file in its order, then, if it could not be read to its end, what is missing."""
    rows, read = None, 0
    try:
        # Opened here: given a path, pyarrow would add the directories' `name=value` as columns.
        with path.open("rb") as stream, pq.ParquetFile(stream) as file:
            rows = file.metadata.num_rows
            for batch in file.iter_batches(batch_rows):
                read += batch.num_rows
                yield pa.Table.from_batches([batch])
    except (pa.ArrowException, OSError) as error:
        yield Damaged(path, None if rows is None else rows - read, unreadable(error))


def unreadable(error: Exception) -> str:
    """What is wrong with a file, as the end of a sentence that begins with its name."""
    if isinstance(error, PermissionError):
        return "cannot be read: permission denied"
    text = str(error).strip().rstrip(".").splitlines()
    return f"cannot be read as Parquet, it is damaged, cut short or none: {text[0] if text else type(error).__name__}"


def files_under(directory: Path) -> tuple[list[Path], list[Damaged]]:
    """Every file under a directory, sorted, and the directories that cannot be looked into.

    Names that readers of Parquet datasets skip (`.` and `_` first) are not looked at; `__log_date=...` is a partition.
    """
    files: list[Path] = []
    closed: list[Damaged] = []

    def refuse(error: OSError) -> None:
        closed.append(Damaged(Path(error.filename), None, f"cannot be read: {(error.strerror or str(error)).lower()}"))

    for root, folders, names in os.walk(directory, onerror=refuse):
        folders[:] = sorted(name for name in folders if not _hidden(name))
        files += [Path(root) / name for name in names if not _hidden(name)]
    return sorted(files), closed


def _hidden(name: str) -> bool:
    return name.startswith((".", "_")) and "=" not in name


def as_plain(table: pa.Table) -> pa.Table:
    """The same rows without Arrow's dictionaries, extension types and views, which say how values are kept."""
    columns = [_plain(column) for column in table.columns]
    return pa.Table.from_arrays(columns, names=table.column_names)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        storage = pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type)
        return _plain(storage)
    if pa.types.is_dictionary(kind):
        return column.cast(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.string())
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind) or pa.types.is_fixed_size_binary(kind):
        return column.cast(pa.binary())
    return column


def _earliest(file: pq.ParquetFile, column: str) -> datetime | None:
    names = [file.metadata.schema.column(index).path for index in range(file.metadata.num_columns)]
    if column not in names:
        return None
    index, found = names.index(column), []
    for group in range(file.metadata.num_row_groups):
        statistics = file.metadata.row_group(group).column(index).statistics
        if statistics is None or not statistics.has_min_max or not isinstance(statistics.min, datetime):
            return None
        found.append(as_utc(statistics.min))
    return min(found, default=None)
