from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup.errors import InputError
from trueup.instants import (
    EPOCH,
    AsOfRule,
    Schedule,
    as_utc,
    format_duration,
    format_instant,
    parse_duration,
    parse_instant,
)

instants = st.datetimes(timezones=st.just(UTC), min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1))
durations = st.timedeltas(min_value=timedelta(), max_value=timedelta(days=4000))


@given(durations)
def test_a_duration_survives_its_text(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@given(instants)
def test_an_instant_survives_its_text(instant: datetime) -> None:
    assert parse_instant(format_instant(instant)) == instant


def test_a_naive_instant_is_utc_and_another_offset_is_the_same_instant() -> None:
    assert parse_instant("2013-11-01T00:00:00") == datetime(2013, 11, 1, tzinfo=UTC)
    new_york = timezone(timedelta(hours=-4))
    assert as_utc(datetime(2013, 11, 1, tzinfo=new_york)) == datetime(2013, 11, 1, 4, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "1", "h", "1x", "1h 5m", "-1h", "1.5h"])
def test_what_is_not_a_duration_is_refused_by_name(text: str) -> None:
    with pytest.raises(InputError, match="cadence"):
        parse_duration(text, field="cadence")


@pytest.mark.parametrize("text", ["yesterday", "", "2013-13-01", "0001-01-01T00:00:00+14:00"])
def test_what_is_not_an_instant_is_refused_by_name(text: str) -> None:
    with pytest.raises(InputError, match=r"pinned.*ISO 8601"):
        parse_instant(text, field="pinned")


@given(instants, durations.filter(bool))
def test_a_run_starts_at_the_first_tick_that_is_not_before_the_instant(instant: datetime, cadence: timedelta) -> None:
    start = Schedule(cadence).next_start(instant)
    assert instant <= start < instant + cadence
    assert (start - EPOCH) % cadence == timedelta()


def test_a_row_lands_one_delay_after_the_run_that_could_see_it() -> None:
    hourly = Schedule(timedelta(hours=1), timedelta(minutes=5))
    ten = datetime(2013, 11, 1, 10, tzinfo=UTC)
    assert hourly.landing(ten) == ten + timedelta(minutes=5)
    assert hourly.landing(ten + timedelta(microseconds=1)) == ten + timedelta(hours=1, minutes=5)
    assert Schedule().landing(ten) == ten


def test_a_rule_survives_json_and_refuses_an_unknown_known_at() -> None:
    rule = AsOfRule("unbounded", datetime(2013, 11, 1, tzinfo=UTC))
    assert AsOfRule.from_json(rule.to_json()) == rule
    with pytest.raises(InputError, match="known_at"):
        AsOfRule("always")  # type: ignore[arg-type]  # the point of the test
