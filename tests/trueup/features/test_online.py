"""The online read against a dictionary and against plain Feast, on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
from feast import Entity, FeatureService, FeatureStore, FeatureView, FileSource, RequestSource, ValueType
from feast import Field as FeastField
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Bool, Float64, Int64, String, UnixTimestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.oracles.online import MICROSECOND, START, TTL, OnlineOracle, Written, batches, nows

from trueup.contracts.contract import FeatureContract, Field, JoinKey, OnDemand, Source, View
from trueup.contracts.dtypes import arrow_type
from trueup.contracts.extract import extract_contract
from trueup.errors import ContractError, InputError, StoreError
from trueup.features.online import OnlineReader
from trueup.frame import FeatureFrame, Status
from trueup.stores.entity_key import KeyLayout
from trueup.stores.redis_connection import connect_async
from trueup.stores.redis_write import LOAD, Row, compare_and_set, newest
from trueup.stores.value_encoder import encoder
from trueup.stores.value_types import StoredTypeError

SOURCE = Source("test", "event_time", None, None, {}, {})
PROJECT = "flights"


def view(
    name: str,
    keys: Sequence[tuple[str, str, str]],
    features: Sequence[tuple[str, str]],
    ttl: timedelta | None = TTL,
    table: str = "",
) -> View:
    return View(
        name=name,
        table=table or name,
        keys=tuple(JoinKey(*key) for key in keys),
        features=tuple(Field(*feature) for feature in features),
        ttl=ttl,
        source=SOURCE,
    )


def contract_of(*views: View, features: Sequence[tuple[str, str]] | None = None) -> FeatureContract:
    every = [(item.name, field.name) for item in views for field in item.features]
    return FeatureContract(PROJECT, "service", tuple(features or every), tuple(views))


def write(client: redis.Redis, target: View, rows: Sequence[Written], table: str = "") -> None:
    layout = KeyLayout(PROJECT, tuple((key.name, key.dtype) for key in target.keys))
    encoders = [(item.name, encoder(item.dtype)) for item in target.features]
    stored = newest(
        Row(
            key=layout.encode(row.key),
            values={name: encode(value) for (name, encode), value in zip(encoders, row.values, strict=True)},
            event_time=row.event_time,
            created=row.created,
        )
        for row in rows
    )
    with client.pipeline(transaction=False) as pipe:
        for command in (LOAD, *compare_and_set(table or target.table, stored, keep_seconds=None)):
            pipe.execute_command(*command)
        pipe.execute()


ReadAsync = Callable[[FeatureContract, Sequence[Mapping[str, Any]], datetime], FeatureFrame]


@pytest.fixture(scope="module")
def read_async(redis_url: str) -> Iterator[ReadAsync]:
    """`OnlineReader.read_async` on one event loop."""
    with asyncio.Runner() as runner:
        client = connect_async(redis_url)
        yield lambda contract, rows, now: runner.run(OnlineReader(contract, async_client=client).read_async(rows, now))
        runner.run(client.aclose())


# Two views share a key, one has two parts, one is looked up by other columns, one is everybody's.
PLACE, PLANE = ("place", "String", "place"), ("plane", "Int64", "plane")
VIEWS = (
    view("select", [PLACE], [("from_x", "Float64"), ("mean_y", "Float64")]),
    view("weather", [PLACE], [("from_x", "Float64")], ttl=None),
    view("pairs", [PLANE, PLACE], [("a", "Float64")]),
    view("at destination", [("place", "String", "dest")], [("mean_y", "Float64")], table="select"),
    view("everybody", [], [("a", "Float64")]),
)
TABLES: dict[str, tuple[View, list[tuple[object, ...]]]] = {
    "select": (VIEWS[0], [("JFK",), ("",)]),
    "weather": (VIEWS[1], [("JFK",), ("",)]),
    "pairs": (VIEWS[2], [(1, "JFK"), (11, "JFK"), (-1, "")]),
    "everybody": (VIEWS[4], [()]),
}
CONTRACT = contract_of(
    *VIEWS,
    features=[
        ("everybody", "a"),
        ("weather", "from_x"),
        ("select", "mean_y"),
        ("at destination", "mean_y"),
        ("pairs", "a"),
        ("select", "from_x"),
    ],
)
requests = st.fixed_dictionaries(
    {
        "place": st.sampled_from(["JFK", "", "nowhere", None]),
        "dest": st.sampled_from(["JFK", "", None]),
        "plane": st.sampled_from([1, 11, -1, 2**63 - 1, None]),
    }
)


@given(data=st.data(), now=nows, rows=st.lists(requests, max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_history_reads_as_the_dictionary_does(
    redis_client: redis.Redis, read_async: ReadAsync, data: st.DataObject, now: datetime, rows: list[dict[str, Any]]
) -> None:
    redis_client.flushall()
    oracles = {table: OnlineOracle() for table in TABLES}
    for table, (stored, keys) in TABLES.items():
        for batch in data.draw(batches(keys, len(stored.features))):
            oracles[table].write(batch)
            write(redis_client, stored, batch)
    frame = OnlineReader(CONTRACT, client=redis_client).read(rows, now)
    assert frame.columns == CONTRACT.columns
    assert frame.values.schema == CONTRACT.schema
    assert frame.num_rows == len(rows)
    for read in VIEWS:
        names = [item.name for item in TABLES[read.table][0].features]
        for place, row in enumerate(rows):
            key = tuple(row[item.request] for item in read.keys)
            values, statuses, event_time = oracles[read.table].read(key, len(names), read.ttl, now)
            assert frame.event_timestamps.column(read.name)[place].as_py() == event_time
            for item in read.features:
                column, at = read.column(item.name), names.index(item.name)
                assert frame.values.column(column)[place].as_py() == values[at]
                assert frame.statuses.column(column)[place].as_py() == statuses[at]
    assert read_async(CONTRACT, rows, now) == frame


@pytest.mark.parametrize("age", [TTL - MICROSECOND, TTL, TTL + MICROSECOND, timedelta(), -TTL])
def test_a_value_lives_exactly_as_long_as_its_ttl(redis_client: redis.Redis, age: timedelta) -> None:
    event_time = START + timedelta(microseconds=1)
    write(redis_client, VIEWS[0], [Written(("JFK",), event_time, None, (1.0, None))])
    frame = OnlineReader(contract_of(VIEWS[0]), client=redis_client).read([{"place": "JFK"}], event_time + age)
    alive = age <= TTL
    assert frame.statuses.to_pylist() == [
        {
            "select__from_x": Status.PRESENT if alive else Status.EXPIRED,
            "select__mean_y": Status.NULL if alive else Status.EXPIRED,
        }
    ]
    assert frame.values.column("select__from_x").to_pylist() == [1.0 if alive else None]
    assert frame.event_timestamps.column("select").to_pylist() == [event_time]


VALUES: dict[str, Any] = {
    "Bytes": b"\x00", "String": "é", "Bool": False, "Int32": -(2**31), "Int64": 2**53 + 1, "Float32": 0.5,
    "Float64": -0.0, "UnixTimestamp": START, "Json": '{"a": 1}', "Uuid": "12345678-1234-5678-1234-567812345678",
    "Array(Int64)": [1, -1], "Array(String)": ["", "x"], "Array(Float64)": [], "Array(Bool)": [True],
    "Array(UnixTimestamp)": [START, None], "Set(String)": ["x"], "Array(Array(Int64))": [[1], [2, 3]],
}  # fmt: skip


def test_every_type_comes_back_as_its_arrow_type(redis_client: redis.Redis) -> None:
    typed = view("typed", [PLACE], [(f"f{at}", dtype) for at, dtype in enumerate(VALUES)])
    write(redis_client, typed, [Written(("JFK",), START, None, tuple(VALUES.values()))])
    frame = OnlineReader(contract_of(typed), client=redis_client).read([{"place": "JFK"}, {"place": "x"}], START)
    assert frame.values.schema.types == [arrow_type(dtype) for dtype in VALUES]
    here, nowhere = frame.values.to_pylist()
    # Arrow names UTC in its own way; the text tells -0.0 from 0.0 and an int from a bool.
    assert repr(list(here.values())).replace(repr(ZoneInfo("UTC")), repr(UTC)) == repr(list(VALUES.values()))
    assert set(nowhere.values()) == {None}


def test_a_feature_added_after_the_row_was_written_is_missing(redis_client: redis.Redis) -> None:
    write(redis_client, VIEWS[1], [Written(("JFK",), START, None, (1.0,))])
    wider = view("weather", [PLACE], [("from_x", "Float64"), ("new", "Int64")])
    frame = OnlineReader(contract_of(wider), client=redis_client).read([{"place": "JFK"}], START)
    assert frame.statuses.to_pylist() == [{"weather__from_x": Status.PRESENT, "weather__new": Status.MISSING}]


def test_a_value_of_another_type_is_never_served(redis_client: redis.Redis) -> None:
    write(redis_client, VIEWS[1], [Written(("JFK",), START, None, (1.0,))])
    reader = OnlineReader(
        contract_of(view("alias", [PLACE], [("from_x", "Int64")], table="weather")), client=redis_client
    )
    with pytest.raises(StoredTypeError, match=r"weather:from_x is declared Int64, .* type Float64"):
        reader.read([{"place": "JFK"}], START)


def test_versioned_views_are_read_under_their_versioned_name(redis_client: redis.Redis) -> None:
    write(redis_client, VIEWS[1], [Written(("JFK",), START, None, (2.0,))], table="weather_v2")
    rows = [{"place": "JFK"}]
    contract = contract_of(VIEWS[1])
    assert OnlineReader(contract, client=redis_client).read(rows, START).statuses.to_pylist() == [
        {"weather__from_x": Status.MISSING}
    ]
    versioned = OnlineReader(contract, client=redis_client, tables={"weather": "weather_v2"})
    assert versioned.read(rows, START).values.to_pylist() == [{"weather__from_x": 2.0}]


@pytest.mark.parametrize(
    ("row", "field", "says"),
    [
        ({"place": "JFK"}, "plane", "'plane' .Int64. is missing from row 1"),
        ({"place": "JFK", "plane": True}, "plane", "plane' is Int64, but in row 1 True .bool. is not an integer"),
        ({"place": "JFK", "plane": 1.0}, "plane", "1.0 .float. is not an integer"),
        ({"place": "JFK", "plane": "one"}, "plane", "'one' .str. is not an integer"),
        ({"place": "JFK", "plane": 2**63}, "plane", "fits Int64"),
        ({"place": 1.5, "plane": 1}, "place", "is not a string"),
        ({"plane": 1}, "place", "is missing"),
    ],
)
def test_a_row_that_cannot_be_looked_up_names_its_field(
    redis_client: redis.Redis, row: dict[str, Any], field: str, says: str
) -> None:
    reader = OnlineReader(contract_of(VIEWS[2]), client=redis_client)
    with pytest.raises(InputError, match=says) as caught:
        reader.read([{"place": "JFK", "plane": "12"}, row], START)
    assert caught.value.field == field


def test_contracts_that_cannot_be_read_are_refused_at_once() -> None:
    with pytest.raises(ContractError, match="entity_key_serialization_version is 2"):
        OnlineReader(CONTRACT, key_format=2)
    with pytest.raises(ContractError, match="cannot store in an entity key"):
        OnlineReader(contract_of(view("v", [("k", "Bool", "k")], [("f", "Int64")])))
    with pytest.raises(ContractError, match="same 32-bit field"):
        OnlineReader(contract_of(view("fv", [PLACE], [("f18433", "Int64"), ("f68910", "Int64")])))
    twice = [view("a", [PLACE], [("f", "Int64")], table="t"), view("b", [PLACE], [("f", "Int64")], table="t")]
    OnlineReader(contract_of(*twice))
    with pytest.raises(ValueError, match="without a client"):
        OnlineReader(CONTRACT).read([], START)


def test_a_server_that_is_gone_is_a_store_error(tmp_path: Path) -> None:
    client = redis.Redis.from_url(f"unix://{tmp_path}/no.sock")
    with pytest.raises(StoreError, match="cannot be reached"):
        OnlineReader(contract_of(VIEWS[0]), client=client).read([{"place": "JFK"}], START)


def test_rows_that_need_nothing_send_nothing(tmp_path: Path) -> None:
    client = redis.Redis.from_url(f"unix://{tmp_path}/no.sock")
    reader = OnlineReader(contract_of(VIEWS[0]), client=client)
    assert reader.read([], START).num_rows == 0
    assert reader.read([{"place": None}], START).statuses.column(0).to_pylist() == [Status.MISSING]


def test_nothing_is_what_is_read_of_entities_that_there_are_not_and_asks_no_server(
    redis_client: redis.Redis, tmp_path: Path
) -> None:
    rows = [{"place": "nowhere", "dest": "nowhere", "plane": -1}, {"place": "LGA", "dest": None, "plane": 10**6}]
    away = OnlineReader(CONTRACT, client=redis.Redis.from_url(f"unix://{tmp_path}/no.sock"))
    found, read = away.nothing(rows, START), OnlineReader(CONTRACT, client=redis_client).read(rows, START)
    assert (found.values, found.statuses, found.event_timestamps) == (read.values, read.statuses, read.event_timestamps)
    assert found.num_rows == 2
    assert set(found.statuses.column(0).to_pylist()) == {Status.MISSING}


def test_one_command_is_sent_for_each_distinct_entity(redis_client: redis.Redis) -> None:
    rows = [{"place": place, "dest": "JFK", "plane": 1} for place in ("JFK", "LGA", "JFK")]
    redis_client.config_resetstat()
    OnlineReader(CONTRACT, client=redis_client).read(rows, START)
    # Two places (one of them a destination too), two pairs, and everybody.
    assert redis_client.info("commandstats")["cmdstat_hmget"]["calls"] == 5


def test_on_demand_features_are_computed_from_inputs_the_service_does_not_ask_for(redis_client: redis.Redis) -> None:
    code = (
        "def twice(inputs):\n"
        "    return {'twice': [None if x is None else x * 2 + y for x, y in zip(inputs['from_x'], inputs['more'])]}\n"
    )
    on_demand = OnDemand(
        "odd", "python", (("weather", "from_x"),), (Field("more", "Float64"),), (Field("twice", "Float64"),), code
    )
    contract = FeatureContract(PROJECT, "s", (("odd", "twice"),), (VIEWS[1],), (on_demand,))
    write(redis_client, VIEWS[1], [Written(("JFK",), START, None, (1.5,))])
    reader = OnlineReader(contract, client=redis_client)
    frame = reader.read([{"place": "JFK", "more": 0.5}, {"place": "x", "more": 1.0}], START)
    assert frame.columns == ("odd__twice",)
    assert frame.values.column(0).to_pylist() == [3.5, None]
    assert frame.event_timestamps.column("weather").to_pylist() == [START, None]
    with pytest.raises(InputError, match="'more'") as caught:
        reader.read([{"place": "JFK", "more": 0.5}, {"place": "JFK"}], START)
    assert caught.value.field == "more"


# Against plain Feast -------------------------------------------------------------------------------------------------

NOW = START + TTL


@on_demand_feature_view(
    sources=[RequestSource(name="asked", schema=[FeastField(name="hour", dtype=Int64)])],
    schema=[FeastField(name="late", dtype=Bool)],
    mode="python",
)
def evening(inputs):
    return {"late": [hour >= 18 for hour in inputs["hour"]]}


@pytest.fixture(scope="module")
def feast_store(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[FeatureStore]:
    repo = tmp_path_factory.mktemp("repo")
    times = pa.array([START, START - MICROSECOND, START], pa.timestamp("us", tz="UTC"))
    rows = pa.table(
        {
            "place": ["JFK", "LGA", "EWR"],
            "plane": [1, 1, 2],
            "share": [1.5, 2.5, None],
            "count": pa.array([2**40, 20, None], pa.int64()),
            "name": ["Kennedy", "", None],
            "seen": pa.array([START, START, None], pa.timestamp("us", tz="UTC")),
            "event_timestamp": times,
        }
    )
    pq.write_table(rows, repo / "rows.parquet")
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
    source = FileSource(name="rows", path=str(repo / "rows.parquet"), timestamp_field="event_timestamp")
    place = Entity(name="place", join_keys=["place"], value_type=ValueType.STRING)
    plane = Entity(name="plane", join_keys=["plane"], value_type=ValueType.INT64)
    key, number = FeastField(name="place", dtype=String), FeastField(name="plane", dtype=Int64)
    types = {"share": Float64, "count": Int64, "name": String, "seen": UnixTimestamp}
    fields = [FeastField(name=name, dtype=dtype) for name, dtype in types.items()]
    single = FeatureView(name="single", entities=[place], ttl=TTL, schema=[key, *fields], source=source)
    pairs = FeatureView(
        name="pairs", entities=[plane, place], ttl=timedelta(0), schema=[number, key, *fields], source=source
    )
    service = FeatureService(
        name="service",
        features=[
            pairs[["name", "count"]],
            single.with_name("to").with_join_key_map({"place": "dest"}),
            single[["seen", "share"]].with_name("at"),
            evening,
        ],
    )
    store = FeatureStore(str(repo))
    store.apply([place, plane, single, pairs, evening, service])
    yield store
    client = store._get_provider().online_store._client
    if client is not None:
        client.close()


@pytest.mark.filterwarnings("ignore:On demand feature view is an experimental feature:RuntimeWarning")
def test_a_read_is_what_plain_feast_answers(feast_store: FeatureStore, redis_client: redis.Redis) -> None:
    feast_store.materialize(START - TTL, START + TTL)
    contract = extract_contract(feast_store, "service")
    rows = [
        {"place": place, "dest": dest, "plane": plane, "hour": hour}
        for place, dest, plane, hour in (
            ("JFK", "LGA", 1, 17), ("EWR", "JFK", 2, 18), ("x", None, 1, 19), ("LGA", "EWR", None, 0),
            ("JFK", "LGA", 1, 17), (None, "x", "2", 1),
        )
    ]  # fmt: skip
    frame = OnlineReader(contract, client=redis_client).read(rows, NOW)
    response = feast_store.get_online_features(
        feast_store.get_feature_service("service"), rows, full_feature_names=True
    ).proto
    results = dict(zip(response.metadata.feature_names.val, response.results, strict=True))
    of_views = [column for column in contract.columns if column != "evening__late"]
    assert [name for name in results if name in contract.columns] == of_views
    # Feast drops what a python function returns when full names are asked for, so that one is asked for by itself.
    short = feast_store.get_online_features(["pairs:count", "evening:late"], rows).to_dict()
    assert frame.values.column("evening__late").to_pylist() == short["late"]
    assert frame.values.column("pairs__count").to_pylist() == short["count"]
    for column in of_views:
        found = [
            getattr(value, kind) if (kind := value.WhichOneof("val")) is not None else None
            for value in results[column].values
        ]
        ours = frame.values.column(column).to_pylist()
        if column.endswith("seen"):
            ours = [None if value is None else int(value.timestamp()) for value in ours]
        assert ours == found
        assert frame.statuses.column(column).to_pylist() == list(results[column].statuses)
