"""Where outcomes come from: Parquet, CSV, JSON, in files or behind an address. I/O only; columns come as they are."""

from __future__ import annotations

import glob
import io
import json
import os
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from trueup.errors import InputError, SourceError

TOKEN = "TRUEUP_OUTCOMES_TOKEN"  # noqa: S105 - the variable's name
"""Sent as `Authorization: Bearer ...` to an address."""
TIMEOUT = 30.0
"""Seconds to connect, and between two pieces of an answer."""
_TRIES = Retry(total=3, backoff_factor=0.5, status_forcelist=(500, 502, 503, 504), raise_on_status=False)
_SUFFIXES = {".parquet": "parquet", ".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".json": "json"}
_TYPES = {
    "application/vnd.apache.parquet": "parquet",
    "application/x-parquet": "parquet",
    "text/csv": "csv",
    "application/json": "json",
    "application/x-ndjson": "ndjson",
    "application/jsonl": "ndjson",
}


def read_source(source: str) -> pa.Table:
    """source: a file, a directory of Parquet files, a glob, or an http(s) address that answers with one of the formats.

    Raises InputError where there is nothing, SourceError for what cannot be read.
    """
    if urlsplit(source).scheme in ("http", "https"):
        return _answer(source)
    files = _files(source)
    tables = [_parsed(path.read_bytes(), _format(path.suffix, str(path)), str(path)) for path in files]
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise SourceError(f"{source}: its files have other columns than each other: {error}.") from error


def _files(source: str) -> list[Path]:
    path = Path(source)
    if path.is_file():
        return [path]
    found = sorted(path.rglob("*.parquet")) if path.is_dir() else [Path(name) for name in sorted(glob.glob(source))]  # noqa: PTH207
    files = [each for each in found if each.is_file()]
    if not files:
        raise InputError(
            "source",
            f"source: there is no file at {source}.",
            hint="Name a Parquet or CSV file, a directory of Parquet files, a glob in quotes, or an http(s) address.",
        )
    return files


def _answer(address: str) -> pa.Table:
    token = os.environ.get(TOKEN)
    headers = {"Accept": ", ".join(_TYPES), **({"Authorization": f"Bearer {token}"} if token else {})}
    with requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=_TRIES))
        try:
            answer = session.get(address, headers=headers, timeout=TIMEOUT)
        except requests.RequestException as error:
            raise SourceError(
                f"{address} does not answer: {_plain(error)}.", hint="Is the address right, and can it be reached here?"
            ) from error
    if answer.status_code in (401, 403):
        raise SourceError(
            f"{address} refuses: {answer.status_code} {answer.reason}.",
            hint=f"Set {TOKEN} to a token that may read it." if not token else f"The token in {TOKEN} may not read it.",
        )
    if answer.status_code != requests.codes.ok:
        raise SourceError(
            f"{address} answered {answer.status_code} {answer.reason}: {answer.text[:200].strip() or 'nothing'}; "
            "expected 200 with the outcomes."
        )
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    suffix = Path(urlsplit(address).path).suffix
    return _parsed(answer.content, _TYPES.get(kind) or _format(suffix, f"{address} ({kind or 'no type'})"), address)


def _format(suffix: str, what: str) -> str:
    found = _SUFFIXES.get(suffix.lower())
    if found is None:
        raise SourceError(
            f"{what} is of no format that is known; expected one of {', '.join(_SUFFIXES)}.", hint="Export it as CSV."
        )
    return found


def _parsed(content: bytes, kind: str, what: str) -> pa.Table:
    if not content.strip():
        raise SourceError(f"{what} is empty.", hint="It has not one outcome; was it written whole?")
    try:
        match kind:
            case "parquet":
                return pq.read_table(io.BytesIO(content))
            case "csv":
                return pyarrow.csv.read_csv(io.BytesIO(content))
            case "ndjson":
                return pyarrow.json.read_json(io.BytesIO(content))
            case _:
                rows = json.loads(content)
                if not isinstance(rows, list):
                    raise SourceError(f"{what} is no JSON list of rows.")
                return pa.Table.from_pylist(rows)
    except (pa.ArrowException, ValueError, TypeError, AttributeError) as error:
        raise SourceError(f"{what} cannot be read as {kind}: {str(error).splitlines()[0]}.") from error


def _plain(error: requests.RequestException) -> str:
    reason = getattr(error.args[0] if error.args else None, "reason", None) or error
    return str(reason).rpartition(": ")[2] or type(error).__name__
