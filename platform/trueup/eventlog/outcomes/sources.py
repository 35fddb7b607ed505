"""Outcomes in files: Parquet, CSV, JSON. I/O only; columns come as they are."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from trueup.errors import InputError, SourceError
from trueup.eventlog.outcomes.answers import fetch
from trueup.eventlog.outcomes.formats import SUFFIXES, parsed
from trueup.eventlog.parquet import files_under

_EXPECTED = "Name a Parquet or CSV file, a directory of Parquet files, a glob in quotes, or an http(s) address."


def read_source(source: str, *, texts: Iterable[str] = (), token: str | None = None) -> pa.Table:
    """source: a file, a directory of Parquet files, a glob, or an http(s) address that answers with one of the formats.
    texts: columns that are text where the format does not say what they are. token: for an address, see `fetch`.

    Plain columns (see `as_plain`). Raises InputError where there is nothing, SourceError for what cannot be read.
    """
    if source.lower().startswith(("http://", "https://")):
        answer = fetch(source, token=token)
        return parsed(answer.content, answer.format, answer.address, texts=texts)
    tables = [_read(path, texts) for path in _files(source)]
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise SourceError(f"{source}: its files have other columns than each other: {error}.") from error


def _read(path: Path, texts: Iterable[str]) -> pa.Table:
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise InputError(
            "source",
            f"source: {path} is of no known format; expected a name that ends in {', '.join(SUFFIXES)}.",
            hint="Rename it if it is one of them.",
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    return parsed(content, kind, str(path), texts=texts)


def _files(source: str) -> list[Path]:
    path = Path(source)
    if path.is_dir():
        files, closed = files_under(path)
        if closed:
            raise SourceError(f"{closed[0].path} {closed[0].problem}.")
        found = [file for file in files if file.suffix.lower() == ".parquet"]
        if not found:
            raise InputError("source", f"source: there is no Parquet file under {source}.", hint=_EXPECTED)
        return found
    # A name that is there is no pattern, whatever is in it.
    found = [path] if path.exists() else [Path(name) for name in sorted(glob.glob(source, recursive=True))]  # noqa: PTH207
    files = [file for file in found if file.is_file()]
    if not files:
        raise InputError("source", f"source: there is no file at {source}.", hint=_EXPECTED)
    return files
