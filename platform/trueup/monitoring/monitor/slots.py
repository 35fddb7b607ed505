"""When a job is due. Pure.

A job that runs every hour is due at every whole hour since 1970 (UTC): a slot. A slot is done once, whatever restarts;
slots that passed while nobody ran are one run, and are counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from trueup.instants import EPOCH
from trueup.monitoring.monitor.jobs import Job


def slot_of(instant: datetime, every: timedelta) -> int:
    """The number of the slot that an instant lies in."""
    return (instant - EPOCH) // every


def start_of(slot: int, every: timedelta) -> datetime:
    """When a slot begins, and its run is due."""
    return EPOCH + slot * every


@dataclass(frozen=True)
class Due:
    """A run to be started. at: when it was due. skipped: slots before it that nobody ran."""

    job: Job
    slot: int
    at: datetime
    skipped: int


def due(jobs: Sequence[Job], done: Mapping[str, int], now: datetime) -> tuple[Due, ...]:
    """The runs to start, in the jobs' order. done: job -> the newest slot that was run.

    A job that never ran is due at once. A clock that went back makes nothing due that was done.
    """
    found = []
    for job in jobs:
        slot = slot_of(now, job.every)
        last = done.get(job.name)
        if last is None or last < slot:
            found.append(Due(job, slot, start_of(slot, job.every), 0 if last is None else slot - last - 1))
    return tuple(found)


def next_due(jobs: Sequence[Job], now: datetime) -> datetime | None:
    """The first slot that begins after now."""
    return min((start_of(slot_of(now, job.every) + 1, job.every) for job in jobs), default=None)
