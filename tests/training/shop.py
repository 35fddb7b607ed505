"""A small shop: a Feast repository whose load view is restated after the hour, and orders that load makes late.

What is known of an hour two minutes into it is mostly noise; the truth comes 75 minutes after its start. So a join on
event time alone (`unbounded`) sees what decides the answer, and an honest one does not.
"""

from __future__ import annotations

import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64, String

from trueup.stores.query_source import DuckDBQuerySource

START = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = 40
PINNED = START + timedelta(days=DAYS)
NOW = datetime(2024, 6, 1, tzinfo=UTC)
"""When it is trained."""
SITES = ("Łódź", "Oslo", "Porto", "Turku")
ORDERS = 3000
KINDS = ("depot", "hub", "depot", None)
SETTINGS = """
project: shop
provider: local
registry: data/registry.db
entity_key_serialization_version: 3
offline_store: {type: trueup.stores.duckdb_offline.DuckDBOfflineStore}
online_store: ONLINE
batch_engine: {type: trueup.stores.ledger_engine.LedgerEngine, ledger: data/ledger.sqlite}
"""

REDIS = "{type: trueup.stores.redis_online.RedisOnlineStore, connection_string: %r}"

site = Entity(name="site", join_keys=["site"], value_type=ValueType.STRING)
load = FeatureView(
    name="load",
    entities=[site],
    schema=[Field(name="site", dtype=String), Field(name="level", dtype=Float64), Field(name="open", dtype=Int64)],
    source=DuckDBQuerySource(
        name="load_source",
        query="SELECT site, hour, created, level, open FROM load",
        tables={"load": "data/load.parquet"},
        timestamp_field="hour",
        created_timestamp_column="created",
    ),
    ttl=timedelta(hours=6),
    tags={"trueup.cadence": "10m", "trueup.delay": "1m"},
)
facts = FeatureView(
    name="facts",
    entities=[site],
    schema=[Field(name="site", dtype=String), Field(name="kind", dtype=String)],
    source=DuckDBQuerySource(
        name="facts_source",
        query="SELECT site, since, kind FROM facts",
        tables={"facts": "data/facts.parquet"},
        timestamp_field="since",
    ),
    ttl=timedelta(0),
)


@on_demand_feature_view(
    sources=[RequestSource(name="order", schema=[Field(name="placed_unix", dtype=Int64)])],
    schema=[Field(name="hour", dtype=Int64)],
    mode="python",
)
def clock(inputs: dict[str, list[int | None]]) -> dict[str, list[int | None]]:
    return {"hour": [None if seconds is None else seconds // 3600 % 24 for seconds in inputs["placed_unix"]]}


service = FeatureService(name="shop_v1", features=[load, facts, clock])


def make_repo(folder: Path, redis_url: str | None = None) -> Path:
    """An applied Feast repository with its data. redis_url: of its online store, which has a row of each site then; it
    is an empty SQLite without one."""
    (folder / "data").mkdir(parents=True)
    online = "{type: sqlite, path: data/online.db}" if redis_url is None else REDIS % redis_url
    (folder / "feature_store.yaml").write_text(SETTINGS.replace("ONLINE", online))
    write_data(folder / "data")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "On demand feature view is an experimental feature", RuntimeWarning)
        FeatureStore(repo_path=str(folder)).apply([site, load, facts, clock, service])
    if redis_url is not None:
        fill(FeatureStore(repo_path=str(folder)))
    return folder


def fill(store: FeatureStore) -> None:
    """Writes one row of each site to the online store, as a push does: no ledger knows of it."""
    sites = list(SITES)
    at = START + timedelta(days=DAYS - 1)
    store.write_to_online_store(
        "load", pd.DataFrame({"site": sites, "level": [0.5, -0.25, 1.0, 0.0], "open": 3, "hour": at, "created": at})
    )
    store.write_to_online_store("facts", pd.DataFrame({"site": sites, "kind": list(KINDS), "since": START}))


def write_data(data: Path) -> None:
    random = np.random.default_rng(5)
    hours = DAYS * 24
    truth = {name: random.normal(size=hours) for name in SITES}
    rows: list[dict[str, Any]] = []
    for name in SITES:
        for hour in range(hours):
            at = START + timedelta(hours=hour)
            real = truth[name][hour]
            for minutes, level in ((2, 0.5 * real + 0.7 * random.normal()), (75, real)):
                created = at + timedelta(minutes=minutes)
                rows.append({"site": name, "hour": at, "created": created, "level": float(level), "open": hour % 7})
    write(data / "load.parquet", rows)
    write(data / "facts.parquet", [{"site": n, "since": START, "kind": k} for n, k in zip(SITES, KINDS, strict=True)])
    orders = []
    for number in range(ORDERS):
        at = START + timedelta(seconds=int(random.integers(6 * 3600, hours * 3600)))
        name = SITES[random.integers(len(SITES))]
        hour = int((at - START) / timedelta(hours=1))
        signal = 1.5 * truth[name][hour] + 0.7 * truth[name][hour - 1] + 0.5 * (at.hour > 12) + random.normal()
        orders.append(
            {
                "order_id": f"o{number:05d}",
                "site": name,
                "placed_unix": int(at.timestamp()),
                "asked": at,
                "late": bool(signal > 0.8),
                "known": at + timedelta(minutes=90),
            }
        )
    write(data / "orders.parquet", orders)


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path, write_statistics=False, coerce_timestamps="us")


RECIPE = """
name = "shop"
feature_service = "shop_v1"
seed = 11

[rows]
query = "SELECT order_id, site, placed_unix, asked AS event_timestamp, late, known AS label_known_at FROM orders"
tables = { orders = "data/orders.parquet" }
id = "order_id"
label = "late"

[as_of]
known_at = "served"
pinned = 2024-02-10T00:00:00Z

[train]
start = 2024-01-02T00:00:00Z
end = 2024-02-01T00:00:00Z

[holdout]
start = 2024-02-01T00:00:00Z
end = 2024-02-10T00:00:00Z

[model]
name = "shop"
alias = "champion"

[model.params]
max_iter = 20
min_samples_leaf = 10
"""
