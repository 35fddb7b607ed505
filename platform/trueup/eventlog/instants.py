"""A log's instants, however they were written, as one column of UTC. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.errors import InputError
from trueup.frame import EVENT_TIME
from trueup.instants import as_utc

Mask = npt.NDArray[np.bool_]
Unit = Literal["s", "ms", "us", "ns"]
UNITS: tuple[Unit, ...] = get_args(Unit)
MICROSECONDS = {"s": 1_000_000, "ms": 1_000, "us": 1}
"""Of a unit that is not finer than one."""

_FIRST, _LAST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
"""Instants outside are none: Python's calendar ends there, and no log was written then."""
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


@dataclass(frozen=True)
class Instants:
    """column: timestamp[us, UTC]; null where there was none, where what came is none, and where the clock of the time
    zone shows it twice or never. naive: rows whose instant came without time zone or offset."""

    column: pa.Array
    naive: Mask


def read_instants(
    column: pa.ChunkedArray, *, field: str, unit: Unit | None = None, time_zone: str | None = None
) -> Instants:
    """field: what an error calls the column. unit: of numbers (since 1970 UTC). time_zone: of instants without one;
    UTC by default. Finer than a microsecond is cut off, downwards.

    Raises InputError for a type that holds no instants, and for numbers without a unit.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    kind = array.type
    if pa.types.is_null(kind):
        return Instants(pa.nulls(len(array), EVENT_TIME), np.zeros(len(array), np.bool_))
    if pa.types.is_timestamp(kind):
        return _from_timestamps(array, time_zone)
    if pa.types.is_string(kind):
        return _from_text(array, time_zone)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        if unit is None:
            raise InputError(
                field,
                f"{field}: the column holds {kind} numbers, and nothing says what they count.",
                hint="Name the unit (s, ms, us or ns since 1970) under [timestamp] in a column map (--map).",
            )
        return _from_numbers(array, unit)
    raise InputError(field, f"{field}: the column is {kind}; expected timestamps, ISO 8601 text or numbers.")


def check_time_zone(name: str, *, field: str) -> None:
    """Raises InputError when there is no such time zone."""
    try:
        pc.assume_timezone(pa.array([0]).cast(pa.timestamp("us")), name)
    except pa.ArrowException as error:
        raise InputError(
            field, f"{field}: there is no time zone {name!r}; expected one such as Europe/Berlin."
        ) from error


def _from_timestamps(array: pa.Array, time_zone: str | None) -> Instants:
    zoned = array.type.tz is not None
    bare = pa.timestamp(array.type.unit)
    if array.type.unit == "ns":
        array = pc.floor_temporal(array.cast(bare), unit="microsecond").cast(pa.timestamp("us"))
    elif zoned:
        array = array.cast(pa.timestamp(array.type.unit, tz="UTC")).cast(bare)
    if zoned:
        return Instants(array.cast(EVENT_TIME), np.zeros(len(array), np.bool_))
    return Instants(_located(array.cast(pa.timestamp("us")), time_zone), _valid(array))


def _located(array: pa.Array, time_zone: str | None) -> pa.Array:
    """Instants without a time zone, by the clocks of one."""
    if time_zone is None or time_zone == "UTC":
        return array.cast(EVENT_TIME)
    first, last = (
        pc.assume_timezone(array, time_zone, ambiguous=choice, nonexistent=choice).cast(EVENT_TIME)
        for choice in ("earliest", "latest")
    )
    return pc.if_else(pc.equal(first, last), first, pa.scalar(None, EVENT_TIME))


def _from_text(array: pa.Array, time_zone: str | None) -> Instants:
    """ISO 8601, each with its own offset or none."""
    encoded = array.dictionary_encode()
    moments = [_moment(text) for text in encoded.dictionary.to_pylist()]
    bare = pa.array([moment is not None and moment.tzinfo is None for moment in moments], pa.bool_())
    values = pa.array([moment and as_utc(moment) for moment in moments], EVENT_TIME)
    if time_zone is not None:
        local = _located(values.cast(pa.timestamp("us", tz="UTC")).cast(pa.timestamp("us")), time_zone)
        values = pc.if_else(bare, local, values)
    naive = pc.fill_null(bare.take(encoded.indices), False)
    return Instants(values.take(encoded.indices), np.asarray(naive.to_numpy(zero_copy_only=False)))


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text.strip())
        as_utc(moment)  # an offset may lead past the year 1 or 9999
    except (ValueError, OverflowError):
        return None
    return moment


def _from_numbers(array: pa.Array, unit: Unit) -> Instants:
    if pa.types.is_integer(array.type):
        # Whole numbers stay whole: as floats, microseconds since 1970 would be rounded from 2255 on.
        counts = np.asarray(pc.fill_null(array.cast(pa.int64(), safe=False), 0).to_numpy(zero_copy_only=False))
        per = _PER_SECOND[unit]
        low, high = (int(edge.timestamp()) * per for edge in (_FIRST, _LAST))
        possible = (counts >= max(low, -(2**63))) & (counts <= min(high, 2**63 - 1)) & _valid(array)
        counts = np.where(possible, counts, 0)
        micros = counts // (per // 1_000_000) if per > 1_000_000 else counts * (1_000_000 // per)
    else:
        numbers = np.asarray(pc.fill_null(array.cast(pa.float64()), np.nan).to_numpy(zero_copy_only=False))
        with np.errstate(over="ignore"):
            exact = np.floor(numbers * (1_000_000 / _PER_SECOND[unit]))
        possible = (exact >= _FIRST.timestamp() * 1e6) & (exact <= _LAST.timestamp() * 1e6)
        micros = np.where(possible, exact, 0).astype(np.int64)
    return Instants(pa.array(micros, mask=~possible).cast(EVENT_TIME), np.zeros(len(array), np.bool_))


def _valid(array: pa.Array) -> Mask:
    return np.asarray(array.is_valid().to_numpy(zero_copy_only=False))
