"""`trueup parity all` on a stock repository: which checks it finds something for, its verdict, and going on."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from feast import FeatureStore
from feast.protos.feast.types.Value_pb2 import Value
from tests.trueup.parity import stock, stock_log
from tests.trueup.parity.stock import template
from typer.testing import CliRunner

from trueup.cli import app
from trueup.contracts.contract import FeatureContract
from trueup.errors import TrueupError
from trueup.eventlog.writer import LogWriter
from trueup.parity.config import load_config

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::RuntimeWarning", "ignore::FutureWarning"
)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return template(tmp_path, offline="dask", online={"type": "sqlite", "path": "data/online.db"})


def run(store: FeatureStore, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code, and the report as JSON."""
    result = invoke(store, "--json", *arguments)
    return result.exit_code, json.loads(result.stdout)


def invoke(store: FeatureStore, *arguments: str) -> Result:
    found = CliRunner().invoke(app, ["parity", "all", "--repo", str(store.repo_path), *arguments])
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found


def checks(report: dict[str, Any]) -> set[str]:
    return {result["check"] for result in report["results"]}


def tamper(store: FeatureStore) -> None:
    """One stored value becomes another."""
    path = Path(str(store.repo_path)) / "data" / "online.db"
    with sqlite3.connect(path) as connection:
        table = "drivers_driver_hourly_stats"
        value = Value(float_val=0.123).SerializeToString()
        connection.execute(
            f"UPDATE {table} SET value = ? WHERE rowid = "
            f"(SELECT min(rowid) FROM {table} WHERE feature_name = 'conv_rate')",
            (value,),
        )


def test_without_a_log_the_repository_itself_is_checked_and_the_rest_is_said_not_to_have_run(
    store: FeatureStore,
) -> None:
    code, report = run(store)
    assert (code, report["summary"]["verdict"], checks(report)) == (0, "pass", {"online", "transforms"})
    not_run = {name.removeprefix("not run: ") for name in report["facts"] if name.startswith("not run: ")}
    assert not_run == {"served", "distribution", "replay", "expectations"}


def test_a_log_without_models_is_checked_and_what_needs_models_is_said_not_to_have_run(store: FeatureStore) -> None:
    rows = stock_log.serve(store)
    log = stock_log.log(store, rows)
    code, report = run(store, "--log", str(log), "--check", "served,online")
    assert (code, checks(report)) == (0, {"online", "served"})
    _, report = run(store, "--log", str(log))
    assert checks(report) == {"online", "served", "transforms"}
    assert "names no registered model" in report["facts"]["not run: replay"]


def test_one_changed_value_in_the_store_fails_it(store: FeatureStore) -> None:
    tamper(store)
    code, report = run(store, "--check", "online")
    assert code == 1
    assert report["summary"]["online"]["mismatched"] == 1


def test_a_cause_that_is_not_named_to_fail_is_counted_and_passes(store: FeatureStore) -> None:
    tamper(store)
    code, report = run(store, "--check", "online", "--fail-on", "late_arrival,lag")
    assert (code, report["summary"]["online"]["mismatched"]) == (0, 1)
    code, _ = run(store, "--check", "online", "--fail-on", "late_arrival,unexplained")
    assert code == 1


def test_the_repositorys_parity_toml_counts(store: FeatureStore) -> None:
    tamper(store)
    path = Path(str(store.repo_path)) / "parity.toml"
    path.write_text("[tolerance.driver_hourly_stats__conv_rate]\nabsolute = 2.0\n")
    assert run(store, "--check", "online")[0] == 0
    path.write_text("[allowed]\ndriver_hourly_stats__conv_rate = 1.0\n")
    assert run(store, "--check", "online")[0] == 0
    path.write_text("[allowed]\ndriver_hourly_stats__acc_rate = 1.0\n")
    assert run(store, "--check", "online")[0] == 1


def test_a_job_that_finished_is_not_run_again_and_another_one_is_refused(store: FeatureStore, tmp_path: Path) -> None:
    folder = tmp_path / "job"
    code, first = run(store, "--resume", str(folder))
    tamper(store)  # what is finished is finished: the store is not read again
    again_code, again = run(store, "--resume", str(folder))
    assert (code, again_code) == (0, 0)
    assert again["results"] == first["results"]
    parts = len(list(folder.iterdir())) - 1
    assert again["facts"]["resumed"] == f"{parts} of {parts} parts were finished by an earlier run"
    with pytest.raises(TrueupError, match=r"holds another job: sample was 1\.0, is 0\.5"):
        invoke(store, "--resume", str(folder), "--sample", "0.5")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--check", "luck"], "there is no check 'luck'; there are online, served, distribution"),
        (["--check", ","], "check: it names none"),
        (["--fail-on", "bad_luck"], "there is no cause 'bad_luck'"),
        (["--fail-on", ","], "it names no cause"),
        (["--sample", "0"], "sample is 0.0; expected a share"),
        (["--since", "yesterday"], "'yesterday' is not an instant"),
        (["--since", "2026-11-02", "--until", "2026-11-01"], "until is 2026-11-01T00:00:00Z, not after since"),
        (["--config", "absent.toml"], "absent.toml cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_runs(store: FeatureStore, arguments: list[str], said: str) -> None:
    with pytest.raises(TrueupError, match=re.escape(said)):
        invoke(store, *arguments)


def test_a_check_that_was_asked_for_and_has_nothing_to_check_could_not_run(store: FeatureStore) -> None:
    code, report = run(store, "--check", "served")
    (result,) = report["results"]
    assert (code, result["check"]) == (2, "served")
    assert "there is no served log" in result["problem"]


def test_a_setting_of_a_feature_that_nothing_has_is_an_error(store: FeatureStore) -> None:
    (Path(str(store.repo_path)) / "parity.toml").write_text("[allowed]\ndriver__speed = 0.5\n")
    with pytest.raises(TrueupError, match="names 'driver__speed', which no checked feature service has"):
        invoke(store, "--check", "online")


def test_the_settings_are_shown_and_the_example_is_one_that_loads(store: FeatureStore) -> None:
    shown = CliRunner().invoke(app, ["parity", "config", "--repo", str(store.repo_path), "--json"])
    assert json.loads(shown.stdout)["fail_on"] is None
    example = CliRunner().invoke(app, ["parity", "config", "--example"])
    path = Path(str(store.repo_path)) / "parity.toml"
    path.write_text(example.stdout)
    settled = load_config(path)
    assert settled.fail_on == ("unexplained", "late_arrival")
    # It names the features of our own repository, and the settings are checked as a job checks them.
    with pytest.raises(TrueupError, match="which no checked feature service has"):
        CliRunner().invoke(app, ["parity", "config", "--repo", str(store.repo_path)], catch_exceptions=False)
    path.write_text("[allowed]\ndriver_hourly_stats__conv_rate = 0.5\n")
    shown = CliRunner().invoke(app, ["parity", "config", "--repo", str(store.repo_path), "--json"])
    assert json.loads(shown.stdout)["allowed"] == {"driver_hourly_stats__conv_rate": 0.5}


@pytest.mark.parametrize("name", ["absent", "absent/*.parquet"])
def test_a_log_that_was_named_and_is_not_there_could_not_run(store: FeatureStore, tmp_path: Path, name: str) -> None:
    code, report = run(store, "--log", str(tmp_path / name))
    (served,) = (result for result in report["results"] if result["check"] == "served")
    assert (code, "there is nothing at" in served["problem"]) == (2, True)


def test_a_glob_is_a_log(store: FeatureStore) -> None:
    folder = stock_log.log(store, stock_log.serve(store))
    code, report = run(store, "--log", f"{folder}/*-0.parquet")
    assert (code, checks(report)) == (0, {"online", "served", "transforms"})


@pytest.mark.parametrize("window", [["--since", "2100-01-01"], ["--until", "2000-01-01"]])
def test_a_window_in_which_nothing_was_served_is_no_pass(store: FeatureStore, window: list[str]) -> None:
    folder = stock_log.log(store, stock_log.serve(store))
    code, report = run(store, "--log", str(folder), *window)
    (served,) = (result for result in report["results"] if result["check"] == "served")
    assert (code, report["summary"]["verdict"]) == (2, "could not run")
    assert served["problem"].startswith("the log has no row that was served")
    assert window[1] in served["problem"]


def test_a_setting_or_a_ledger_that_is_not_there_is_an_error_of_every_command(store: FeatureStore) -> None:
    repo, log = Path(str(store.repo_path)), stock_log.log(store, stock_log.serve(store))
    (repo / "parity.toml").write_text("[allowed]\ndriver__speed = 0.5\n")
    for check, *options in (["online"], ["served", "--log", str(log)], ["all"]):
        found = CliRunner().invoke(app, ["parity", check, "--repo", str(repo), *options])
        assert isinstance(found.exception, TrueupError), check
        assert "names 'driver__speed', which no checked feature service has" in str(found.exception)
        found = CliRunner().invoke(app, ["parity", check, "--repo", str(repo), *options, "--ledger", "absent.db"])
        assert isinstance(found.exception, TrueupError), check
        assert "there is no materialization ledger at absent.db" in str(found.exception)


def test_an_online_store_that_does_not_answer_leaves_the_other_checks_alone(store: FeatureStore) -> None:
    folder = stock_log.log(store, stock_log.serve(store))
    stock.configure(
        Path(str(store.repo_path)),
        project="drivers",
        offline="dask",
        online={"type": "redis", "connection_string": "localhost:1"},
    )
    code, report = run(store, "--log", str(folder))
    verdicts = {(result["check"], result["problem"] is None) for result in report["results"]}
    assert (code, verdicts) == (2, {("online", False), ("served", True), ("transforms", True)})


def test_a_log_of_another_project_that_nobody_named_is_not_run(
    store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = FeatureContract("flights", "flights_v1", (), (), ())
    log = tmp_path / "served"
    with LogWriter(log, [other]):
        pass
    monkeypatch.setenv("TRUEUP_LOG_DIR", str(log))
    code, report = run(store)
    assert (code, checks(report)) == (0, {"online", "transforms"})
    assert f"the log at {log} is of flights, not of drivers" in str(report["facts"])
    assert run(store, "--log", str(log))[0] == 2
