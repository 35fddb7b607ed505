"""One trained shop for the tests of the gate; who changes it puts it back."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.training import shop
from tests.trueup.gate import shop_world
from tests.trueup.gate.shop_world import Shop

from trueup.datasets.snapshot import open_snapshot
from trueup.gate import gather
from trueup.gate.facts import TrialFacts
from trueup.gate.trial import try_serving
from trueup_training.recipe import Recipe, load_recipe


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    path = tmp_path_factory.mktemp("recipes") / "shop.toml"
    path.write_text(shop.RECIPE, encoding="utf-8")
    return load_recipe(path)


@pytest.fixture(scope="session")
def repo(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Path:
    return shop.make_repo(tmp_path_factory.mktemp("shop") / "repo", redis_url)


@pytest.fixture(scope="module")
def shop_(tmp_path_factory: pytest.TempPathFactory, recipe: Recipe, repo: Path) -> Shop:
    return shop_world.build(tmp_path_factory.mktemp("gate"), recipe, repo)


@pytest.fixture(scope="module")
def tried(shop_: Shop) -> TrialFacts:
    """What came of the one server that was started with version 2."""
    candidate = shop_.tracking.resolve("shop", 2)
    data = open_snapshot(shop_.snapshot.name, shop_.world.datasets).load()
    return try_serving(
        candidate,
        shop_.tracking.load_bundle("shop", 2),
        data,
        repo=shop_.world.repo,
        tracking_uri=shop_.tracking.uri,
        requests=shop_.world.budget.requests,
    )


@pytest.fixture
def no_server(tried: TrialFacts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the server is not what is asked about: `tried` stands in, a start for each test would take minutes."""
    monkeypatch.setattr(gather, "try_serving", lambda *_, **__: tried)
