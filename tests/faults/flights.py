"""The repository's own features on real flights, materialized on their own cadence and served by the real server.

Twelve hours of 20 November 2013, hour by hour through the ledger; then real flights are asked about within the next
hour, so that all of them read one state of the store. Faults of sources befall `plane_facts`, whose rows are its
source's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import redis
from tests.faults.bench import World
from tests.faults.generated import dump, remember
from tests.faults.site import Request, Site, ViewSpec, micros, read_rows
from tests.faults.source_faults import SourceFile, Timeline
from tests.faults.store_faults import Scene, SourceRow

from trueup.contracts.contract import FeatureContract
from trueup.stores.materialize import materialize
from trueup_demo.requests import ENTITY_COLUMNS, flights_to_ask
from trueup_demo.timeline import materializations

SERVICE = "flights_v1"
FIRST_RUN = datetime(2013, 11, 20, 8, 0, tzinfo=UTC)
LAST_RUN = datetime(2013, 11, 20, 20, 0, tzinfo=UTC)
SERVING = (LAST_RUN + timedelta(minutes=8), LAST_RUN + timedelta(minutes=55))
ASKED_DAYS = 14
"""Flights of so many days are asked about: their keys and schedules are real, the instant is not."""
INPUTS = ("weather__wind_speed", "route_history__flights_28d")
NAMES = (
    "missed_materialization",
    "missing_online",
    "missing_offline",
    "swapped_entity",
    "serving_fallback",
    "timezone_shift",
    "expired",
    "null_default",
    "dtype_narrowing",
    "unexplained",
    "redis_refused_equal_ts",
    "future_event",
    "late_arrival",
    "lag",
    "tombstone_missing",
    "ambiguous_source",
)
"""Faults that these features can have. Their source rows are few for the others, or their types are not there."""


def build(root: Path, feature_repo: Path, client: redis.Redis, url: str, rows: int, seed: int) -> World:
    """Ingests, applies, materializes and serves. Deterministic in `seed`."""
    random = np.random.default_rng(seed)
    os.environ["TRUEUP_REDIS_URL"] = url
    repo = root / "repo"
    shutil.copytree(feature_repo, repo, ignore=shutil.ignore_patterns("data", "__pycache__", "*.md"))
    (repo / "data").mkdir()
    for command in (
        [sys.executable, "ingest.py", "--data", "data"],
        [str(Path(sys.executable).with_name("feast")), "apply"],
    ):
        subprocess.run(command, cwd=repo, check=True, capture_output=True)
    site = Site(root, repo, client, url, SERVICE)
    site.register(INPUTS)
    store = site.store
    client.flushall()
    stored: dict[bytes, dict[str, set[int]]] = {}
    materialize(store, clock=lambda: FIRST_RUN, registry=False)
    remember(stored, dump(client))
    schedules = {view.table: view.schedule for view in site.contract.views}
    before: dict[bytes, dict[bytes, bytes]] = {}
    for run in materializations(schedules, FIRST_RUN + timedelta(hours=1), LAST_RUN + timedelta(minutes=1)):
        ticks = cycle((run.start, run.readable))
        before = dump(client)
        materialize(store, views=run.views, incremental=True, registry=False, clock=lambda ticks=ticks: next(ticks))
        remember(stored, dump(client))
    with site.server() as server:
        server.ask(_requests(repo, rows, random))
    base = read_rows(site.log)
    scene = Scene(
        project=site.contract.project,
        views=view_specs(site.contract),
        base=base,
        client=client,
        before=before,
        stored=stored,
        history={"plane_facts": _planes(repo)},
        began=micros(FIRST_RUN),
        landed_by=micros(LAST_RUN),
    )
    return World(
        name="flights",
        site=site,
        scene=scene,
        files=lambda repo: {
            "plane_facts": SourceFile(repo / "data" / "planes.parquet", {}, "event_timestamp", "created")
        },
        quiet=lambda repo: None,
        time=Timeline((micros(FIRST_RUN), micros(LAST_RUN)), (micros(SERVING[0]), micros(SERVING[1]))),
        inputs={
            "runway_wind__crosswind": ("weather__wind_speed",),
            "runway_wind__headwind": ("weather__wind_speed",),
            "turnaround__minutes_since_departure": ("plane_last_flight__departure_delay",),
        },
        request_columns=[column for column in ENTITY_COLUMNS if column in base.column_names],
        derive=lambda truth, rows: None,
    )


def view_specs(contract: FeatureContract) -> tuple[ViewSpec, ...]:
    """Views as the service uses them, the features it serves first."""
    served = set(contract.columns)
    return tuple(
        ViewSpec(
            name=view.name,
            table=view.table,
            keys=tuple((key.name, key.dtype, key.request) for key in view.keys),
            features={
                item.name: item.dtype
                for item in sorted(view.features, key=lambda item: view.column(item.name) not in served)
            },
            ttl=None if view.ttl is None else view.ttl // timedelta(microseconds=1),
        )
        for view in contract.views
    )


def _requests(repo: Path, rows: int, random: np.random.Generator) -> list[Request]:
    first = LAST_RUN - timedelta(days=ASKED_DAYS // 2)
    flights = flights_to_ask(
        repo / "data" / "outcomes.parquet", first, first + timedelta(days=ASKED_DAYS), rows
    ).select([column for column in ENTITY_COLUMNS if column != "flight_id"])
    entities = flights.to_pylist()
    found: list[Request] = []
    at = 0
    while at < len(entities):
        size = int(random.integers(1, 6))
        seconds = float(random.uniform(0, (SERVING[1] - SERVING[0]).total_seconds()))
        found.append(
            Request(f"c{len(found):06d}", SERVING[0] + timedelta(seconds=seconds), tuple(entities[at : at + size]))
        )
        at += size
    return found


def _planes(repo: Path) -> Mapping[tuple[Any, ...], list[SourceRow]]:
    table = pq.read_table(repo / "data" / "planes.parquet")
    events = table.column("event_timestamp").cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_pylist()
    created = table.column("created").cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_pylist()
    found: dict[tuple[Any, ...], list[SourceRow]] = {}
    for row, event, known in zip(table.to_pylist(), events, created, strict=True):
        found.setdefault((row["tailnum"],), []).append(SourceRow(event, known, row))
    return found
