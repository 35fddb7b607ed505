"""The checks that need a model, on a trained one: real repository, real MLflow store, real served log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from feast import FeatureStore
from tests.training import served
from tests.training.shop import NOW
from threadpoolctl import threadpool_limits
from typer.testing import CliRunner

from trueup.cli import app
from trueup.contracts.contract import FeatureContract
from trueup.errors import ContractError, InputError
from trueup.models.tracking import Tracking
from trueup.parity.evidence.expectations import DataDocs
from trueup.parity.evidence.transforms import Where
from trueup.parity.report import Report
from trueup.parity.runs.expectations import run_expectations
from trueup.parity.runs.replay import run_replay
from trueup.parity.runs.transforms import run_transforms
from trueup.parity.suite import SUITE_FILE, read_suite
from trueup_training.recipe import Recipe
from trueup_training.train import train


@dataclass(frozen=True)
class Trained:
    """A shop model in two versions of different seeds. version 1 is what serves."""

    repo: Path
    tracking: Tracking
    contract: FeatureContract

    def serve(self, log: Path, *, count: int = 300, version: str = "1", wrong: Sequence[int] = ()) -> Path:
        """A log of requests, by what the honest online store had. wrong: rows logged one float further."""
        bundle = self.tracking.load_bundle("shop", 1)
        return served.write_log(log, bundle, self.contract, self.repo, version=version, count=count, wrong=wrong)


@pytest.fixture(scope="module")
def trained(
    recipe: Recipe, shop_repo: Path, contract: FeatureContract, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    tracking = Tracking(f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db")
    for max_iter in (20, 12):
        params = recipe.model.params.model_copy(update={"max_iter": max_iter})
        model = recipe.model.model_copy(update={"params": params})
        train(recipe.model_copy(update={"model": model}), repo=shop_repo, tracking=tracking, clock=lambda: NOW)
    return Trained(shop_repo, tracking, contract)


@pytest.fixture(scope="module")
def log(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained.serve(tmp_path_factory.mktemp("served"))


def replay(trained: Trained, log: Path, **options: Any) -> Report:
    return run_replay(log, trained.tracking, repo=trained.repo, clock=lambda: NOW, **options)


# replay


def test_a_served_log_is_replayed_bit_for_bit_and_offline_features_move_nothing(trained: Trained, log: Path) -> None:
    report = replay(trained, log)
    (result,) = report.of("replay")
    assert (report.exit_code, result.label, result.rows, result.mismatched) == (0, "shop@1", 300, 0)
    assert {name: part.rows for name, part in result.roles.items()} == {"answer": 240, "shadow": 60}
    assert result.notes["on offline features"] == "0 of 300 predictions move"


def test_a_replay_says_whether_its_models_were_trained_in_this_environment(trained: Trained, log: Path) -> None:
    with threadpool_limits(1):
        facts = replay(trained, log).facts
    assert facts["environment of shop@1"] == "same as here"
    with threadpool_limits(2):
        facts = replay(trained, log).facts
    assert "that can change numbers: " in facts["environment of shop@1"]
    assert " threads: 1 -> 2" in facts["environment of shop@1"]


@pytest.mark.parametrize("batch_rows", [1, 37, 10_000])
def test_batches_of_the_log_change_nothing(trained: Trained, log: Path, batch_rows: int) -> None:
    assert replay(trained, log, batch_rows=batch_rows).results == replay(trained, log).results


def test_predictions_that_do_not_come_out_again_are_counted(trained: Trained, tmp_path: Path) -> None:
    report = replay(trained, trained.serve(tmp_path / "log", wrong=(4, 100)))
    (result,) = report.of("replay")
    assert (report.exit_code, result.mismatched, result.unexplained) == (1, 2, 2)
    assert {sample.request for sample in result.samples} == {"r4", "r100"}


def test_a_log_that_names_the_wrong_version_is_told_whose_the_predictions_are(trained: Trained, tmp_path: Path) -> None:
    (result,) = replay(trained, trained.serve(tmp_path / "log", version="2")).of("replay")
    assert result.verdict == "fail"
    assert result.notes["reproduced by version 1"].startswith(
        f"{result.mismatched:,} predictions logged as version 2's"
    )


def test_a_version_that_is_not_registered_could_not_run(trained: Trained, tmp_path: Path) -> None:
    report = replay(trained, trained.serve(tmp_path / "log", version="9", count=3))
    (result,) = report.of("replay")
    assert (report.exit_code, result.uncompared) == (2, {"could not run": 3})
    assert "its versions: 1, 2" in str(result.problem)


def test_a_log_of_another_contract_could_not_run_and_it_is_said_what_differs(trained: Trained, tmp_path: Path) -> None:
    load, *rest = trained.contract.views
    short = type(load)(**{**load.__dict__, "ttl": timedelta(hours=1)})
    other = FeatureContract(
        trained.contract.project, "shop_v1", trained.contract.features, (short, *rest), trained.contract.on_demand
    )
    path = Trained(trained.repo, trained.tracking, other).serve(tmp_path / "log", count=4)
    (result,) = replay(trained, path).of("replay")
    assert result.verdict == "could not run"
    assert "view load: ttl 6h -> 1h" in str(result.problem)


def test_no_rows_in_the_window_could_not_run(trained: Trained, log: Path) -> None:
    assert replay(trained, log, start=NOW).exit_code == 2
    assert replay(trained, log, models=["other"]).exit_code == 2
    with pytest.raises(InputError, match="there is no served log"):
        replay(trained, log / "nothing")


def test_without_a_repository_the_log_is_replayed_alone(trained: Trained, log: Path) -> None:
    (result,) = run_replay(log, trained.tracking, clock=lambda: NOW).of("replay")
    assert (result.verdict, dict(result.notes)) == ("pass", {})


def test_a_source_that_is_gone_leaves_the_replay_and_a_note(trained: Trained, log: Path, tmp_path: Path) -> None:
    (result,) = run_replay(log, trained.tracking, repo=tmp_path, clock=lambda: NOW).of("replay")
    assert result.verdict == "pass"
    assert "load.parquet" in result.notes["offline features not read"]


# expectations


def test_the_suite_is_kept_with_the_model_and_its_own_window_meets_it(
    trained: Trained, log: Path, tmp_path: Path
) -> None:
    suite = read_suite(trained.tracking.load_file("shop", 1, SUITE_FILE))
    assert suite["name"] == f"shop on shop_v1@{trained.contract.hash[:12]}"
    docs = DataDocs(tmp_path / "docs", tmp_path)
    report = run_expectations(log, trained.tracking, docs=docs, clock=lambda: NOW)
    (result,) = report.expectations
    assert (report.exit_code, result.label, result.rows, result.failed) == (0, "shop@1", 300, ())
    assert (tmp_path / str(result.data_docs)).is_file()


def test_the_same_recipe_keeps_the_same_suite(trained: Trained) -> None:
    first, second = (trained.tracking.load_file("shop", version, SUITE_FILE) for version in (1, 2))
    assert first == second


def test_a_model_kept_without_a_suite_could_not_run(trained: Trained, tmp_path: Path) -> None:
    report = run_expectations(
        trained.serve(tmp_path / "log", version="9", count=3), trained.tracking, clock=lambda: NOW
    )
    assert (report.exit_code, report.expectations[0].uncompared) == (2, {"could not run": 3})


# transforms


def tried(trained: Trained, service: str | None = "shop_v1", **where: Any) -> Report:
    store = FeatureStore(repo_path=str(trained.repo))
    return run_transforms(store, service, Where(trained.repo, None, NOW, **where), clock=lambda: NOW)


def test_on_demand_views_are_tried_on_served_rows_where_there_are_any(trained: Trained, log: Path) -> None:
    report = tried(trained, log_dir=log, rows=100)
    (result,) = report.of("transforms")
    assert (report.exit_code, result.subject, result.rows) == (0, "clock", 500)
    assert result.notes["real rows"] == "100 served, from the log"


def test_without_a_log_on_generated_rows(trained: Trained) -> None:
    for service in ("shop_v1", None):
        (result,) = tried(trained, service).of("transforms")
        assert (result.verdict, result.rows) == ("pass", 400)


def test_a_service_that_is_not_there_is_named(trained: Trained) -> None:
    with pytest.raises(ContractError, match="'nothing' is not in the registry"):
        tried(trained, "nothing")


# the commands


def test_the_commands_print_json_and_exit_with_the_verdict(trained: Trained, log: Path, tmp_path: Path) -> None:
    bad = trained.serve(tmp_path / "bad", count=40, wrong=(3,))
    shared = ["--tracking-uri", trained.tracking.uri, "--json"]
    repo = ["--repo", str(trained.repo)]
    for command, expected in (
        (["parity", "replay", *repo, "--log", str(log), *shared], 0),
        (["parity", "replay", "--no-offline", "--log", str(bad), *shared], 1),
        (["parity", "replay", *repo, "--log", str(log), "--model", "other", *shared], 2),
        (["parity", "transforms", "shop_v1", *repo, "--log", str(log), "--json"], 0),
        (["parity", "expectations", "--log", str(log), "--docs", str(tmp_path / "docs"), *shared], 0),
        (["parity", "expectations", "--log", str(log), "--since", "2030-01-01", *shared], 2),
    ):
        done = CliRunner().invoke(app, command)
        assert done.exit_code == expected, done.output
        assert json.loads(done.stdout)["schema"].startswith("trueup.parity/")
    assert [path.name for path in (tmp_path / "docs").iterdir()] == ["shop-1"]
