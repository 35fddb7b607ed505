"""One trained shop for the tests of the gate; who changes it puts it back."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.training import shop
from tests.trueup.gate import shop_world
from tests.trueup.gate.shop_world import Shop

from trueup.gate import gather
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


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the server is not what is asked about, none is started: one for each test would take minutes."""
    monkeypatch.setattr(gather, "try_serving", lambda *_, **__: shop_world.WELL)
