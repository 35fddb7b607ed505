"""Redis read in bulk is Redis read as serving reads it; a scan lists this project's entities, and no other."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.trueup.stores.test_redis_bytes import SCALARS
from tests.trueup.stores.test_redis_bytes import SECONDS as _ANY_SECONDS

from trueup.contracts.contract import FeatureContract, Field, JoinKey, Source, View
from trueup.features.online import OnlineReader
from trueup.instants import EPOCH
from trueup.stores.key_columns import OTHER_PROJECT, KeyColumns
from trueup.stores.redis_layout import encode_time, scan_pattern, time_field, value_field
from trueup.stores.redis_rows import RedisRows
from trueup.stores.value_encoder import encoder

NOW = EPOCH + timedelta(days=20_000)
KEYS = (JoinKey("city", "String", "city"), JoinKey("id", "Int64", "id"))
SOURCE = Source("test", "at", None, None, {"source": "none"}, {})
TYPES = {"f": "Float64", "g": "Float32", "i": "Int64", "s": "String", "b": "Bool", "t": "UnixTimestamp", "j": "Json"}
VIEWS = (
    View("one", "one", KEYS, tuple(Field(name, dtype) for name, dtype in TYPES.items()), timedelta(hours=1), SOURCE),
    View("two", "two", KEYS, (Field("many", "Array(Int64)"), Field("s", "String")), None, SOURCE),
)
CONTRACT = FeatureContract(
    "proj", "service", tuple((view.name, item.name) for view in VIEWS for item in view.features), VIEWS
)
ENTITIES = [("", 0), ("a", 1), ("é", -1), ("a" * 40, 2**62)]
VALUES = {**SCALARS, "UnixTimestamp": _ANY_SECONDS, "Array(Int64)": st.lists(SCALARS["Int64"], max_size=3)}
AGES = st.sampled_from([0, 1, 3_599_999_999, 3_600_000_000, 3_600_000_001, 10**12])


@st.composite
def stores(draw: st.DrawFn) -> dict[tuple[str, int], dict[bytes, bytes]]:
    """What the hashes hold: any of the views' rows, whole or in part, nulls among them."""
    found: dict[tuple[str, int], dict[bytes, bytes]] = {}
    for entity in ENTITIES:
        fields: dict[bytes, bytes] = {}
        for view in VIEWS:
            if draw(st.booleans()):
                fields[time_field(view.table)] = encode_time(NOW - timedelta(microseconds=draw(AGES)))
                for item in view.features:
                    if draw(st.integers(0, 5)):
                        value = draw(st.none() | VALUES[item.dtype])
                        fields[value_field(view.table, item.name)] = encoder(item.dtype)(value)
        if fields:
            found[entity] = fields
    return found


def key_of(entity: tuple[str, int], project: str = "proj") -> bytes:
    layout = KeyColumns(KEYS)
    (key,) = layout.encode(pa.table({"city": [entity[0]], "id": pa.array([entity[1]], pa.int64())}))
    assert key is not None
    return key + project.encode()


def fill(client: redis.Redis, held: Mapping[tuple[str, int], Mapping[bytes, bytes]]) -> None:
    client.flushall()
    for entity, fields in held.items():
        client.hset(key_of(entity), mapping=dict(fields))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(held=stores())
def test_the_bulk_read_is_the_read_of_serving(
    redis_client: redis.Redis, held: dict[tuple[str, int], dict[bytes, bytes]]
) -> None:
    fill(redis_client, held)
    rows = pa.table(
        {"city": [city for city, _ in ENTITIES], "id": pa.array([number for _, number in ENTITIES], pa.int64())}
    )
    keys = [key_of(entity, "") for entity in ENTITIES]
    expected = OnlineReader(CONTRACT, client=redis_client).read(rows.to_pylist(), NOW)
    for view, found in zip(VIEWS, RedisRows(redis_client).read("proj", VIEWS, rows, keys, NOW), strict=True):
        for item in view.features:
            name = view.column(item.name)
            assert str(found.frame.values[name].to_pylist()) == str(expected.values[name].to_pylist())
            assert found.frame.statuses[name].to_pylist() == expected.statuses[name].to_pylist()
            assert found.frame.values[name].type == item.arrow
        assert found.frame.event_timestamps[view.name].to_pylist() == expected.event_timestamps[view.name].to_pylist()
        assert not found.other_types
    stock = RedisRows(redis_client, applies_ttl=False).read("proj", VIEWS, rows, keys, NOW)
    no_ttl = [View(view.name, view.table, view.keys, view.features, None, SOURCE) for view in VIEWS]
    patient = RedisRows(redis_client).read("proj", no_ttl, rows, keys, NOW)
    assert [part.frame for part in stock] == [part.frame for part in patient]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(held=stores())
def test_a_scan_lists_every_entity_of_the_project_and_no_other(
    redis_client: redis.Redis, held: dict[tuple[str, int], dict[bytes, bytes]]
) -> None:
    fill(redis_client, held)
    redis_client.hset(key_of(("a", 1), "myproj"), "x", "y")
    redis_client.hset(key_of(("a", 1), "proj2"), "x", "y")
    redis_client.set("something else", "altogether")
    found: dict[tuple[Any, ...], None] = {}
    skipped: dict[str, int] = {}
    for part in RedisRows(redis_client).scan("proj", VIEWS):
        found |= dict.fromkeys((row["city"], row["id"]) for row in part.columns.to_pylist())
        for reason, number in part.skipped.items():
            skipped[reason] = skipped.get(reason, 0) + number
    assert set(found) == set(held)
    assert skipped == {OTHER_PROJECT: 2}


def test_a_scan_pattern_means_just_its_bytes(redis_client: redis.Redis) -> None:
    odd = bytes(range(256))
    redis_client.set(odd + b"more", "1")
    redis_client.set(odd[::-1], "1")
    assert list(redis_client.scan_iter(match=scan_pattern(odd))) == [odd + b"more"]


def test_views_whose_features_share_a_field_are_refused(redis_client: redis.Redis) -> None:
    # murmur3 gives both the same 32 bits: see feast-facts, field_collision.
    one = View("fv", "fv", KEYS, (Field("f18433", "Int64"),), None, SOURCE)
    other = View("fv", "fv", KEYS, (Field("f18433", "Int64"), Field("f68910", "Int64")), None, SOURCE)
    rows = RedisRows(redis_client)
    assert rows.refuses("proj", [one]) == {}
    assert "same 32-bit field" in rows.refuses("proj", [other])["fv"]


@pytest.mark.parametrize("applies", [True, False])
def test_what_it_is_says_whether_it_applies_ttls(redis_client: redis.Redis, applies: bool) -> None:
    assert ("TTLs not applied" in RedisRows(redis_client, applies_ttl=applies).describe) is not applies
