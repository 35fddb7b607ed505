"""The flights a replay asks about, and what became of them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from trueup.errors import InputError
from trueup.instants import as_utc
from trueup_demo.timeline import Request

ENTITY_COLUMNS = ("origin", "dest", "carrier", "tailnum", "sched_dep_unix", "flight_id")


def flights_to_ask(outcomes: Path, start: datetime, end: datetime, at_most: int | None) -> pa.Table:
    """Flights whose question falls in [start, end), by instant; `at_most` of them, chosen by a hash of the id.

    Columns: those of `outcomes.parquet` (see feature_repo/ingest.py). The sample does not depend on the
    order of the file.
    """
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        # md5, not DuckDB's hash(): its values may change between versions.
        flights: pa.Table = connection.sql(
            """
            SELECT * EXCLUDE (rank) FROM (
                SELECT *, row_number() OVER (ORDER BY md5(flight_id), flight_id) AS rank
                FROM read_parquet($path)
                WHERE event_timestamp >= $start AND event_timestamp < $end
            ) WHERE $at_most IS NULL OR rank <= $at_most
            ORDER BY event_timestamp, flight_id
            """,
            params={"path": str(outcomes), "start": start, "end": end, "at_most": at_most},
        ).to_arrow_table()
    if flights.num_rows == 0:
        raise InputError("start", f"no flight is asked about between {start} and {end}: the flights are of 2013.")
    return flights


def requests_of(flights: pa.Table) -> list[Request]:
    """One request a flight, at its own instant."""
    return [
        Request(
            instant=as_utc(row["event_timestamp"]),
            request_id=row["flight_id"],
            entity={name: row[name] for name in ENTITY_COLUMNS},
        )
        for row in flights.select(["event_timestamp", *ENTITY_COLUMNS]).to_pylist()
    ]
