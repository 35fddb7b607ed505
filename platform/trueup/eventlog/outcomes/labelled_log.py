"""The served logs under a directory joined with an outcome. I/O at its rim; `join` decides."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.contracts.contract import FeatureContract
from trueup.errors import InputError, SourceError
from trueup.eventlog.hash_set import HashSet
from trueup.eventlog.labelled import Absent, Labelled
from trueup.eventlog.outcomes.entities import by_request, keyed_by
from trueup.eventlog.outcomes.joining import COUNTS, join, known
from trueup.eventlog.outcomes.kept import Outcomes
from trueup.eventlog.reader import ServedLog, find_logs, read_contract, read_log_batches
from trueup.eventlog.records import LOG_TIMESTAMP, MODEL, MODEL_VERSION, REQUEST_ID, ROLE, ROW, log_schema
from trueup.frame import EVENT_TIME

BATCH_ROWS = 500_000
"""Rows that are held with all their columns at a time."""
COPIES = "copies"
"""Rows that were the same in everything as one before, and are left out: a log delivers at least once."""
FUTURE = "rows from the future"
"""Rows that were served after `now`, and are left out."""
_ALWAYS = (REQUEST_ID, ROW, LOG_TIMESTAMP, MODEL, MODEL_VERSION, ROLE)
_MICROSECOND = timedelta(microseconds=1)
_NO_REQUEST = pa.schema(
    [pa.field(REQUEST_ID, pa.string()), pa.field(ROW, pa.int32()), pa.field(LOG_TIMESTAMP, EVENT_TIME)]
).empty_table()


def labelled_log(
    log: Path,
    outcomes: Outcomes,
    *,
    now: datetime,
    delay: timedelta,
    absent: Absent,
    models: Collection[str] | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    columns: Sequence[str] | None = None,
    batch_rows: int = BATCH_ROWS,
) -> Iterator[tuple[FeatureContract, Labelled]]:
    """Each contract's rows under `log`, oldest first, with what became of them; a contract without such rows is left
    out. models, start, end: see `read_log`. columns: of the log, beside request, row, instant, model, version and role;
    None: all. now, delay, absent: see `join`; rows served after `now` are left out and counted as `rows from the
    future`.

    Of each row that is there more than once exactly, one is left, and the others are counted as `copies`. Outcomes by
    entity mean a row of the whole log, whatever is asked for here; their `orphans` and `ambiguous` are of the whole
    log, too. Raises InputError for a column or a join key that no log has, SourceError for a log that cannot be read.
    """
    directories = find_logs(log) if log.is_dir() else ()
    has = {directory: log_schema(read_contract(directory)).names for directory in directories}
    if directories and (
        unknown := [name for name in columns or () if not any(name in names for names in has.values())]
    ):
        raise InputError("columns", f"columns: no served row under {log} has {unknown[0]!r}.")
    meant = resolved(log, outcomes, now=now)
    for directory, names in has.items():
        wanted = [name for name in names if columns is None or name in _ALWAYS or name in columns]
        batches = read_log_batches(directory, most_rows=batch_rows, start=start, end=end, models=models)
        rows, left_out = _rows(batches, wanted, now)
        if rows is not None:
            found = join(rows, meant, now=now, delay=delay, absent=absent)
            yield read_contract(directory), replace(found, counts={**found.counts, **left_out})


def resolved(log: Path, outcomes: Outcomes, *, now: datetime) -> Outcomes:
    """The outcomes known by `now`, all by request: those by entity mean the row that the log says. Call it before
    rows of the log are joined part by part."""
    found = known(outcomes, now)
    names = keyed_by(found)
    if not names or not log.is_dir():
        return found
    keyed = found.table.filter(found.table.column("keys").is_valid())
    first, last = pc.min(keyed.column("at")).as_py(), pc.max(keyed.column("at")).as_py()
    reach = timedelta(microseconds=pc.max(keyed.column("within")).as_py())
    wanted = tuple(sorted({name for key in names for name in key}))
    return by_request(found, requests(log, wanted, start=first - reach, end=last + _MICROSECOND))


def requests(
    log: Path, names: Sequence[str] = (), *, start: datetime | None = None, end: datetime | None = None
) -> pa.Table:
    """Every request's row once, however many models scored it: `__request_id`, `__row`, `__log_timestamp`, and of
    `names` what any log under `log` has (null where another has not)."""
    fixed = (REQUEST_ID, ROW, LOG_TIMESTAMP)
    parts = [_NO_REQUEST]
    for directory in find_logs(log) if log.is_dir() else ():
        for batch in read_log_batches(directory, most_rows=BATCH_ROWS, start=start, end=end):
            mine = [*fixed, *(name for name in names if name in batch.table.column_names)]
            parts.append(batch.table.select(mine).group_by(mine, use_threads=False).aggregate([]))
    try:
        found = pa.concat_tables(parts, promote_options="permissive")
    except pa.ArrowException as error:
        raise SourceError(f"{log}: its logs have join keys of other types than each other: {error}.") from error
    return found.group_by(found.column_names, use_threads=False).aggregate([])


def fit_to_log(log: Path, outcomes: Outcomes, *, now: datetime) -> dict[str, int] | None:
    """Counts (`COUNTS`) of the outcomes against all served requests; None where there is no log."""
    if not log.is_dir() or not find_logs(log):
        return None
    names = {name for key in keyed_by(outcomes) for name in key}
    found = join(requests(log, sorted(names)), outcomes, now=now, delay=timedelta(), absent="unknown")
    return {name: found.counts[name] for name in COUNTS}


def _rows(batches: Iterator[ServedLog], wanted: Sequence[str], now: datetime) -> tuple[pa.Table | None, dict[str, int]]:
    """The rows to join, with the columns that are wanted (None: there are none), and what was left out of them."""
    seen, counts = HashSet(), {COPIES: 0, FUTURE: 0}
    parts: list[pa.Table] = []
    for batch in batches:
        at = batch.table.column(LOG_TIMESTAMP)
        past = batch.table.filter(pc.less_equal(at, pa.scalar(now, at.type)))
        counts[FUTURE] += batch.num_rows - past.num_rows
        copies = _copies(past, seen)
        counts[COPIES] += int(copies.sum())
        parts.append(past.select(wanted).filter(pa.array(~copies)))
    return (pa.concat_tables(parts) if parts else None), counts


def _copies(table: pa.Table, seen: HashSet) -> npt.NDArray[np.bool_]:
    """Rows that are the same in everything as one before; without a request id nothing says that two are one. By a hash
    of 64 bits: two different rows pass for copies with a chance of 1 in 2^64 a pair."""
    with duckdb.connect() as connection:
        connection.register("served", table)
        every = ", ".join(f'"{name}"' for name in table.column_names)
        hashes = connection.sql(f"SELECT hash({every}) AS content FROM served").to_arrow_table().column("content")
    named = np.asarray(table.column(REQUEST_ID).is_valid().to_numpy(), np.bool_)
    return named & seen.add(np.asarray(hashes.to_numpy()).astype(np.uint64))
