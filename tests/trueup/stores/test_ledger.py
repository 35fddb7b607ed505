"""Laws of the ledger of materializations, and of the landings that are read from it."""

from __future__ import annotations

import multiprocessing
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles import asof as oracle
from tests.oracles.histories import START, STEP, instants, ledgers, schedules, views

from trueup.contracts.contract import Field, JoinKey, Source, View
from trueup.errors import StoreError
from trueup.instants import Schedule
from trueup.stores.landing import NEVER, landings, micros
from trueup.stores.ledger import BEGINNING, Ledger, Run

NOON = datetime(2024, 5, 1, 12, 0, 0, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "data" / "ledger.sqlite")


def start(ledger: Ledger, at: datetime = NOON, **changes: Any) -> Run:
    return ledger.start(
        **{
            "project": "p",
            "view": "v",
            "started_at": at,
            "known_at": at,
            "known_after": None,
            "event_start": BEGINNING,
            "event_end": at,
            "definition_hash": "d",
            **changes,
        }
    )


def done(ledger: Ledger, at: datetime = NOON, **changes: Any) -> Run:
    return ledger.finish(start(ledger, at, **changes), finished_at=at + HOUR, rows=3)


# The file -------------------------------------------------------------------------------------------------------------


def test_what_is_written_is_read_back_to_the_microsecond(ledger: Ledger) -> None:
    run = start(ledger, known_after=NOON - HOUR, event_start=NOON - 2 * HOUR)
    finished = ledger.finish(run, finished_at=NOON + HOUR, rows=7)
    assert ledger.runs("p", "v") == (finished,)
    assert (finished.rows, finished.finished_at, finished.known_after) == (7, NOON + HOUR, NOON - HOUR)
    assert Ledger(ledger.path).runs("p", "v") == (finished,)


def test_the_beginning_of_time_can_be_stored(ledger: Ledger) -> None:
    assert start(ledger).event_start == BEGINNING
    assert ledger.runs("p", "v")[0].event_start == BEGINNING


def test_a_run_that_crashed_stays_unfinished(ledger: Ledger) -> None:
    run = start(ledger)
    assert ledger.runs("p", "v") == (run,)
    assert run.finished_at is None


def test_runs_come_in_the_order_they_started_and_only_those_of_the_view_and_project(ledger: Ledger) -> None:
    late, early = start(ledger, NOON + HOUR), start(ledger, NOON)
    start(ledger, view="other")
    start(ledger, project="other")
    assert ledger.runs("p", "v") == (early, late)


def test_a_run_finishes_once(ledger: Ledger) -> None:
    run = done(ledger)
    with pytest.raises(StoreError, match="run 1 of view v is not running"):
        ledger.finish(run, finished_at=NOON, rows=0)


def test_reading_a_ledger_that_does_not_exist_finds_nothing_and_makes_nothing(ledger: Ledger) -> None:
    assert ledger.runs("p", "v") == ()
    assert ledger.cursor("p", "v", ttl=None, definition_hash="d") is None
    assert not ledger.path.parent.exists()


def test_an_empty_file_is_a_ledger_without_runs(ledger: Ledger) -> None:
    ledger.path.parent.mkdir()
    ledger.path.touch()
    assert ledger.runs("p", "v") == ()
    assert start(ledger).run_id == 1


@pytest.mark.parametrize("content", [b"not a database, but long enough to be taken for one" * 50, b"\x00" * 4096])
def test_a_file_that_is_no_ledger_is_an_error_that_names_it(ledger: Ledger, content: bytes) -> None:
    ledger.path.parent.mkdir()
    ledger.path.write_bytes(content)
    with pytest.raises(StoreError, match=r"ledger .*ledger\.sqlite cannot be used"):
        ledger.runs("p", "v")
    with pytest.raises(StoreError, match=r"ledger .*ledger\.sqlite cannot be used"):
        start(ledger)


def test_a_folder_is_no_ledger(ledger: Ledger) -> None:
    ledger.path.mkdir(parents=True)
    with pytest.raises(StoreError, match="cannot be used"):
        ledger.runs("p", "v")


def test_a_ledger_of_a_later_format_is_refused(ledger: Ledger) -> None:
    start(ledger)
    connection = sqlite3.connect(ledger.path)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(StoreError, match="of format 2; this version of trueup reads 1"):
        ledger.runs("p", "v")


def test_many_calls_may_share_a_connection(ledger: Ledger) -> None:
    with ledger:
        first = done(ledger)
        second = done(ledger, NOON + HOUR)
        assert ledger.runs("p", "v") == (first, second)
        assert Ledger(ledger.path).runs("p", "v") == (first, second)
    assert ledger.runs("p", "v") == (first, second)


def _append(path: Path, view: str, count: int) -> None:
    ledger = Ledger(path)
    for i in range(count):
        done(ledger, NOON + i * HOUR, view=view)


def test_processes_that_begin_one_ledger_together_lose_no_run(ledger: Ledger) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_append, args=(ledger.path, f"v{i}", 20)) for i in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    runs = [run for i in range(4) for run in ledger.runs("p", f"v{i}")]
    assert len({run.run_id for run in runs}) == 80
    assert all(run.finished_at is not None for run in runs)


# The cursor -----------------------------------------------------------------------------------------------------------


def cursor(ledger: Ledger, ttl: timedelta | None = None, definition_hash: str = "d") -> datetime | None:
    return ledger.cursor("p", "v", ttl=ttl, definition_hash=definition_hash)


def test_the_cursor_is_where_the_furthest_finished_run_ended(ledger: Ledger) -> None:
    done(ledger, NOON + HOUR)
    done(ledger, NOON)
    start(ledger, NOON + 2 * HOUR)
    done(ledger, NOON + 9 * HOUR, view="other")
    assert cursor(ledger) == NOON + HOUR


@pytest.mark.parametrize("bound", ["known_at", "event_end"])
def test_the_cursor_is_the_lesser_of_both_ends_of_a_run(ledger: Ledger, bound: str) -> None:
    done(ledger, **{bound: NOON - HOUR})
    assert cursor(ledger) == NOON - HOUR


def test_a_run_of_another_definition_proves_nothing(ledger: Ledger) -> None:
    done(ledger)
    assert cursor(ledger, definition_hash="edited") is None


def test_a_run_over_a_window_shorter_than_the_ttl_proves_nothing(ledger: Ledger) -> None:
    done(ledger, event_start=NOON - HOUR)
    assert cursor(ledger) is None
    assert cursor(ledger, ttl=HOUR + timedelta(microseconds=1)) is None
    assert cursor(ledger, ttl=HOUR) == NOON


# Landings -------------------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.data())
def test_landings_are_what_the_rules_say(data: st.DataObject) -> None:
    view = data.draw(views(Path("unread")))
    schedule = data.draw(schedules)
    runs = data.draw(ledgers(view))
    clocks = data.draw(st.lists(st.tuples(instants, instants), max_size=30))
    event = np.array([micros(event) for event, _ in clocks], np.int64)
    created = np.array([micros(created) for _, created in clocks], np.int64)
    expected = [oracle.landed(oracle.Row((), event, created, ()), schedule, runs) for event, created in clocks]
    assert landings(event, created, schedule, runs).tolist() == [
        NEVER if landing is None else micros(landing) for landing in expected
    ]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(offset=st.integers(-(10**15), 10**15), schedule=schedules)
def test_a_declared_landing_is_the_schedules(offset: int, schedule: Schedule) -> None:
    known = START + timedelta(microseconds=offset)
    got = landings(np.array([micros(known)]), np.array([micros(known)]), schedule, [])
    assert got.tolist() == [micros(schedule.landing(known))]


def test_a_row_missed_by_every_run_never_lands_though_its_schedule_would_have_taken_it(ledger: Ledger) -> None:
    """The gap of an incremental run is in the ledger, and so in what was served."""
    run = done(ledger, NOON, known_after=NOON - HOUR, event_start=NOON - 3 * STEP)
    event = np.array([micros(NOON - HOUR), micros(NOON - 2 * STEP)])
    created = np.array([micros(NOON), micros(NOON)])
    assert run.finished_at is not None
    assert landings(event, created, Schedule(), [run]).tolist() == [NEVER, micros(run.finished_at)]


# Definitions ----------------------------------------------------------------------------------------------------------


def view(query: str) -> View:
    return View(
        name="v",
        table="v",
        keys=(JoinKey("id", "Int64", "id"),),
        features=(Field("f", "Float64"),),
        ttl=HOUR,
        source=Source("test", "event", None, query, {"t": "t.parquet"}, {}),
    )


def test_what_runs_were_of_is_kept_once_and_read_back_oldest_first(ledger: Ledger) -> None:
    old, new = view("SELECT 1"), view("SELECT 2")
    for definition in (old, new, old):
        done(ledger, definition_hash=definition.definition_hash, definition=definition)
    start(ledger)
    done(ledger, view="w", definition_hash="w", definition=old)
    found = ledger.definitions("p", "v")
    assert list(found.items()) == [(old.definition_hash, old), (new.definition_hash, new)]


def test_a_ledger_from_before_there_were_definitions_is_read_and_written_on(ledger: Ledger) -> None:
    start(ledger)
    with sqlite3.connect(ledger.path) as connection:
        connection.execute("DROP TABLE definitions")
    connection.close()
    assert ledger.definitions("p", "v") == {}
    new = view("SELECT 2")
    start(ledger, definition_hash=new.definition_hash, definition=new)
    assert ledger.definitions("p", "v") == {new.definition_hash: new}
    assert len(ledger.runs("p", "v")) == 2
