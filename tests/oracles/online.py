"""What an online store should hold and answer, in plain dictionaries, and random histories of writes to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from trueup.frame import Status

START = datetime(2013, 11, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
TTL = timedelta(hours=1)
NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Written:
    """One row given to the store: a null value is None."""

    key: tuple[object, ...]
    event_time: datetime
    created: datetime | None
    values: tuple[float | None, ...]


@dataclass
class OnlineOracle:
    """One view's rows: key -> (event time, values)."""

    rows: dict[tuple[object, ...], tuple[datetime, tuple[float | None, ...]]] = field(default_factory=dict)

    def write(self, batch: Sequence[Written]) -> None:
        """As if the rows of a batch came one after the other, the oldest first (the sort is stable)."""
        for row in sorted(batch, key=lambda row: (row.event_time, row.created or NEVER)):
            stored = self.rows.get(row.key)
            if stored is None or row.event_time >= stored[0]:
                self.rows[row.key] = (row.event_time, row.values)

    def read(
        self, key: tuple[object, ...], features: int, ttl: timedelta | None, now: datetime
    ) -> tuple[list[float | None], list[Status], datetime | None]:
        """Values, statuses, and the event time (None if there is no row)."""
        stored = self.rows.get(key) if None not in key else None
        if stored is None:
            return [None] * features, [Status.MISSING] * features, None
        if ttl is not None and now > stored[0] + ttl:
            return [None] * features, [Status.EXPIRED] * features, stored[0]
        return list(stored[1]), [Status.NULL if value is None else Status.PRESENT for value in stored[1]], stored[0]


# Few instants, a microsecond apart around the edges of a TTL and of a second, and on both sides of 1970.
INSTANTS = [
    *(START + timedelta(minutes=10 * step) for step in range(4)),
    START - MICROSECOND,
    START + MICROSECOND,
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 58, 500000, tzinfo=UTC),
]
NOWS = sorted({instant + TTL + shift for instant in INSTANTS for shift in (-MICROSECOND, timedelta(), MICROSECOND)})

instants = st.sampled_from(INSTANTS)
nows = st.sampled_from(NOWS)


@st.composite
def batches(draw: st.DrawFn, keys: Sequence[tuple[object, ...]], features: int) -> list[list[Written]]:
    """Batches of rows for one view, in the order they are written: late rows, ties, repeated keys."""
    value = st.none() | st.floats(0, 9).map(round).map(float)
    row = st.builds(
        Written,
        key=st.sampled_from(keys),
        event_time=instants,
        created=st.none() | instants,
        values=st.tuples(*[value] * features),
    )
    return draw(st.lists(st.lists(row, max_size=6), max_size=4))
