"""Laws of training and snapshots: a model names what it learned from, and learns from nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient
from tests.training.shop import NOW
from tests.training.trained import Train

from trueup.contracts.contract import FeatureContract
from trueup.datasets.snapshot import open_snapshot
from trueup.errors import DatasetError, InputError
from trueup.instants import AsOfRule
from trueup.models.bundle import matrix
from trueup.models.store_uri import datasets_beside
from trueup.models.tracking import Tracking
from trueup_training.dataset import build_training_set
from trueup_training.fit import fit, holdout_metrics, predict
from trueup_training.recipe import AsOf, Recipe
from trueup_training.train import TrainedModel


def test_the_run_and_the_card_name_the_snapshot_that_was_learned_from(
    trained: TrainedModel, recipe: Recipe, tracking: Tracking
) -> None:
    snapshot = open_snapshot(str(trained.card.snapshot), datasets_beside(tracking.uri))
    assert trained.card.snapshot == snapshot.id == trained.to_json()["snapshot"]
    assert trained.card.dataset == snapshot.manifest.content
    client = MlflowClient(tracking_uri=tracking.uri)
    run = client.get_run(trained.run_id)
    assert run.data.tags["trueup.dataset"] == snapshot.id
    assert run.data.tags["trueup.dataset_content"] == snapshot.manifest.content
    assert client.get_model_version("shop", str(trained.version)).tags["trueup.dataset"] == snapshot.id
    (given,) = run.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("shop", snapshot.id[:32])
    source = json.loads(given.dataset.source)
    assert source["snapshot"] == snapshot.id
    assert source["as_of"] == recipe.as_of.rule.to_json()


def test_a_snapshot_gives_the_model_that_its_sources_gave(
    trained: TrainedModel, tracking: Tracking, recipe: Recipe, contract: FeatureContract, shop_repo: Path
) -> None:
    data = build_training_set(recipe, contract, repo=shop_repo, now=NOW)
    inputs = matrix(data.features, contract.columns)
    estimator = fit(inputs.iloc[data.train], data.labels[data.train], recipe.model.params, seed=recipe.seed)
    expected = predict(estimator, inputs)
    assert tracking.load_bundle("shop", trained.version).predict(data.features).tobytes() == expected.tobytes()
    assert trained.metrics == holdout_metrics(data.labels[data.holdout], expected[data.holdout])


def test_training_from_a_snapshot_needs_no_source(
    trained: TrainedModel, run: Train, tracking: Tracking, tmp_path: Path, shop_repo: Path
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "feature_store.yaml").write_bytes((shop_repo / "feature_store.yaml").read_bytes())
    snapshot = open_snapshot(str(trained.card.snapshot), datasets_beside(tracking.uri))
    again = run(repo=bare, snapshot=snapshot)
    assert (again.metrics, again.card.snapshot) == (trained.metrics, trained.card.snapshot)
    assert again.card.contract == trained.card.contract
    assert again.counts.label_unknown is None


def test_a_snapshot_of_another_recipe_is_not_trained_from(
    trained: TrainedModel, run: Train, recipe: Recipe, tracking: Tracking
) -> None:
    snapshot = open_snapshot(str(trained.card.snapshot), datasets_beside(tracking.uri))
    other = recipe.model_copy(update={"as_of": AsOf(known_at="label", pinned=recipe.as_of.pinned)})
    with pytest.raises(InputError, match=r"snapshot shop@.* recipe shop says \(known_at: served -> label\).*--dataset"):
        run(other, snapshot=snapshot)
    with pytest.raises(InputError, match="feature service: shop_v1 -> shop_v2"):
        run(recipe.model_copy(update={"feature_service": "shop_v2"}), snapshot=snapshot)
    # The estimator's own parameters are no part of it, and neither is the recipe's name.
    params = recipe.model.params.model_copy(update={"max_iter": 3})
    small = {"name": "smaller", "model": recipe.model.model_copy(update={"params": params, "alias": None})}
    assert run(recipe.model_copy(update=small), snapshot=snapshot).card.snapshot == snapshot.id


def test_a_damaged_snapshot_is_not_trained_from(run: Train, recipe: Recipe, tracking: Tracking, tmp_path: Path) -> None:
    quiet = recipe.model_copy(update={"model": recipe.model.model_copy(update={"alias": None})})
    built = run(quiet, datasets=tmp_path)
    snapshot = open_snapshot(str(built.card.snapshot), tmp_path)
    (snapshot.folder / "features.parquet").write_bytes(b"PAR1")
    with pytest.raises(DatasetError, match=r"features\.parquet has 4 bytes; the manifest says .*trueup dataset verify"):
        run(quiet, snapshot=snapshot)
    assert tracking.versions("shop")[0] == built.version


def test_an_unpinned_recipe_is_trained_under_the_instant_of_its_build(run: Train, recipe: Recipe) -> None:
    model = recipe.model.model_copy(update={"alias": None})
    unpinned = run(recipe.model_copy(update={"as_of": AsOf(known_at="served"), "model": model}))
    assert unpinned.card.rule == AsOfRule("served", NOW)
