"""Batch feature views: what is stored per key, its types, how long it holds, and how it reaches the online store.

Declared types are the queries' own types (DOUBLE Float64, BIGINT Int64, VARCHAR String, BOOLEAN Bool): Feast casts
on the way online and not offline, so another type would be another value. `trueup.cadence` and `trueup.delay`
say when a materialization starts (every whole multiple since 1970, UTC) and how much later it is readable.
"""

from datetime import timedelta

from feast import FeatureView, Field
from feast.types import Bool, Float64, Int64, String

from entities import airport, carrier, destination, plane
from sources import (
    DEPARTURE_STATISTICS,
    OF_CARRIER,
    carrier_origin_source,
    origin_departures_source,
    plane_facts_source,
    plane_last_flight_source,
    route_history_source,
    weather_source,
)

HOURLY = {"trueup.cadence": "1h", "trueup.delay": "5m"}
DAILY = {"trueup.cadence": "1d", "trueup.delay": "30m"}

origin_departures = FeatureView(
    name="origin_departures",
    description="Flights of an airport by hour of scheduled departure, restated as each leaves.",
    entities=[airport],
    schema=[
        Field(name="origin", dtype=String),
        *(Field(name=name, dtype=dtype) for name, dtype in DEPARTURE_STATISTICS.items()),
    ],
    source=origin_departures_source,
    ttl=timedelta(hours=6),
    tags=HOURLY,
)

carrier_origin = FeatureView(
    name="carrier_origin",
    description="The same of one airline at the airport. It flies less often, so its rows hold longer.",
    entities=[carrier, airport],
    schema=[
        Field(name="carrier", dtype=String),
        Field(name="origin", dtype=String),
        *(Field(name=OF_CARRIER[name], dtype=dtype) for name, dtype in DEPARTURE_STATISTICS.items()),
    ],
    source=carrier_origin_source,
    ttl=timedelta(hours=12),
    tags=HOURLY,
)

plane_last_flight = FeatureView(
    name="plane_last_flight",
    description="A plane's latest departure out of New York, restated when it arrives.",
    entities=[plane],
    schema=[
        Field(name="tailnum", dtype=String),
        Field(name="departed_unix", dtype=Int64),
        Field(name="flown_to", dtype=String),
        Field(name="departure_delay", dtype=Int64),
        Field(name="landed", dtype=Bool),
        Field(name="arrival_delay", dtype=Int64),
    ],
    source=plane_last_flight_source,
    ttl=timedelta(days=7),
    tags=HOURLY,
)

route_history = FeatureView(
    name="route_history",
    description="Flights between two airports over the last 28 whole days.",
    entities=[airport, destination],
    schema=[
        Field(name="origin", dtype=String),
        Field(name="dest", dtype=String),
        Field(name="flights_28d", dtype=Int64),
        Field(name="mean_delay_28d", dtype=Float64),
        Field(name="late_share_28d", dtype=Float64),
        Field(name="cancelled_share_28d", dtype=Float64),
    ],
    source=route_history_source,
    ttl=timedelta(days=3),
    tags=DAILY,
)

weather = FeatureView(
    name="weather",
    description="An airport's hourly observation, published 55 minutes into the hour.",
    entities=[airport],
    schema=[
        Field(name="origin", dtype=String),
        Field(name="temp", dtype=Float64),
        Field(name="humid", dtype=Float64),
        Field(name="wind_dir", dtype=Int64),
        Field(name="wind_speed", dtype=Float64),
        Field(name="wind_gust", dtype=Float64),
        Field(name="precip", dtype=Float64),
        Field(name="pressure", dtype=Float64),
        Field(name="visib", dtype=Float64),
        Field(name="low_visibility", dtype=Bool),
    ],
    source=weather_source,
    ttl=timedelta(hours=6),
    tags=HOURLY,
)

plane_facts = FeatureView(
    name="plane_facts",
    description="What the aircraft registry says of a plane. It never expires; one plane in seven is not in it.",
    entities=[plane],
    schema=[
        Field(name="tailnum", dtype=String),
        Field(name="year_built", dtype=Int64),
        Field(name="seats", dtype=Int64),
        Field(name="engines", dtype=Int64),
        Field(name="manufacturer", dtype=String),
        Field(name="model", dtype=String),
        Field(name="engine", dtype=String),
    ],
    source=plane_facts_source,
    ttl=timedelta(0),
    tags=DAILY,
)
