"""Laws of `trueup adopt`: what it takes, what it refuses, and what is said of an adopted model afterwards."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import mlflow.sklearn
import numpy as np
import pytest
import skops.io
from feast import FeatureStore
from mlflow import MlflowClient
from sklearn.dummy import DummyClassifier
from tests.training import shop
from typer.testing import CliRunner, Result

from trueup.cli import app
from trueup.contracts.extract import extract_contract
from trueup.errors import ContractError, InputError, ModelError
from trueup.models.adoption import example
from trueup.models.bundle import matrix
from trueup.models.golden import GOLDEN_FILE
from trueup.models.tracking import Tracking
from trueup_training.recipe import load_recipe
from trueup_training.recorded import load_recorded
from trueup_training.train import TrainedModel, train


class World:
    """A shop with a model of its own (`shop` 1), and that model's estimator as somebody else would have it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.repo = shop.make_repo(root / "repo")
        self.tracking = Tracking(f"sqlite:///{root}/mlflow/mlflow.db")
        (root / "shop.toml").write_text(shop.RECIPE, encoding="utf-8")
        self.trained: TrainedModel = train(
            load_recipe(root / "shop.toml"), repo=self.repo, tracking=self.tracking, clock=lambda: shop.NOW
        )
        self.contract = extract_contract(FeatureStore(repo_path=str(self.repo)), "shop_v1")
        self.bundle = self.tracking.load_bundle("shop", 1)
        self.file = root / "elsewhere.skops"
        skops.io.dump(self.bundle.estimator, self.file)

    def register(self, name: str, estimator: Any, **options: Any) -> str:
        """As MLflow's own user does; gives NAME/VERSION."""
        client = MlflowClient(self.tracking.uri, self.tracking.uri)
        mlflow.sklearn.save_model(estimator, str(self.root / name), pip_requirements=["scikit-learn"], **options)
        client.create_registered_model(name)
        return f"{name}/{client.create_model_version(name, (self.root / name).as_uri()).version}"

    def run(self, *words: object) -> Result:
        where = ["--repo", str(self.repo), "--tracking-uri", self.tracking.uri]
        return CliRunner().invoke(app, [*map(str, words), *where], catch_exceptions=False)

    def adopt(self, source: object, *more: object, service: str = "shop_v1", known_at: str = "served") -> Result:
        return self.run("adopt", source, "--name", "ours", "--service", service, "--known-at", known_at, *more)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("adopt"))


def test_a_file_is_adopted_and_says_what_is_not_known_from_then_on(world: World) -> None:
    done = world.adopt(world.file, "--json")
    assert done.exit_code == 0
    said = json.loads(done.stdout)
    name, version = said["model"], said["version"]
    assert (name, said["known_at"], said["snapshot"]) == ("ours", "served", None)
    assert said["not_known"] == ["recipe", "label", "seed", "environment", "commit", "metrics"]
    rows = example(world.contract)
    assert world.tracking.load_bundle(name, version).predict(rows).tobytes() == world.bundle.predict(rows).tobytes()
    assert world.tracking.alias(name, "champion") is None

    unknown = rf"not known: adopted\. ours@{version} came from elsewhere\.skops \(sha256 [0-9a-f]{{12}}\); "
    with pytest.raises(ModelError, match=unknown + "the environment it was trained in was not recorded"):
        world.tracking.load_environment(name, version)
    with pytest.raises(ModelError, match=unknown + rf"{GOLDEN_FILE} is made at training"):
        world.tracking.load_file(name, version, GOLDEN_FILE)
    with pytest.raises(ModelError, match=r"not known: adopted\. run .* keeps a model from elsewhere\.skops"):
        load_recorded(f"{name}/{version}", world.tracking, world.root)
    assert world.run("contract", "diff", f"{name}/{version}").exit_code == 0

    asked = json.loads(world.run("promote", f"{name}/{version}", "--dry-run", "--json").stdout)
    evidence = {item["name"]: item for item in asked["verdict"]["evidence"]}
    assert (evidence["contract"]["verdict"], evidence["transforms"]["verdict"]) == ("pass", "pass")
    for item in ("snapshot", "golden predictions"):
        assert evidence[item]["verdict"] == "could not run"
        assert "not known: adopted." in evidence[item]["said"]
    assert asked["moved"] is False


def test_with_a_snapshot_the_holdout_can_be_asked_and_the_snapshot_itself_is_no_evidence(world: World) -> None:
    words = ("--snapshot", world.trained.card.snapshot, "--datasets", world.root / "mlflow" / "datasets")
    version = json.loads(world.adopt(world.file, *words, "--json").stdout)["version"]
    card = world.tracking.load_card("ours", version)
    assert (card.snapshot, card.dataset, card.rule) == (
        world.trained.card.snapshot,
        world.trained.card.dataset,
        world.trained.card.rule,
    )
    asked = json.loads(world.run("promote", f"ours/{version}", "--dry-run", "--json", *words[2:]).stdout)
    evidence = {item["name"]: item for item in asked["verdict"]["evidence"]}
    assert evidence["holdout metric"]["verdict"] == "pass"
    assert (evidence["snapshot"]["verdict"], asked["moved"]) == ("could not run", False)
    with pytest.raises(InputError, match=r"known_at: snapshot shop@.* was read as served, not unbounded"):
        world.adopt(world.file, *words, known_at="unbounded")


def test_a_registered_model_is_adopted_whoever_logged_it(world: World) -> None:
    trusted = ["sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"]
    ref = world.register("theirs", world.bundle.estimator, serialization_format="skops", skops_trusted_types=trusted)
    done = world.adopt(f"models:/{ref}")
    assert done.exit_code == 0
    assert "is theirs@1, for shop_v1@" in done.stdout.replace("\n", " ")
    assert max(len(line) for line in done.stdout.splitlines()) <= 100
    (newest, *_) = world.tracking.versions("ours")
    assert world.tracking.load_card("ours", newest).adopted == "theirs@1"


class Odd(DummyClassifier):
    """A type that skops does not know."""


def test_what_could_run_code_is_not_loaded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = world.register("pickled", DummyClassifier().fit([[0.0], [1.0]], [0, 1]), serialization_format="cloudpickle")
    with pytest.raises(ModelError, match=r"pickled@1 cannot be adopted: .* cloudpickle, which runs code .* skops\.io"):
        world.adopt(ref)
    pickled = world.root / "model.pkl"
    pickled.write_bytes(pickle.dumps(world.bundle.estimator))
    with pytest.raises(ModelError, match=r"model model\.pkl: its file is no skops file, or damaged .* as skops"):
        world.adopt(pickled)
    odd = world.root / "odd.skops"
    names = matrix(example(world.contract), world.contract.columns)
    skops.io.dump(Odd().fit(names, np.array([0, 1])), odd)
    with pytest.raises(ModelError, match=r"odd\.skops: its file holds types trueup does not trust: .*Odd"):
        world.adopt(odd)


def test_what_cannot_be_adopted_is_said_and_leaves_nothing(world: World) -> None:
    before = world.tracking.versions("ours")
    with pytest.raises(ModelError, match="shop@1 has a card of trueup's already: there is nothing to adopt"):
        world.adopt("shop/1")
    with pytest.raises(InputError, match=r"there is no file nowhere\.skops, and it is no registered model"):
        world.adopt("nowhere.skops")
    with pytest.raises(ModelError, match="'nobody' is not registered in "):
        world.adopt("nobody/1")
    with pytest.raises(InputError, match="known_at: 'always' is not one of served, label, unbounded"):
        world.adopt(world.file, known_at="always")
    with pytest.raises((InputError, ContractError), match="shop_v2"):
        world.adopt(world.file, service="shop_v2")
    assert world.tracking.versions("ours") == before
