"""Request-time features: row-wise functions of one request's fields and the stored features of its keys.

Feast stores the text of a function and runs it alone, so a body imports what it needs and names nothing of this
module. Any input may be None (no such entity, expired, null), and a NaN stands for None where pandas carried it; the
output is then None. One row gives the same values alone, in a batch and in any order.
"""

from feast import Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64

from views import plane_last_flight, weather

flight_request = RequestSource(
    name="flight_request",
    # Seconds since 1970, UTC: Feast cuts timestamps to whole seconds and this is one anyway.
    schema=[Field(name="sched_dep_unix", dtype=Int64)],
)


@on_demand_feature_view(
    sources=[flight_request],
    schema=[Field(name="local_hour", dtype=Int64), Field(name="local_weekday", dtype=Int64)],
    mode="python",
    description="New York's hour (0 to 23) and weekday (Monday 0) of the scheduled departure.",
)
def departure_clock(inputs: dict[str, list[float | None]]) -> dict[str, list[int | None]]:
    from datetime import UTC, datetime
    from zoneinfo import ZoneInfo

    new_york = ZoneInfo("America/New_York")
    hours: list[int | None] = []
    weekdays: list[int | None] = []
    for seconds in inputs["sched_dep_unix"]:
        if seconds is None or seconds != seconds:
            hours.append(None)
            weekdays.append(None)
        else:
            local = datetime.fromtimestamp(seconds, UTC).astimezone(new_york)
            hours.append(local.hour)
            weekdays.append(local.weekday())
    return {"local_hour": hours, "local_weekday": weekdays}


@on_demand_feature_view(
    sources=[weather[["wind_dir", "wind_speed"]]],
    schema=[Field(name="crosswind", dtype=Float64), Field(name="headwind", dtype=Float64)],
    mode="python",
    description="Wind across and along runway 04/22, which all three airports have, in mph.",
)
def runway_wind(inputs: dict[str, list[float | None]]) -> dict[str, list[float | None]]:
    """crosswind: never negative. headwind: against a plane on runway 04; negative means it takes off on 22."""
    import math

    # Runways are numbered by magnetic heading, and reports give the wind's true direction. Declination there is
    # about 13 degrees west, so 04 (charted 039 to 044) points to about 030 true.
    runway = 30.0
    crosswinds: list[float | None] = []
    headwinds: list[float | None] = []
    for direction, speed in zip(inputs["wind_dir"], inputs["wind_speed"], strict=True):
        if direction is None or speed is None or direction != direction or speed != speed:
            crosswinds.append(None)
            headwinds.append(None)
        else:
            angle = math.radians(direction - runway)
            crosswinds.append(abs(speed * math.sin(angle)))
            headwinds.append(speed * math.cos(angle))
    return {"crosswind": crosswinds, "headwind": headwinds}


@on_demand_feature_view(
    sources=[plane_last_flight[["departed_unix"]], flight_request],
    schema=[Field(name="minutes_since_departure", dtype=Int64)],
    mode="python",
    description="Whole minutes from the plane's latest departure out of New York to this one's schedule.",
)
def turnaround(inputs: dict[str, list[float | None]]) -> dict[str, list[int | None]]:
    minutes: list[int | None] = []
    for departed, scheduled in zip(inputs["departed_unix"], inputs["sched_dep_unix"], strict=True):
        if departed is None or scheduled is None or departed != departed or scheduled != scheduled:
            minutes.append(None)
        else:
            minutes.append(int((scheduled - departed) // 60))
    return {"minutes_since_departure": minutes}
