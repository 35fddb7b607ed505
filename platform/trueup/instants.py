"""Instants and durations: always UTC, always aware, microseconds at the finest.

The rules of *as of* live here too, because every floor above speaks them:
an `AsOfRule` says which rows a read may count, and a model carries the rule it was trained under.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

from trueup.errors import InputError

Clock = Callable[[], datetime]
"""Says what time it is (aware, UTC). Passed in, so that a replay can bring its own."""

KnownAt = Literal["served", "label", "unbounded"]
"""Which known time a read allows.

served: what the materialization ledger says the online store held at the row's instant.
label: everything known by the row's own instant, as if materialized at once.
unbounded: everything, known or not (stock Feast); offered to show the leak.
"""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DURATION = re.compile(r"(?P<n>\d+)(?P<unit>us|ms|[smhdw])")
_UNITS = {
    "us": timedelta(microseconds=1),
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}


def utc_now() -> datetime:
    """The wall clock, aware, UTC."""
    return datetime.now(UTC)


def as_utc(instant: datetime) -> datetime:
    """The same instant in UTC. A naive datetime is taken as UTC, as Feast does."""
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def parse_instant(text: str, *, field: str = "instant") -> datetime:
    """ISO 8601 to an aware UTC datetime; without an offset it is taken as UTC."""
    try:
        return as_utc(datetime.fromisoformat(text))
    except (ValueError, TypeError, OverflowError) as error:  # overflow: an offset past the year 1 or 9999
        raise InputError(
            field, f"{field}: {text!r} is not an instant; expected ISO 8601, such as 2013-11-01T00:00:00Z."
        ) from error


def format_instant(instant: datetime) -> str:
    """ISO 8601 with a Z; microseconds only where there are some. `parse_instant` reads it back."""
    return as_utc(instant).isoformat().replace("+00:00", "Z")


def parse_duration(text: str, *, field: str = "duration") -> timedelta:
    """A sum of parts such as `90s`, `1h30m`, `7d`. Zero is `0s`."""
    parts = list(_DURATION.finditer(text))
    if not parts or "".join(part.group() for part in parts) != text:
        raise InputError(field, f"{field}: {text!r} is not a duration; expected parts such as 30s, 5m, 1h, 7d.")
    return sum((int(part["n"]) * _UNITS[part["unit"]] for part in parts), timedelta())


def format_duration(duration: timedelta) -> str:
    """The shortest text that `parse_duration` reads back to the same duration."""
    rest = duration // timedelta(microseconds=1)
    if rest < 0:
        raise ValueError(f"a duration is not negative: {duration}")
    text = ""
    for unit in ("w", "d", "h", "m", "s", "ms", "us"):
        count, rest = divmod(rest, _UNITS[unit] // timedelta(microseconds=1))
        if count:
            text += f"{count}{unit}"
    return text or "0s"


@dataclass(frozen=True)
class AsOfRule:
    """Which feature rows a read may count, apart from the instant each read row brings itself.

    `pinned` caps the known time as well: no row created after it counts, whatever `known_at` says,
    so that the same read next month gives the same bytes.
    """

    known_at: KnownAt = "served"
    pinned: datetime | None = None

    def __post_init__(self) -> None:
        if self.known_at not in get_args(KnownAt):
            raise InputError("known_at", f"known_at: {self.known_at!r} is not one of {', '.join(get_args(KnownAt))}.")

    def to_json(self) -> dict[str, Any]:
        return {"known_at": self.known_at, "pinned": format_instant(self.pinned) if self.pinned else None}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> AsOfRule:
        pinned = data.get("pinned")
        return cls(data["known_at"], parse_instant(pinned, field="pinned") if pinned else None)


@dataclass(frozen=True)
class Schedule:
    """How a view reaches the online store when no ledger says so.

    A run starts at every whole multiple of `cadence` since 1970 (UTC), sees what was created by then,
    and is readable `delay` later. Feast tags: `trueup.cadence`, `trueup.delay`. A zero cadence means
    at once: a row is readable `delay` after it is created.
    """

    cadence: timedelta = timedelta()
    delay: timedelta = timedelta()

    def next_start(self, instant: datetime) -> datetime:
        """The first run start at or after `instant`."""
        if not self.cadence:
            return instant
        ticks = -((EPOCH - instant) // self.cadence)
        return EPOCH + ticks * self.cadence

    def landing(self, known: datetime) -> datetime:
        """When a row known at `known` (the later of its two clocks) becomes readable."""
        return self.next_start(known) + self.delay
