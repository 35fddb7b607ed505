"""What the windowed views mean, the slow and obvious way: pick the flights, then count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Tally:
    """Statistics of some flights as they were known at some instant. None: of no flight at all.

    told: those known to have left or to be cancelled. waiting: the others.
    """

    told: int
    departed: int
    waiting: int
    mean_delay: float | None
    late_share: float | None
    cancelled_share: float | None


def tally(
    departures: pd.DataFrame,
    key: Mapping[str, str],
    start: pd.Timestamp,
    end: pd.Timestamp,
    known_at: pd.Timestamp | None = None,
) -> Tally:
    """Flights of a key scheduled in [start, end), as known at an instant (default: when all is known)."""
    flights = departures[(departures.sched_dep >= start) & (departures.sched_dep < end)]
    for column, value in key.items():
        flights = flights[flights[column] == value]
    told = flights if known_at is None else flights[flights.created <= known_at]
    delays = [int(delay) for delay in told.dep_delay.dropna()]
    cancelled = int(told.cancelled.sum())
    late = cancelled + sum(delay > 15 for delay in delays)
    return Tally(
        told=len(told),
        departed=len(delays),
        waiting=len(flights) - len(told),
        mean_delay=sum(delays) / len(delays) if delays else None,
        late_share=late / len(told) if len(told) else None,
        cancelled_share=cancelled / len(told) if len(told) else None,
    )
