"""Laws of `train`, end to end on a real feature repository and a real MLflow store."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from feast import FeatureStore
from mlflow import MlflowClient
from tests.training.shop import NOW, RECIPE
from tests.training.trained import Train
from tests.trueup.gate.examples import KEY, REFUSED
from threadpoolctl import threadpool_limits
from typer.testing import CliRunner

from trueup.contracts.contract import FeatureContract
from trueup.errors import ContractError, InputError, ModelError
from trueup.features.historical import read_as_of
from trueup.gate.standing import Kept
from trueup.models.environment import take_environment
from trueup.models.environment_diff import diff
from trueup.models.golden import GOLDEN_FILE, read_golden
from trueup.models.tracking import Tracking
from trueup_training.cli import add_commands
from trueup_training.dataset import build_training_set
from trueup_training.fit import holdout_metrics
from trueup_training.recipe import AsOf, Recipe, Window
from trueup_training.train import TrainedModel


def test_the_alias_points_at_the_new_version(trained: TrainedModel, tracking: Tracking) -> None:
    found = tracking.resolve("shop", "champion")
    assert (found.version, found.run_id) == (trained.version, trained.run_id)


def test_the_registered_model_gives_the_metrics_of_its_card_on_its_holdout(
    trained: TrainedModel, tracking: Tracking, recipe: Recipe, contract: FeatureContract, shop_repo: Path
) -> None:
    bundle = tracking.load_bundle("shop", trained.version)
    data = build_training_set(recipe, contract, repo=shop_repo, now=NOW)
    # As serving and parity read: by the card alone.
    features = read_as_of(bundle.card.contract, data.rows, bundle.card.rule, repo=shop_repo, ledger=None)
    predictions = bundle.predict(features)[data.holdout]
    assert holdout_metrics(data.labels[data.holdout], predictions) == trained.metrics == bundle.card.metrics
    assert trained.metrics["auc"] > 0.6


def test_the_card_says_what_it_was_made_of(
    trained: TrainedModel, recipe: Recipe, contract: FeatureContract, tracking: Tracking
) -> None:
    card = tracking.load_card("shop", trained.version)
    assert card == trained.card
    assert card.contract == contract
    assert card.rule == recipe.as_of.rule
    assert card.inputs == ("load__level", "load__open", "facts__kind", "clock__hour")
    assert (card.recipe, card.label, card.seed) == ("shop", "late", 11)
    assert (card.run_id, card.version) == (trained.run_id, trained.version)


def test_the_run_holds_the_recipe_flat(trained: TrainedModel, recipe: Recipe, tracking: Tracking) -> None:
    stored = MlflowClient(tracking_uri=tracking.uri).get_run(trained.run_id)
    assert stored.data.params == recipe.params()
    assert stored.info.run_name == "shop"
    assert stored.info.start_time == int(NOW.timestamp() * 1000)


def test_an_alias_that_the_gate_was_asked_about_is_left_to_the_gate(run: Train, recipe: Recipe, tmp_path: Path) -> None:
    """A refusal is enough: whose alias it is does not go by what came of it."""
    tracking = Tracking(f"sqlite:///{tmp_path}/mlflow.db")
    first = run(tracking=tracking)
    assert (first.version, first.alias, first.alias_left) == (1, "champion", None)
    refusal = replace(REFUSED, version=1)
    kept = Kept(refusal, refusal.signed(KEY))
    tracking.tag_version("shop", 1, kept.tag, kept.document.decode())
    second = run(tracking=tracking)
    assert (second.version, second.alias, second.alias_left) == (2, None, "champion")
    assert tracking.alias("shop", "champion") == 1
    challenger = recipe.model_copy(update={"model": recipe.model.model_copy(update={"alias": "challenger"})})
    assert run(challenger, tracking=tracking).alias == "challenger"
    assert tracking.alias("shop", "challenger") == 3


def test_training_again_gives_a_new_version_with_the_same_bits(
    trained: TrainedModel, run: Train, tracking: Tracking, recipe: Recipe, contract: FeatureContract, shop_repo: Path
) -> None:
    again = run(threads=2)
    assert again.version > trained.version
    assert (again.card.dataset, again.metrics) == (trained.card.dataset, trained.metrics)
    features = build_training_set(recipe, contract, repo=shop_repo, now=NOW).features
    first, second = (tracking.load_bundle("shop", version) for version in (trained.version, again.version))
    assert first.predict(features).tobytes() == second.predict(features).tobytes()
    known_only_now = {"run_id": None, "version": None, "git_commit": None, "git_dirty": False, "environment": ""}
    assert replace(first.card, **known_only_now) == replace(second.card, **known_only_now)  # type: ignore[arg-type]


def test_the_environment_has_the_threads_of_the_fit(trained: TrainedModel, run: Train, tracking: Tracking) -> None:
    one = tracking.load_environment("shop", trained.version)
    assert one.hash == trained.card.environment
    assert {pool.threads for pool in one.thread_pools} == {1}
    with threadpool_limits(1):
        assert not diff(one, take_environment())
    two = tracking.load_environment("shop", run(threads=2).version)
    found = diff(one, two).differences
    assert found
    assert all(each.part.endswith(" threads") for each in found)


def test_golden_predictions_of_the_holdout_are_kept_and_come_out_the_same(
    trained: TrainedModel, tracking: Tracking
) -> None:
    golden = read_golden(tracking.load_file("shop", trained.version, GOLDEN_FILE))
    assert len(golden.predictions) == 256
    again = tracking.load_bundle("shop", trained.version).predict(golden.features)
    assert again.tobytes() == golden.predictions.tobytes()


def test_a_leaky_rule_looks_better_on_its_holdout(trained: TrainedModel, run: Train, recipe: Recipe) -> None:
    rule = AsOf(known_at="unbounded", pinned=recipe.as_of.pinned)
    leaky = run(recipe.model_copy(update={"as_of": rule, "model": recipe.model.model_copy(update={"name": "leaky"})}))
    assert leaky.metrics["auc"] > trained.metrics["auc"] + 0.1
    assert leaky.card.rule.known_at == "unbounded"
    assert leaky.card.dataset != trained.card.dataset


def test_a_training_that_fails_registers_nothing(
    trained: TrainedModel, run: Train, recipe: Recipe, tracking: Tracking
) -> None:
    later = Window(start=datetime(2025, 1, 1, tzinfo=UTC), end=datetime(2025, 2, 1, tzinfo=UTC))
    failing = recipe.model_copy(update={"holdout": later, "model": recipe.model.model_copy(update={"name": "never"})})
    with pytest.raises(InputError, match="no row from 2025"):
        run(failing)
    with pytest.raises(ModelError, match="'never' is not registered"):
        tracking.resolve("never", "champion")


def test_a_feature_service_that_is_not_there_is_named(run: Train, recipe: Recipe) -> None:
    with pytest.raises(ContractError, match=r"'shop_v2' is not in the registry .* has: shop_v1"):
        run(recipe.model_copy(update={"feature_service": "shop_v2"}))


def test_without_an_alias_none_moves(trained: TrainedModel, run: Train, recipe: Recipe, tracking: Tracking) -> None:
    before = tracking.resolve("shop", "champion")
    quiet = run(recipe.model_copy(update={"model": recipe.model.model_copy(update={"alias": None})}))
    assert quiet.version > before.version
    assert tracking.resolve("shop", "champion") == before


def test_every_step_is_told_before_it_is_done(run: Train) -> None:
    told: list[str] = []
    counts = run(progress=told.append).counts
    assert told == [
        "entity rows",
        "features of load",
        "features of facts",
        "snapshot",
        f"20 trees on {counts.train:,} rows",
        f"metrics on {counts.holdout:,} rows",
        "MLflow",
    ]


@pytest.fixture
def command() -> typer.Typer:
    app = typer.Typer()
    app.callback()(lambda: None)
    add_commands(app)
    return app


def test_the_command_prints_json_and_nothing_else_on_standard_output(
    command: typer.Typer, recipe_file: Path, shop_repo: Path, tracking: Tracking, tmp_path: Path
) -> None:
    candidate = tmp_path / "ci" / "candidate"
    options = ["--repo", str(shop_repo), "--tracking-uri", tracking.uri, "--json", "--version-file", str(candidate)]
    result = CliRunner().invoke(command, ["train", str(recipe_file), *options], catch_exceptions=False)
    assert result.exit_code == 0
    printed = json.loads(result.stdout)
    assert printed["model"] == "shop"
    assert tracking.resolve("shop", "champion").version == printed["version"]
    assert printed["metrics"] == tracking.load_card("shop", printed["version"]).metrics
    assert printed["train_rows"] > 0
    assert candidate.read_text() == f"shop@{printed['version']}\n"  # as trueup promote takes it


def test_the_command_ends_with_2_and_one_line_when_it_cannot_run(tmp_path: Path, shop_repo: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(RECIPE.replace("max_iter = 20", "max_iter = 'many'"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "trueup", "train", str(wrong), "--repo", str(shop_repo)], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "model.params.max_iter = 'many': input should be a valid integer" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_help_shows_an_example_and_imports_nothing_heavy() -> None:
    code = (
        "import sys, typer; from trueup_training.cli import add_commands; add_commands(typer.Typer()); "
        "print(sorted({'feast', 'mlflow', 'sklearn', 'duckdb', 'pandas', 'pyarrow'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    help_text = CliRunner().invoke(_with_commands(), ["train", "--help"]).stdout
    assert "trueup train training/recipes/flights.toml" in help_text


def _with_commands() -> typer.Typer:
    app = typer.Typer()
    app.callback()(lambda: None)
    add_commands(app)
    return app


def test_a_repository_without_a_registry_says_what_to_do(run: Train, tmp_path: Path, shop_repo: Path) -> None:
    (tmp_path / "feature_store.yaml").write_bytes((shop_repo / "feature_store.yaml").read_bytes())
    FeatureStore(repo_path=str(tmp_path))
    with pytest.raises(ContractError, match="feast apply"):
        run(repo=tmp_path)
