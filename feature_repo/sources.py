"""Where features come from: all batch logic of the repository, as SQL over the tables that `ingest.py` writes.

Materialization and history both run these queries, so there is one definition of every feature. Each row
carries both clocks: `event_timestamp`, and `created`, when this version of the row became known. A row that
is restated is another row with the same event time and a later `created`; `created` is never before the
event time, and no two rows of a key have both clocks equal.

Feast filters on `event_timestamp` from outside. It is therefore a key of every GROUP BY and PARTITION BY, so that
DuckDB moves the filter below them, and windows are joined by equality, so that it skips what no window reaches.
Sums are of integers and divided last: a float does not depend on the order in which threads add.
"""

from collections.abc import Mapping

from feast.types import Float64, Int64

from trueup.stores.query_source import DuckDBQuerySource

FLIGHTS = {"departures": "data/departures.parquet", "calendar": "data/calendar.parquet"}

DEPARTURES_BY_HOUR = """
    WITH reach AS (  -- the hours of scheduled departure that the row keyed by `event_timestamp` tells of
        SELECT hour AS event_timestamp, age, hour - to_hours(age) AS sched_hour
        FROM calendar, range(3) AS ages(age)
    ), news AS (  -- what each instant adds; flights told of in one minute are one version
        SELECT
            {keys}, event_timestamp, greatest(created, event_timestamp) AS created,
            count(*) FILTER (WHERE age = 0) AS told_1h,
            count(dep_delay) FILTER (WHERE age = 0) AS departed_1h,
            sum(dep_delay) FILTER (WHERE age = 0) AS delay_1h,
            count(*) FILTER (WHERE age = 0 AND (cancelled OR dep_delay > 15)) AS late_1h,
            count(*) FILTER (WHERE age = 0 AND cancelled) AS cancelled_1h,
            count(*) AS told_3h,
            count(dep_delay) AS departed_3h,
            sum(dep_delay) AS delay_3h,
            count(*) FILTER (WHERE cancelled OR dep_delay > 15) AS late_3h,
            count(*) FILTER (WHERE cancelled) AS cancelled_3h
        FROM departures JOIN reach USING (sched_hour)
        GROUP BY ALL
    ), known AS (  -- all that is known by each instant
        SELECT
            {keys}, event_timestamp, created,
            sum(told_1h) OVER whole AS scheduled_1h,
            sum(told_1h) OVER so_far AS told_1h,
            sum(departed_1h) OVER so_far AS departed_1h,
            sum(delay_1h) OVER so_far AS delay_1h,
            sum(late_1h) OVER so_far AS late_1h,
            sum(cancelled_1h) OVER so_far AS cancelled_1h,
            sum(told_3h) OVER whole AS scheduled_3h,
            sum(told_3h) OVER so_far AS told_3h,
            sum(departed_3h) OVER so_far AS departed_3h,
            sum(delay_3h) OVER so_far AS delay_3h,
            sum(late_3h) OVER so_far AS late_3h,
            sum(cancelled_3h) OVER so_far AS cancelled_3h
        FROM news
        WINDOW
            whole AS (PARTITION BY {keys}, event_timestamp),
            so_far AS (PARTITION BY {keys}, event_timestamp ORDER BY created)
    )
    SELECT
        {keys}, event_timestamp, created,
        departed_1h::BIGINT AS departed_1h,
        (scheduled_1h - told_1h)::BIGINT AS waiting_1h,
        delay_1h::DOUBLE / nullif(departed_1h, 0)::DOUBLE AS mean_delay_1h,
        late_1h::DOUBLE / nullif(told_1h, 0)::DOUBLE AS late_share_1h,
        cancelled_1h::DOUBLE / nullif(told_1h, 0)::DOUBLE AS cancelled_share_1h,
        departed_3h::BIGINT AS departed_3h,
        (scheduled_3h - told_3h)::BIGINT AS waiting_3h,
        delay_3h::DOUBLE / nullif(departed_3h, 0)::DOUBLE AS mean_delay_3h,
        late_3h::DOUBLE / nullif(told_3h, 0)::DOUBLE AS late_share_3h,
        cancelled_3h::DOUBLE / nullif(told_3h, 0)::DOUBLE AS cancelled_share_3h
    FROM known
"""
"""Flights by hour of scheduled departure, keyed by the start of the hour, restated as each of them leaves.

1h: scheduled in the hour itself; 3h: in it and the two before. departed: gone. waiting: neither gone nor
cancelled (the schedule is known beforehand). mean_delay: minutes, of the departed; late_share (by more than
15 minutes, or cancelled) and cancelled_share: of the departed and cancelled. Null when there are none of them.
"""

PLANE_LAST_FLIGHT = """
    WITH moved AS (  -- two versions of a flight: gone, and arrived
        SELECT
            tailnum, dep, dest, dep_delay, arr_delay,
            unnest([dep, arr]) AS created,
            unnest([false, true]) AS landed
        FROM departures
        WHERE tailnum IS NOT NULL AND dep IS NOT NULL
    )
    SELECT
        tailnum, dep AS event_timestamp, created,
        epoch_us(dep) // 1000000 AS departed_unix,
        dest AS flown_to,
        dep_delay AS departure_delay,
        landed,
        CASE WHEN landed THEN arr_delay END AS arrival_delay
    FROM moved
    WHERE created IS NOT NULL
"""
"""A plane's latest departure out of New York; restated on arrival (never, when it was diverted).

departed_unix: seconds since 1970, UTC. Delays: minutes. arrival_delay: null until it has landed.
"""

ROUTE_HISTORY = """
    WITH reach AS (  -- the days that the window ending at `event_timestamp` tells of
        SELECT day AS event_timestamp, day - to_days(age::INTEGER) AS sched_day
        FROM (SELECT DISTINCT day FROM calendar), range(1, 29) AS ages(age)
    ), daily AS (  -- what was known when a day ended is one row; what came later is a row per instant
        SELECT
            origin, dest, sched_day,
            -- In integers: zoned arithmetic on every flight of the year would double the time of a narrow read.
            CASE WHEN epoch_us(created) - epoch_us(sched_day) > 86_400_000_000 THEN created END AS later,
            count(*) AS flights,
            count(dep_delay) AS departed,
            sum(dep_delay) AS delay,
            count(*) FILTER (WHERE cancelled OR dep_delay > 15) AS late,
            count(*) FILTER (WHERE cancelled) AS cancelled
        FROM departures
        GROUP BY ALL
    ), news AS (
        SELECT
            origin, dest, event_timestamp, greatest(later, event_timestamp) AS created,
            sum(flights) AS flights,
            sum(departed) AS departed,
            sum(delay) AS delay,
            sum(late) AS late,
            sum(cancelled) AS cancelled
        FROM daily JOIN reach USING (sched_day)
        GROUP BY ALL
    ), known AS (
        SELECT
            origin, dest, event_timestamp, created,
            sum(flights) OVER so_far AS flights,
            sum(departed) OVER so_far AS departed,
            sum(delay) OVER so_far AS delay,
            sum(late) OVER so_far AS late,
            sum(cancelled) OVER so_far AS cancelled
        FROM news
        WINDOW so_far AS (PARTITION BY origin, dest, event_timestamp ORDER BY created)
    )
    SELECT
        origin, dest, event_timestamp, created,
        flights::BIGINT AS flights_28d,
        delay::DOUBLE / nullif(departed, 0)::DOUBLE AS mean_delay_28d,
        late::DOUBLE / flights::DOUBLE AS late_share_28d,
        cancelled::DOUBLE / flights::DOUBLE AS cancelled_share_28d
    FROM known
"""
"""Flights of a route scheduled in the 28 UTC days before `event_timestamp` (a midnight), restated as the last leave.

flights: departed or cancelled by then. mean_delay: minutes, of the departed (null if none). The shares are of all.
A window that begins before the data do holds only what there is.
"""

WEATHER = """
    SELECT
        origin, event_timestamp, created,
        temp, humid, wind_dir, wind_speed, wind_gust, precip, pressure, visib,
        visib < 3.0 AS low_visibility
    FROM weather
"""
"""The hour's observation, keyed by the start of the hour, known when it is published 55 minutes later.

Degrees Fahrenheit, percent, degrees true the wind blows from (null when variable), mph, inches, hPa, miles.
low_visibility: under 3 miles, where instrument flight rules begin.
"""

PLANE_FACTS = """
    SELECT tailnum, event_timestamp, created, year_built, seats, engines, manufacturer, model, engine
    FROM planes
"""


DEPARTURE_STATISTICS = {
    "departed_1h": Int64,
    "waiting_1h": Int64,
    "mean_delay_1h": Float64,
    "late_share_1h": Float64,
    "cancelled_share_1h": Float64,
    "departed_3h": Int64,
    "waiting_3h": Int64,
    "mean_delay_3h": Float64,
    "late_share_3h": Float64,
    "cancelled_share_3h": Float64,
}
"""What DEPARTURES_BY_HOUR gives, and of which type."""

OF_CARRIER = {name: f"carrier_{name}" for name in DEPARTURE_STATISTICS}
"""Names of the same for one carrier.

Feast names a feature without its view unless told otherwise, and refuses two of one name in one answer. (Told
otherwise, Feast 0.67 leaves every on-demand feature of python mode out of an online answer, without a word.)
"""


def _source(
    name: str, query: str, tables: Mapping[str, str], field_mapping: Mapping[str, str] | None = None
) -> DuckDBQuerySource:
    return DuckDBQuerySource(
        name=name,
        query=query,
        tables=tables,
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
        field_mapping=field_mapping,
    )


origin_departures_source = _source("origin_departures_source", DEPARTURES_BY_HOUR.format(keys="origin"), FLIGHTS)
carrier_origin_source = _source(
    "carrier_origin_source", DEPARTURES_BY_HOUR.format(keys="carrier, origin"), FLIGHTS, OF_CARRIER
)
plane_last_flight_source = _source("plane_last_flight_source", PLANE_LAST_FLIGHT, {"departures": FLIGHTS["departures"]})
route_history_source = _source("route_history_source", ROUTE_HISTORY, FLIGHTS)
weather_source = _source("weather_source", WEATHER, {"weather": "data/weather.parquet"})
plane_facts_source = _source("plane_facts_source", PLANE_FACTS, {"planes": "data/planes.parquet"})
