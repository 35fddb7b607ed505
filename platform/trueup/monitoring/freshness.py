"""Whether what stands online is as new as it is declared to be: per feature view, by its ledger and its TTL. Pure.

All instants are aware UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from trueup.contracts.contract import View
from trueup.instants import format_duration, format_instant
from trueup.stores.ledger import Run

MISSED_RUNS = 2
"""A view is late when so many of its runs should have begun and finished since the last one that did. One may always be
on its way."""


@dataclass(frozen=True)
class OnlineAges:
    """What the store holds of a view. entities: that were looked at. whole: whether these are all of them.
    expired: of them, older than the TTL. newest, oldest: event times; None of a store that holds nothing, or that
    cannot list what it holds (`listed` is False then)."""

    entities: int = 0
    expired: int = 0
    newest: datetime | None = None
    oldest: datetime | None = None
    whole: bool = True
    listed: bool = True


@dataclass(frozen=True)
class ViewFreshness:
    """One view. materialized_at: when a run last finished; known_at: up to when that run read what was known.
    reasons: why it is not fresh, sentences; empty when it is."""

    view: str
    materialized_at: datetime | None
    known_at: datetime | None
    cadence: timedelta
    delay: timedelta
    ttl: timedelta | None
    online: OnlineAges
    reasons: tuple[str, ...] = ()

    @property
    def fresh(self) -> bool:
        return not self.reasons

    def to_json(self) -> dict[str, Any]:
        def text(instant: datetime | None) -> str | None:
            return None if instant is None else format_instant(instant)

        return {
            "view": self.view,
            "fresh": self.fresh,
            "reasons": list(self.reasons),
            "materialized_at": text(self.materialized_at),
            "known_at": text(self.known_at),
            "newest_event": text(self.online.newest),
            "oldest_event": text(self.online.oldest),
            "entities": self.online.entities,
            "all_entities": self.online.whole,
            "expired": self.online.expired,
            "cadence": format_duration(self.cadence),
            "delay": format_duration(self.delay),
            "ttl": None if self.ttl is None else format_duration(self.ttl),
        }


def freshness_of(view: View, runs: Sequence[Run], online: OnlineAges, now: datetime) -> ViewFreshness:
    """runs: of the ledger, also those that never finished. online: what the store holds at `now`.

    A run counts when it has finished, and read no more than was known at `now`: of a replay, whose runs finish years
    later than what they read, that is what can be told.
    """
    finished = [run for run in runs if run.finished_at is not None and run.known_at <= now]
    last = max(finished, key=lambda run: (run.known_at, run.run_id), default=None)
    at = None if last is None else max(run.finished_at for run in finished if run.finished_at is not None)
    return ViewFreshness(
        view=view.table,
        materialized_at=at,
        known_at=None if last is None else last.known_at,
        cadence=view.schedule.cadence,
        delay=view.schedule.delay,
        ttl=view.ttl,
        online=online,
        reasons=tuple(_reasons(view, last, online, now)),
    )


def _reasons(view: View, last: Run | None, online: OnlineAges, now: datetime) -> list[str]:
    found = []
    schedule = view.schedule
    if last is None:
        found.append("it was never materialized")
    elif schedule.cadence and now - last.known_at > MISSED_RUNS * schedule.cadence + schedule.delay:
        late = format_duration(_whole_seconds(now - last.known_at))
        found.append(f"its last run read what was known {late} ago; its cadence is {format_duration(schedule.cadence)}")
    if online.listed and last is not None:
        if not online.entities:
            found.append("the online store holds nothing of it")
        elif view.ttl is not None and online.expired == online.entities:
            found.append(f"everything online is older than its TTL of {format_duration(view.ttl)}")
    return found


def _whole_seconds(duration: timedelta) -> timedelta:
    return timedelta(seconds=duration // timedelta(seconds=1))
