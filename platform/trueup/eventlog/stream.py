"""A served log of ours in pieces, whatever its size. What cannot be read is a value that says so."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time
from pathlib import Path

from trueup.contracts.contract import FeatureContract
from trueup.errors import SourceError
from trueup.eventlog.logged import LoggedRows, own_rows
from trueup.eventlog.parquet import Damaged, as_plain, files_under, read_batches
from trueup.eventlog.reader import conform, log_entries
from trueup.eventlog.records import log_schema
from trueup.instants import EPOCH


def stream_log(
    directory: Path, contract: FeatureContract, *, start: datetime | None = None, end: datetime | None = None
) -> Iterator[tuple[datetime, LoggedRows | Damaged]]:
    """The rows of one contract's log, day by day, each with the beginning of their day.

    start, end: days outside are not opened; rows of the days at the edges are not left out here.
    """
    schema = log_schema(contract)
    # A directory that cannot be looked into is named, and what can be read is read.
    for closed in files_under(directory)[1]:
        yield EPOCH, closed
    for day, path in log_entries(directory, start=start, end=end):
        if day is None:
            yield EPOCH, Damaged(path, None, "does not belong to this log")
            continue
        begins = datetime.combine(day, time(), UTC)
        for table in read_batches(path):
            if isinstance(table, Damaged):
                yield begins, table
                break
            try:
                rows = own_rows(contract, conform(as_plain(table), schema, path))
            except SourceError as error:
                yield begins, Damaged(path, None, error.message.removeprefix(f"{path} "))
                break
            yield begins, rows
