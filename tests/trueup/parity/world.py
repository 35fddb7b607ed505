"""A small world that serves features through the real stores: Parquet, materialization, ledger, Redis, served log.

Two views, `plane` (TTL six hours) and `airport` (no TTL), and an on-demand view of both, one of whose inputs
(`airport.gust`) the service does not have. What becomes known is written down with `know`; time passes by saying
at which instant something happens. Hours count from `START`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import redis
from feast import Entity, FeatureView, Field, RepoConfig, ValueType
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Float64, Int64, String

from trueup.contracts.contract import FeatureContract, OnDemand
from trueup.contracts.contract import Field as ContractField
from trueup.contracts.extract import view_from_feast
from trueup.errors import ModelError
from trueup.eventlog.records import Role, Scores, ServedRows
from trueup.eventlog.serving_version import ServingVersion
from trueup.eventlog.writer import LogWriter
from trueup.features.online import OnlineReader
from trueup.frame import FeatureFrame
from trueup.instants import AsOfRule, KnownAt
from trueup.parity.compare import Tolerance
from trueup.parity.evidence.online import redis_reader
from trueup.parity.report import Report
from trueup.parity.results import Result
from trueup.parity.runs.online import run_online
from trueup.parity.runs.served import run_served
from trueup.stores.entity_key import KeyLayout
from trueup.stores.ledger import Ledger
from trueup.stores.ledger_engine import LedgerEngine
from trueup.stores.query_source import DuckDBQuerySource
from trueup.stores.redis_layout import value_field
from trueup.stores.redis_online import RedisOnlineStore

START = datetime(2013, 11, 1, tzinfo=UTC)
TTL = timedelta(hours=6)
PROJECT = "world"
MODEL = "model"
TIMES = pa.timestamp("us", tz="UTC")

_SCHEMAS = {
    "plane": pa.schema(
        {"tailnum": pa.string(), "speed": pa.float64(), "seats": pa.int64(), "event": TIMES, "created": TIMES}
    ),
    "airport": pa.schema(
        {"origin": pa.string(), "wind": pa.float64(), "gust": pa.float64(), "event": TIMES, "created": TIMES}
    ),
}
_GROUND = """
def flight(inputs):
    def less(a, b):
        return None if a is None or b is None else a - b
    return {
        "ground": [less(a, b) for a, b in zip(inputs["speed"], inputs["wind"])],
        "gusty": [less(a, b) for a, b in zip(inputs["gust"], inputs["limit"])],
    }
"""


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


@dataclass(frozen=True)
class Card:
    contract: FeatureContract
    rule: AsOfRule


@dataclass
class World:
    path: Path
    client: redis.Redis
    url: str
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"plane": [], "airport": []})
    served: list[ServedRows] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        self.views = {"plane": self._view("plane", "tailnum", {"speed": Float64, "seats": Int64}, TTL)}
        self.views["airport"] = self._view("airport", "origin", {"wind": Float64, "gust": Float64}, timedelta(0))
        self.ledger = Ledger(self.path / "ledger.sqlite")
        self.contract = FeatureContract(
            project=PROJECT,
            service="flights",
            features=(
                ("plane", "speed"),
                ("plane", "seats"),
                ("airport", "wind"),
                ("flight", "ground"),
                ("flight", "gusty"),
            ),
            views=tuple(view_from_feast(view) for view in self.views.values()),
            on_demand=(
                OnDemand(
                    name="flight",
                    mode="python",
                    inputs=(("plane", "speed"), ("airport", "wind"), ("airport", "gust")),
                    request=(ContractField("limit", "Float64"),),
                    outputs=(ContractField("ground", "Float64"), ContractField("gusty", "Float64")),
                    code=_GROUND,
                ),
            ),
        )
        self.write()

    # What the source knows

    def know(self, view: str, event: float, created: float | None = None, **values: Any) -> None:
        """A row of a view's source, known at its event time unless `created` says later."""
        row = {"tailnum" if view == "plane" else "origin": "X", **values}
        self.rows[view].append({**row, "event": at(event), "created": at(event if created is None else created)})
        self.write()

    def forget(self, view: str) -> None:
        """The source loses all rows of a view."""
        self.rows[view].clear()
        self.write()

    def write(self) -> None:
        for view, schema in _SCHEMAS.items():
            # Without statistics of floats: see `trueup.eventlog.writer.write_parquet`.
            pq.write_table(
                pa.Table.from_pylist(self.rows[view], schema), self.path / f"{view}.parquet", write_statistics=False
            )

    # What the online store is told

    def materialize(self, hours: float, *, took: float = 0.0, ledger: str = "ledger.sqlite", view: str = "") -> None:
        """A run of every view (or one) that begins at an hour; `ledger`: where it is written down."""
        for name in [view] if view else list(self.views):
            ticks = iter([at(hours), at(hours + took)])
            config = RepoConfig(
                project=PROJECT,
                provider="local",
                registry=str(self.path / "unused.db"),
                repo_path=self.path,
                online_store={
                    "type": "trueup.stores.redis_online.RedisOnlineStore",
                    "connection_string": self.url,
                },
                entity_key_serialization_version=3,
            )
            store = RedisOnlineStore()
            engine = LedgerEngine(
                repo_config=config,
                offline_store=None,
                online_store=store,
                ledger=str(self.path / ledger),
                clock=lambda ticks=ticks: next(ticks),
            )
            try:
                engine.run(self.views[name], start=at(-1000))
            finally:
                if store._client is not None:
                    store._client.close()

    def overwrite(self, view: str, feature: str, value: Value, key: str = "X") -> None:
        """Another writer, one that goes past every rule."""
        self.client.hset(self.key(view, key), value_field(view, feature), value.SerializeToString())

    def lose(self, view: str, key: str = "X") -> None:
        self.client.delete(self.key(view, key))

    def key(self, view: str, key: str) -> bytes:
        return KeyLayout(PROJECT, (("tailnum" if view == "plane" else "origin", "String"),)).encode([key])

    # What a model is served

    def serve(
        self,
        hours: float,
        *,
        ttl: timedelta | None = TTL,
        role: Role = "answer",
        key: str = "X",
        model: str = MODEL,
        fallback: bool = False,
        tamper: Callable[[FeatureFrame], FeatureFrame] = lambda frame: frame,
    ) -> None:
        """One request; `ttl`: what the server takes the planes' TTL to be. fallback: it reads nothing."""
        views = tuple(replace(view, ttl=ttl) if view.name == "plane" else view for view in self.contract.views)
        asked = {"tailnum": key, "origin": key, "limit": 1.0}
        reader = OnlineReader(replace(self.contract, views=views), client=self.client)
        frame = (reader.nothing if fallback else reader.read)([asked], at(hours))
        name = f"r{len(self.served)}"
        self.served.append(
            ServedRows(
                contract=self.contract,
                request_id=name,
                instant=at(hours),
                experiment="",
                inputs=pa.table({column: [value] for column, value in asked.items()}),
                frame=tamper(frame),
                rows=(0,),
                units=(name,),
                variants=(model,),
                scores=(Scores(model, "1", (0,), (role,), np.array([0.5])),),
                fallback=fallback,
            )
        )

    def log(self, serving: ServingVersion | None = None) -> Path:
        """Writes what was served since the last call. serving: the settings it was served under."""
        directory = self.path / "log"
        with LogWriter(directory, [self.contract], serving=serving) as writer:
            for rows in self.served:
                assert writer.offer(rows)
        self.served.clear()
        return directory

    # What parity says

    def served_report(
        self,
        known_at: KnownAt = "served",
        *,
        cards: Mapping[str, Card] | None = None,
        ledger: Ledger | None = None,
        tolerances: Mapping[str, Tolerance] | None = None,
        **options: Any,
    ) -> Report:
        known = {MODEL: Card(self.contract, AsOfRule(known_at))} if cards is None else cards

        def card_of(model: str, version: str) -> Card:
            if model not in known:
                raise ModelError(f"no model {model!r}, version {version}.")
            return known[model]

        return run_served(
            self.path,
            self.log(),
            card_of,
            ledger=self.ledger if ledger is None else ledger,
            tolerances=tolerances,
            clock=lambda: START,
            **options,
        )

    def check_served(self, known_at: KnownAt = "served", **options: Any) -> Result:
        (result,) = self.served_report(known_at, **options).results
        return result

    def check_online(self, hours: float, **options: Any) -> dict[str, Result]:
        report = run_online(
            self.path,
            self.contract,
            redis_reader(self.client),
            now=at(hours),
            ledger=self.ledger,
            clock=lambda: START,
            **options,
        )
        return {result.subject: result for result in report.results}

    def _view(self, name: str, key: str, features: Mapping[str, Any], ttl: timedelta) -> FeatureView:
        entity = Entity(name=f"{name}_entity", join_keys=[key], value_type=ValueType.STRING)
        return FeatureView(
            name=name,
            entities=[entity],
            ttl=ttl,
            schema=[Field(name=key, dtype=String), *(Field(name=item, dtype=kind) for item, kind in features.items())],
            source=DuckDBQuerySource(
                name=f"{name}_source",
                query="SELECT * FROM rows",
                tables={"rows": f"{name}.parquet"},
                timestamp_field="event",
                created_timestamp_column="created",
            ),
        )


def causes_of(result: Result) -> dict[str, dict[str, int]]:
    """Feature -> its causes, `unexplained` among them, of the features that mismatch."""
    return {
        name: {**feature.by_cause, **({"unexplained": feature.unexplained} if feature.unexplained else {})}
        for name, feature in result.features.items()
        if feature.counts.mismatched
    }
