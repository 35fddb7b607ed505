"""The log writer: every offered row is written, dropped or failed, counted as such, and no offer waits."""

from __future__ import annotations

import math
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.trueup.eventlog.served import FLIGHTS, NOON, contract, frame, served

from trueup.errors import ContractError, InputError, StoreError
from trueup.eventlog.layout import log_directory
from trueup.eventlog.reader import read_log
from trueup.eventlog.records import Scores, ServedRows
from trueup.eventlog.writer import LogLimits, LogState, LogWriter, write_parquet

PATIENT = LogLimits(queue_rows=1_000, batch_rows=1_000, batch_seconds=3600.0)
"""Writes on close or flush only."""
ONE_BY_ONE = LogLimits(queue_rows=4, batch_rows=1, batch_seconds=3600.0)


class Gate:
    """Writes files, but only once it is opened; says when the first write has begun."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.open = threading.Event()

    def __call__(self, table: pa.Table, path: Path) -> None:
        self.begun.set()
        self.open.wait()
        write_parquet(table, path)


def _files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file() and path.name != "contract.json")


def test_a_graceful_stop_loses_no_row(tmp_path: Path) -> None:
    with LogWriter(tmp_path, [FLIGHTS], PATIENT) as log:
        assert all(log.offer(served(f"r-{number}")) for number in range(100))
    assert log.state == LogState(queued=0, written=200, dropped=0, failed=0, error=None, closed=True)
    logged = read_log(log_directory(tmp_path, FLIGHTS)).table
    assert logged.num_rows == 200
    assert set(logged.column("__request_id").to_pylist()) == {f"r-{number}" for number in range(100)}


def test_no_row_is_lost_when_many_threads_offer_at_once(tmp_path: Path) -> None:
    start = threading.Barrier(4)

    def offer(thread: int) -> None:
        start.wait()
        for number in range(50):
            assert log.offer(served(f"{thread}-{number}", models=["m"]))

    with LogWriter(tmp_path, [FLIGHTS], LogLimits(queue_rows=1_000, batch_rows=7, batch_seconds=3600.0)) as log:
        threads = [threading.Thread(target=offer, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    table = read_log(log_directory(tmp_path, FLIGHTS)).table
    assert sorted(table.column("__request_id").to_pylist()) == sorted(f"{t}-{n}" for t in range(4) for n in range(50))
    assert log.state.written == 200


def test_a_full_queue_drops_whole_requests_counts_them_and_never_waits(tmp_path: Path) -> None:
    gate = Gate()
    with LogWriter(tmp_path, [FLIGHTS], ONE_BY_ONE, write=gate) as log:
        assert log.offer(served("in hand", rows=1))  # 2 rows: two models
        gate.begun.wait()
        assert log.offer(served("waits", rows=1))
        assert not log.offer(served("no room", rows=1))
        assert not log.offer(served("no room either", rows=2))
        assert log.state == LogState(queued=4, written=0, dropped=6, failed=0, error=None, closed=False)
        gate.open.set()
        log.flush()
        assert log.offer(served("room again"))
    assert (log.state.written, log.state.dropped) == (6, 6)
    logged = read_log(log_directory(tmp_path, FLIGHTS)).table.column("__request_id").to_pylist()
    assert set(logged) == {"in hand", "waits", "room again"}


def test_a_full_batch_is_written_without_being_told(tmp_path: Path) -> None:
    gate = Gate()
    gate.open.set()
    with LogWriter(tmp_path, [FLIGHTS], LogLimits(10, 4, 3600.0), write=gate) as log:
        log.offer(served("a"))
        assert not gate.begun.is_set()
        log.offer(served("b"))
        gate.begun.wait()


def test_a_batch_that_does_not_fill_is_written_when_its_time_is_up(tmp_path: Path) -> None:
    gate = Gate()
    gate.open.set()
    with LogWriter(tmp_path, [FLIGHTS], LogLimits(10, 10, 0.001), write=gate) as log:
        log.offer(served("a"))
        gate.begun.wait()


def test_rows_offered_after_the_end_are_dropped_and_counted(tmp_path: Path) -> None:
    with LogWriter(tmp_path, [FLIGHTS], PATIENT) as log:
        pass
    assert not log.offer(served())
    assert log.state.dropped == 2
    log.close()  # a second time does nothing


def test_a_request_without_rows_is_taken_and_makes_no_file(tmp_path: Path) -> None:
    with LogWriter(tmp_path, [FLIGHTS], PATIENT) as log:
        assert log.offer(served(rows=0))
    assert _files(tmp_path) == []


def test_each_utc_day_and_each_contract_has_a_place_of_its_own(tmp_path: Path) -> None:
    other = contract(ttl=timedelta(hours=2))
    with LogWriter(tmp_path, [FLIGHTS, other], PATIENT, name="w") as log:
        log.offer(served("a", instant=datetime(2013, 11, 1, 23, 59, 59, 999_999, tzinfo=UTC)))
        log.offer(served("b", instant=datetime(2013, 11, 2, tzinfo=UTC)))
        log.offer(served("c", under=other))
    assert [str(path.relative_to(tmp_path)) for path in _files(tmp_path)] == sorted(
        [
            f"flights/{FLIGHTS.hash[:12]}/date=2013-11-01/w-000001.parquet",
            f"flights/{FLIGHTS.hash[:12]}/date=2013-11-02/w-000002.parquet",
            f"flights/{other.hash[:12]}/date=2013-11-01/w-000003.parquet",
        ]
    )


def test_a_file_is_never_seen_half_written(tmp_path: Path) -> None:
    """A reader that looks while a batch is being written finds the files before it, whole, and no other."""
    seen: list[list[Path]] = []

    def look_then_write(table: pa.Table, path: Path) -> None:
        write_parquet(table, path)
        seen.append(_files(tmp_path))
        for file in seen[-1]:
            pq.read_table(file)

    with LogWriter(tmp_path, [FLIGHTS], LogLimits(10, 2, 3600.0), name="w", write=look_then_write) as log:
        for number in range(3):
            log.offer(served(str(number)))
            log.flush()
    assert [len(files) for files in seen] == [1, 2, 3]
    assert all(path.suffix == ".parquet" for path in seen[-1])


def test_a_write_that_fails_leaves_no_file_behind(tmp_path: Path) -> None:
    (tmp_path / "full.parquet").mkdir()  # the rename onto it fails, after the bytes were written
    with pytest.raises(OSError, match="directory"):
        write_parquet(pa.table({"a": [1]}), tmp_path / "full.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["full.parquet"]


def test_rows_whose_file_cannot_be_written_are_counted_and_the_writer_lives_on(tmp_path: Path) -> None:
    day = log_directory(tmp_path, FLIGHTS) / "date=2013-11-01"
    with LogWriter(tmp_path, [FLIGHTS], PATIENT) as log:
        day.write_text("in the way")
        log.offer(served("lost"))
        log.flush()
        assert (log.state.failed, log.state.written, log.state.queued) == (2, 0, 0)
        assert log.state.error is not None
        assert "date=2013-11-01" in log.state.error
        day.unlink()
        log.offer(served("kept"))
        log.flush()
        assert log.state.error is None
    assert (log.state.failed, log.state.written) == (2, 2)


def test_rows_that_cannot_be_turned_into_a_table_are_counted_as_failed(tmp_path: Path) -> None:
    with LogWriter(tmp_path, [FLIGHTS], PATIENT) as log:
        log.offer(served("stranger", under=contract(ttl=timedelta(hours=2))))
        log.flush()
        assert log.state.failed == 2
        assert "not one this log was opened for" in str(log.state.error)


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_directory_that_cannot_be_made_stops_the_start(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot be written to .*file.*free the disk, or give the log another"):
        LogWriter(tmp_path / place, [FLIGHTS]).start()


def test_a_directory_of_another_contract_stops_the_start(tmp_path: Path) -> None:
    other = contract(ttl=timedelta(hours=2))
    with LogWriter(tmp_path, [other]):
        pass
    log_directory(tmp_path, other).rename(log_directory(tmp_path, FLIGHTS))
    with pytest.raises(ContractError, match=f"is contract {other.hash[:12]} of flights, not {FLIGHTS.hash[:12]}"):
        LogWriter(tmp_path, [FLIGHTS]).start()


def test_a_damaged_contract_file_stops_the_start(tmp_path: Path) -> None:
    log_directory(tmp_path, FLIGHTS).mkdir(parents=True)
    (log_directory(tmp_path, FLIGHTS) / "contract.json").write_text("{")
    with pytest.raises(ContractError, match=r"contract\.json is not a contract"):
        LogWriter(tmp_path, [FLIGHTS]).start()


def test_two_writers_share_a_directory(tmp_path: Path) -> None:
    with LogWriter(tmp_path, [FLIGHTS], PATIENT) as one, LogWriter(tmp_path, [FLIGHTS], PATIENT) as two:
        one.offer(served("one"))
        two.offer(served("two"))
    table = read_log(log_directory(tmp_path, FLIGHTS)).table
    assert set(table.column("__request_id").to_pylist()) == {"one", "two"}


@pytest.mark.parametrize(
    ("field", "limits"),
    [
        ("queue_rows", (0, 1, 1.0)),
        ("batch_rows", (10, 0, 1.0)),
        ("batch_rows", (10, 11, 1.0)),
        ("batch_seconds", (10, 1, 0.0)),
    ],
)
def test_limits_that_cannot_work_are_refused(field: str, limits: tuple[int, int, float]) -> None:
    with pytest.raises(InputError) as refused:
        LogLimits(*limits)
    assert refused.value.field == field


def test_duckdb_finds_the_nans_and_no_float_column_has_statistics(tmp_path: Path) -> None:
    with LogWriter(tmp_path, [FLIGHTS], PATIENT) as log:
        for number in range(10):
            hour = math.nan if number == 3 else float(number)
            log.offer(served(str(number), models=["m"], read=frame(1, times__hour=hour)))
        log.offer(_predicted_nan("nan"))
    (path,) = _files(tmp_path)

    def count(condition: str) -> int:
        with duckdb.connect() as connection:
            query = f"SELECT count(*) FROM read_parquet(?) WHERE {condition}"
            (found,) = connection.execute(query, [str(path)]).fetchone() or (-1,)
            return int(found)

    assert count("isnan(times__hour)") == 1
    assert count("times__hour > 8.5") == 2  # 9, and NaN, which DuckDB sorts above all
    assert count("isnan(__prediction)") == 1

    group = pq.ParquetFile(path).metadata.row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    with_statistics = {column.path_in_schema for column in columns if column.is_stats_set}
    floats = {column.path_in_schema for column in columns if column.physical_type in ("FLOAT", "DOUBLE")}
    assert floats == {"route__delays.list.element", "times__hour", "plane__speed", "__prediction"}
    assert not floats & with_statistics
    assert {"__log_timestamp", "__model", "plane__seats"} <= with_statistics


def _predicted_nan(request_id: str) -> ServedRows:
    one = served(request_id, models=["m"])
    scores = (Scores("m", "3", (0,), ("answer",), np.array([math.nan])),)
    return ServedRows(**{**vars(one), "scores": scores})


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40)), max_size=12))
def test_every_offered_row_ends_as_exactly_one_of_written_dropped_failed(
    tmp_path_factory: pytest.TempPathFactory, requests: list[tuple[int, int]]
) -> None:
    root = tmp_path_factory.mktemp("log")
    offered = taken = 0
    with LogWriter(root, [FLIGHTS], LogLimits(queue_rows=6, batch_rows=3, batch_seconds=3600.0)) as log:
        for rows, hours in requests:
            request = served(str(offered), rows=rows, instant=NOON + timedelta(hours=hours))
            offered += request.num_rows
            taken += request.num_rows if log.offer(request) else 0
    state = log.state
    assert (state.written + state.dropped + state.failed, state.queued) == (offered, 0)
    assert state.written == taken == read_log(log_directory(root, FLIGHTS)).num_rows
