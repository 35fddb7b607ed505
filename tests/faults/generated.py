"""A generated repository with every Feast type, played through the real system.

But for ScalarMap and ZonedTimestamp, which Feast itself cannot materialize from a Parquet file.

Eight views: some of one entity, a composite key, a field mapping, a view without created time, one without TTL; and a
row-wise on-demand view. Hours count from START. Runs of the ledger's engine at -24 (all that is known), -12, -6, -1 and
+1, the last of which takes five minutes. Requests come in three phases: before that run, while it is under way (half of
them before its writes, half after) and after it. Faults are injected into the last phase.
"""

from __future__ import annotations

import decimal
import json
import math
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import redis
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import (
    Array,
    Bool,
    Bytes,
    Decimal,
    Float32,
    Float64,
    ImageBytes,
    Int32,
    Int64,
    Json,
    Map,
    PdfBytes,
    Set,
    String,
    Struct,
    TimeUuid,
    UnixTimestamp,
    Uuid,
)
from tests.faults import documents, wire
from tests.faults.bench import World
from tests.faults.cells import PRESENT, Truth
from tests.faults.site import Request, Site, ViewSpec, micros, read_rows
from tests.faults.source_faults import SourceFile, Timeline
from tests.faults.store_faults import Scene, SourceRow

from trueup.stores.materialize import materialize
from trueup.stores.query_source import DuckDBQuerySource

START = datetime(2024, 3, 10, tzinfo=UTC)  # a day on which New York's clocks change
SERVICE = "generated_v1"
PROJECT = "faults"
RUNS = (-24.0, -12.0, -6.0, -1.0)
LAST_RUN = 1.0
LAST_RUN_TOOK = 5 / 60
PHASES = ((-0.9, 1.0), (1.0, 1.0 + LAST_RUN_TOOK), (1.0 + LAST_RUN_TOOK, 3.0))
INPUTS = ("numbers__f64", "numbers__i64")
_TIMES = pa.timestamp("us", tz="UTC")

_PROFILE = {"n": Int64, "tags": Array(String), "sums": Array(Decimal), "spans": Array(Float64)}
TYPES: Mapping[str, Mapping[str, Any]] = {
    "numbers": {"i32": Int32, "i64": Int64, "big": Int64, "f32": Float32, "f64": Float64, "f64b": Float64},
    "things": {
        "flag": Bool,
        "name": String,
        "raw": Bytes,
        "seen": UnixTimestamp,
        "doc": Json,
        "uid": Uuid,
        "timed": TimeUuid,
        "price": Decimal,
        "cost": Decimal,
        "pdf": PdfBytes,
        "image": ImageBytes,
    },
    "lists": {
        "ints32": Array(Int32),
        "ints": Array(Int64),
        "floats32": Array(Float32),
        "floats": Array(Float64),
        "flags": Array(Bool),
        "names": Array(String),
        "raws": Array(Bytes),
        "times": Array(UnixTimestamp),
        "docs": Array(Json),
        "uids": Array(Uuid),
        "timeds": Array(TimeUuid),
        "prices": Array(Decimal),
        "grid": Array(Array(Int64)),
        "words": Array(Array(String)),
    },
    "sets": {
        "tags": Set(String),
        "codes": Set(Int64),
        "codes32": Set(Int32),
        "reals": Set(Float64),
        "reals32": Set(Float32),
        "answers": Set(Bool),
        "blobs": Set(Bytes),
        "moments": Set(UnixTimestamp),
        "ids": Set(Uuid),
        "timed_ids": Set(TimeUuid),
        "sums": Set(Decimal),
        "pairs": Set(Array(Int64)),
    },
    "documents": {
        "attributes": Map,
        "form": Struct(
            {
                "n": Int64,
                "x": Float64,
                "name": String,
                "on": Bool,
                "at": UnixTimestamp,
                "raw": Bytes,
                "sum": Decimal,
            }
        ),
        "lines": Array(Struct({"n": Int64, "name": String, "at": UnixTimestamp})),
        "parts": Array(Map),
    },
    "maps": {"labels": Map, "steps": Array(Map), "profile": Struct(_PROFILE)},
    "pair": {"amount": Float64, "count": Int64},
    "region": {"rate": Float64, "label": String},
}
KEYS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "numbers": (("user_id", "Int64"),),
    "things": (("user_id", "Int64"),),
    "lists": (("item_id", "String"),),
    "sets": (("item_id", "String"),),
    "documents": (("item_id", "String"),),
    "maps": (("item_id", "String"),),
    "pair": (("user_id", "Int64"), ("item_id", "String")),
    "region": (("region_id", "Int32"),),
}
TTL_HOURS: Mapping[str, int] = {
    "numbers": 12,
    "things": 0,
    "lists": 48,
    "sets": 48,
    "documents": 24,
    "maps": 12,
    "pair": 6,
    "region": 24,
}
COLUMN_OF = {("pair", "amount"): "amt"}
"""Source columns with another name than the feature: field_mapping."""
WITHOUT_CREATED = ("region",)
COLUMN_TYPES = {
    ("things", "cost"): pa.decimal128(18, 3),
    ("documents", "attributes"): pa.string(),
    ("documents", "parts"): pa.string(),
}
"""Source columns of another type than their feature's usual one: decimals as numbers, maps as JSON text."""
_ARROW: Mapping[str, pa.DataType] = {
    "Bytes": pa.binary(),
    "PdfBytes": pa.binary(),
    "ImageBytes": pa.binary(),
    "String": pa.string(),
    "Bool": pa.bool_(),
    "Int32": pa.int32(),
    "Int64": pa.int64(),
    "Float32": pa.float32(),
    "Float64": pa.float64(),
    "UnixTimestamp": _TIMES,
    "Json": pa.string(),
    "Uuid": pa.string(),
    "TimeUuid": pa.string(),
    "Decimal": pa.string(),
    "Map": pa.map_(pa.string(), pa.string()),
}


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def arrow(dtype: str) -> pa.DataType:
    if dtype.startswith("Struct("):
        number = pa.decimal128(18, 3)
        inner = {"Decimal": number, "Array(Decimal)": pa.list_(number)}
        return pa.struct([(name, inner.get(kind) or arrow(kind)) for name, kind in documents.fields_of(dtype).items()])
    return pa.list_(arrow(dtype.partition("(")[2][:-1])) if "(" in dtype else _ARROW[dtype]


def column_type(view: str, feature: str) -> pa.DataType:
    return COLUMN_TYPES.get((view, feature)) or arrow(str(TYPES[view][feature]))


def source_schema(view: str) -> pa.Schema:
    """Columns of a view's Parquet file."""
    features = {COLUMN_OF.get((view, name), name): column_type(view, name) for name in TYPES[view]}
    clocks = {"event": _TIMES} | ({} if view in WITHOUT_CREATED else {"created": _TIMES})
    return pa.schema({name: _ARROW[dtype] for name, dtype in KEYS[view]} | features | clocks)


def mix(inputs: dict[str, list[Any]]) -> dict[str, list[Any]]:
    def usable(*values: Any) -> bool:
        return all(value is not None and value == value for value in values)

    return {
        "over": [
            None if not usable(value, limit) else value - limit
            for value, limit in zip(inputs["f64"], inputs["limit"], strict=True)
        ],
        "many": [
            None if not usable(count, limit) else int(count) + int(limit)
            for count, limit in zip(inputs["count"], inputs["limit"], strict=True)
        ],
    }


def define(
    store: FeatureStore,
    *,
    queries: Mapping[str, str] | None = None,
    function: Callable[..., Any] = mix,
    outputs: Mapping[str, Any] | None = None,
) -> None:
    """Applies the definitions. queries: view -> SQL over `rows` in place of all of them as they are."""
    entities = {
        name: Entity(name=f"{name}_entity", join_keys=[name], value_type=kind)
        for name, kind in (
            ("user_id", ValueType.INT64),
            ("item_id", ValueType.STRING),
            ("region_id", ValueType.INT32),
        )
    }
    key_types = {"Int64": Int64, "String": String, "Int32": Int32}
    views = {
        name: FeatureView(
            name=name,
            entities=[entities[key] for key, _ in KEYS[name]],
            ttl=timedelta(hours=TTL_HOURS[name]),
            schema=[
                *(Field(name=key, dtype=key_types[dtype]) for key, dtype in KEYS[name]),
                *(Field(name=feature, dtype=dtype) for feature, dtype in TYPES[name].items()),
            ],
            source=DuckDBQuerySource(
                name=f"{name}_source",
                query=(queries or {}).get(name, "SELECT * FROM rows"),
                tables={"rows": f"data/{name}.parquet"},
                timestamp_field="event",
                created_timestamp_column=None if name in WITHOUT_CREATED else "created",
                field_mapping={column: feature for (view, feature), column in COLUMN_OF.items() if view == name},
            ),
        )
        for name in TYPES
    }
    asked = RequestSource(name="asked", schema=[Field(name="limit", dtype=Float64)])
    on_demand = on_demand_feature_view(
        sources=[views["numbers"][["f64"]], views["pair"][["count"]], asked],
        schema=[Field(name=name, dtype=dtype) for name, dtype in (outputs or {"over": Float64, "many": Int64}).items()],
        mode="python",
        name="mix",
    )(_fresh(function))
    service = FeatureService(name=SERVICE, features=[*views.values(), on_demand])
    store.apply([*entities.values(), *views.values(), on_demand, service])


def _fresh(function: Callable[..., Any]) -> Callable[..., Any]:
    """Feast marks the function it is given, and finds no source of a marked one: it gets one that nothing marked
    yet."""
    import types

    return types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )


def view_specs() -> tuple[ViewSpec, ...]:
    return tuple(
        ViewSpec(
            name=name,
            table=name,
            keys=tuple((key, dtype, key) for key, dtype in KEYS[name]),
            features={feature: str(dtype) for feature, dtype in TYPES[name].items()},
            ttl=TTL_HOURS[name] * 3_600_000_000 or None,
        )
        for name in TYPES
    )


@dataclass
class Sizes:
    users: int = 6000
    items: int = 2000
    regions: int = 40
    rows: int = 12_000
    """Served in the last phase; the first two have half as many together."""
    rows_of_request: int = 5
    """At most."""


CLEAN = Sizes(users=8000, items=3000, regions=100, rows=50_000, rows_of_request=60)


@dataclass
class Generated:
    """The played world. sources: view -> all rows of it. quiet: the same without what the last run had not landed.

    clean: served rows of all phases. base: rows of the last phase, in order. requests: those of the last phase.
    row_of: (request, row) of each row of `base`. before: Redis hashes by key, as they stood before the last run.
    """

    site: Site
    sizes: Sizes
    sources: Mapping[str, pa.Table]
    quiet: Mapping[str, pa.Table]
    clean: pa.Table
    base: pa.Table
    before: Mapping[bytes, Mapping[bytes, bytes]]
    stored: Mapping[bytes, Mapping[str, set[int]]]
    views: tuple[ViewSpec, ...] = field(default_factory=view_specs)


def build(root: Path, client: redis.Redis, url: str, sizes: Sizes, seed: int) -> Generated:
    """Generates, applies, materializes and serves. Deterministic in `seed`."""
    random = np.random.default_rng(seed)
    repo = root / "repo"
    (repo / "data").mkdir(parents=True)
    (repo / "feature_store.yaml").write_text(
        f"project: {PROJECT}\nprovider: local\nregistry: data/registry.db\nentity_key_serialization_version: 3\n"
        "offline_store: {type: trueup.stores.duckdb_offline.DuckDBOfflineStore}\n"
        "online_store: {type: trueup.stores.redis_online.RedisOnlineStore, "
        f"connection_string: {url!r}}}\n"
        "batch_engine: {type: trueup.stores.ledger_engine.LedgerEngine, ledger: data/ledger.sqlite}\n"
    )
    sources = {view: _source(view, sizes, random) for view in TYPES}
    for view, table in sources.items():
        write_source(repo, view, table)
    site = Site(root, repo, client, url, SERVICE)
    define(site.store)
    site.register(INPUTS)
    phases = [_requests(number, sizes, random) for number in range(len(PHASES))]
    store = site.store
    client.flushall()
    stored: dict[bytes, dict[str, set[int]]] = {}
    for hours in RUNS:
        materialize(store, clock=lambda hours=hours: at(hours), incremental=hours > RUNS[0], registry=False)
        remember(stored, dump(client))
    with site.server() as server:
        server.ask(phases[0])
        half = len(phases[1]) // 2
        server.ask(phases[1][:half])
        before = dump(client)
        ticks = cycle((at(LAST_RUN), at(LAST_RUN + LAST_RUN_TOOK)))
        materialize(store, clock=lambda: next(ticks), incremental=True, registry=False)
        server.ask(phases[1][half:])
        server.ask(phases[2])
    remember(stored, dump(client))
    clean = read_rows(site.log)
    names = np.array(clean.column("__request_id").to_pylist())
    base = clean.take(pa.array(np.flatnonzero(np.char.startswith(names, "c"))))
    last = micros(at(LAST_RUN))
    quiet = {view: table.filter(pa.array(_known(view, table) <= last)) for view, table in sources.items()}
    return Generated(site, sizes, sources, quiet, clean, base, before, stored)


def write_source(repo: Path, view: str, table: pa.Table) -> None:
    pq.write_table(table, repo / "data" / f"{view}.parquet", write_statistics=False)


def dump(client: redis.Redis) -> dict[bytes, dict[bytes, bytes]]:
    """Every hash in the store."""
    keys = sorted(client.scan_iter(count=10_000))
    found: dict[bytes, dict[bytes, bytes]] = {}
    for first in range(0, len(keys), 5000):
        pipe = client.pipeline(transaction=False)
        for key in keys[first : first + 5000]:
            pipe.hgetall(key)
        found |= dict(zip(keys[first : first + 5000], pipe.execute(), strict=True))
    return found


def remember(stored: dict[bytes, dict[str, set[int]]], hashes: Mapping[bytes, Mapping[bytes, bytes]]) -> None:
    for key, fields in hashes.items():
        for name, raw in fields.items():
            if name.startswith(b"_ts:"):
                stored.setdefault(key, {}).setdefault(name[4:].decode(), set()).add(wire.read_timestamp(raw))


def item_of(user: int, sizes: Sizes) -> str:
    return f"item {user % sizes.items}"


def _known(view: str, table: pa.Table) -> np.ndarray:
    event = np.asarray(table.column("event").cast(pa.int64()))
    return event if view in WITHOUT_CREATED else np.maximum(event, np.asarray(table.column("created").cast(pa.int64())))


def _requests(phase: int, sizes: Sizes, random: np.random.Generator) -> list[Request]:
    """Requests of one to five rows. Some entities are known to nobody; some instants lie on a TTL's very edge."""
    wanted = (sizes.rows // 4, sizes.rows // 4, sizes.rows)[phase]
    first, last = (micros(at(hours)) for hours in PHASES[phase])
    requests: list[Request] = []
    edges = list(range(sizes.users // 20))
    while wanted > 0:
        instant = int(random.integers(first, last))
        entities = []
        for _ in range(min(wanted, int(random.integers(1, sizes.rows_of_request + 1)))):
            user = int(random.integers(0, sizes.users * 10 // 9))
            if phase == 2 and edges and not entities and random.random() < 0.5:
                user = edges.pop()
                instant = _edge(user) + 12 * 3_600_000_000 + int(random.integers(-1, 2))
            region = int(random.integers(0, sizes.regions * 10 // 9))
            item = item_of(user, sizes) if random.random() < 0.9 else f"item {int(random.integers(0, sizes.items))}"
            entities.append(
                {
                    "user_id": user,
                    "item_id": item,
                    "region_id": region,
                    "limit": float(random.integers(0, 100)),
                }
            )
        wanted -= len(entities)
        moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=instant)
        requests.append(Request(f"{'abc'[phase]}{len(requests):06d}", moment, tuple(entities)))
    return requests


def _edge(user: int) -> int:
    """Event time of a user of `numbers` whose one row is exactly as old as the TTL within the last phase."""
    return micros(at(-10.5)) + user * 2_345_678


def _source(view: str, sizes: Sizes, random: np.random.Generator) -> pa.Table:
    """A history: superseded and restated rows, some late, some not known until long after, some still to come."""
    entities = {"user_id": sizes.users, "item_id": sizes.items, "region_id": sizes.regions}[KEYS[view][0][0]]
    count = np.where(random.random(entities) < 0.04, 0, random.integers(1, 6, entities))
    if view == "numbers":
        count[: sizes.users // 20] = 1
    entity = np.repeat(np.arange(entities), count)
    hours = np.where(
        random.random(len(entity)) < 0.35,
        random.uniform(-1, 1, len(entity)),
        np.where(
            random.random(len(entity)) < 0.5, random.uniform(-11, -1, len(entity)), random.uniform(-72, -1, len(entity))
        ),
    )
    # Bursts: rows that a later one superseded before any run could see them.
    hours = np.where(random.random(len(entity)) < 0.1, random.uniform(-5.9, -1.1, len(entity)), hours)
    event = micros(START) + (hours * 3_600e6).astype(np.int64)
    to_come = random.random(len(entity)) < 0.03
    event[to_come] = micros(START) + (random.uniform(1, 3, int(to_come.sum())) * 3_600e6).astype(np.int64)
    created = event + (random.exponential(600e6, len(entity))).astype(np.int64)
    late = random.random(len(entity))
    created[late < 0.05] += 5 * 3_600_000_000
    created[late > 0.97] += 48 * 3_600_000_000
    created[(late > 0.5) & (late < 0.6)] = event[(late > 0.5) & (late < 0.6)]
    if view == "numbers":
        edge = entity < sizes.users // 20
        event[edge] = [_edge(user) for user in entity[edge]]
        created[edge] = event[edge]
    restated = np.flatnonzero(random.random(len(entity)) < 0.15)
    if view in WITHOUT_CREATED:
        restated = restated[:0]
    if view == "numbers":
        restated = restated[entity[restated] >= sizes.users // 20]
    entity = np.concatenate([entity, entity[restated]])
    event = np.concatenate([event, event[restated]])
    more = 1 + (random.uniform(0, 3, len(restated)) * 3_600e6).astype(np.int64)
    created = np.concatenate([created, created[restated] + more])
    _, unique = np.unique(np.stack([entity, event, created]), axis=1, return_index=True)
    order = np.sort(unique)
    entity, event, created = entity[order], event[order], created[order]
    columns: dict[str, pa.Array] = {}
    for name, dtype in KEYS[view]:
        keys = [item_of(int(e), sizes) for e in entity] if (view, name) == ("pair", "item_id") else None
        if keys is None:
            keys = [f"item {e}" for e in entity] if name == "item_id" else entity.tolist()
        columns[name] = pa.array(keys, _ARROW[dtype])
    for name, dtype in TYPES[view].items():
        column = COLUMN_OF.get((view, name), name)
        kind = column_type(view, name)
        found = values(str(dtype), len(entity), random, name)
        if pa.types.is_decimal(kind):
            found = [None if digits is None else decimal.Decimal(digits) for digits in found]
        if documents.is_document(str(dtype)) and pa.types.is_string(kind):
            found = [each if each is None or isinstance(each, str) else documents.text(each) for each in found]
        columns[column] = pa.array(found, kind)
    columns["event"] = pa.array(event, pa.int64()).cast(_TIMES)
    if view not in WITHOUT_CREATED:
        columns["created"] = pa.array(created, pa.int64()).cast(_TIMES)
    return pa.table(columns).cast(source_schema(view))


def values(dtype: str, count: int, random: np.random.Generator, name: str = "") -> list[Any]:
    """Values of a Feast type, nulls and edges among them. Lists hold no null, but for lists of instants."""
    if documents.is_document(dtype):
        make = _attributes if name == "attributes" else _document
        return [None if gone else make(dtype, random) for gone in (random.random(count) < 0.06).tolist()]
    item = dtype.partition("(")[2][:-1]
    if item:
        lengths = random.integers(0, 4, count)
        flat = _items(item, int(lengths.sum()), random)
        starts = np.concatenate([[0], np.cumsum(lengths)])
        found: list[Any] = [flat[starts[i] : starts[i + 1]] for i in range(count)]
        if dtype.startswith("Set") and "(" not in item:
            found = [sorted(set(each)) for each in found]
        return [None if gone else each for each, gone in zip(found, random.random(count) < 0.06, strict=True)]
    if name == "big":
        numbers = random.integers(2**53, 2**62, count) | 1
        return [None if gone else int(v) for v, gone in zip(numbers, random.random(count) < 0.06, strict=True)]
    return _scalars(dtype, count, random, nulls=0.06)


def _items(dtype: str, count: int, random: np.random.Generator) -> list[Any]:
    """Lists within lists are not empty: Feast stores null for one that is."""
    item = dtype.partition("(")[2][:-1]
    if not item:
        return _scalars(dtype, count, random, nulls=0.0)
    flat = iter(_scalars(item, 3 * count, random, nulls=0.0))
    return [[next(flat) for _ in range(length)] for length in random.integers(1, 4, count).tolist()]


def _document(dtype: str, random: np.random.Generator) -> Any:
    """Some are empty, some lack a value within."""
    chance = random.random()
    found = documents.some(dtype, random)
    if isinstance(found, list):
        return [] if chance < 0.05 else found
    if dtype == "Map" and chance < 0.02:
        return {}
    if chance > 0.9:
        gone = list(found)[int(random.integers(len(found)))]
        return found | {gone: None}
    return found | {"x": math.nan} if "x" in found and chance < 0.1 else found


def _attributes(_dtype: str, random: np.random.Generator) -> str:
    """A map as JSON text: values of every kind JSON has, names in any order."""
    number = int(random.integers(2**31))
    every = {
        "n": number,
        "big": number << 31 | 1,
        "x": number / 7,
        "whole": float(number),
        "name": f"é {number}",
        "empty": "",
        "on": number % 2 == 0,
        "nothing": None,
        "list": [number, 2],
        "words": ["a", f"ü{number}"],
        "inner": {"n": -number, "nothing": None, "deeper": {"x": 0.5}},
        "rows": [{"n": number}, {}],
    }
    names = random.permutation(list(every))[: int(random.integers(1, len(every) + 1))].tolist()
    return json.dumps({name: every[name] for name in ("n", *names)}, ensure_ascii=number % 3 == 0)


def _scalars(dtype: str, count: int, random: np.random.Generator, *, nulls: float) -> list[Any]:
    chosen: list[Any]
    if dtype in ("Float32", "Float64"):
        numbers = random.normal(0, 100, count)
        edge = random.random(count)
        numbers[edge < 0.02] = -0.0
        numbers[(edge > 0.02) & (edge < 0.03)] = np.inf
        if nulls:
            numbers[edge > 0.98] = np.nan
        chosen = (numbers.astype(np.float32) if dtype == "Float32" else numbers).tolist()
    elif dtype in ("Int32", "Int64"):
        chosen = random.integers(-(2**31), 2**31, count).tolist()
    elif dtype == "Bool":
        chosen = (random.random(count) < 0.5).tolist()
    elif dtype == "UnixTimestamp":
        seconds = random.integers(1_000_000_000, 1_900_000_000, count)
        chosen = [datetime.fromtimestamp(int(s), UTC) for s in seconds]
    elif dtype.endswith("Bytes"):
        chosen = [random.bytes(int(random.integers(0, 9))) for _ in range(count)]
    elif dtype == "Json":
        chosen = [json.dumps({"a": int(v), "b": [True, None, "é"]}) for v in random.integers(0, 10**6, count)]
    elif dtype == "Uuid":
        chosen = [str(uuid.UUID(bytes=random.bytes(16))) for _ in range(count)]
    elif dtype == "TimeUuid":
        chosen = [str(uuid.UUID(bytes=random.bytes(16), version=1)) for _ in range(count)]
    elif dtype == "Decimal":
        chosen = [str(decimal.Decimal(int(v)).scaleb(-3)) for v in random.integers(-(10**9), 10**9, count)]
    else:
        chosen = [
            f"{'naïve ✈ ' if v % 50 == 0 else ''}v{v}" if v % 40 else "" for v in random.integers(0, 10**5, count)
        ]
    if not nulls:
        return chosen
    return [None if gone else value for value, gone in zip(chosen, random.random(count) < nulls, strict=True)]


def harmed(world: Generated) -> World:
    """The played world as the bench takes it."""
    scene = Scene(
        project=PROJECT,
        views=world.views,
        base=world.base,
        client=world.site.client,
        before=world.before,
        stored=world.stored,
        history={view.name: _history(view, world.sources[view.name]) for view in world.views},
        began=micros(at(RUNS[0])),
        landed_by=micros(at(LAST_RUN)),
    )

    def files(repo: Path) -> dict[str, SourceFile]:
        return {
            name: SourceFile(
                repo / "data" / f"{name}.parquet",
                {feature: column for (view, feature), column in COLUMN_OF.items() if view == name},
                "event",
                None if name in WITHOUT_CREATED else "created",
            )
            for name in TYPES
        }

    def quiet(repo: Path) -> None:
        for view, table in world.quiet.items():
            write_source(repo, view, table)

    return World(
        name="generated",
        site=world.site,
        scene=scene,
        files=files,
        quiet=quiet,
        time=Timeline(
            runs=tuple(micros(at(hours)) for hours in (*RUNS, LAST_RUN)),
            serving=(micros(at(PHASES[2][0])), micros(at(PHASES[2][1]))),
        ),
        inputs={"mix__over": ("numbers__f64",), "mix__many": ("pair__count",)},
        request_columns=("user_id", "item_id", "region_id", "limit"),
        derive=_derive,
    )


def _derive(truth: Truth, rows: np.ndarray) -> None:
    limits = truth.table.column("limit").to_pylist()
    f64, f64_status = truth.cells("numbers__f64")
    count, count_status = truth.cells("pair__count")
    chosen = rows.tolist()
    over = [f64[row] - limits[row] if f64_status[row] == PRESENT else None for row in chosen]
    many = [int(count[row]) + int(limits[row]) if count_status[row] == PRESENT else None for row in chosen]
    truth.set("mix__over", rows, over)
    truth.set("mix__many", rows, many)


def _history(view: ViewSpec, table: pa.Table) -> dict[tuple[Any, ...], list[SourceRow]]:
    keys = list(zip(*(table.column(name).to_pylist() for name, _, _ in view.keys), strict=True))
    events = table.column("event").cast(pa.int64()).to_pylist()
    created = table.column("created").cast(pa.int64()).to_pylist() if "created" in table.column_names else events
    columns = {
        feature: table.column(COLUMN_OF.get((view.name, feature), feature)).to_pylist(maps_as_pydicts="strict")
        for feature in view.features
    }
    found: dict[tuple[Any, ...], list[SourceRow]] = {}
    for row, key in enumerate(keys):
        values = {feature: column[row] for feature, column in columns.items()}
        found.setdefault(key, []).append(SourceRow(events[row], created[row], values))
    for rows in found.values():
        rows.sort(key=lambda row: (row.event, row.created))
    return found
