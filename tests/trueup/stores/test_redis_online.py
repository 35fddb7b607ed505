"""The online store against a dictionary, against Feast's own store, and through plain Feast, on a real server."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.infra.online_stores.redis import RedisOnlineStore as FeastsOwn
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Array, Float64, Int32, Int64, String
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.oracles.online import MICROSECOND, START, TTL, OnlineOracle, Written, batches, nows

from trueup.errors import ContractError, InputError, StoreError, TrueupError
from trueup.frame import Status
from trueup.instants import utc_now
from trueup.stores.redis_layout import time_field
from trueup.stores.redis_online import RedisOnlineStore, RedisOnlineStoreConfig
from trueup.stores.redis_write import BATCH_ROWS, Row, newest
from trueup.stores.value_types import StoredTypeError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:feast", "ignore::UserWarning:feast")

SOURCE = FileSource(name="source", path="unused.parquet", timestamp_field="event_timestamp")
PLACE = Entity(name="place", join_keys=["place"], value_type=ValueType.STRING)
PLANE = Entity(name="plane", join_keys=["plane"], value_type=ValueType.INT64)
FEATURES = ("select", "mean_x")
KEYS: list[tuple[object, ...]] = [("JFK", 1), ("JFK", 11), ("JFK1", 1)]


def view(
    name: str,
    entities: Sequence[Entity],
    features: Sequence[str] = FEATURES,
    ttl: timedelta | None = TTL,
    dtype: Any = Float64,
) -> FeatureView:
    keys = {"place": String, "plane": Int64}
    schema = [Field(name=entity.join_key, dtype=keys[entity.join_key]) for entity in entities]
    return FeatureView(
        name=name,
        entities=list(entities),
        ttl=ttl,
        schema=[*schema, *(Field(name=feature, dtype=dtype) for feature in features)],
        source=SOURCE,
    )


def make_config(url: str, project: str = "flights", **options: Any) -> RepoConfig:
    return RepoConfig(
        project=project,
        provider="local",
        registry="unused.db",
        online_store={
            "type": "trueup.stores.redis_online.RedisOnlineStore",
            "connection_string": url,
            **options,
        },
        entity_key_serialization_version=3,
    )


def entity_key(key: tuple[object, ...], names: Sequence[str] = ("place", "plane")) -> EntityKey:
    values = [Value(string_val=part) if isinstance(part, str) else Value(int64_val=part) for part in key]
    return EntityKey(join_keys=list(names), entity_values=values)


def feast_rows(rows: Sequence[Written], features: Sequence[str] = FEATURES) -> list[Any]:
    return [
        (
            entity_key(row.key, ("place", "plane")[: len(row.key)]),
            {
                name: Value() if value is None else Value(double_val=value)
                for name, value in zip(features, row.values, strict=True)
            },
            row.event_time,
            row.created,
        )
        for row in rows
    ]


def everything(client: redis.Redis) -> dict[bytes, Any]:
    return {key: client.hgetall(key) for key in client.scan_iter()}


@contextmanager
def opened(*stores: RedisOnlineStore) -> Iterator[None]:
    try:
        yield
    finally:
        for store in stores:
            if store._client is not None:
                store._client.close()


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """One event loop for the module."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def store(runner: asyncio.Runner) -> Iterator[RedisOnlineStore]:
    """A store with both its clients open."""
    store = RedisOnlineStore()
    with opened(store):
        yield store
        runner.run(store.close())


@given(data=st.data(), now=nows, in_async=st.lists(st.booleans(), min_size=8, max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_history_of_writes_reads_as_the_dictionary_does(
    redis_url: str,
    redis_client: redis.Redis,
    store: RedisOnlineStore,
    runner: asyncio.Runner,
    data: st.DataObject,
    now: datetime,
    in_async: list[bool],
) -> None:
    redis_client.flushall()
    config = make_config(redis_url, now=now)
    tables = [view("departures", [PLACE, PLANE]), view("weather", [PLACE, PLANE], ttl=None)]
    oracles = [OnlineOracle(), OnlineOracle()]
    turn = iter(in_async)
    for table, oracle in zip(tables, oracles, strict=True):
        for batch in data.draw(batches(KEYS, len(FEATURES))):
            oracle.write(batch)
            if next(turn):
                runner.run(store.online_write_batch_async(config, table, feast_rows(batch), None))
            else:
                store.online_write_batch(config, table, feast_rows(batch), None)
    for table, oracle in zip(tables, oracles, strict=True):
        keys = [entity_key(key) for key in KEYS]
        read = store.online_read(config, table, keys)
        assert runner.run(store.online_read_async(config, table, keys)) == read
        for key, (event_time, values) in zip(KEYS, read, strict=True):
            expected, statuses, expected_time = oracle.read(key, len(FEATURES), table.ttl or None, now)
            assert event_time == expected_time
            if statuses[0] in (Status.MISSING, Status.EXPIRED):
                assert values is None
            else:
                assert values is not None
                assert [
                    value.double_val if value.WhichOneof("val") else None
                    for value in (values[name] for name in FEATURES)
                ] == expected


rows_of_one_key = st.lists(
    st.builds(
        Row,
        key=st.sampled_from([b"a", b"b"]),
        values=st.integers(0, 99).map(lambda number: {"f": bytes([number])}),
        event_time=st.sampled_from([START, START + MICROSECOND, START.replace(tzinfo=None)]),
        created=st.none() | st.sampled_from([START, START + TTL]),
    ),
    max_size=8,
)


@given(rows_of_one_key)
def test_of_one_key_the_latest_counts_then_the_later_created_then_the_later_given(rows: list[Row]) -> None:
    def rank(place: int) -> tuple[datetime, datetime, int]:
        row = rows[place]
        created = row.created or datetime.min.replace(tzinfo=UTC)
        return row.event_time.replace(tzinfo=UTC), created, place

    expected = {
        key: rows[max((i for i, row in enumerate(rows) if row.key == key), key=rank)] for key in {r.key for r in rows}
    }
    assert {row.key: row for row in newest(rows)} == expected


EDGES = [
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 58, 999999, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
    datetime(1970, 1, 1, 0, 2, 8, tzinfo=UTC),
    START,
    START + MICROSECOND,
    datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
]


@pytest.mark.parametrize("second", range(len(EDGES)))
def test_the_server_orders_any_two_event_times(redis_url: str, redis_client: redis.Redis, second: int) -> None:
    config, table, store = make_config(redis_url), view("v", [PLACE], ["f"], ttl=None), RedisOnlineStore()
    with opened(store):
        for first, time in enumerate(EDGES):
            redis_client.flushall()
            for value, instant in ((1.0, time), (2.0, EDGES[second])):
                store.online_write_batch(
                    config, table, feast_rows([Written(("JFK",), instant, None, (value,))], ["f"]), None
                )
            ((event_time, values),) = store.online_read(config, table, [entity_key(("JFK",))])
            landed = second >= first
            assert event_time == max(time, EDGES[second])
            assert values is not None
            assert values["f"].double_val == (2.0 if landed else 1.0)


def test_times_finer_than_a_microsecond_are_ordered_by_the_server(redis_url: str, redis_client: redis.Redis) -> None:
    config, table, store = make_config(redis_url), view("v", [PLACE], ["f"], ttl=None), RedisOnlineStore()
    with opened(store):
        rows = feast_rows([Written(("JFK",), START, None, (1.0,))], ["f"])
        store.online_write_batch(config, table, rows, None)
        (key,) = redis_client.scan_iter()
        finer = Timestamp(seconds=int(START.timestamp()), nanos=1).SerializeToString()
        redis_client.hset(key, time_field("v"), finer)
        before = redis_client.hgetall(key)
        store.online_write_batch(config, table, rows, None)
        assert redis_client.hgetall(key) == before


def test_a_stored_event_time_that_is_none_is_an_error_and_is_not_overwritten(
    redis_url: str, redis_client: redis.Redis
) -> None:
    config, table, store = make_config(redis_url), view("v", [PLACE], ["f"], ttl=None), RedisOnlineStore()
    rows = feast_rows([Written(("JFK",), START, None, (1.0,))], ["f"])
    with opened(store):
        store.online_write_batch(config, table, rows, None)
        (key,) = redis_client.scan_iter()
        for broken in (b"\x08", b"nonsense", b"\x08" + b"\xff" * 12):
            redis_client.hset(key, "_ts:v", broken)
            with pytest.raises(StoreError, match="no Timestamp"):
                store.online_write_batch(config, table, rows, None)
            with pytest.raises(StoreError, match="not a protobuf Timestamp"):
                store.online_read(config, view("v", [PLACE], ["f"]), [entity_key(("JFK",))])
            assert redis_client.hget(key, "_ts:v") == broken


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_either_store_reads_what_the_other_wrote_and_the_bytes_are_the_same(
    redis_url: str, redis_client: redis.Redis, data: st.DataObject
) -> None:
    rows = {
        (row.key, row.event_time): row for batch in data.draw(batches(KEYS, len(FEATURES))) for row in batch
    }  # in ascending order, each instant once, Feast's store takes every row
    ascending = sorted(rows.values(), key=lambda row: row.event_time)
    ours, feasts = make_config(redis_url), make_config(redis_url)
    table = view("departures", [PLACE, PLANE], ttl=None)
    store, own = RedisOnlineStore(), FeastsOwn()
    own._client = redis_client
    after = []
    with opened(store):
        for writer, config in ((store, ours), (own, feasts)):
            redis_client.flushall()
            for row in ascending:
                # Feast's store takes the epoch for no time at all, and refuses what comes before it.
                if row.event_time > datetime(1970, 1, 1, tzinfo=UTC):
                    writer.online_write_batch(config, table, feast_rows([row]), None)
            after.append(everything(redis_client))
            keys = [entity_key(key) for key in KEYS]
            for (our_time, our_values), (its_time, its_values) in zip(
                store.online_read(ours, table, keys), own.online_read(feasts, table, keys), strict=True
            ):
                if our_time is not None:  # Feast's store says PRESENT, 1970 and nulls where there is nothing
                    assert (our_time, our_values) == (its_time, its_values)
    assert after[0] == after[1]


def test_older_rows_never_overwrite_newer_ones_whoever_writes(redis_url: str, redis_client: redis.Redis) -> None:
    config, table = make_config(redis_url), view("v", [PLACE], ["f"], ttl=None)
    places = [f"place {number}" for number in range(5)]
    # Every writer writes every key at instants of its own; nobody knows the newest.
    instants = {
        (writer, step): START + timedelta(seconds=step * 8 + writer) for writer in range(8) for step in range(25)
    }
    failures: list[Exception] = []
    barrier = threading.Barrier(8)

    def write(writer: int) -> None:
        try:
            store, order = RedisOnlineStore(), random.Random(writer)
            steps = [(place, step) for place in places for step in range(25)]
            order.shuffle(steps)
            with opened(store):
                barrier.wait()
                for place, step in steps:
                    row = Written((place,), instants[writer, step], None, (float(step * 8 + writer),))
                    store.online_write_batch(config, table, feast_rows([row], ["f"]), None)
        except (TrueupError, threading.BrokenBarrierError) as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    store = RedisOnlineStore()
    with opened(store):
        for event_time, values in store.online_read(config, table, [entity_key((place,)) for place in places]):
            assert event_time == max(instants.values())
            assert values is not None
            assert values["f"].double_val == 199.0


def test_progress_is_told_of_every_row_once_whether_it_landed_or_not(redis_url: str, redis_client: redis.Redis) -> None:
    table = view("v", [PLACE], ["f"], ttl=None)
    rows = [Written((f"p{n % 900}",), START - n * MICROSECOND, None, (float(n),)) for n in range(BATCH_ROWS * 2 + 7)]
    for options in ({}, {"skip_dedup": True}, {"key_ttl_seconds": 60}):
        store, told = RedisOnlineStore(), []
        with opened(store):
            store.online_write_batch(make_config(redis_url, **options), table, feast_rows(rows, ["f"]), told.append)
        assert sum(told) == len(rows)
    assert store.online_read(make_config(redis_url), table, [entity_key(("p0",))])[0][0] == START


def test_skip_dedup_writes_without_looking_but_a_batch_still_ends_with_its_latest(
    redis_url: str, redis_client: redis.Redis
) -> None:
    config, table, store = (
        make_config(redis_url, skip_dedup=True),
        view("v", [PLACE], ["f"], ttl=None),
        RedisOnlineStore(),
    )
    new, old, older = (Written(("JFK",), START - n * MICROSECOND, None, (float(n),)) for n in range(3))
    with opened(store):
        for batch, expected in (([new], 0.0), ([old, older], 1.0)):
            store.online_write_batch(config, table, feast_rows(batch, ["f"]), None)
            ((_, values),) = store.online_read(config, table, [entity_key(("JFK",))])
            assert values is not None
            assert values["f"].double_val == expected


@pytest.mark.parametrize("skip_dedup", [False, True])
def test_hashes_expire_when_asked_and_only_then(redis_url: str, redis_client: redis.Redis, skip_dedup: bool) -> None:
    table, store = view("v", [PLACE], ["f"], ttl=None), RedisOnlineStore()
    rows = feast_rows([Written(("JFK",), START, None, (1.0,))], ["f"])
    with opened(store):
        store.online_write_batch(make_config(redis_url, skip_dedup=skip_dedup), table, rows, None)
        (key,) = redis_client.scan_iter()
        assert redis_client.ttl(key) == -1
        config = make_config(redis_url, skip_dedup=skip_dedup, key_ttl_seconds=1000)
        store.online_write_batch(config, table, rows, None)
        assert 0 < redis_client.ttl(key) <= 1000


def test_a_feature_the_row_never_got_is_left_out(redis_url: str, redis_client: redis.Redis) -> None:
    config, store = make_config(redis_url), RedisOnlineStore()
    with opened(store):
        row = Written(("JFK",), START, None, (None,))
        store.online_write_batch(config, view("v", [PLACE], ["f"]), feast_rows([row], ["f"]), None)
        ((_, values),) = store.online_read(config, view("v", [PLACE], ["f", "new"], ttl=None), [entity_key(("JFK",))])
    assert values == {"f": Value()}


def test_a_value_of_another_type_is_never_served(redis_url: str, redis_client: redis.Redis) -> None:
    config, store = make_config(redis_url), RedisOnlineStore()
    keys = [entity_key(("JFK",))]
    with opened(store):
        rows = feast_rows([Written(("JFK",), START, None, (1.0,))], ["f"])
        store.online_write_batch(config, view("v", [PLACE], ["f"]), rows, None)
        for dtype in (Int64, String, Array(Float64)):
            with pytest.raises(StoredTypeError, match="v:f is declared"):
                store.online_read(config, view("v", [PLACE], ["f"], ttl=None, dtype=dtype), keys)
        narrow = [(keys[0], {"f": Value(int32_val=7)}, START, None)]
        store.online_write_batch(config, view("v", [PLACE], ["f"], dtype=Int32), narrow, None)
        ((_, values),) = store.online_read(config, view("v", [PLACE], ["f"], ttl=None, dtype=Int64), keys)
        assert values == {"f": Value(int32_val=7)}  # an Int64 holds it exactly


# Deleting ------------------------------------------------------------------------------------------------------------


def test_deleting_a_view_leaves_other_projects_and_other_views_alone(redis_url: str, redis_client: redis.Redis) -> None:
    store = RedisOnlineStore()
    gone, stays = view("gone", [PLACE]), view("stays", [PLACE])
    pairs = view("gone", [PLACE, PLANE])
    rows = [Written((place,), START, None, (1.0, None)) for place in ("JFK", "my", "prod")]
    projects = ["prod", "myprod", "prod2", "d"]
    with opened(store):
        for project in projects:
            config = make_config(redis_url, project)
            store.online_write_batch(config, gone, feast_rows(rows), None)
            store.online_write_batch(config, stays, feast_rows(rows[:1]), None)
            store.online_write_batch(config, pairs, feast_rows([Written(("JFK", 1), START, None, (1.0, 2.0))]), None)
        redis_client.set(b"not ours prod", b"x")
        before = {project: _held(store, redis_url, project) for project in projects}
        store.update(make_config(redis_url, "prod"), [gone], [stays, pairs], [], [], False)
        after = {project: _held(store, redis_url, project) for project in projects}
        assert after.pop("prod") == {"gone": 0, "stays": 1, "pairs": 1}
        assert before.pop("prod") == {"gone": 3, "stays": 1, "pairs": 1}
        assert after == before
        store.teardown(make_config(redis_url, "prod"), [stays, pairs], [])
        assert {project: _held(store, redis_url, project) for project in projects} == {
            **before,
            "prod": {"gone": 0, "stays": 0, "pairs": 0},
        }
        assert redis_client.get(b"not ours prod") == b"x"


def _held(store: RedisOnlineStore, url: str, project: str) -> dict[str, int]:
    config = make_config(url, project, now=START)
    tables = {"gone": view("gone", [PLACE]), "stays": view("stays", [PLACE]), "pairs": view("gone", [PLACE, PLANE])}
    return {
        name: sum(
            event_time is not None
            for event_time, _ in store.online_read(
                config,
                table,
                [entity_key(("JFK", 1))] if name == "pairs" else [entity_key((key,)) for key in ("JFK", "my", "prod")],
            )
        )
        for name, table in tables.items()
    }


def test_deleting_takes_fields_of_older_definitions_along_when_nothing_else_is_in_the_hash(
    redis_url: str, redis_client: redis.Redis
) -> None:
    config, store = make_config(redis_url), RedisOnlineStore()
    with opened(store):
        store.online_write_batch(
            config,
            view("v", [PLACE], ["f", "g"]),
            feast_rows([Written(("JFK",), START, None, (1.0, 2.0))], ["f", "g"]),
            None,
        )
        store.delete_table(config, view("v", [PLACE], ["f"]))
    assert everything(redis_client) == {}


def test_a_hash_in_which_the_view_has_no_row_is_left_alone(redis_url: str, redis_client: redis.Redis) -> None:
    config, store = make_config(redis_url), RedisOnlineStore()
    with opened(store):
        row = Written(("JFK",), START, None, (1.0,))
        store.online_write_batch(config, view("v", [PLACE], ["f"]), feast_rows([row], ["f"]), None)
        (key,) = redis_client.scan_iter()
        redis_client.hdel(key, "_ts:v")
        before = everything(redis_client)
        store.delete_table(config, view("v", [PLACE], ["f"]))
    assert everything(redis_client) == before


def test_join_keys_that_look_like_patterns_are_found_exactly(redis_url: str, redis_client: redis.Redis) -> None:
    name = "a*[b]?\\^-" + "x" * 83  # 92 bytes: even the length is a backslash
    entity = Entity(name="e", join_keys=[name], value_type=ValueType.STRING)
    table = FeatureView(
        name="v",
        entities=[entity],
        schema=[Field(name=name, dtype=String), Field(name="f", dtype=Float64)],
        source=SOURCE,
    )
    config, store = make_config(redis_url), RedisOnlineStore()
    with opened(store):
        key = entity_key(("x",), [name])
        store.online_write_batch(config, table, [(key, {"f": Value(double_val=1.0)}, START, None)], None)
        assert len(everything(redis_client)) == 1
        store.delete_table(config, table)
    assert everything(redis_client) == {}


def test_nothing_to_delete_needs_no_redis(tmp_path: Path) -> None:
    store = RedisOnlineStore()
    store.update(make_config(f"unix://{tmp_path}/nobody.sock"), [], [view("v", [PLACE])], [], [], False)
    store.update(
        make_config(f"unix://{tmp_path}/nobody.sock", full_scan_for_deletion=False),
        [view("v", [PLACE])],
        [],
        [],
        [],
        False,
    )
    assert store._client is None
    with pytest.raises(StoreError, match="cannot be reached"):
        store.update(make_config(f"unix://{tmp_path}/nobody.sock"), [view("v", [PLACE])], [], [], [], False)


def test_two_features_with_one_hash_field_are_refused_when_they_are_registered() -> None:
    tables = [view("fv", [PLACE], ["f18433"]), view("fv", [PLACE], ["f68910"])]
    with pytest.raises(ContractError, match="same 32-bit field"):
        RedisOnlineStore().update(make_config("localhost:1"), [], tables, [], [], False)
    apart = [view("fv", [PLACE], ["f18433"]), view("fv", [PLANE], ["f68910"])]
    RedisOnlineStore().update(make_config("localhost:1"), [], apart, [], [], False)


# Through plain Feast -------------------------------------------------------------------------------------------------

NOW = START + TTL


@pytest.fixture(scope="module")
def feast_store(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[FeatureStore]:
    """Views with one, two and no entities; of `JFK` there is everything, of `LGA` nothing but an old row."""
    repo = tmp_path_factory.mktemp("repo")
    moment = pa.timestamp("us", tz="UTC")
    table = pa.table(
        {
            "place": ["JFK", "LGA", "EWR"],
            "plane": [1, 1, 2],
            "z": [1.5, 2.5, None],
            "a_y": [10, 20, None],
            "event_timestamp": pa.array([START, START - MICROSECOND, START], moment),
        }
    )
    pq.write_table(table, repo / "rows.parquet")
    source = FileSource(name="rows", path=str(repo / "rows.parquet"), timestamp_field="event_timestamp")
    (repo / "feature_store.yaml").write_text(
        f"""
project: plain
provider: local
registry: registry.db
entity_key_serialization_version: 3
offline_store: {{type: file}}
online_store:
  type: trueup.stores.redis_online.RedisOnlineStore
  connection_string: "{redis_url}"
  now: "{NOW.isoformat()}"
"""
    )
    fields = [Field(name="z", dtype=Float64), Field(name="a_y", dtype=Int64)]
    key, plane = Field(name="place", dtype=String), Field(name="plane", dtype=Int64)
    single = FeatureView(name="single", entities=[PLACE], ttl=TTL, schema=[key, *fields], source=source)
    other = FeatureView(name="other", entities=[PLACE], ttl=timedelta(0), schema=[key, *fields], source=source)
    pairs = FeatureView(name="pairs", entities=[PLACE, PLANE], ttl=TTL, schema=[key, plane, *fields], source=source)
    everybody = FeatureView(name="everybody", entities=[], ttl=TTL, schema=fields, source=source)
    services = [
        FeatureService(name="all", features=[pairs[["a_y", "z"]], single[["z", "a_y"]], other, everybody[["a_y"]]]),
        FeatureService(
            name="ends",
            features=[
                single[["z"]].with_name("from").with_join_key_map({"place": "origin"}),
                single[["z"]].with_name("to").with_join_key_map({"place": "dest"}),
                # Feast cannot compare a service in which a view stands both with and without another name.
                single[["z"]].with_name("at"),
            ],
        ),
    ]
    store = FeatureStore(str(repo))
    store.apply([PLACE, PLANE, single, other, pairs, everybody, *services])
    yield store
    client = store._get_provider().online_store._client
    if client is not None:
        client.close()


@pytest.fixture
def filled(feast_store: FeatureStore, redis_client: redis.Redis) -> FeatureStore:
    feast_store.materialize(START - TTL, START + TTL)
    return feast_store


def cells(response: Any) -> dict[str, list[tuple[Any, Status, str | None]]]:
    return {
        name: [
            (
                getattr(value, field) if (field := value.WhichOneof("val")) else None,
                Status(status),
                None if time == Timestamp() else time.ToJsonString(),
            )
            for value, status, time in zip(vector.values, vector.statuses, vector.event_timestamps, strict=True)
        ]
        for name, vector in zip(response.proto.metadata.feature_names.val, response.proto.results, strict=True)
    }


async def online_async(store: FeatureStore, *args: Any, **options: Any) -> Any:
    try:
        return await store.get_online_features_async(*args, **options)
    finally:
        await store._get_provider().online_store.close()


ROWS = [
    {"place": "EWR", "plane": 2},
    {"place": "JFK", "plane": 1},
    {"place": "nowhere", "plane": 1},
    {"place": "LGA", "plane": 1},
    {"place": None, "plane": 1},
    {"place": "JFK", "plane": 1},
]
AT, BEFORE = "2013-11-01T00:00:00Z", "2013-10-31T23:59:59.999999Z"


def test_plain_feast_tells_the_four_states_apart_in_the_order_asked(filled: FeatureStore) -> None:
    references = ["single:z", "pairs:a_y", "single:a_y", "everybody:a_y", "other:z"]
    response = filled.get_online_features(references, ROWS, full_feature_names=True)
    found = cells(response)
    assert list(found) == ["place", "plane", *(reference.replace(":", "__") for reference in references)]
    missing, here = (None, Status.MISSING, None), Status.PRESENT
    expired = (None, Status.EXPIRED, BEFORE)
    assert found["single__z"] == [(None, Status.NULL, AT), (1.5, here, AT), missing, expired, missing, (1.5, here, AT)]
    assert found["single__a_y"] == [(None, Status.NULL, AT), (10, here, AT), missing, expired, missing, (10, here, AT)]
    assert found["pairs__a_y"] == found["single__a_y"]
    assert found["other__z"] == [
        (None, Status.NULL, AT), (1.5, here, AT), missing, (2.5, here, BEFORE), missing, (1.5, here, AT)
    ]  # fmt: skip
    assert len(set(found["everybody__a_y"])) == 1
    assert found["everybody__a_y"][0][1] in (Status.PRESENT, Status.NULL)
    again = asyncio.run(online_async(filled, references, ROWS, full_feature_names=True))
    assert again.proto == response.proto


def test_a_feature_service_answers_in_its_own_order(filled: FeatureStore) -> None:
    service = filled.get_feature_service("all")
    response = filled.get_online_features(service, ROWS, full_feature_names=True)
    assert list(cells(response)) == [
        "place", "plane",
        "pairs__a_y", "pairs__z", "single__z", "single__a_y", "other__z", "other__a_y", "everybody__a_y",
    ]  # fmt: skip
    assert asyncio.run(online_async(filled, service, ROWS, full_feature_names=True)).proto == response.proto


def test_one_view_can_be_looked_up_by_several_columns_of_a_row(filled: FeatureStore) -> None:
    service = filled.get_feature_service("ends")
    rows = [{"origin": "JFK", "dest": "EWR", "place": "LGA"}, {"origin": "EWR", "dest": "JFK", "place": "JFK"}]
    found = cells(filled.get_online_features(service, rows, full_feature_names=True))
    assert [found[name][0][:2] for name in ("from__z", "to__z", "at__z")] == [
        (1.5, Status.PRESENT), (None, Status.NULL), (None, Status.EXPIRED)
    ]  # fmt: skip
    assert [found[name][1][0] for name in ("from__z", "to__z", "at__z")] == [None, 1.5, 1.5]


def test_an_entity_key_that_is_not_given_is_named(filled: FeatureStore) -> None:
    with pytest.raises(InputError, match="'plane' is missing") as caught:
        filled.get_online_features(["pairs:z"], [{"place": "JFK"}])
    assert caught.value.field == "plane"


def test_one_command_is_sent_for_each_entity(filled: FeatureStore, redis_client: redis.Redis) -> None:
    redis_client.config_resetstat()
    filled.get_online_features(["single:z", "other:z", "single:a_y", "pairs:z"], ROWS[1:3] * 2, full_feature_names=True)
    assert redis_client.info("commandstats")["cmdstat_hmget"]["calls"] == 4  # two places, two pairs


def test_versioned_views_have_their_own_fields(redis_url: str, redis_client: redis.Redis) -> None:
    config, store = make_config(redis_url), RedisOnlineStore()
    config.registry.enable_online_feature_view_versioning = True
    table = view("v", [PLACE], ["f"], ttl=None)
    table.current_version_number = 2
    with opened(store):
        store.online_write_batch(config, table, feast_rows([Written(("JFK",), START, None, (1.0,))], ["f"]), None)
        (key,) = redis_client.scan_iter()
        assert redis_client.hget(key, "_ts:v_v2") is not None
        assert store.online_read(config, table, [entity_key(("JFK",))])[0][0] == START
        table.current_version_number = 3
        assert store.online_read(config, table, [entity_key(("JFK",))]) == [(None, None)]


def test_without_now_the_wall_clock_decides(redis_url: str, redis_client: redis.Redis) -> None:
    config, store = make_config(redis_url), RedisOnlineStore()
    with opened(store):
        for place, time in (("old", START), ("new", utc_now())):
            row = Written((place,), time, None, (1.0,))
            store.online_write_batch(config, view("v", [PLACE], ["f"]), feast_rows([row], ["f"]), None)
        (_, old), (_, new) = store.online_read(
            config, view("v", [PLACE], ["f"]), [entity_key(("old",)), entity_key(("new",))]
        )
    assert old is None
    assert new is not None


@pytest.mark.parametrize("now", ["2013-12-31T00:00:00Z", "2013-12-31T01:00:00+01:00", datetime(2013, 12, 31)])
def test_now_is_read_as_utc(now: Any) -> None:
    assert RedisOnlineStoreConfig(now=now).now == datetime(2013, 12, 31, tzinfo=UTC)
    with pytest.raises(InputError, match=r"online_store\.now"):
        RedisOnlineStoreConfig(now="yesterday")
