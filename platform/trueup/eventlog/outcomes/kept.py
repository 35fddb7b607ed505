"""Outcomes as they are kept: `<root>/<outcome>/<content hash>.parquet`, each file one import, whole or not at all.
Files are only ever added.

A row says what the value is of one request's row (`request_id`, `row`), or of the row that an entity was served at an
instant (`keys`, `at`, `within`), and when that became known.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trueup.errors import InputError, SourceError
from trueup.frame import EVENT_TIME

SCHEMA = pa.schema(
    [
        pa.field("request_id", pa.string()),
        pa.field("row", pa.int32()),
        pa.field("keys", pa.string()),
        pa.field("at", EVENT_TIME),
        pa.field("within", pa.int64()),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("known_at", EVENT_TIME, nullable=False),
    ]
)
"""request_id, row: null where it is keyed by entity and time. keys: canonical JSON of the join keys, by name. at: the
instant the outcome is of. within: microseconds that the served row may be before it. known_at: when the value was
known."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,199}")


@dataclass(frozen=True)
class Outcomes:
    """All that was imported of one outcome; columns of `SCHEMA`, in the order of the files' names.

    counts: what an earlier step took out of the table, by the names of `trueup.eventlog.outcomes.joining.COUNTS`.
    """

    name: str
    table: pa.Table
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Kept:
    """path: the file. new: False where it was there already, which the same content always is."""

    path: Path
    new: bool


def check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InputError("outcome", f"outcome: {name!r} is no name; expected letters, digits, _ - and . such as late.")
    return name


def keep_outcomes(root: Path, name: str, table: pa.Table) -> Kept:
    """table: columns of `SCHEMA`. The same rows in any order are the same file. Raises SourceError for a folder that
    cannot be written."""
    rows = table.cast(SCHEMA).sort_by([(field.name, "ascending") for field in SCHEMA]).combine_chunks()
    path = root / check_name(name) / f"{content_hash(rows)}.parquet"
    if path.exists():
        return Kept(path, new=False)
    hidden = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with hidden.open("wb") as file:
            pq.write_table(rows, file, compression="zstd", write_statistics=False, store_schema=False, version="2.6")
            file.flush()
            os.fsync(file.fileno())
        hidden.rename(path)
    except OSError as error:
        raise SourceError(
            f"outcomes cannot be kept in {path.parent}: {(error.strerror or str(error)).lower()}."
        ) from error
    finally:
        if hidden.exists():
            hidden.unlink()
    return Kept(path, new=True)


def content_hash(rows: pa.Table) -> str:
    """Of the values, whatever writes them to a file: 16 hex digits of a SHA-256. rows: columns of `SCHEMA`, sorted."""
    sha = hashlib.sha256(f"{rows.num_rows}".encode())
    for each in SCHEMA:
        column = rows.column(each.name).combine_chunks()
        sha.update(np.packbits(column.is_valid().to_numpy(zero_copy_only=False)).tobytes())
        if pa.types.is_string(each.type):
            texts = pc.fill_null(column, "")
            sha.update(pc.binary_length(texts).to_numpy().astype("<i8").tobytes())
            sha.update("".join(texts.to_pylist()).encode())
        elif pa.types.is_floating(each.type):
            sha.update(column.to_numpy().astype("<f8").tobytes())
        else:
            whole = pc.fill_null(column.cast(pa.int64()), 0)
            sha.update(whole.to_numpy().astype("<i8").tobytes())
    return sha.hexdigest()[:16]


def known_outcomes(root: Path) -> tuple[str, ...]:
    """Names of the outcomes that something was imported of, sorted."""
    if not root.is_dir():
        return ()
    return tuple(sorted(folder.name for folder in root.iterdir() if folder.is_dir() and any(folder.glob("*.parquet"))))


def read_outcomes(root: Path, name: str) -> Outcomes:
    """Raises InputError when nothing was imported under the name, SourceError for a file that cannot be read."""
    files = sorted((root / check_name(name)).glob("*.parquet"))
    if not files:
        there = ", ".join(known_outcomes(root)) or "none"
        raise InputError(
            "outcome",
            f"outcome: nothing was imported as {name!r} into {root}; it has {there}.",
            hint=f"Import it: trueup outcomes import SOURCE --outcome {name}, or name another folder with --outcomes.",
        )
    return Outcomes(name, pa.concat_tables([_read(file) for file in files]))


def _read(path: Path) -> pa.Table:
    hint = "It is damaged, or trueup did not write it; move it away and import its source again."
    try:
        with path.open("rb") as file:  # a path would make pyarrow add what its folders are named as columns
            rows = pq.read_table(file).select(SCHEMA.names).cast(SCHEMA)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise SourceError(f"{path} cannot be read as outcomes: {str(error).splitlines()[0]}.", hint=hint) from error
    if content_hash(rows) != path.stem:
        raise SourceError(f"{path} does not hold the outcomes that it is named for.", hint=hint)
    return rows
