"""A shop whose online store is materialized, and one real server that follows three aliases of its model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from feast import FeatureStore
from tests.training import shop
from tests.trueup.gate.shop_world import World

from trueup.gate.server_process import HOST, model_server
from trueup.models.tracking import Tracking
from trueup.rollout.servers import Patience
from trueup.rollout.verify import Asked
from trueup.stores.ledger_engine import ledger_of
from trueup.stores.local_redis import LocalRedis
from trueup.stores.materialize import materialize
from trueup_training.recipe import load_recipe
from trueup_training.train import train

ASKED_AT = shop.PINNED + timedelta(minutes=5)
STAGES = ("champion", "canary", "shadow")
PATIENCE = Patience(60)

_SERVER = """\
repo = {repo}
tracking_uri = {uri}
log_dir = {log}
clock = "request"
alias_poll_seconds = 0.1
allow_unverified = true
[log]
batch_seconds = 0.05
[experiment]
name = "rollout"
unit = "order_id"
salt = "rollout"
[[experiment.variants]]
name = "champion"
model = "shop"
alias = "champion"
weight = 80
[[experiment.variants]]
name = "canary"
model = "shop"
alias = "canary"
weight = 20
[[experiment.variants]]
name = "shadow"
model = "shop"
alias = "shadow"
shadow = true
"""


@dataclass(frozen=True)
class Live:
    """Versions 1 and 2; 2 is canary and shadow. Who moves an alias puts it back."""

    world: World
    url: str

    @property
    def tracking(self) -> Tracking:
        return self.world.tracking

    def asked(self, **changes: object) -> Asked:
        return replace(Asked((self.url,), requests=30, at=ASKED_AT), **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    root = tmp_path_factory.mktemp("rollout")
    (root / "shop.toml").write_text(shop.RECIPE, encoding="utf-8")
    recipe = load_recipe(root / "shop.toml")
    log = root / "log"
    with LocalRedis(root / "redis") as redis:
        repo = shop.make_repo(root / "repo", redis.url)
        fill(repo)
        uri = f"sqlite:///{root / 'mlflow' / 'mlflow.db'}"
        tracking = Tracking(uri)
        for _ in range(2):
            train(recipe, repo=repo, tracking=tracking, clock=lambda: shop.NOW)
        for alias, version in zip(STAGES, (1, 2, 2), strict=True):
            tracking.set_alias("shop", alias, version)
        world = World(
            tracking=tracking,
            repo=repo,
            datasets=root / "mlflow" / "datasets",
            ledger=ledger_of(FeatureStore(repo_path=str(repo)).config),
            log=log,
        )
        settings = root / "serving.toml"
        values = {"repo": str(repo), "uri": uri, "log": str(log)}
        settings.write_text(_SERVER.format(**{name: json.dumps(value) for name, value in values.items()}))
        with model_server(settings, root / "server.txt", {}) as port:
            yield Live(world, f"http://{HOST}:{port}")


def fill(repo: Path) -> None:
    """Everything that was known when the recipe's time ends, and nothing else."""
    materialize(
        FeatureStore(repo_path=str(repo)),
        end=shop.PINNED,
        known_at=shop.PINNED,
        clock=lambda: shop.PINNED,
        replace=True,
    )
