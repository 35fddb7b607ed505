"""Parquet tables on disk: files, directories and globs, read column by column. The only I/O on tables.

Read with Arrow and never filtered by their statistics: those leave NaN out, and a reader that trusts them loses it
(DuckDB 2.0 finds no NaN in a file written by pyarrow or Polars).
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trueup.errors import InputError
from trueup.parity.kinds import kind_of, plain_type

BATCH = 1 << 18
"""Rows read at a time: large enough for bulk work, small enough to stay in a processor's cache column by column."""

_DICTIONARY_BYTES = 4.5
"""Encoded bytes a value at most, for a text column to be read as codes: more means that it has few repeats."""


@dataclass(frozen=True)
class Table:
    """name: as it was asked for. files: in the order of their rows. All files have the same columns."""

    name: str
    files: tuple[Path, ...]
    metadata: tuple[Any, ...]
    schema: pa.Schema

    @cached_property
    def rows(self) -> int:
        return sum(footer.num_rows for footer in self.metadata)

    def encoded_bytes(self, column: str) -> int:
        """Of the column in all files, before compression."""
        return sum(
            chunk.total_uncompressed_size
            for footer in self.metadata
            for group in map(footer.row_group, range(footer.num_row_groups))
            for chunk in map(group.column, range(group.num_columns))
            if chunk.path_in_schema.split(".")[0] == column
        )

    def repeats(self, column: str) -> bool:
        """Whether the column is text of few distinct values."""
        if kind_of(plain_type(self.schema.field(column).type)) not in ("text", "bytes"):
            return False
        return self.encoded_bytes(column) < _DICTIONARY_BYTES * self.rows

    def batches(self, columns: Sequence[str], *, codes: bool = False) -> Iterator[pa.RecordBatch]:
        """Rows in order, at most BATCH at a time. codes: text as dictionaries."""
        for path, footer in zip(self.files, self.metadata, strict=True):
            try:
                file = pq.ParquetFile(path, metadata=footer, read_dictionary=list(columns) if codes else None)
                with file:
                    for batch in file.iter_batches(BATCH, columns=list(columns), use_threads=False):
                        yield batch.select(list(columns))
            except (pa.ArrowException, OSError) as error:
                raise _unreadable(path, error) from error

    def column(self, name: str, *, codes: bool = False) -> Iterator[pa.Array]:
        for batch in self.batches([name], codes=codes):
            yield batch.column(0)


def open_table(name: str) -> Table:
    """A Parquet file, a directory (every *.parquet in it, at any depth) or a glob, files in the order of their names.

    Hidden files and those that begin with `_` are left out; what folder names say (`day=1`) is no column. Raises
    InputError when there is no file, one cannot be read, or its columns are not those of the first.
    """
    files = _files(name)
    footers = []
    schema: pa.Schema | None = None
    for path in files:
        try:
            with pq.ParquetFile(path) as file:
                footer, own = file.metadata, file.schema_arrow.remove_metadata()
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(path, error) from error
        repeated = {column for column in own.names if own.names.count(column) > 1}
        if repeated:
            raise InputError(name, f"{path}: column {min(repeated)!r} is there twice; rename one of them.")
        schema = own if schema is None else schema
        _check_columns(path, own, files[0], schema)
        footers.append(footer)
    assert schema is not None
    return Table(name, files, tuple(footers), schema)


def _files(name: str) -> tuple[Path, ...]:
    path = Path(name)
    if path.is_dir():
        found = [file for file in path.rglob("*.parquet") if file.is_file() and file.name[0] not in "._"]
    elif path.is_file():
        found = [path]
    else:
        found = [Path(file) for file in glob.glob(name, recursive=True) if Path(file).is_file()]  # noqa: PTH207
    if not found:
        raise InputError(
            name,
            f"{name}: no Parquet file there; expected a file, a directory that holds *.parquet, or a glob.",
            hint="Quote a glob, so that the shell leaves it alone.",
        )
    return tuple(sorted(found))


def _check_columns(path: Path, schema: pa.Schema, first: Path, expected: pa.Schema) -> None:
    types, wanted = ({field.name: plain_type(field.type) for field in one} for one in (schema, expected))
    for column in dict.fromkeys((*wanted, *types)):
        ours, theirs = types.get(column), wanted.get(column)
        if ours != theirs:
            said = [f"is {type_}" if type_ is not None else "is missing" for type_ in (ours, theirs)]
            raise InputError(
                column,
                f"{path}: {column} {said[0]}, in {first} it {said[1]}; expected the files of one table to have the "
                f"same columns.",
            )


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
    # apache/arrow: a null among fixed-size lists is written to Parquet and cannot be read back.
    fixed = "Expected all lists to be of size" in reason
    hint = "Arrow reads no null among fixed-size lists: write a list." if fixed else "Was it written to its end?"
    return InputError(str(path), f"{path} cannot be read as Parquet: {reason}.", hint=hint)
