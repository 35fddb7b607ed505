"""One applied shop repository and one recipe for all tests; who changes the data takes a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from feast import FeatureStore
from tests.training import shop

from trueup.contracts.contract import FeatureContract
from trueup.contracts.extract import extract_contract
from trueup_training.recipe import Recipe, load_recipe


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
