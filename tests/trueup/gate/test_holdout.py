"""Laws of the holdout metric: both models on what a server would have had, each on features of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from feast import FeatureService, FeatureStore
from tests.training import shop
from tests.trueup.gate import shop_world
from tests.trueup.gate.shop_world import NOW, Shop

from trueup.gate.facts import Facts, HoldoutFacts, Unknown
from trueup.gate.gather import gather
from trueup.gate.items import ITEMS
from trueup_training.recipe import Recipe
from trueup_training.train import train

pytestmark = pytest.mark.usefixtures("no_server")
Ask = Callable[[int, int], Facts]


@pytest.fixture(scope="module")
def two_services(tmp_path_factory: pytest.TempPathFactory, repo: Path) -> Path:
    """The shop with a second feature service, which has no facts."""
    copied = Path(shutil.copytree(repo, tmp_path_factory.mktemp("two") / "repo"))
    service = FeatureService(name="shop_small", features=[shop.load, shop.clock])
    FeatureStore(repo_path=str(copied)).apply([service])
    return copied


@pytest.fixture(scope="module")
def small(shop_: Shop, recipe: Recipe, two_services: Path) -> int:
    """A version that learned without facts."""
    return trained(shop_, recipe.model_copy(update={"feature_service": "shop_small"}), two_services)


def trained(shop_: Shop, recipe: Recipe, repo: Path) -> int:
    model = recipe.model.model_copy(update={"alias": None})
    version = train(
        recipe.model_copy(update={"model": model}), repo=repo, tracking=shop_.tracking, clock=lambda: NOW
    ).version
    shop_.reproduced(version, "bit-identical")
    return version


def asked(shop_: Shop, repo: Path, candidate: int, champion: int | None) -> Facts:
    resolve = shop_.tracking.resolve
    before = None if champion is None else resolve("shop", champion)
    return gather(shop_world.of(shop_, repo=repo), resolve("shop", candidate), before, at=NOW)


def test_a_champion_that_needs_what_the_candidate_has_not_reads_its_own(
    shop_: Shop, small: int, two_services: Path
) -> None:
    facts = asked(shop_, two_services, small, 1)
    finding, said = ITEMS["holdout metric"](facts)
    assert finding == "pass", said
    contract = shop_.tracking.load_card("shop", 1).contract
    assert said.endswith(f"one-sided 95 %); shop@1 on its own features, shop_v1@{contract.hash[:12]}.")
    same = asked(shop_, two_services, 2, 1).holdout
    assert isinstance(same, HoldoutFacts)
    assert isinstance(facts.holdout, HoldoutFacts)
    assert same.champion is not None
    assert facts.holdout.champion is not None
    assert np.array_equal(facts.holdout.champion, same.champion)  # the same rows, read again


def test_a_champion_whose_features_are_gone_is_held_against_the_candidates(
    shop_: Shop, recipe: Recipe, two_services: Path, small: int, tmp_path: Path
) -> None:
    """What it eats is all there: of what its own view has become, nobody can say."""
    repo = Path(shutil.copytree(two_services, tmp_path / "repo"))
    shop_world.another_ttl(repo)
    candidate = trained(shop_, recipe, repo)
    (repo / "data" / "load.parquet").unlink()
    finding, said = ITEMS["holdout metric"](asked(shop_, repo, candidate, 1))
    assert finding == "pass", said
    assert "; shop@1 on the candidate's features, as its own cannot be read: " in said
    assert "load.parquet" in said


def test_a_champion_that_can_be_read_in_no_way_could_not_be_asked(
    shop_: Shop, two_services: Path, small: int, tmp_path: Path
) -> None:
    repo = Path(shutil.copytree(two_services, tmp_path / "repo"))
    (repo / "data" / "facts.parquet").unlink()
    facts = asked(shop_, repo, small, 1)
    assert isinstance(facts.holdout, Unknown)
    finding, said = ITEMS["holdout metric"](facts)
    assert finding == "could not run"
    assert "facts.parquet" in said


def test_what_learned_from_values_nobody_knew_fails_and_says_what_a_server_would_have(
    shop_: Shop, recipe: Recipe
) -> None:
    leaky = recipe.model_copy(update={"as_of": recipe.as_of.model_copy(update={"known_at": "unbounded"})})
    version = trained(shop_, leaky, shop_.world.repo)
    card = shop_.tracking.load_card("shop", version)
    facts = asked(shop_, shop_.world.repo, version, None)
    finding, said = ITEMS["holdout metric"](facts)
    assert finding == "fail"
    assert said.startswith("it learned from values nobody knew yet (known_at unbounded): AUC 0.")
    assert said.endswith(f" holdout rows as a server has them, {card.metrics['auc']:.4f} as it was trained.")
    honest = asked(shop_, shop_.world.repo, 2, version)
    assert isinstance(honest.holdout, HoldoutFacts)
    assert isinstance(facts.holdout, HoldoutFacts)
    assert honest.holdout.champion is not None
    assert np.array_equal(honest.holdout.champion, facts.holdout.candidate)  # the features of the honest one's holdout


def test_a_model_is_not_compared_with_itself(shop_: Shop) -> None:
    finding, said = ITEMS["holdout metric"](asked(shop_, shop_.world.repo, 2, 2))
    assert (finding, said.endswith(" holdout rows; it has the alias itself.")) == ("pass", True)
