"""The rules of an as-of read and of materialization as loops over dicts: slow, obvious, and sharing no code.

Written from the text of the laws alone. A row is `Row(keys, event, created, values)`; `created` None means that the
source does not say, and counts as known at the event time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from trueup.instants import AsOfRule, Schedule
from trueup.stores.ledger import Run

PRESENT, NULL, MISSING, EXPIRED = 1, 2, 3, 4


class AmbiguousError(Exception):
    """Two rows of one entity with both clocks equal and different values decide a result."""


@dataclass(frozen=True)
class Row:
    keys: tuple[Any, ...]
    event: datetime | None
    created: datetime | None
    values: tuple[Any, ...]

    @property
    def known(self) -> datetime:
        assert self.event is not None
        return self.event if self.created is None else self.created


@dataclass(frozen=True)
class Answer:
    """What a read gives for one request: of each feature the value and the status; and the event time."""

    values: tuple[Any, ...]
    statuses: tuple[int, ...]
    event: datetime | None


def next_start(schedule: Schedule, instant: datetime) -> datetime:
    """First whole multiple of the cadence since 1970 at or after the instant."""
    if schedule.cadence == timedelta(0):
        return instant
    start = datetime(1970, 1, 1, tzinfo=UTC)
    start += schedule.cadence * ((instant - start) // schedule.cadence)
    return start if start == instant else start + schedule.cadence


def landed(row: Row, schedule: Schedule, runs: Sequence[Run]) -> datetime | None:
    """When the row became readable as served; None: never."""
    assert row.event is not None
    declared = next_start(schedule, max(row.event, row.known)) + schedule.delay
    if not runs or declared < min(run.started_at for run in runs):
        return declared
    finishes = [run.finished_at for run in runs if run.finished_at is not None and takes(run, row)]
    return min(finishes, default=None)


def takes(run: Run, row: Row) -> bool:
    """Whether a run may read the row."""
    assert row.event is not None
    if not run.event_start <= row.event <= run.event_end:
        return False
    if row.known > run.known_at:
        return False
    return run.known_after is None or max(row.event, row.known) > run.known_after


def effective(row: Row, rule: AsOfRule, schedule: Schedule, runs: Sequence[Run]) -> datetime | None:
    """From when on the row counts; None: never."""
    assert row.event is not None
    if rule.known_at == "unbounded":
        return row.event
    if rule.known_at == "label":
        return max(row.event, row.known)
    landing = landed(row, schedule, runs)
    return None if landing is None else max(row.event, landing)


def read(
    rows: Sequence[Row],
    keys: tuple[Any, ...],
    instant: datetime,
    *,
    features: int,
    ttl: timedelta | None,
    rule: AsOfRule,
    schedule: Schedule,
    runs: Sequence[Run] = (),
) -> Answer:
    """The as-of read of one entity at one instant."""
    candidates = []
    for row in rows:
        if row.event is None or None in row.keys or row.keys != keys:
            continue
        if rule.pinned is not None and row.known > rule.pinned:
            continue
        counts_from = effective(row, rule, schedule, runs)
        if counts_from is not None and counts_from <= instant:
            candidates.append(row)
    if not candidates:
        return Answer((None,) * features, (MISSING,) * features, None)
    event, created = max((row.event, row.known) for row in candidates if row.event is not None)
    winners = [row for row in candidates if (row.event, row.known) == (event, created)]
    if ttl is not None and instant - event > ttl:
        return Answer((None,) * features, (EXPIRED,) * features, event)
    if len({row.values for row in winners}) > 1:
        raise AmbiguousError
    values = winners[0].values
    return Answer(values, tuple(NULL if value is None else PRESENT for value in values), event)


def read_varied(
    rows: Sequence[Row],
    keys: tuple[Any, ...],
    instant: datetime,
    *,
    features: int,
    ttl: timedelta | None,
    rule: AsOfRule,
    schedule: Schedule,
    runs: Sequence[Run],
    deviation: str,
    size: int,
) -> Answer:
    """The as-of read with one thing otherwise; of rows with both clocks equal the first in the order of values."""
    shift = timedelta(microseconds=size) if deviation == "shifted" else timedelta()
    instant -= shift
    asked = instant
    if deviation == "before_last_run":
        done = sorted(run.finished_at for run in runs if run.finished_at is not None and run.finished_at <= instant)
        if len(done) >= size:
            asked = done[-size] - timedelta(microseconds=1)
    own = [row for row in rows if row.event is not None and None not in row.keys and row.keys == keys]
    counting = [(counts, row) for row in own if (counts := effective(row, rule, schedule, runs)) is not None]
    if deviation == "first_landed":
        for event in {row.event for _, row in counting}:
            same = [(counts, row) for counts, row in counting if row.event == event]
            earliest = min(counts for counts, _ in same)
            known = max(row.known for counts, row in same if counts == earliest)
            counting = [
                (counts, row)
                for counts, row in counting
                if row.event != event or (counts == earliest and row.known == known)
            ]
    candidates = [row for counts, row in counting if counts <= asked]
    if deviation == "last_writer":
        writes = []
        for run in runs:
            if run.finished_at is not None and run.finished_at <= asked:
                taken = [row for row in own if takes(run, row)]
                if taken:
                    newest = max((row.event, row.known) for row in taken if row.event is not None)
                    writes.append((run.finished_at, newest))
        if writes:
            _, last = max(writes)
            candidates = [row for row in own if (row.event, row.known) == last]
    if not candidates:
        return Answer((None,) * features, (MISSING,) * features, None)
    event, created = max((row.event, row.known) for row in candidates if row.event is not None)
    tied = {row.values for row in candidates if (row.event, row.known) == (event, created)}
    ordered = sorted(tied, key=lambda values: [(value is None, value or 0) for value in values])
    if ttl is not None and instant - event > ttl:
        return Answer((None,) * features, (EXPIRED,) * features, event + shift)
    values = ordered[min(size if deviation == "tied" else 0, len(ordered) - 1)]
    return Answer(values, tuple(NULL if value is None else PRESENT for value in values), event + shift)


def pull(rows: Sequence[Row], run: Run) -> list[Row]:
    """What a run writes: of each entity the row with the greatest clocks among those it may read."""
    newest: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if row.event is None or None in row.keys or not takes(run, row):
            continue
        best = newest.setdefault(row.keys, [row])
        if best[0] is row:
            continue
        assert best[0].event is not None
        if (row.event, row.known) > (best[0].event, best[0].known):
            newest[row.keys] = [row]
        elif (row.event, row.known) == (best[0].event, best[0].known):
            best.append(row)
    if any(len({row.values for row in ties}) > 1 for ties in newest.values()):
        raise AmbiguousError
    return [ties[0] for ties in newest.values()]


@dataclass
class OnlineStore:
    """A dictionary with the store's write rule: a write lands if its event time is not older than the stored one."""

    rows: dict[tuple[Any, ...], Row] = field(default_factory=dict)

    def write(self, row: Row) -> None:
        stored = self.rows.get(row.keys)
        assert row.event is not None
        if stored is None or stored.event is None or row.event >= stored.event:
            self.rows[row.keys] = row

    def read(self, keys: tuple[Any, ...], instant: datetime, *, features: int, ttl: timedelta | None) -> Answer:
        row = self.rows.get(keys)
        if row is None or None in keys:
            return Answer((None,) * features, (MISSING,) * features, None)
        assert row.event is not None
        if ttl is not None and instant - row.event > ttl:
            return Answer((None,) * features, (EXPIRED,) * features, row.event)
        return Answer(row.values, tuple(NULL if value is None else PRESENT for value in row.values), row.event)
