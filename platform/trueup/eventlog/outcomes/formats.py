"""Bytes of the formats that outcomes come in, as a table. Pure."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from typing import Any, Literal

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from trueup.errors import SourceError
from trueup.eventlog.parquet import as_plain

Format = Literal["parquet", "csv", "json", "ndjson"]
SUFFIXES: dict[str, Format] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".json": "json",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
}
MEDIA_TYPES: dict[str, Format] = {
    "application/vnd.apache.parquet": "parquet",
    "application/x-parquet": "parquet",
    "application/parquet": "parquet",
    "text/csv": "csv",
    "application/csv": "csv",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/x-jsonlines": "ndjson",
    "application/json": "json",
}


def parsed(content: bytes, kind: Format, what: str, *, texts: Iterable[str] = ()) -> pa.Table:
    """The rows of a file or an answer, plain (see `as_plain`). what: its name, for errors. texts: columns of a CSV that
    are text: 0012 is no 12. JSON, which says what a value is, is taken at its word.

    Raises SourceError for what is empty or cannot be read as this format.
    """
    if not content.strip():
        raise SourceError(f"{what} is empty.", hint="It has not one outcome; was it written whole?")
    try:
        match kind:
            case "parquet":
                with pq.ParquetFile(io.BytesIO(content)) as file:
                    return as_plain(file.read())
            case "csv":
                return _csv(content, texts)
            case "json":
                return _rows(json.loads(content))
            case "ndjson":
                return _rows([json.loads(line) for line in content.decode().splitlines() if line.strip()])
    # Whatever bytes can do to a parser: RecursionError for JSON nested without end.
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise SourceError(f"{what} cannot be read as {kind}: {said}.") from error


def _csv(content: bytes, texts: Iterable[str]) -> pa.Table:
    options = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(texts, pa.string()))
    return pyarrow.csv.read_csv(io.BytesIO(content), convert_options=options)


def _rows(found: Any) -> pa.Table:
    """A list of objects; a name that one does not have is null there."""
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise ValueError('it is no list of rows, such as [{"request_id": "a", "value": 1}]')
    names = dict.fromkeys(name for row in found for name in row)
    return pa.table({name: pa.array([row.get(name) for row in found]) for name in names})
