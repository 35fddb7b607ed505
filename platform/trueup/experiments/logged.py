"""What a served log says of an experiment: rows by exposure and variant, and the splits they were assigned under."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from trueup.errors import SourceError
from trueup.eventlog.reader import find_logs, read_experiment, read_log_batches
from trueup.eventlog.records import (
    EXPERIMENT,
    EXPERIMENT_VERSION,
    EXPOSURE,
    LOG_TIMESTAMP,
    REQUEST_ID,
    ROLE,
    ROW,
    UNIT,
    VARIANT,
)
from trueup.experiments.changes import SplitChange, SplitVersion, in_order, split_changes, unserved_changes
from trueup.experiments.design import Experiment

UNKNOWN = "not logged"
"""Exposure of rows that an older trueup logged: they were all assigned."""
_BATCH_ROWS = 500_000


@dataclass(frozen=True)
class LoggedExperiment:
    """rows: (exposure, variant) -> answered rows; units: variant -> how many different ones were assigned to it. both:
    units that were assigned to more than one variant. versions: the splits, in order. moved: of each of them and the
    next, the units that both have, in two variants. first, last: instants of its rows."""

    rows: Mapping[tuple[str, str], int]
    units: Mapping[str, int]
    both: int
    versions: tuple[SplitVersion, ...]
    moved: Mapping[tuple[str, str], int]
    first: datetime | None
    last: datetime | None

    def changes(self, design: Experiment) -> tuple[SplitChange, ...]:
        """Of the split while the log was written, then from there to a design that was not served yet."""
        served = split_changes(self.versions, self.moved)
        return (*served, *unserved_changes(design.hash, design.split(), self.versions))


def logged_experiment(
    log: Path, name: str, *, start: datetime | None = None, end: datetime | None = None
) -> LoggedExperiment:
    """Of the answered rows in the window. Raises SourceError for a log that cannot be read."""
    tables = list(answered(log, name, start=start, end=end))
    if not tables:
        return LoggedExperiment({}, {}, 0, (), {}, None, None)
    rows = pa.concat_tables(tables)
    counts = rows.group_by([EXPOSURE, VARIANT]).aggregate([([], "count_all")]).to_pylist()
    assigned = rows.filter(pc.is_in(rows.column(EXPOSURE), pa.array(["assigned", UNKNOWN])))
    pairs = assigned.group_by([UNIT, VARIANT]).aggregate([])
    several = pairs.group_by([UNIT]).aggregate([([], "count_all")])
    versions = in_order(list(_versions(log, rows)))
    units = pairs.group_by([VARIANT]).aggregate([([], "count_all")]).to_pylist()
    return LoggedExperiment(
        rows={(each[EXPOSURE], each[VARIANT]): each["count_all"] for each in counts},
        units={each[VARIANT]: each["count_all"] for each in sorted(units, key=lambda each: str(each[VARIANT]))},
        both=int(pc.sum(pc.greater(several.column("count_all"), 1)).as_py() or 0),
        versions=tuple(versions),
        moved={(a.hash, b.hash): _moved(assigned, a.hash, b.hash) for a, b in pairwise(versions)},
        first=pc.min(rows.column(LOG_TIMESTAMP)).as_py(),
        last=pc.max(rows.column(LOG_TIMESTAMP)).as_py(),
    )


def answered(log: Path, name: str, *, start: datetime | None = None, end: datetime | None = None) -> Iterator[pa.Table]:
    """The experiment's answered rows: request, row, instant, unit, variant, exposure and split of each."""
    wanted = [REQUEST_ID, ROW, LOG_TIMESTAMP, UNIT, VARIANT, EXPOSURE, EXPERIMENT_VERSION]
    for directory in find_logs(log) if log.is_dir() else ():
        for batch in read_log_batches(directory, most_rows=_BATCH_ROWS, start=start, end=end):
            table = batch.table
            mine = table.filter(
                pc.and_(pc.equal(table.column(EXPERIMENT), name), pc.equal(table.column(ROLE), "answer"))
            )
            if mine.num_rows:
                rows = mine.select(wanted)
                at = rows.schema.get_field_index(EXPOSURE)
                yield rows.set_column(at, EXPOSURE, pc.fill_null(rows.column(EXPOSURE), UNKNOWN))


def _versions(log: Path, rows: pa.Table) -> Iterator[SplitVersion]:
    named = rows.filter(pc.is_valid(rows.column(EXPERIMENT_VERSION)))
    groups = named.group_by([EXPERIMENT_VERSION]).aggregate(
        [(LOG_TIMESTAMP, "min"), (LOG_TIMESTAMP, "max"), ([], "count_all")]
    )
    for each in groups.to_pylist():
        version = each[EXPERIMENT_VERSION]
        first, last = each[f"{LOG_TIMESTAMP}_min"], each[f"{LOG_TIMESTAMP}_max"]
        yield SplitVersion(version, _document(log, version), first, last, each["count_all"])


def _moved(assigned: pa.Table, before: str, after: str) -> int:
    """Units with rows under both versions, and not in the same variant."""
    one, other = (
        assigned.filter(pc.equal(assigned.column(EXPERIMENT_VERSION), version))
        .group_by([UNIT, VARIANT])
        .aggregate([])
        .select([UNIT, VARIANT])
        for version in (before, after)
    )
    both = one.join(other.rename_columns([UNIT, "after"]), UNIT, join_type="inner")
    return len(pc.unique(both.filter(pc.not_equal(both.column(VARIANT), both.column("after"))).column(UNIT)))


def _document(log: Path, version: str) -> dict[str, Any] | None:
    for directory in find_logs(log):
        try:
            return read_experiment(directory, version)
        except SourceError:  # each contract's log keeps its own copy; one is enough
            continue
    return None
