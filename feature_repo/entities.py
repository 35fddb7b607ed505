"""What features are about. A view with two entities has a composite key."""

from feast import Entity, ValueType

airport = Entity(
    name="airport",
    join_keys=["origin"],
    value_type=ValueType.STRING,
    description="Airport a flight leaves from: EWR, JFK or LGA.",
)
destination = Entity(
    name="destination",
    join_keys=["dest"],
    value_type=ValueType.STRING,
    description="Airport a flight goes to, by its FAA code.",
)
carrier = Entity(
    name="carrier",
    join_keys=["carrier"],
    value_type=ValueType.STRING,
    description="Airline, by its two-letter code.",
)
plane = Entity(
    name="plane",
    join_keys=["tailnum"],
    value_type=ValueType.STRING,
    description="Aircraft, by its tail number.",
)
