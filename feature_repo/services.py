"""Feature services: what a model reads, feature by feature, in the order of its columns."""

from feast import FeatureService

from on_demand import departure_clock, runway_wind, turnaround
from views import carrier_origin, origin_departures, plane_facts, plane_last_flight, route_history, weather

flights_v1 = FeatureService(
    name="flights_v1",
    description="Will the flight leave more than 15 minutes late, or not at all? Asked an hour before its schedule.",
    features=[
        origin_departures[["departed_1h", "mean_delay_1h", "late_share_1h", "cancelled_share_1h", "waiting_3h"]],
        carrier_origin[["carrier_waiting_3h", "carrier_mean_delay_3h", "carrier_late_share_3h"]],
        plane_last_flight[["departure_delay", "landed", "arrival_delay"]],
        route_history,
        weather[["humid", "wind_speed", "wind_gust", "precip", "visib"]],
        plane_facts[["year_built", "seats", "manufacturer"]],
        departure_clock,
        runway_wind,
        turnaround,
    ],
)
