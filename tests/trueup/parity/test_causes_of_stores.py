"""Causes of what the online store held: each where exactly it happens, and the near miss beside it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.trueup.parity.tamper import both, event, put
from tests.trueup.parity.world import World, causes_of

from trueup.frame import Status
from trueup.instants import KnownAt, Schedule
from trueup.stores.ledger import Ledger

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:feast", "ignore::UserWarning:feast")


def grounds(**causes: int) -> dict[str, dict[str, int]]:
    """The same causes for all that is of a plane."""
    return dict.fromkeys(("plane__speed", "plane__seats", "flight__ground"), causes)


def row(hours: float, speed: float, seats: int):
    """A server that answers with this row of the plane."""
    return both(put(plane__speed=speed, plane__seats=seats, flight__ground=speed - 10.25), event(plane=hours))


def test_the_state_before_a_finished_run_is_missed_materialization(world: World) -> None:
    world.know("plane", 2, speed=500.0, seats=180)
    world.serve(2.6)
    world.serve(2.7)
    world.materialize(2.5)
    world.served.reverse()
    assert causes_of(world.check_served()) == grounds(missed_materialization=2)


def test_of_two_missed_runs_both_may_have_been_missed_and_of_four_not(world: World) -> None:
    for hour in (2, 3, 4, 5):
        world.know("plane", hour, speed=100.0 * hour, seats=hour)
        world.materialize(hour + 0.5)
    world.serve(5.6, tamper=row(3, 300.0, 3))
    world.serve(5.7, tamper=row(2, 200.0, 2))
    world.serve(5.8, tamper=row(0, 400.5, 2**53 + 1))
    assert causes_of(world.check_served()) == grounds(missed_materialization=2, stale_overwrite=1)


def test_a_declared_run_that_did_not_come_is_missed_to_a_model_that_learned_by_the_label(world: World) -> None:
    hourly = Schedule(cadence=timedelta(hours=1), delay=timedelta(minutes=5))
    views = tuple(replace(view, schedule=hourly) for view in world.contract.views)
    world.contract = replace(world.contract, views=views)
    world.know("plane", 1.5, speed=500.0, seats=180)
    world.know("plane", 2.5, speed=600.0, seats=200)
    world.serve(2.9)
    # By hour 2:05 the first row was due, and no run brought it; the second is due at 3:05 only.
    assert causes_of(world.check_served("label")) == grounds(lag=1, missed_materialization=1)
    assert world.check_served().verdict == "pass"


def test_a_schedule_that_is_kept_makes_lag_only(world: World) -> None:
    hourly = Schedule(cadence=timedelta(hours=1), delay=timedelta(minutes=5))
    views = tuple(replace(view, schedule=hourly) for view in world.contract.views)
    world.contract = replace(world.contract, views=views)
    world.know("plane", 2.5, speed=600.0, seats=200)
    world.serve(2.9)
    assert causes_of(world.check_served("label")) == grounds(lag=1)


def test_a_window_materialized_again_over_a_newer_row_is_stale_overwrite(world: World) -> None:
    """Three runs bring newer rows; then one of an old window writes last, in a store that does not compare."""
    for hour in (2, 3):
        world.know("plane", hour, speed=100.0 * hour, seats=hour)
        world.materialize(hour + 0.5)
    run = world.ledger.runs("world", "plane")[-1]
    start = world.ledger.start(
        project="world",
        view="plane",
        started_at=run.started_at + timedelta(minutes=10),
        known_at=run.started_at + timedelta(minutes=10),
        known_after=None,
        event_start=run.event_start,
        event_end=run.started_at - timedelta(hours=1),
        definition_hash="",
    )
    world.ledger.finish(start, finished_at=run.started_at + timedelta(minutes=11), rows=1)
    world.serve(4, tamper=row(2, 200.0, 2))
    assert causes_of(world.check_served()) == grounds(stale_overwrite=1)


@pytest.mark.parametrize("known_at", ["label", "unbounded", "served"])
def test_without_ledger_and_schedule_an_older_row_is_lag(world: World, known_at: KnownAt) -> None:
    world.know("plane", 2, speed=500.0, seats=180)
    world.serve(3)
    none = Ledger(world.path / "none.sqlite")
    assert causes_of(world.check_served(known_at, ledger=none)) == grounds(lag=1)


def test_an_older_row_that_the_source_never_had_is_unexplained(world: World) -> None:
    world.know("plane", 2, speed=500.0, seats=180)
    world.materialize(2.5)
    world.serve(3, tamper=row(1, 1.0, 1))
    assert causes_of(world.check_served())["plane__speed"] == {"unexplained": 1}


def test_a_correction_of_equal_event_time_that_did_not_replace_is_redis_refused_equal_ts(world: World) -> None:
    world.know("plane", 0, created=2, speed=555.0, seats=180)
    world.serve(2.6)
    world.materialize(2.5)
    assert causes_of(world.check_served()) == grounds(redis_refused_equal_ts=1)


def test_a_correction_that_had_not_landed_is_no_refusal(world: World) -> None:
    world.know("plane", 0, created=2, speed=555.0, seats=180)
    world.serve(2.6)
    assert world.check_served().verdict == "pass"
    assert causes_of(world.check_served("label")) == grounds(lag=1)


def test_a_served_row_of_later_than_now_is_future_event(world: World) -> None:
    world.know("plane", 9, speed=500.0, seats=180)
    world.serve(3, tamper=row(9, 500.0, 180))
    world.serve(3, tamper=row(8, 500.0, 180))
    # At hour 8 the source has no row of the plane, and no run can have brought one.
    assert causes_of(world.check_served())["plane__speed"] == {"future_event": 1, "missing_offline": 1}


def test_the_newest_row_that_the_source_has_lost_is_tombstone_missing(world: World) -> None:
    world.know("plane", 2, speed=500.0, seats=180)
    world.materialize(2.5)
    world.serve(3)
    world.rows["plane"].pop()
    world.write()
    assert causes_of(world.check_served()) == grounds(tombstone_missing=1)


def test_another_of_two_tied_rows_is_ambiguous_source_and_the_first_is_counted(world: World) -> None:
    world.know("plane", 2, speed=500.0, seats=180)
    world.know("plane", 2, speed=600.0, seats=180)
    for speed in (500.0, 600.0, 700.0):
        world.serve(3, tamper=row(2, speed, 180))
    assert causes_of(world.check_served("label")) == {
        "plane__speed": {"ambiguous_source": 1, "unexplained": 1},
        "flight__ground": {"ambiguous_source": 1, "unexplained": 1},
    }


def test_a_tied_row_that_also_lagged_has_both_causes(world: World) -> None:
    world.know("plane", 0, speed=999.0, seats=2**53 + 1)
    world.know("plane", 2, speed=500.0, seats=180)
    world.serve(3, tamper=row(0, 999.0, 2**53 + 1))
    assert causes_of(world.check_served("label"))["plane__speed"] == {"lag": 1, "ambiguous_source": 1}


def test_a_clock_of_another_zone_is_timezone_shift(world: World) -> None:
    """Event times five hours late: at hour 7 the store has the row of hour 2, and says it is of hour 7."""
    world.know("plane", 2, speed=500.0, seats=180)
    world.know("plane", 6, speed=600.0, seats=190)
    world.materialize(6.5)
    world.serve(7, tamper=row(7, 500.0, 180))
    assert causes_of(world.check_served("label")) == grounds(timezone_shift=1)


def test_a_clock_that_is_seven_minutes_off_is_unexplained(world: World) -> None:
    world.know("plane", 2, speed=500.0, seats=180)
    world.know("plane", 6, speed=600.0, seats=190)
    world.materialize(6.5)
    world.serve(7, tamper=row(2 + 7 / 60, 500.0, 180))
    assert causes_of(world.check_served("label"))["plane__speed"] == {"unexplained": 1}


def test_all_views_absent_at_once_is_serving_fallback_and_one_alone_is_missing_online(world: World) -> None:
    nothing = put(Status.MISSING, plane__speed=None, plane__seats=None, airport__wind=None)
    empty = put(Status.NULL, flight__ground=None, flight__gusty=None)
    world.serve(3, tamper=both(nothing, empty, event(plane=None, airport=None)))
    world.serve(3, tamper=both(put(Status.MISSING, airport__wind=None), event(airport=None)))
    found = causes_of(world.check_served())
    assert found["plane__speed"] == {"serving_fallback": 1}
    assert found["airport__wind"] == {"serving_fallback": 1, "missing_online": 1}


def test_views_that_are_often_absent_alone_are_sometimes_absent_together(world: World) -> None:
    plane = both(put(Status.MISSING, plane__speed=None, plane__seats=None), event(plane=None))
    airport = both(put(Status.MISSING, airport__wind=None), event(airport=None))
    for i in range(20):
        world.serve(3 + i / 100, tamper=(plane, airport, lambda frame: frame)[i % 3])
    world.serve(3.5, tamper=both(plane, airport))
    assert causes_of(world.check_served())["plane__seats"] == {"missing_online": 8}
