"""A slot is run once, whatever happens around it; what nobody ran is counted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from trueup.monitoring.monitor.jobs import Job
from trueup.monitoring.monitor.slots import due, next_due, slot_of, start_of

START = datetime(2026, 1, 1, tzinfo=UTC)
EVERY = st.sampled_from([timedelta(minutes=1), timedelta(minutes=7), timedelta(hours=1), timedelta(days=1)])


def job(name: str, every: timedelta) -> Job:
    return Job(name, "parity", every, timedelta(hours=1), lambda _due, _metrics: [])


def test_a_slot_begins_at_whole_multiples_since_1970() -> None:
    hour = timedelta(hours=1)
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert start_of(slot_of(noon, hour), hour) == noon
    assert start_of(slot_of(noon + timedelta(minutes=59, seconds=59), hour), hour) == noon
    assert slot_of(noon - timedelta(microseconds=1), hour) == slot_of(noon, hour) - 1


@given(st.lists(EVERY, min_size=1, max_size=4), st.lists(st.integers(-600, 100_000), max_size=30))
def test_runs_and_skipped_slots_are_all_slots_and_none_is_run_twice(everies: list[timedelta], steps: list[int]) -> None:
    jobs = [job(str(at), every) for at, every in enumerate(everies)]
    done: dict[str, int] = {}
    first: dict[str, int] = {}
    ran: dict[str, list[int]] = {each.name: [] for each in jobs}
    skipped: dict[str, int] = dict.fromkeys(ran, 0)
    now = START
    for seconds in [0, *steps]:  # a clock may go back, too
        now += timedelta(seconds=seconds)
        for item in due(jobs, done, now):
            assert item.at <= now < item.at + item.job.every
            ran[item.job.name].append(item.slot)
            skipped[item.job.name] += item.skipped
            first.setdefault(item.job.name, item.slot)
            done[item.job.name] = item.slot
        assert not due(jobs, done, now)
    for name, slots in ran.items():
        assert len(set(slots)) == len(slots)
        assert slots == sorted(slots)
        assert len(slots) + skipped[name] == done[name] - first[name] + 1


@given(st.lists(EVERY, min_size=1, max_size=4), st.integers(0, 10**7))
def test_nothing_becomes_due_before_the_next_slot(everies: list[timedelta], seconds: int) -> None:
    jobs = [job(str(at), every) for at, every in enumerate(everies)]
    now = START + timedelta(seconds=seconds)
    done = {item.job.name: item.slot for item in due(jobs, {}, now)}
    upcoming = next_due(jobs, now)
    assert upcoming is not None
    assert upcoming > now
    assert not due(jobs, done, upcoming - timedelta(microseconds=1))
    assert due(jobs, done, upcoming)


def test_without_jobs_nothing_is_ever_due() -> None:
    none: Sequence[Job] = ()
    assert due(none, {}, START) == ()
    assert next_due(none, START) is None
