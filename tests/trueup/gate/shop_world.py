"""A shop with a champion and candidates, really trained: what the gate looks at, and ways to break one thing of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from feast import FeatureService, FeatureStore, Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Int64
from mlflow import MlflowClient
from tests.training import served, shop

from trueup.gate.facts import Budget, TrialFacts
from trueup.gate.gather import World
from trueup.models.frame_file import parquet_bytes, read_parquet
from trueup.models.tracking import ESTIMATOR_FILE, Tracking
from trueup_training.recipe import Recipe
from trueup_training.train import train

NOW = shop.NOW
HOURS = count()
"""Each record is later than the one before it: the newest counts."""
BUDGET = Budget(latency_p99_ms=60_000, requests=10)
"""Nothing here waits for a quick answer."""
WELL = TrialFacts(requests=31, rows=40, answered=40, milliseconds=(1.0,) * 10)
"""A server that answers everything, as a real one does (test_matrix.py)."""


@dataclass(frozen=True)
class Shop:
    """version 1 has the alias champion by its training. 2 is as good. weak is not. All of them were reproduced."""

    world: World
    weak: int

    @property
    def tracking(self) -> Tracking:
        return self.world.tracking

    def folder(self, version: int) -> Path:
        """Where a version's files are."""
        client = MlflowClient(self.tracking.uri, self.tracking.uri)
        return Path(client.get_model_version_download_uri("shop", str(version)).removeprefix("file://"))

    def reproduced(self, version: int, verdict: str, **said: Any) -> None:
        """Keeps a record as `trueup reproduce` keeps it (tests/training/test_reproduce.py has the real one judged)."""
        run = self.tracking.resolve("shop", version).run_id
        assert run is not None
        self.tracking.log_reproduction(
            run, reproduction(self.tracking, version, verdict, **said), at=NOW + timedelta(hours=next(HOURS))
        )

    def served(self, log: Path, version: int, skewed: str | None = None) -> Path:
        """A log of live traffic that this version scored."""
        bundle = self.tracking.load_bundle("shop", version)
        contract = bundle.card.contract
        return served.write_log(log, bundle, contract, self.world.repo, version=str(version), count=40, skewed=skewed)

    @property
    def snapshot(self) -> Path:
        """The folder of the one snapshot that every version was trained from."""
        (manifest,) = self.world.datasets.glob("shop/*/manifest.json")
        return manifest.parent


def reproduction(tracking: Tracking, version: int, verdict: str = "bit-identical", **said: Any) -> dict[str, Any]:
    """The record of a version's run, as `trueup_training.reproduce.Reproduction.to_json` has it, and no more."""
    lines = [{"thing": thing, "verdict": verdict, "detail": ""} for thing in ("fitted state", "predictions", "metrics")]
    kept = {"thing": "kept model", "verdict": "bit-identical", "detail": "as recorded"}
    return {
        "schema": "trueup.reproduction/1",
        "verdict": verdict,
        "culprits": [],
        "run_id": tracking.resolve("shop", version).run_id,
        "snapshot": tracking.load_card("shop", version).snapshot,
        "estimator": tracking.file_digests("shop", version)[ESTIMATOR_FILE],
        "comparison": {"verdict": verdict, "lines": [*lines, kept]},
        **said,
    }


def build(root: Path, recipe: Recipe, repo: Path) -> Shop:
    tracking = Tracking(f"sqlite:///{root / 'mlflow' / 'mlflow.db'}")

    def version(alias: str | None = None, **params: Any) -> int:
        changed = recipe.model.params.model_copy(update=params)
        model = recipe.model.model_copy(update={"params": changed, "alias": alias})
        return train(
            recipe.model_copy(update={"model": model}), repo=repo, tracking=tracking, clock=lambda: NOW
        ).version

    assert version("champion") == 1
    assert version(max_iter=21) == 2
    weak = version(min_samples_leaf=100_000)
    found = Shop(World(tracking, repo, root / "mlflow" / "datasets", budget=BUDGET), weak)
    for each in (1, 2, weak):
        found.reproduced(each, "bit-identical")
    return found


def looking_back(folder: Path, redis_url: str) -> Path:
    """A shop whose clock gives each row the hour of the row before it: in a batch it is another one."""

    @on_demand_feature_view(
        sources=[RequestSource(name="order", schema=[Field(name="placed_unix", dtype=Int64)])],
        schema=[Field(name="hour", dtype=Int64)],
        mode="python",
        name="clock",
    )
    def clock_of_the_row_before(inputs: dict[str, list[int | None]]) -> dict[str, list[int | None]]:
        seconds = inputs["placed_unix"]
        before = [seconds[max(at - 1, 0)] for at in range(len(seconds))]
        return {"hour": [None if at is None else at // 3600 % 24 for at in before]}

    return _with_clock(shop.make_repo(folder, redis_url), clock_of_the_row_before)


def failing_when_served(folder: Path, redis_url: str) -> Path:
    """A shop whose clock stands still for every other row, but only in a process that serves."""

    @on_demand_feature_view(
        sources=[RequestSource(name="order", schema=[Field(name="placed_unix", dtype=Int64)])],
        schema=[Field(name="hour", dtype=Int64)],
        mode="python",
        name="clock",
    )
    def clock_at_home(inputs: dict[str, list[int | None]]) -> dict[str, list[int | None]]:
        import sys

        seconds = inputs["placed_unix"]
        if "serve" in sys.argv and any(at is not None and at % 2 for at in seconds):
            raise RuntimeError("it was never tried in a server")
        return {"hour": [None if at is None else at // 3600 % 24 for at in seconds]}

    return _with_clock(shop.make_repo(folder, redis_url), clock_at_home)


def _with_clock(repo: Path, clock: Any) -> Path:
    return add_service(repo, "shop_v1", [shop.load, shop.facts, clock])


def add_service(repo: Path, name: str, views: list[Any]) -> Path:
    """views: the on-demand one last; it is applied too."""
    service = FeatureService(name=name, features=views)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "On demand feature view is an experimental feature", RuntimeWarning)
        FeatureStore(repo_path=str(repo)).apply([views[-1], service])
    return repo


def another_ttl(repo: Path) -> None:
    """Applies the load view with another TTL: another contract, and nothing else."""
    store = FeatureStore(repo_path=str(repo))
    view = store.get_feature_view("load")
    view.ttl = timedelta(hours=7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        store.apply([view])


@contextmanager
def changed(path: Path, change: Callable[[bytes], bytes | None]) -> Iterator[None]:
    """A file with another content, or gone, for as long as the block lasts."""
    before = path.read_bytes() if path.exists() else None
    after = change(before or b"")
    if after is None:
        path.unlink()
    else:
        path.write_bytes(after)
    try:
        yield
    finally:
        if before is None:
            path.unlink()
        else:
            path.write_bytes(before)


def one_bit_off(golden: bytes) -> bytes:
    """The last of the recorded predictions is one float further."""
    table = read_parquet(golden)
    name = table.column_names[-1]
    predictions = table.column(name).to_numpy().copy()
    predictions[-1] = np.nextafter(predictions[-1], 2)
    return parquet_bytes(table.set_column(table.num_columns - 1, name, pa.array(predictions)))


def of(world: Shop, **changes: Any) -> World:
    return replace(world.world, **changes)
