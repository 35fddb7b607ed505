"""Reading a log back: all of it, or an error that names the file."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.trueup.eventlog.served import FLIGHTS, NOON, contract, served

from trueup.errors import InputError, SourceError
from trueup.eventlog.layout import log_directory
from trueup.eventlog.reader import find_logs, read_contract, read_log, read_log_batches
from trueup.eventlog.records import log_schema
from trueup.eventlog.writer import LogLimits, LogWriter

LIMITS = LogLimits(queue_rows=1_000, batch_rows=1_000, batch_seconds=3600.0)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Three days of requests at noon, each scored by both models, written latest first."""
    with LogWriter(tmp_path, [FLIGHTS], LIMITS, name="w") as writer:
        for day in (2, 1, 0):
            writer.offer(served(f"day {day}", rows=2, instant=NOON + timedelta(days=day)))
    return log_directory(tmp_path, FLIGHTS)


def _requests(directory: Path, **wanted: object) -> list[str]:
    return read_log(directory, **wanted).table.column("__request_id").to_pylist()  # type: ignore[arg-type]


def test_rows_come_oldest_first_whatever_the_order_of_the_files(log: Path) -> None:
    table = read_log(log).table
    keys = [(row["__log_timestamp"], row["__request_id"], row["__row"], row["__role"]) for row in table.to_pylist()]
    assert keys == sorted(keys)
    assert table.num_rows == 12
    assert table.schema == log_schema(FLIGHTS)
    assert all(column.num_chunks == 1 for column in table.columns)


def test_the_start_counts_and_the_end_does_not(log: Path) -> None:
    assert _requests(log, start=NOON + timedelta(days=1), end=NOON + timedelta(days=2)) == ["day 1"] * 4
    assert _requests(log, start=NOON + timedelta(microseconds=1), end=NOON + timedelta(days=1)) == []
    assert set(_requests(log, start=NOON)) == {"day 0", "day 1", "day 2"}


def test_models_and_roles_are_chosen(log: Path) -> None:
    table = read_log(log, models=["flights_leaky"], roles=["shadow"]).table
    assert set(table.column("__model").to_pylist()) == {"flights_leaky"}
    assert table.num_rows == 6
    assert read_log(log, models=["flights_leaky"], roles=["answer"]).num_rows == 0
    assert read_log(log, models=[]).num_rows == 0


def test_a_log_brings_its_contract_its_frame_and_its_inputs(log: Path) -> None:
    one = read_log(log, end=NOON + timedelta(hours=1), models=["flights"])
    assert one.contract == FLIGHTS == read_contract(log)
    assert one.frame.values.equals(served(rows=2).frame.values)
    assert one.inputs.equals(served(rows=2).inputs)


@pytest.mark.parametrize(("most_rows", "sizes"), [(1, [4, 4, 4]), (8, [8, 4]), (11, [8, 4]), (12, [12])])
def test_batches_are_the_same_rows_in_the_same_order(log: Path, most_rows: int, sizes: list[int]) -> None:
    batches = list(read_log_batches(log, most_rows=most_rows))
    assert [batch.num_rows for batch in batches] == sizes
    assert pa.concat_tables(batch.table for batch in batches).equals(read_log(log).table)


def test_batches_of_no_rows_are_none(log: Path) -> None:
    assert list(read_log_batches(log, most_rows=5, models=["nobody"])) == []


def test_a_role_there_is_not_is_an_error(log: Path) -> None:
    with pytest.raises(InputError, match="roles: 'shadows' is not one of answer, shadow"):
        read_log(log, roles=["shadows"])  # type: ignore[list-item]


def test_logs_are_found_under_the_root_and_named_when_the_root_is_read_as_one(tmp_path: Path) -> None:
    other = contract("other")
    with LogWriter(tmp_path, [FLIGHTS, other]):
        pass
    assert find_logs(tmp_path) == (log_directory(tmp_path, FLIGHTS), log_directory(tmp_path, other))
    assert read_log(find_logs(tmp_path)[0]).num_rows == 0
    with pytest.raises(SourceError, match=rf"{tmp_path} is not a served log.*Logs under it: .*{FLIGHTS.hash[:12]}"):
        read_log(tmp_path)
    with pytest.raises(SourceError, match="is not a served log"):
        read_log(tmp_path / "nothing")


def test_files_that_are_still_being_written_are_not_read(log: Path) -> None:
    (log / "date=2013-11-01" / ".w-000009.parquet.tmp").write_bytes(b"PAR1")
    assert read_log(log).num_rows == 12


def _first(log: Path) -> Path:
    return min(log.rglob("*.parquet"))


@pytest.mark.parametrize("keep", [0, 3, 100, -1])
def test_a_file_cut_short_is_named(log: Path, keep: int) -> None:
    path = _first(log)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(SourceError, match=rf"{path.name} cannot be read as Parquet.*damaged or cut short"):
        read_log(log)


def test_damage_in_the_middle_of_a_file_is_named(log: Path) -> None:
    path = _first(log)
    data = bytearray(path.read_bytes())
    data[4:400] = bytes(396)
    path.write_bytes(bytes(data))
    with pytest.raises(SourceError, match=path.name):
        read_log(log)


def test_a_parquet_file_of_other_columns_is_named_with_what_differs(log: Path) -> None:
    table = read_log(log).table
    seats = table.schema.get_field_index("plane__seats")
    as_text = table.set_column(seats, "plane__seats", table.column(seats).cast(pa.string()))
    pq.write_table(as_text.append_column("x", [[0] * 12]), log / "date=2013-11-01" / "stranger.parquet")
    differs = r"stranger\.parquet .*plane__seats string instead of int64; x int64 instead of absent"
    with pytest.raises(SourceError, match=differs):
        read_log(log)


def test_a_parquet_file_of_another_column_order_is_named(log: Path) -> None:
    table = read_log(log).table
    pq.write_table(table.select(table.column_names[::-1]), log / "date=2013-11-01" / "stranger.parquet")
    with pytest.raises(SourceError, match=r"stranger\.parquet .*their order"):
        read_log(log)


@pytest.mark.parametrize(
    "name", ["notes.txt", "date=2013-13-01/a.parquet", "other=1/a.parquet", "date=2013-11-01/a.csv"]
)
def test_whatever_else_lies_in_a_log_is_named(log: Path, name: str) -> None:
    (log / name).parent.mkdir(exist_ok=True)
    (log / name).write_text("x")
    with pytest.raises(SourceError, match="does not belong to this log"):
        read_log(log)


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"format": 99}'])
def test_a_damaged_contract_is_named(log: Path, text: str) -> None:
    (log / "contract.json").write_text(text)
    with pytest.raises(SourceError, match=r"contract\.json cannot be read as a contract"):
        read_log(log)


def test_a_day_outside_the_range_is_not_opened(log: Path) -> None:
    _first(log).write_bytes(b"damaged, but of 1 November")
    assert set(_requests(log, start=datetime(2013, 11, 2, tzinfo=UTC))) == {"day 1", "day 2"}
