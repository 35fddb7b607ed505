from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup.errors import InputError
from trueup.instants import Schedule
from trueup_demo.timeline import Request, materializations, stretches

START = datetime(2013, 11, 24, tzinfo=UTC)
END = START + timedelta(days=1)
HOURLY = Schedule(timedelta(hours=1), timedelta(minutes=5))
DAILY = Schedule(timedelta(days=1), timedelta(minutes=30))


def test_a_view_runs_on_each_multiple_of_its_cadence_and_is_readable_a_delay_later() -> None:
    runs = materializations({"weather": HOURLY, "origin": HOURLY, "routes": DAILY}, START, END)
    assert len(runs) == 25
    assert runs[0].views == ("origin", "weather")
    assert (runs[0].start, runs[0].readable) == (START, START + timedelta(minutes=5))
    assert (runs[1].start, runs[1].readable, runs[1].views) == (START, START + timedelta(minutes=30), ("routes",))


def test_a_view_without_a_cadence_cannot_be_replayed() -> None:
    with pytest.raises(InputError, match=r"facts.*trueup\.cadence"):
        materializations({"facts": Schedule()}, START, END)


@given(st.lists(st.integers(0, 24 * 60)))
def test_every_request_comes_once_in_order_and_sees_the_runs_readable_by_its_instant(minutes: list[int]) -> None:
    requests = [Request(START + timedelta(minutes=minute), str(at), {}) for at, minute in enumerate(minutes)]
    runs = materializations({"weather": HOURLY, "routes": DAILY}, START, END)
    done, asked = [], []
    for stretch in stretches(runs, requests):
        if stretch.materialization is not None:
            done.append(stretch.materialization)
        for request in stretch.requests:
            assert done == [run for run in runs if run.readable <= request.instant]
            asked.append(request)
    assert done == runs
    assert sorted(requests, key=lambda request: request.instant) == asked
