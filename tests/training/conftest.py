"""One applied shop repository and one recipe for all tests; who changes the data takes a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from feast import FeatureStore
from tests.training import shop
from tests.training.trained import Train

from trueup.contracts.contract import FeatureContract
from trueup.contracts.extract import extract_contract
from trueup.models.tracking import Tracking
from trueup_training.recipe import Recipe, load_recipe
from trueup_training.train import TrainedModel, train


@pytest.fixture(scope="session")
def shop_repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop.make_repo(tmp_path_factory.mktemp("shop") / "repo")


@pytest.fixture
def own_repo(shop_repo: Path, tmp_path: Path) -> Path:
    """A copy, to be changed."""
    return Path(shutil.copytree(shop_repo, tmp_path / "repo"))


@pytest.fixture(scope="session")
def contract(shop_repo: Path) -> FeatureContract:
    return extract_contract(FeatureStore(repo_path=str(shop_repo)), "shop_v1")


@pytest.fixture(scope="session")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipes") / "shop.toml"
    path.write_text(shop.RECIPE, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def recipe(recipe_file: Path) -> Recipe:
    return load_recipe(recipe_file)


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    """A store of its own for each module: versions count from 1 in it."""
    return Tracking(f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db")


@pytest.fixture(scope="module")
def run(recipe: Recipe, shop_repo: Path, tracking: Tracking) -> Train:
    def run(wanted: Recipe = recipe, **options: object) -> TrainedModel:
        return train(wanted, **{"repo": shop_repo, "tracking": tracking, "clock": lambda: shop.NOW, **options})  # type: ignore[arg-type]

    return run


@pytest.fixture(scope="module")
def trained(run: Train) -> TrainedModel:
    return run()
