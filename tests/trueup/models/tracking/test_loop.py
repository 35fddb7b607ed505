"""The loop against a server over PostgreSQL: train, promote, roll back, and read the environment, as a user would."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.training import shop
from tests.trueup.gate import shop_world
from tests.trueup.models.tracking.servers import MlflowServer
from typer.testing import CliRunner

from trueup.cli import app
from trueup.datasets.snapshot import open_snapshot
from trueup.gate import gather
from trueup.models.tracking import Tracking
from trueup_training.cli import train_command

Run = Callable[..., str]


@pytest.fixture
def run(postgresql_server: MlflowServer, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A command by its words, in a folder with an applied repository; gives standard output."""
    if not any(command.name == "train" for command in app.registered_commands):
        app.command("train")(train_command)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRUEUP_TRACKING_URI", postgresql_server.uri)
    monkeypatch.setenv("TRUEUP_REPO", str(shop.make_repo(tmp_path / "repo", redis_url)))
    monkeypatch.setenv("TRUEUP_GATE_REQUESTS", "10")
    monkeypatch.setenv("TRUEUP_GATE_LATENCY_P99_MS", "60000")

    def run(*words: str, exit_code: int = 0) -> str:
        result = CliRunner().invoke(app, words, catch_exceptions=False)
        assert result.exit_code == exit_code, result.output
        return result.stdout

    return run


def test_the_whole_loop_on_a_server_over_postgresql(run: Run, postgresql_server: MlflowServer, tmp_path: Path) -> None:
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    first.write_text(shop.RECIPE, encoding="utf-8")
    second.write_text(shop.RECIPE.replace("max_iter = 20", "max_iter = 21").replace('alias = "champion"\n', ""))
    trained = [json.loads(run("train", str(recipe), "--json")) for recipe in (first, second)]
    assert [(each["version"], each["alias"]) for each in trained] == [(1, "champion"), (2, None)]

    tracking = Tracking(postgresql_server.uri)
    assert tracking.load_card("shop", "champion").metrics == trained[0]["metrics"]
    # A server keeps no snapshots: they are where one trains.
    snapshot = open_snapshot(trained[0]["snapshot"], tmp_path / "datasets")
    predictions = tracking.load_bundle("shop", "champion").predict(snapshot.load().features)
    assert len(predictions) == trained[0]["train_rows"] + trained[0]["metrics"]["rows"]

    key = tmp_path / "gate.pem"
    run("gate", "key", "--out", str(key))
    for each in trained:
        tracking.log_reproduction(each["run_id"], shop_world.reproduction(tracking, each["version"]), at=shop.NOW)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gather, "try_serving", lambda *_, **__: shop_world.WELL)
        assert "its verdict is new" in run("promote", "shop@1", "--key", str(key))
    run("promote", "shop@2", "--key", str(key))  # with a server that reads its model from this one
    assert tracking.alias("shop", "champion") == 2
    run("rollback", "shop", "--key", str(key))
    assert tracking.alias("shop", "champion") == 1
    moves = json.loads(run("gate", "show", "shop", "--json"))["moves"]
    assert [(move["by"], move["from"], move["to"], move["made"]) for move in moves] == [
        ("rollback", 2, 1, "yes"),
        ("promote", 1, 2, "yes"),
    ]
    run("env", "diff", "shop@champion", "shop/2")
