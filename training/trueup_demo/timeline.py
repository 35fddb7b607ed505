"""What happens when in a replay: materialization runs and requests on one clock. Pure.

A run starts on a whole multiple of its view's cadence, sees what was created by then, and is readable one
delay later; a request is asked at its own instant. A request at the very instant a run becomes readable
sees it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from trueup.errors import InputError
from trueup.instants import Schedule


@dataclass(frozen=True)
class Materialization:
    """One run of the views that share a start and a delay. It is carried out when it becomes readable."""

    start: datetime
    readable: datetime
    views: tuple[str, ...]


@dataclass(frozen=True)
class Request:
    """One question to the server, asked at `instant`. entity: key columns and request fields."""

    instant: datetime
    request_id: str
    entity: Mapping[str, Any]


@dataclass(frozen=True)
class Stretch:
    """A materialization (None in the first stretch, if it has requests) and the requests until the next one."""

    materialization: Materialization | None
    requests: tuple[Request, ...]


def materializations(schedules: Mapping[str, Schedule], start: datetime, end: datetime) -> list[Materialization]:
    """Every run that starts in [start, end), ordered by when it becomes readable."""
    runs: dict[tuple[datetime, datetime], list[str]] = {}
    for view, schedule in sorted(schedules.items()):
        if not schedule.cadence:
            raise InputError(view, f"feature view {view} has no trueup.cadence tag, so a replay cannot run it.")
        tick = schedule.next_start(start)
        while tick < end:
            runs.setdefault((tick + schedule.delay, tick), []).append(view)
            tick += schedule.cadence
    return [Materialization(tick, readable, tuple(views)) for (readable, tick), views in sorted(runs.items())]


def stretches(runs: Sequence[Materialization], requests: Iterable[Request]) -> Iterator[Stretch]:
    """Runs and requests on one clock, in order; between two runs, the requests come as one stretch."""
    moments: list[tuple[datetime, int, Materialization | Request]] = [
        *((run.readable, 0, run) for run in runs),
        *((request.instant, 1, request) for request in requests),
    ]
    moments.sort(key=lambda moment: moment[:2])
    run: Materialization | None = None
    asked: list[Request] = []
    for _, _, moment in moments:
        if isinstance(moment, Request):
            asked.append(moment)
        else:
            if run is not None or asked:
                yield Stretch(run, tuple(asked))
            run, asked = moment, []
    if run is not None or asked:
        yield Stretch(run, tuple(asked))
