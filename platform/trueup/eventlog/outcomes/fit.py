"""How outcomes fit the served logs under a directory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa

from trueup.eventlog.labelled import Absent, Labelled
from trueup.eventlog.outcomes.joining import COUNTS, join
from trueup.eventlog.outcomes.kept import Outcomes
from trueup.eventlog.reader import find_logs, read_log_batches
from trueup.eventlog.records import LOG_TIMESTAMP, MODEL, MODEL_VERSION, REQUEST_ID, ROLE, ROW, input_fields

BATCH_ROWS = 500_000


def requests_of_log(log: Path, *, start: datetime | None = None, end: datetime | None = None) -> Iterator[pa.Table]:
    """Request, row, instant, model, role and inputs of each served row, in batches."""
    for directory in find_logs(log):
        for batch in read_log_batches(directory, most_rows=BATCH_ROWS, start=start, end=end):
            names = dict.fromkeys(
                [
                    REQUEST_ID,
                    ROW,
                    LOG_TIMESTAMP,
                    MODEL,
                    MODEL_VERSION,
                    ROLE,
                    *(item.name for item in input_fields(batch.contract)),
                ]
            )
            yield batch.table.select(list(names))


def fit_to_log(log: Path, outcomes: Outcomes, *, now: datetime) -> dict[str, int] | None:
    """Counts (`COUNTS`) of the outcomes against all served requests; None where there is no log."""
    rows = _distinct(log)
    if rows is None:
        return None
    found = join(rows, outcomes, now=now, delay=timedelta(), absent="unknown")
    return {name: found.counts[name] for name in COUNTS}


def labelled_requests(
    log: Path, outcomes: Outcomes, *, now: datetime, delay: timedelta, absent: Absent
) -> Labelled | None:
    """Every served row joined with the outcome; None where there is no log."""
    tables = list(requests_of_log(log)) if log.is_dir() else []
    if not tables:
        return None
    return join(pa.concat_tables(tables, promote_options="permissive"), outcomes, now=now, delay=delay, absent=absent)


def _distinct(log: Path) -> pa.Table | None:
    """Each request's row once, however many models scored it."""
    tables = list(requests_of_log(log)) if log.is_dir() else []
    if not tables:
        return None
    rows = pa.concat_tables(tables, promote_options="permissive").drop_columns([MODEL, MODEL_VERSION, ROLE])
    names = [name for name in rows.column_names if name not in (REQUEST_ID, ROW)]
    grouped = rows.group_by([REQUEST_ID, ROW]).aggregate([(name, "min") for name in names])
    return grouped.rename_columns({f"{name}_min": name for name in names})
