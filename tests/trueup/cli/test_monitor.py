"""`trueup monitor` as a process: on a stock repository, stopped, started again, asked for its metrics."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.trueup.parity.stock import template
from typer.testing import CliRunner

from trueup.cli import app
from trueup.errors import TrueupError

PATIENCE_SECONDS = 120.0
TRUEUP = (sys.executable, "-m", "trueup")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Jobs that are due at a start and not again for a day: materialize, freshness and parity of a stock repository."""
    template(tmp_path, offline="dask", online={"type": "sqlite", "path": "data/online.db"})
    path = tmp_path / "monitoring.toml"
    path.write_text(
        f'[monitor]\nstate = "{tmp_path / "state"}"\nstop_seconds = 60\n'
        '[jobs.materialize]\nevery = "365d"\n[jobs.freshness]\nevery = "365d"\n'
        '[jobs.parity]\nevery = "365d"\nwindow = "1d"\n[jobs.drift]\nevery = "1d"\nwindow = "1d"\nenabled = false\n'
    )
    return path


def environment(config: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TRUEUP_", "PROMETHEUS_"))}
    folder = config.parent
    return {
        **kept,
        "TRUEUP_REPO": str(folder / "drivers" / "feature_repo"),
        "TRUEUP_LOG_DIR": str(folder / "served"),
        "TRUEUP_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
    }


def monitor(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*TRUEUP, "monitor", *arguments, "--config", str(config)]
    return subprocess.run(command, capture_output=True, text=True, env=environment(config), check=False)


@contextmanager
def running(config: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and the address of its metrics."""
    command = [*TRUEUP, "monitor", "run", "--config", str(config), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment(config)) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if found := re.search(r"http://\S+", line):
                    yield process, found.group().rstrip(";")
                    break
            else:
                raise AssertionError("the monitor ended before it answered")
        finally:
            process.kill()


def metrics(url: str) -> dict[str, dict[tuple[str, ...], float]]:
    with urllib.request.urlopen(url, timeout=30) as answer:
        text = answer.read().decode()
    return {
        sample.name: {tuple(each.labels.values()): each.value for each in family.samples if each.name == sample.name}
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def until_all_ran(url: str) -> dict[str, dict[tuple[str, ...], float]]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = metrics(url)
        if len(found.get("trueup_job_last_run_timestamp_seconds", {})) == 3:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def test_it_runs_what_is_due_stops_when_told_and_after_a_restart_does_nothing_twice(config: Path) -> None:
    with running(config) as (process, url):
        first = until_all_ran(url)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    # Kind, outcome, task: labels come in the order of their names.
    runs = {task: value for (_, what, task), value in first["trueup_job_runs_total"].items() if what == "passed"}
    assert runs == {"materialize-52w1d": 1, "freshness": 1, "parity": 1}
    assert set(first["trueup_view_fresh"].values()) == {1.0}
    assert first["trueup_parity_verdict"]["online", "driver_hourly_stats", "pass"] == 1

    with running(config) as (process, url):
        again = until_all_ran(url)
        second = monitor(config, "run", "--once")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert again["trueup_job_runs_total"] == first["trueup_job_runs_total"]
    assert again["trueup_parity_compared_cells"] == first["trueup_parity_compared_cells"]

    assert second.returncode == 2
    assert f"another monitor (process {process.pid}) works on" in second.stderr.replace("\n", " ")

    shown = json.loads(monitor(config, "show", "--json").stdout)
    assert {each["task"]: each["outcome"] for each in shown} == dict.fromkeys(runs, "passed")
    assert all(each["next"] != "now" for each in shown)


def test_one_job_runs_when_it_is_asked_for_and_its_code_is_the_commands(config: Path) -> None:
    assert monitor(config, "run", "freshness").returncode == 0
    state: dict[str, Any] = json.loads((config.parent / "state" / "freshness.json").read_text())
    assert (state["outcome"], state["slot"]) == ("passed", None)  # it stands for no slot: that one is due still


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("[jobs.parity]\nevery = '1x'\nwindow = '1d'\n", "jobs.parity.every: "),
        ("[jobs.nothing]\n", "jobs.nothing: "),
        ("experiments = ['nowhere.toml']\n", "nowhere.toml cannot be read"),
        ("[monitor]\nstate = '/proc/nowhere'\n", "monitor.state: /proc/nowhere cannot be written"),
    ],
)
def test_settings_that_cannot_be_are_an_error_at_the_start(
    tmp_path: Path, repo: Path, settings: str, said: str
) -> None:
    path = tmp_path / "monitoring.toml"
    path.write_text(settings)
    with pytest.raises(TrueupError, match=re.escape(said)):
        _invoke(["monitor", "run", "--once", "--config", str(path), "--repo", str(repo)])


def test_a_job_there_is_not_is_an_error_that_names_those_there_are(tmp_path: Path, repo: Path) -> None:
    path = tmp_path / "monitoring.toml"
    path.write_text(f'[monitor]\nstate = "{tmp_path / "state"}"\n')
    with pytest.raises(
        TrueupError, match="there is no job 'nothing'; there are materialize-1h, freshness, parity, drift"
    ):
        _invoke(["monitor", "run", "nothing", "--config", str(path), "--repo", str(repo)])


def _invoke(arguments: list[str]) -> None:
    found = CliRunner().invoke(app, arguments)
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stock")
    return Path(str(template(folder, offline="dask", online={"type": "sqlite", "path": "data/online.db"}).repo_path))
