"""Golden bytes of Feast's Redis layout, made by Feast's own encoders.

Regenerate after a Feast upgrade, from the repository's root: python -m tests.golden.redis_bytes
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

GOLDEN = Path(__file__).with_suffix(".json")

T0 = datetime(2013, 11, 3, 5, 30, tzinfo=UTC)
EARLY = datetime(1969, 12, 31, 23, 59, 59, 250000, tzinfo=UTC)

KEYS: list[tuple[str, list[tuple[str, str, Any]]]] = [
    ("flights", [("origin", "String", "JFK")]),
    ("flights", [("origin", "String", "JFK"), ("dest", "String", "LAX")]),
    ("flights", [("dest", "String", "LAX"), ("origin", "String", "JFK")]),
    ("flights", [("b", "Int64", 1), ("a", "Int32", -1), ("é", "String", "ü"), ("c", "Bytes", b"\x00\xff")]),
    ("flights", [("id", "Int64", 2**63 - 1)]),
    ("flights", [("id", "Int64", -(2**63))]),
    ("flights", [("id", "Int32", -(2**31))]),
    ("flights", [("at", "UnixTimestamp", T0)]),
    ("flights", [("name", "String", "")]),
    ("projéct", [("__dummy_id", "String", "")]),
]
FIELDS = [("departures", "late"), ("departures_v2", "late"), ("select", "from_x"), ("é", "ü"), ("v", "f_y")]
TIMES = [
    T0,
    T0.replace(microsecond=1),
    T0.replace(microsecond=999999),
    datetime(1970, 1, 1, tzinfo=UTC),
    EARLY,
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
]
_ID = UUID("12345678-1234-5678-1234-567812345678")
VALUES: list[tuple[str, Any]] = [
    *((dtype, None) for dtype in ("Int64", "Float64", "String", "Array(Int64)", "UnixTimestamp")),
    *(("Int64", value) for value in (0, 1, -1, 127, 128, 2**53 + 1, 2**63 - 1, -(2**63))),
    *(("Int32", value) for value in (0, -1, 2**31 - 1, -(2**31))),
    *(("Float64", value) for value in (0.0, -0.0, 0.1, 1e308, float("inf"), float("-inf"), float("nan"), 5e-324)),
    *(("Float32", value) for value in (0.0, -0.0, 0.1, 1e39, -1e39, float("inf"))),
    *(("String", value) for value in ("", "a", "é\x00😀", "x" * 200)),
    *(("Bytes", value) for value in (b"", b"\x00\xff")),
    *(("Bool", value) for value in (True, False)),
    *(("UnixTimestamp", value) for value in (T0, T0.replace(microsecond=999999), EARLY, 0)),
    ("Json", '{"a": [1, null]}'),
    ("Json", {"b": 1}),
    ("Uuid", _ID),
    ("TimeUuid", str(_ID)),
    ("Array(Bool)", [True, None, False]),
    ("Array(Int32)", [1, -1, None]),
    ("Array(Int64)", [2**63 - 1, -(2**63), 0]),
    ("Array(Float32)", [0.1, -0.0]),
    ("Array(Float64)", [0.1, float("nan"), None]),
    ("Array(String)", ["", "a", None]),
    ("Array(Bytes)", [b"", b"\xff", None]),
    ("Array(UnixTimestamp)", [T0, None]),
    ("Array(Json)", ['{"a": 1}', {"b": 2}, None]),
    ("Array(Uuid)", [_ID, None]),
    ("Array(Int64)", []),
    ("Array(String)", []),
    ("Set(Int64)", [1]),
    ("Set(String)", ["a"]),
    ("Set(Uuid)", [_ID]),
    ("Array(Array(Int64))", [[1, 2], [], [3]]),
    ("Array(Array(String))", [["a"], None]),
    ("Set(Array(Float64))", [[0.5]]),
]


def feast_key(project: str, parts: list[tuple[str, str, Any]]) -> bytes:
    from feast.infra.online_stores.helpers import _redis_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey

    values = [feast_value(dtype, value, whole=True) for _, dtype, value in parts]
    return _redis_key(project, EntityKey(join_keys=[name for name, _, _ in parts], entity_values=values))


def feast_value(dtype: str, value: Any, *, whole: bool = False) -> Any:
    """The serialized value, or the message itself (`whole`), as Feast makes it of a Python value."""
    from feast.type_map import python_values_to_proto_values

    # A batch in which every bytes value is empty is stored as nulls by Feast, so there is another one beside it.
    values = [value, b"x"] if dtype == "Bytes" else [value]
    proto = python_values_to_proto_values(values, feast_type(dtype).to_value_type())[0]
    return proto if whole else proto.SerializeToString()


def feast_type(dtype: str) -> Any:
    """`Array(Int64)` to Feast's type."""
    import feast.types

    if "(" in dtype:
        kind, item = dtype[:-1].split("(", 1)
        return getattr(feast.types, kind)(feast_type(item))
    return getattr(feast.types, dtype)


def feast_field(view: str, feature: str) -> bytes:
    from feast.infra.online_stores.helpers import _mmh3

    return _mmh3(f"{view}:{feature}")


def feast_time(instant: datetime) -> bytes:
    from google.protobuf.timestamp_pb2 import Timestamp

    stamp = Timestamp()
    stamp.FromDatetime(instant)
    return stamp.SerializeToString()


def generate() -> dict[str, list[str]]:
    """Hex, in the order of the cases above."""
    return {
        "keys": [feast_key(project, parts).hex() for project, parts in KEYS],
        "fields": [feast_field(view, feature).hex() for view, feature in FIELDS],
        "times": [feast_time(instant).hex() for instant in TIMES],
        "values": [feast_value(dtype, value).hex() for dtype, value in VALUES],
    }


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(generate(), indent=1) + "\n")
