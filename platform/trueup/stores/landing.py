"""When a feature row became readable online: what the ledger of materializations says of it. Pure.

A row is known by its two clocks alone, so a landing is a function of (event time, created time).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from trueup.instants import EPOCH, Schedule
from trueup.stores.ledger import Run

NEVER = int(np.iinfo(np.int64).max)
"""Landing of a row that no run took along."""

Micros = NDArray[np.int64]
"""Microseconds since 1970, UTC."""


def micros(instant: datetime) -> int:
    """Microseconds since 1970, UTC."""
    return (instant - EPOCH) // timedelta(microseconds=1)


def landings(event: Micros, created: Micros, schedule: Schedule, runs: Sequence[Run]) -> Micros:
    """Landing of each row, `NEVER` where it never landed.

    Before the first run started (or without any run) the declared schedule stands in; from then on only a finished
    run that took the row along counts, the earliest finished one.
    """
    declared = _declared(np.maximum(event, created), schedule)
    if not runs:
        return declared
    by_ledger = declared >= min(micros(run.started_at) for run in runs)
    declared[by_ledger] = _first_finish(event[by_ledger], created[by_ledger], runs)
    return declared


def before_last_finish(instants: Micros, runs: Sequence[Run], count: int) -> Micros:
    """For each instant the moment before the last `count` runs that had finished by it did; itself with fewer runs."""
    finishes = np.sort(np.array([micros(run.finished_at) for run in runs if run.finished_at is not None], np.int64))
    done = np.searchsorted(finishes, instants, side="right")
    enough = done >= count
    before = instants.copy()
    before[enough] = finishes[done[enough] - count] - 1
    return before


def out_of_order(runs: Sequence[Run]) -> bool:
    """Whether a finished run may have written an older row over a newer one: it saw less than one that finished before
    it, or only what had become known since."""
    spans = sorted(
        (micros(run.finished_at), micros(run.event_end), micros(run.known_at))
        for run in runs
        if run.finished_at is not None
    )
    reach = seen = -NEVER
    for _, event_end, known_at in spans:
        if event_end < reach or known_at < seen:
            return True
        reach, seen = event_end, known_at
    return any(run.known_after is not None for run in runs)


def _declared(known: Micros, schedule: Schedule) -> Micros:
    """`Schedule.landing`, for many."""
    cadence, delay = (duration // timedelta(microseconds=1) for duration in (schedule.cadence, schedule.delay))
    starts = -(-known // cadence) * cadence if cadence else known
    return starts + delay


def _first_finish(event: Micros, created: Micros, runs: Sequence[Run]) -> Micros:
    """Earliest end of a finished run that took the row along.

    Runs are taken in the order they finished, and a landed row leaves the search. Rows are searched in the order
    they became known: a run sees nothing known later than its own bounds, so each row is touched by few runs.
    """
    landed = np.full(len(event), NEVER, np.int64)
    known = np.maximum(event, created)
    order = np.argsort(known, kind="stable")
    known_in_order = known[order]
    waiting = np.empty(0, np.int64)  # rows that an earlier run could have seen and did not take
    seen = 0
    finished = sorted(
        ((micros(run.finished_at), run) for run in runs if run.finished_at is not None), key=lambda item: item[0]
    )
    for finish, run in finished:
        known_at, end = micros(run.known_at), micros(run.event_end)
        reach = int(np.searchsorted(known_in_order, max(known_at, end), side="right"))
        if reach > seen:
            waiting = np.concatenate([waiting, order[seen:reach]])
            seen = reach
        taken = (event[waiting] >= micros(run.event_start)) & (event[waiting] <= end) & (created[waiting] <= known_at)
        if run.known_after is not None:
            taken &= known[waiting] > micros(run.known_after)
        landed[waiting[taken]] = finish
        waiting = waiting[~taken]
    return landed
