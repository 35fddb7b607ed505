"""The whole online check of a stock Feast repository on Redis, beside a loop over Feast's own read.

Three views of ten features of mixed types on one entity. Ours lists the entities on both sides, recomputes what should
be online from the sources, reads it and compares; Feast's loop only reads, 1,000 entities at a time, with the feature
service in hand. First every value that Feast returns is checked to be the one ours reads.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import redis
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Bool, Float32, Float64, Int32, Int64, String, UnixTimestamp
from tests.trueup.parity.stock import configure, quiet, redis_over_tcp

from trueup.contracts.contract import JoinKey
from trueup.contracts.stored import stored_views
from trueup.parity.runs.online import run_online
from trueup.stores.feast_rows import online_rows_of
from trueup.stores.key_columns import KeyColumns
from trueup.stores.redis_layout import encode_time, time_field, value_field
from trueup.stores.redis_rows import RedisRows
from trueup.stores.registry_ledger import RegistryLedger
from trueup.stores.value_encoder import encoder

ENTITIES = 100_000
VIEWS = 3
BATCH = 1_000
ROUNDS = 3
START = datetime(2024, 3, 9, tzinfo=UTC)
LANDED = START + timedelta(days=2)
_ID = JoinKey("id", "Int64", "id")
TIMES = pa.timestamp("us", tz="UTC")
TYPES: dict[str, tuple[Any, pa.DataType]] = {
    "f0": (Float64, pa.float64()),
    "f1": (Float64, pa.float64()),
    "f2": (Float32, pa.float32()),
    "i0": (Int64, pa.int64()),
    "i1": (Int64, pa.int64()),
    "i2": (Int32, pa.int32()),
    "s0": (String, pa.string()),
    "s1": (String, pa.string()),
    "b0": (Bool, pa.bool_()),
    "t0": (UnixTimestamp, TIMES),
}


def bench(scale: float, directory: Path) -> list[dict[str, Any]]:
    """One row: entities a second, ours to Feast's, and our time to that of the bare replies. scale: of 100,000."""
    entities = max(int(ENTITIES * scale), ROUNDS)
    directory.mkdir(parents=True, exist_ok=True)
    with redis_over_tcp(directory) as port, _repository(directory / "repo", entities, port) as store:
        return [_measure(store, entities)]


def _measure(store: FeatureStore, entities: int) -> dict[str, Any]:
    rows = online_rows_of(store)
    assert isinstance(rows, RedisRows)
    service = store.get_feature_service("all")
    contract = stored_views(store).contract
    ledger = RegistryLedger.of(store)
    keys = KeyColumns(contract.views[0].keys)
    table = pa.table({"id": pa.array(range(entities), pa.int64())})
    stored = [key + store.project.encode() for key in keys.encode(table) if key is not None]
    fields = [name for view in contract.views for name in _fields(view.table)]
    compared, ours, floor, feast = [], [], [], 0.0
    for part in np.array_split(np.arange(entities), ROUNDS):
        began = time.perf_counter()
        report = run_online(Path(store.repo_path), contract, rows, now=datetime.now(UTC), ledger=ledger)
        ours.append(time.perf_counter() - began)
        compared.append([(result.verdict, result.rows, result.compared) for result in report.cells])
        began = time.perf_counter()
        _bare(rows.client, stored, fields)
        floor.append(time.perf_counter() - began)
        for start in range(0, len(part), BATCH):
            asked = part[start : start + BATCH].tolist()
            began = time.perf_counter()
            answer = store.get_online_features(
                features=service, entity_rows={"id": asked}, full_feature_names=True
            ).to_dict()
            feast += time.perf_counter() - began
            _same(answer, rows, store.project, contract.views, asked)
    assert compared == [[("pass", entities, entities * len(TYPES))] * VIEWS] * ROUNDS, compared
    rate, feast_rate = entities / median(ours), entities / feast
    return {
        "name": "online check, 3 views x 10 features",
        "ratio_to_feast": rate / feast_rate,
        "ratio_to_floor": median(ours) / median(floor),
        "equal": True,
        "context": {
            "entities": entities,
            "ours_entities_per_second": round(rate),
            "feast_entities_per_second": round(feast_rate),
            "floor": "merged HMGET of every entity, replies not decoded",
        },
    }


def _bare(client: redis.Redis, keys: list[bytes], fields: list[bytes]) -> int:
    """One merged HMGET an entity, pipelined, replies through hiredis and not decoded."""
    connection: Any = client.connection_pool.get_connection()
    replies = 0
    try:
        for start in range(0, len(keys), BATCH):
            some = keys[start : start + BATCH]
            connection.send_packed_command(connection.pack_commands([("HMGET", key, *fields) for key in some]))
            replies += sum(len(connection.read_response(disable_decoding=True)) for _ in some)
    finally:
        client.connection_pool.release(connection)
    return replies


def _same(answer: dict[str, list[Any]], rows: RedisRows, project: str, views: Sequence[Any], asked: list[int]) -> None:
    """Every value that Feast returned is the one ours reads."""
    table = pa.table({"id": pa.array(asked, pa.int64())})
    keys = [key for key in KeyColumns(views[0].keys).encode(table) if key is not None]
    for view, found in zip(views, rows.read(project, views, table, keys, LANDED), strict=True):
        for name in TYPES:
            column = f"{view.table}__{name}"
            mine = found.frame.values.column(column).to_pylist()
            assert [_plain(value) for value in answer[column]] == [_plain(value) for value in mine], column


def _plain(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value


def _fields(view: str) -> list[bytes]:
    return [time_field(view), *(value_field(view, name) for name in TYPES)]


@contextmanager
def _repository(repo: Path, entities: int, port: int) -> Iterator[FeatureStore]:
    """Sources of two rows an entity, the later one online, in the bytes Feast writes."""
    (repo / "data").mkdir(parents=True)
    online = {"type": "redis", "connection_string": f"127.0.0.1:{port}"}
    configure(repo, project="bench", offline="dask", online=online)
    random = np.random.default_rng(20131101)
    entity = Entity(name="id", join_keys=["id"], value_type=ValueType.INT64)
    features = [Field(name=feature, dtype=dtype) for feature, (dtype, _) in TYPES.items()]
    views = []
    with redis.Redis(host="127.0.0.1", port=port) as client:
        for number in range(VIEWS):
            name = f"view{number}"
            newest = _rows(random, entities, START + timedelta(hours=20))
            path = repo / "data" / f"{name}.parquet"
            table = pa.concat_tables([_rows(random, entities, START + timedelta(hours=2)), newest])
            pq.write_table(table, path, write_statistics=False)
            source = FileSource(name=name, path=str(path), timestamp_field="event", created_timestamp_column="made")
            schema = [Field(name="id", dtype=Int64), *features]
            views.append(FeatureView(name=name, entities=[entity], ttl=timedelta(0), schema=schema, source=source))
            _load(client, name, newest)
    with quiet(), chdir(repo):
        store = FeatureStore(repo_path=str(repo))
        store.apply([entity, *views, FeatureService(name="all", features=views)])
        for view in store.list_feature_views():
            store.registry.apply_materialization(view, store.project, START - timedelta(days=1), LANDED)
        yield store


def _rows(random: np.random.Generator, entities: int, event: datetime) -> pa.Table:
    words = pa.array([f"word {word}" * (word % 4) for word in range(997)])
    at = pa.array(
        (np.int64(event.timestamp() * 1_000_000) + random.integers(0, 3_600_000_000, entities)), pa.int64()
    ).cast(TIMES)
    values = {
        "f0": random.normal(size=entities),
        "f1": random.normal(size=entities),
        "f2": random.normal(size=entities).astype(np.float32),
        "i0": random.integers(0, 2**53, entities),
        "i1": random.integers(-100, 100, entities),
        "i2": random.integers(0, 10_000, entities).astype(np.int32),
        "s0": words.take(pa.array(random.integers(0, 997, entities))),
        "s1": words.take(pa.array(random.integers(0, 997, entities))),
        "b0": random.integers(0, 2, entities) == 1,
        "t0": pa.array(random.integers(0, 2_000_000_000, entities) * 1_000_000, pa.int64()).cast(TIMES),
    }
    return pa.table({"id": pa.array(range(entities), pa.int64()), **values, "event": at, "made": at})


def _load(client: redis.Redis, view: str, rows: pa.Table) -> None:
    keys = KeyColumns([_ID]).encode(rows.select(["id"]))
    fields = _fields(view)
    columns = [[encode_time(instant) for instant in rows["event"].to_pylist()]]
    for name, (dtype, _) in TYPES.items():
        columns.append(list(map(encoder(str(dtype)), rows[name].to_pylist())))
    with client.pipeline(transaction=False) as pipe:
        for number, (key, values) in enumerate(zip(keys, zip(*columns, strict=True), strict=True)):
            assert key is not None
            pipe.hset(key + b"bench", mapping=dict(zip(fields, values, strict=True)))
            if number % 5_000 == 4_999:
                pipe.execute()
        pipe.execute()
