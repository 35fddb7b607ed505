"""What all worlds have in common: the clocks, the entities, and the definitions of their features, by way of Feast."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from feast import Entity, FeatureView, Field, ValueType
from feast.types import Float64, String
from tests.ledger_bench.people import FEATURES
from tests.ledger_bench.plants import CLIP, KNOWN, MATURE, MISSED, REQUESTS, ROWS_OF_REQUEST, Plan

from trueup.contracts.contract import FeatureContract
from trueup.contracts.extract import view_from_feast
from trueup.datasets.spec import DatasetSpec, EntityQuery, Span
from trueup.frame import EVENT_TIME
from trueup.instants import AsOfRule
from trueup.stores.query_source import DuckDBQuerySource

Micros = npt.NDArray[np.int64]
"""Instants: microseconds since 1970."""

PROJECT = "bench"
MODEL = "model"
VERSION, OLDER_VERSION = "2", "1"
TRAIN, HOLDOUT = 60, 2000
SERVED = REQUESTS * ROWS_OF_REQUEST
HOUR = timedelta(hours=1)
STEP = 24 * HOUR / REQUESTS
"""Between two requests."""
PAST = datetime(2024, 1, 1, tzinfo=UTC)
"""When the holdout's day begins. Its rows are asked from three hours later on, for a day; training rows before."""
PINNED = PAST + timedelta(days=4)
PRESENT = datetime(2024, 2, 1, tzinfo=UTC)
"""When the served day begins, with a materialization; the next one is an hour later."""
NOW = PRESENT + 26 * HOUR
"""When the last has been served."""
KNOWN_AFTER, DELAY = (REQUESTS - KNOWN) * STEP, (REQUESTS - MATURE) * STEP
LATE_RUN = PRESENT + 2 * HOUR + MISSED * STEP
SERVICE = "scores"


def make_contracts() -> dict[str, FeatureContract]:
    """By way of Feast's own objects. Another definition has another query."""
    queries = {
        "plain": "SELECT * FROM profile",
        "clipped": f"SELECT * REPLACE (least(load, {CLIP}) AS load) FROM profile",
        "mirrored": "SELECT * REPLACE (-mood AS mood) FROM profile",
    }
    return {name: _contract(query) for name, query in queries.items()}


def is_unbounded(plan: Plan) -> bool:
    return "late arrival" in plan.plants or "feature logic" in plan.harmless


def is_missed(plan: Plan) -> bool:
    return "missed materialization" in plan.plants or "serving" in plan.harmless


def definition_of(plan: Plan) -> str:
    if "another definition served" in plan.plants:
        return "clipped"
    return "mirrored" if "code" in plan.harmless else "plain"


def spec(rule: AsOfRule) -> DatasetSpec:
    return DatasetSpec(
        name="bench",
        feature_service=SERVICE,
        rule=rule,
        rows=EntityQuery("SELECT * FROM asked", {"asked": "asked.parquet"}, id="item", label="late"),
        train=Span(PAST - 24 * HOUR, PAST + 3 * HOUR),
        holdout=Span(PAST + 3 * HOUR, PAST + 27 * HOUR),
    )


def _contract(query: str) -> FeatureContract:
    item = Entity(name="item_entity", join_keys=["item"], value_type=ValueType.STRING)
    region = Entity(name="region_entity", join_keys=["region"], value_type=ValueType.STRING)
    views = [
        _view("account", [item], ["level", "tone"], "SELECT * FROM account"),
        _view("profile", [item, region], ["load", "score", "mood"], query),
    ]
    return FeatureContract(
        project=PROJECT,
        service=SERVICE,
        features=tuple(tuple(name.split("__")) for name in FEATURES),  # type: ignore[misc]
        views=tuple(view_from_feast(view) for view in views),
    )


def _view(name: str, entities: Sequence[Entity], features: Sequence[str], query: str) -> FeatureView:
    return FeatureView(
        name=name,
        entities=list(entities),
        ttl=timedelta(0),
        schema=[
            *(Field(name=entity.join_key, dtype=String) for entity in entities),
            *(Field(name=item, dtype=Float64) for item in features),
        ],
        source=DuckDBQuerySource(
            name=f"{name}_source",
            query=query,
            tables={name: f"{name}.parquet"},
            timestamp_field="event",
            created_timestamp_column="created",
        ),
        tags={"trueup.cadence": "1h", "trueup.delay": "1m"},
    )


def asked_at(number: int) -> datetime:
    return PRESENT + 2 * HOUR + (number + 0.5) * STEP


def items(name: str, rows: int) -> npt.NDArray[np.object_]:
    return np.array([f"{name}{number:05d}" for number in range(rows)], np.object_)


def spread(start: datetime, rows: int, step: timedelta) -> Micros:
    """Instants from `start` on, a step apart: microseconds since 1970."""
    return micros_of(start) + np.arange(rows, dtype=np.int64) * micros(step)


def instants(at: Micros) -> pa.Array:
    return pa.array(at, pa.int64()).cast(EVENT_TIME)


def micros(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)


def micros_of(instant: datetime) -> int:
    return micros(instant - datetime(1970, 1, 1, tzinfo=UTC))
