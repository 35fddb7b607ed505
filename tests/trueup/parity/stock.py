"""Stock Feast repositories, made by Feast's own code: the `feast init` template, and one of many types of keys.

Nothing of trueup is in them: file registry, Feast's offline and online stores, Feast's own materialization.
"""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import feast
import pyarrow as pa
import pyarrow.parquet as pq
import redis
import yaml
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, PushSource, ValueType
from feast.types import (
    Array,
    Bool,
    Bytes,
    Float32,
    Float64,
    Int32,
    Int64,
    Map,
    PdfBytes,
    String,
    Struct,
    UnixTimestamp,
)
from feast.types import Decimal as FeastDecimal
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from trueup.stores.local_redis import server_binary

NOW = datetime.now(UTC).replace(microsecond=0)
TIMES = pa.timestamp("us", tz="UTC")


@contextmanager
def redis_over_tcp(folder: Path, *, password: str = "") -> Iterator[int]:
    """The port of a Redis of our own: stock Feast takes host:port alone."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [str(server_binary()), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    server = subprocess.Popen(
        [*command, *(["--requirepass", password] if password else [])],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        retry = Retry(ConstantBackoff(0.02), 500)
        with redis.Redis(port=port, password=password or None, retry=retry) as client:
            client.ping()
        yield port
    finally:
        server.terminate()
        server.wait()


def configure(repo: Path, *, project: str, offline: str, online: Mapping[str, Any]) -> None:
    config = {
        "project": project,
        "registry": "data/registry.db",
        "provider": "local",
        "offline_store": {"type": offline},
        "online_store": dict(online),
        "entity_key_serialization_version": 3,
    }
    (repo / "feature_store.yaml").write_text(yaml.safe_dump(config))


def template(folder: Path, *, offline: str, online: Mapping[str, Any], materialize: bool = True) -> FeatureStore:
    """What `feast init`, `feast apply` and `feast materialize` leave behind, by Feast's own template."""
    project = "drivers"
    shutil.copytree(Path(feast.__file__).parent / "templates" / "local", folder / project)
    repo = folder / project / "feature_repo"
    _load(folder / project / "bootstrap.py").bootstrap()
    if offline == "duckdb":
        # Feast's own template cannot be materialized by its DuckDB store: nanoseconds with a time zone (0.67).
        drivers = repo / "data" / "driver_stats.parquet"
        pq.write_table(pq.read_table(drivers), drivers, coerce_timestamps="us", allow_truncated_timestamps=True)
    configure(repo, project=project, offline=offline, online=online)
    with quiet(), chdir(repo):
        definitions = _load(repo / "feature_definitions.py")
        store = FeatureStore(repo_path=str(repo))
        store.apply([item for item in vars(definitions).values() if _is_object(item)])
        if materialize:
            store.materialize(NOW - timedelta(days=20), NOW + timedelta(minutes=1))
    return store


def mixed(folder: Path, *, offline: str, online: Mapping[str, Any], project: str = "mixed") -> FeatureStore:
    """Keys of four types, two views on one key, a view without entities, a field mapping, a push source, arrays."""
    repo = folder / project
    (repo / "data").mkdir(parents=True)
    configure(repo, project=project, offline=offline, online=online)
    rows = 6
    times = [NOW - timedelta(hours=hour + 1) + timedelta(microseconds=123_456) for hour in range(rows)]
    values = {
        "f64": pa.array([0.1 * row for row in range(rows)]),
        "f32": pa.array([0.5 * row for row in range(rows)], pa.float32()),
        "i64": pa.array([2**40 + row for row in range(rows)]),
        "i32": pa.array(range(rows), pa.int32()),
        "text": pa.array([f"é{row}" for row in range(rows)]),
        "flag": pa.array([row % 2 == 0 for row in range(rows)]),
        "at": pa.array([time.replace(microsecond=0) for time in times], TIMES),
        "many": pa.array([[1.5, float(row)] for row in range(rows)]),
    }
    clocks = {"event_timestamp": pa.array(times, TIMES), "created": pa.array(times, TIMES)}
    ids = {
        "big": pa.array(range(rows), pa.int64()),
        "small": pa.array(range(rows), pa.int32()),
        "name": pa.array([f"n{row}" for row in range(rows)]),
        "raw": pa.array([bytes((row, 255)) for row in range(rows)]),
    }
    path = repo / "data" / "rows.parquet"
    pq.write_table(pa.table({**ids, **values, **clocks, "source_name": values["text"]}), path)
    fields = [
        Field(name="f64", dtype=Float64),
        Field(name="f32", dtype=Float32),
        Field(name="i64", dtype=Int64),
        Field(name="i32", dtype=Int32),
        Field(name="text", dtype=String),
        Field(name="flag", dtype=Bool),
        Field(name="at", dtype=UnixTimestamp),
        Field(name="many", dtype=Array(Float64)),
    ]
    kinds = {
        "big": (Int64, ValueType.INT64),
        "small": (Int32, ValueType.INT32),
        "name": (String, ValueType.STRING),
        "raw": (Bytes, ValueType.BYTES),
    }
    entities = {key: Entity(name=key, join_keys=[key], value_type=kind) for key, (_, kind) in kinds.items()}

    def source(name: str, **options: Any) -> FileSource:
        return FileSource(
            name=name,
            path="data/rows.parquet",
            timestamp_field="event_timestamp",
            created_timestamp_column="created",
            **options,
        )

    views = [
        FeatureView(
            name=f"by_{key}",
            entities=[entities[key]],
            ttl=timedelta(0),
            schema=[Field(name=key, dtype=dtype), *fields],
            source=source(f"rows_{key}"),
        )
        for key, (dtype, _) in kinds.items()
    ]
    views.append(
        FeatureView(
            name="pair",
            entities=[entities["name"], entities["big"]],
            ttl=timedelta(days=30),
            schema=[
                Field(name="name", dtype=String),
                Field(name="big", dtype=Int64),
                Field(name="renamed", dtype=String),
            ],
            source=source("rows_pair", field_mapping={"source_name": "renamed"}),
        )
    )
    views.append(
        FeatureView(
            name="pushed",
            entities=[entities["big"]],
            ttl=timedelta(days=30),
            schema=[Field(name="big", dtype=Int64), Field(name="i64", dtype=Int64)],
            source=PushSource(name="push", batch_source=source("rows_pushed")),
        )
    )
    if offline != "duckdb":  # which cannot materialize a view without entities (0.67)
        views.append(
            FeatureView(
                name="nobody",
                entities=[],
                ttl=timedelta(days=30),
                schema=[Field(name="i64", dtype=Int64)],
                source=source("rows_nobody"),
            )
        )
    with quiet(), chdir(repo):
        store = FeatureStore(repo_path=str(repo))
        store.apply([*entities.values(), *views])
        store.materialize(NOW - timedelta(days=20), NOW + timedelta(minutes=1))
    return store


def documents(folder: Path, *, offline: str, online: Mapping[str, Any]) -> FeatureStore:
    """Maps, structs and decimals: every one that Feast itself can materialize from a file (0.67).

    An integer of a struct is stored as a float here, because another row has none: Feast goes through pandas.
    """
    repo = folder / "documents"
    (repo / "data").mkdir(parents=True)
    configure(repo, project="documents", offline=offline, online=online)
    pair = pa.struct([("n", pa.int64()), ("label", pa.string())])
    features: dict[str, tuple[Any, pa.Array]] = {
        "fields": (Map, pa.array([{"n": 1, "label": "é"}, {"n": None, "label": None}, None], pair)),
        "text": (Map, pa.array(['{"a": [1, 2], "b": {"c": 0.1}}', "{}", None])),
        "pair": (Struct({"n": Int64, "label": String}), pa.array([{"n": 7, "label": "x"}, {"n": None}, None], pair)),
        "pairs": (Array(Struct({"n": Int64})), pa.array([[{"n": 1, "label": "x"}], [], None], pa.list_(pair))),
        "price": (FeastDecimal, pa.array([Decimal("1.50"), Decimal("-0.10"), None], pa.decimal128(9, 2))),
        "prices": (Array(FeastDecimal), pa.array([["1.50"], [], None], pa.list_(pa.string()))),
        "pdf": (PdfBytes, pa.array([b"%PDF", b"x", None])),
    }
    times = pa.array([NOW - timedelta(hours=1)] * 3, TIMES)
    columns = {name: values for name, (_, values) in features.items()}
    pq.write_table(pa.table({"big": [1, 2, 3], "event_timestamp": times, **columns}), repo / "data" / "rows.parquet")
    entity = Entity(name="big", join_keys=["big"], value_type=ValueType.INT64)
    docs = FeatureView(
        name="docs",
        entities=[entity],
        ttl=timedelta(0),
        schema=[
            Field(name="big", dtype=Int64),
            *(Field(name=name, dtype=kind) for name, (kind, _) in features.items()),
        ],
        source=FileSource(name="rows", path="data/rows.parquet", timestamp_field="event_timestamp"),
    )
    with quiet(), chdir(repo):
        store = FeatureStore(repo_path=str(repo))
        store.apply([entity, docs, FeatureService(name="docs_v1", features=[docs])])
        store.materialize(NOW - timedelta(days=20), NOW + timedelta(minutes=1))
    return store


def quiet() -> warnings.catch_warnings[None]:
    """Feast and what it stands on warn of their own future."""
    caught: warnings.catch_warnings[None] = warnings.catch_warnings(action="ignore")
    return caught


def _is_object(item: Any) -> bool:
    from feast import FeatureService, LabelView, OnDemandFeatureView, Project
    from feast.data_source import DataSource, RequestSource

    wanted = (Entity, FeatureView, FeatureService, OnDemandFeatureView, LabelView, Project, DataSource)
    return isinstance(item, wanted) and not isinstance(item, RequestSource | Project)


def _load(path: Path) -> ModuleType:
    """A module of a path, whose functions Feast can pickle by value."""
    spec = importlib.util.spec_from_file_location(f"stock_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
