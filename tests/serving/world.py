"""A small world to serve: a Feast repository with data in a real Redis, and models registered in a real MLflow.

Planes have a TTL of an hour and carry a null and a NaN; routes have a composite key and never expire; one
on-demand view computes on the request, and fails on a `sched` no calendar has.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float32, Float64, Int64, String
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

from trueup.contracts.contract import FeatureContract
from trueup.contracts.extract import extract_contract
from trueup.frame import EVENT_TIME, STATUS, FeatureFrame
from trueup.instants import AsOfRule
from trueup.models.bundle import Bundle, Classifier, matrix
from trueup.models.card import ModelCard
from trueup.models.environment import take_environment
from trueup.models.git import GitState
from trueup.models.tracking import Dataset, Registered, Tracking, TrainingRun

NOON = datetime(2013, 11, 1, 12, tzinfo=UTC)
TTL = timedelta(hours=1)

_MINUTE = timedelta(minutes=1)
_EXPIRED = TTL + timedelta(microseconds=1)
PLANES = pd.DataFrame(
    [
        ("FRESH", 140, 0.1, "Boeing", NOON - 5 * _MINUTE),
        ("EDGE", 2**53 - 1, 2.5, "Airbus", NOON - TTL),
        ("STALE", 99, 9.5, "Airbus", NOON - _EXPIRED),
        ("NULLS", None, 1.5, None, NOON - _MINUTE),
        ("naïve ✈", 3, -0.0, "é", NOON - _MINUTE),
    ],
    columns=["tailnum", "seats", "speed", "maker", "event_timestamp"],
).astype({"seats": "Int64"})
ROUTES = pd.DataFrame(
    [
        {"origin": "JFK", "dest": "BOS", "flights": 7, "event_timestamp": NOON - timedelta(days=9)},
        {"origin": "EWR", "dest": "SFO", "flights": 70, "event_timestamp": NOON - timedelta(days=1)},
    ]
)


def entity(number: int = 0, **changes: Any) -> dict[str, Any]:
    """A valid row of a request. `flight` is the experiment's unit."""
    row = {"tailnum": "FRESH", "origin": "JFK", "dest": "BOS", "sched": 1_383_307_200, "price": 0.1}
    return {**row, "flight": f"f-{number}", **changes}


@dataclass(frozen=True)
class World:
    """Paths and addresses, and what was trained."""

    repo: Path
    tracking_uri: str
    registered: dict[str, Registered]
    contracts: dict[str, FeatureContract]

    @property
    def store(self) -> FeatureStore:
        return FeatureStore(repo_path=str(self.repo))

    @property
    def tracking(self) -> Tracking:
        return Tracking(self.tracking_uri)


def build(root: Path, redis_url: str, tracking_uri: str | None = None) -> World:
    """Applies, writes the online store, registers the models `honest` and `leaky` (both_v1) and `small` (small_v1).
    tracking_uri: of a running MLflow; an SQLite file of its own without one."""
    repo = root / "repo"
    repo.mkdir()
    (repo / "feature_store.yaml").write_text(
        "project: world\nprovider: local\nregistry: registry.db\nentity_key_serialization_version: 3\n"
        "offline_store: {type: duckdb}\n"
        f"online_store: {{type: trueup.stores.redis_online.RedisOnlineStore, connection_string: {redis_url!r}}}\n"
    )
    store = FeatureStore(repo_path=str(repo))
    define(store)
    fill(store)
    tracking_uri = tracking_uri or f"sqlite:///{root / 'mlflow' / 'mlflow.db'}"
    tracking = Tracking(tracking_uri)
    contracts = {name: extract_contract(store, name) for name in ("both_v1", "small_v1")}
    registered = {
        "honest": register(tracking, "honest", contracts["both_v1"], seed=1),
        "leaky": register(tracking, "leaky", contracts["both_v1"], seed=2),
        "small": register(tracking, "small", contracts["small_v1"], seed=3),
    }
    return World(repo, tracking_uri, registered, contracts)


def copy(world: World, root: Path) -> World:
    """The same world with a registry of its own, which may be changed."""
    shutil.copytree(world.repo, root / "repo")
    return replace(world, repo=root / "repo")


def with_own_models(world: World, root: Path) -> World:
    """The same world on a copy of the model registry; the models' files stay where they are."""
    database = root / "mlflow" / "mlflow.db"
    database.parent.mkdir()
    shutil.copy(world.tracking_uri.removeprefix("sqlite:///"), database)
    return replace(world, tracking_uri=f"sqlite:///{database}")


def define(store: FeatureStore, *, plane_ttl: timedelta = TTL, speed: Any = Float64, hours: int = 24) -> None:
    """Applies the definitions; what differs from the defaults is another contract."""
    plane = Entity(name="plane", join_keys=["tailnum"], value_type=ValueType.STRING)
    origin = Entity(name="origin", join_keys=["origin"], value_type=ValueType.STRING)
    dest = Entity(name="dest", join_keys=["dest"], value_type=ValueType.STRING)

    def source(name: str) -> FileSource:
        return FileSource(name=name, path=f"{name}.parquet", timestamp_field="event_timestamp")

    planes = FeatureView(
        name="plane",
        entities=[plane],
        ttl=plane_ttl,
        schema=[
            Field(name="tailnum", dtype=String),
            Field(name="seats", dtype=Int64),
            Field(name="speed", dtype=speed),
            Field(name="maker", dtype=String),
        ],
        source=source("plane"),
    )
    routes = FeatureView(
        name="route",
        entities=[origin, dest],
        ttl=timedelta(0),
        schema=[
            Field(name="origin", dtype=String),
            Field(name="dest", dtype=String),
            Field(name="flights", dtype=Int64),
        ],
        source=source("route"),
    )
    asked = RequestSource(name="asked", schema=[Field(name="sched", dtype=Int64), Field(name="price", dtype=Float32)])
    clock = on_demand_feature_view(
        sources=[asked],
        schema=[Field(name="hour", dtype=Int64), Field(name="cost", dtype=Float64)],
        mode="python",
        name="clock",
    )(_clock(hours))
    both = FeatureService(name="both_v1", features=[planes, routes, clock])
    small = FeatureService(name="small_v1", features=[planes[["speed", "seats"]]])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "On demand feature view is an experimental feature", RuntimeWarning)
        store.apply([plane, origin, dest, planes, routes, clock, both, small])


def _clock(hours: int) -> Any:
    """A new function each time: Feast marks the one it is given, and cannot find the source of a marked one."""
    if hours == 24:

        def clock_of_24(inputs: dict[str, list[Any]]) -> dict[str, list[Any]]:
            from datetime import UTC, datetime

            hours = [None if at is None else datetime.fromtimestamp(at, UTC).hour for at in inputs["sched"]]
            return {"hour": hours, "cost": inputs["price"]}

        return clock_of_24

    def clock_of_12(inputs: dict[str, list[Any]]) -> dict[str, list[Any]]:
        from datetime import UTC, datetime

        hours = [None if at is None else datetime.fromtimestamp(at, UTC).hour % 12 for at in inputs["sched"]]
        return {"hour": hours, "cost": inputs["price"]}

    return clock_of_12


def fill(store: FeatureStore) -> None:
    """Writes planes and routes to the online store, as Feast does."""
    store.write_to_online_store("plane", PLANES)
    store.write_to_online_store("route", ROUTES)


def register(
    tracking: Tracking, name: str, contract: FeatureContract, *, seed: int, alias: str = "champion"
) -> Registered:
    """Fits a small model on noise and registers it with the alias."""
    rows = noise(contract, 400, seed)
    inputs = matrix(rows, contract.columns)
    labels = (np.random.default_rng(seed).random(400) < 0.4).astype(np.int8)
    return register_estimator(
        tracking, name, contract, _pipeline(seed, inputs).fit(inputs, labels), inputs, alias=alias
    )


def register_estimator(
    tracking: Tracking,
    name: str,
    contract: FeatureContract,
    estimator: Classifier,
    inputs: pd.DataFrame,
    *,
    alias: str = "champion",
) -> Registered:
    """Registers any fitted estimator with the alias."""
    card = ModelCard(
        name=name,
        recipe=name,
        contract=contract,
        rule=AsOfRule("served"),
        inputs=contract.columns,
        label="late",
        metrics={"auc": 0.5},
        seed=0,
        dataset="0" * 64,
        environment="0" * 64,
        git_commit=None,
        git_dirty=False,
    )
    run = TrainingRun(
        bundle=Bundle(card, estimator),
        params={},
        recipe={"name": name},
        dataset=Dataset(name, "0" * 64, {}, {}, 400),
        example=inputs.iloc[:1],
        git=GitState(None, dirty=False),
        environment=take_environment(),
        started=NOON,
    )
    registered = tracking.register(tracking.log(run, finished=NOON))
    tracking.set_alias(name, alias, registered.version)
    return registered


def _pipeline(seed: int, inputs: pd.DataFrame) -> Pipeline:
    strings = [name for name in inputs.columns if inputs[name].dtype == np.object_]
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    columns = ColumnTransformer(
        [("strings", encoder, strings)], remainder="passthrough", verbose_feature_names_out=False
    )
    model = HistGradientBoostingClassifier(max_iter=8, random_state=seed, min_samples_leaf=5, early_stopping=False)
    return Pipeline([("columns", columns), ("classifier", model)])


def noise(contract: FeatureContract, rows: int, seed: int) -> FeatureFrame:
    random = np.random.default_rng(seed)
    columns = []
    for item in contract.schema:
        if pa.types.is_string(item.type):
            columns.append(pa.array(random.choice(["Boeing", "Airbus", "é"], rows).tolist(), item.type))
        elif pa.types.is_integer(item.type):
            columns.append(pa.array(random.integers(0, 150, rows), item.type))
        else:
            columns.append(pa.array(random.normal(size=rows), item.type))
    return FeatureFrame(
        pa.table(columns, schema=contract.schema),
        pa.table({name: pa.array([1] * rows, STATUS) for name in contract.columns}),
        pa.table({view.name: pa.nulls(rows, EVENT_TIME) for view in contract.views}),
    )


def config_text(world: World, log_dir: Path, variants: Sequence[tuple[str, str, int]], **settings: Any) -> str:
    """A server's TOML: variants are (name, model, weight); none: `experiments` names files. Nobody promoted the models;
    with a gate key that counts."""
    experiment = {"name": "ab", "unit": "flight", "salt": "s", "shadow": True}
    experiment |= {name: settings.pop(name) for name in list(settings) if name in experiment}
    top: dict[str, Any] = {
        "clock": "request",
        "repo": str(world.repo),
        "tracking_uri": world.tracking_uri,
        "log_dir": str(log_dir),
    }
    if "gate_key" not in settings:
        top["allow_unverified"] = True
    top |= {name: settings.pop(name) for name, value in list(settings.items()) if not isinstance(value, dict)}
    lines = [f"{name} = {_toml(value)}" for name, value in top.items()]
    if variants:
        lines += ["[experiment]", *(f"{name} = {_toml(value)}" for name, value in experiment.items())]
    for name, model, weight in variants:
        lines += ["[[experiment.variants]]", f"name = {_toml(name)}", f"model = {_toml(model)}", f"weight = {weight}"]
    for section, values in settings.items():
        lines += [f"[{section}]", *(f"{name} = {_toml(value)}" for name, value in values.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, (int, float, list)) else f'"{value}"'
