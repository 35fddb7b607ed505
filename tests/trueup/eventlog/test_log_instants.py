"""Instants of foreign logs, against Python's own datetimes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup.errors import InputError
from trueup.eventlog.instants import UNITS, Unit, check_time_zone, read_instants

MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def read(values: Any, kind: pa.DataType | None = None, **options: Any) -> list[datetime | None]:
    column = read_instants(pa.chunked_array([pa.array(values, kind)]), field="ts", **options).column
    return [None if value is None else value.astimezone(UTC) for value in column.to_pylist()]


@given(st.lists(st.tuples(MOMENTS, st.none() | OFFSETS)))
def test_text_is_read_with_its_own_offset_and_without_one_as_utc(
    moments: list[tuple[datetime, timezone | None]],
) -> None:
    texts = [
        moment.replace(tzinfo=None).isoformat(" ") if zone is None else moment.astimezone(zone).isoformat()
        for moment, zone in moments
    ]
    assert read(texts, pa.string()) == [moment for moment, _ in moments]
    naive = read_instants(pa.chunked_array([pa.array(texts, pa.string())]), field="ts").naive
    assert naive.tolist() == [zone is None for _, zone in moments]


@given(st.lists(MOMENTS), st.sampled_from(UNITS))
def test_numbers_count_their_unit_since_1970(moments: list[datetime], unit: Unit) -> None:
    micros = [(moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) for moment in moments]
    counts = [micro * PER_SECOND[unit] // 1_000_000 for micro in micros]
    expected = [
        datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=count * 1_000_000 // PER_SECOND[unit])
        for count in counts
    ]
    assert read(counts, pa.int64(), unit=unit) == expected


@pytest.mark.parametrize("unit", UNITS)
def test_numbers_beyond_the_calendar_are_no_instants(unit: Unit) -> None:
    wild = [2**62 if unit != "ns" else None, -(2**62) if unit != "ns" else None, None, 0]
    assert read(wild, pa.int64(), unit=unit) == [None, None, None, datetime(1970, 1, 1, tzinfo=UTC)]
    assert read([float("nan"), float("inf"), 1e300, 0.0], pa.float64(), unit=unit)[:3] == [None, None, None]


@given(
    st.lists(
        st.datetimes(datetime(2013, 1, 1), datetime(2014, 1, 1)).map(lambda moment: moment.replace(microsecond=0)),
        max_size=50,
    ),
    st.sampled_from(["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "UTC"]),
)
def test_a_time_zone_places_what_its_clock_shows_once(moments: list[datetime], name: str) -> None:
    zone = ZoneInfo(name)
    moments = [*moments, datetime(2013, 11, 3, 1, 30), datetime(2013, 3, 10, 2, 30)]
    early = [moment.replace(tzinfo=zone, fold=0).astimezone(UTC) for moment in moments]
    late = [moment.replace(tzinfo=zone, fold=1).astimezone(UTC) for moment in moments]
    expected = [one if one == other else None for one, other in zip(early, late, strict=True)]
    assert read(moments, pa.timestamp("us"), time_zone=name) == expected
    assert read([moment.isoformat() for moment in moments], time_zone=name) == expected


def test_an_aware_column_keeps_its_instants_whatever_its_zone_and_unit() -> None:
    moment = datetime(2013, 11, 1, 10, tzinfo=ZoneInfo("Asia/Tokyo"))
    for unit in UNITS:
        assert read([moment], pa.timestamp(unit, tz="Asia/Tokyo")) == [moment.astimezone(UTC)]


def test_what_cannot_be_an_instant_is_named() -> None:
    with pytest.raises(InputError, match="ts: the column is bool; expected timestamps"):
        read([True])
    with pytest.raises(InputError, match="ts: the column holds int64 numbers"):
        read([1])
    with pytest.raises(InputError, match="zone: there is no time zone 'Nowhere'"):
        check_time_zone("Nowhere", field="zone")
    assert read([None, None]) == [None, None]
    assert read(["", "soon", "0001-01-01T00:00:00+14:00"]) == [None, None, None]
