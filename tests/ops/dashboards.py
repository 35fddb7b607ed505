"""Every query of every dashboard on a real Prometheus with the demo's data: none is empty.

A query is empty too where all it gives is no number, which Grafana does not draw, or where no series has the labels
that its legend or its columns show. Every variable has values to choose from; annotations are asked, and may be empty.

A server answers requests of the replayed weeks, the monitor runs every job once on what the demo left, and Prometheus
scrapes both, by the committed rules.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from tests.ops.outcome import Outcome, missing
from tests.ops.stack import HOW_TO_GET_THEM, PROMETHEUS, Prometheus, free_port
from tests.trueup.monitoring.dashboards import Asked, Choice, annotations, choices, queries

from trueup.instants import parse_instant

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "build" / "demo"
END = "2013-12-08T05:00:00Z"
"""Of the demo's replay."""
ENVIRONMENT = {
    "TRUEUP_REPO": str(DEMO / "feature_repo"),
    "TRUEUP_LOG_DIR": str(DEMO / "served"),
    "TRUEUP_OUTCOMES": str(DEMO / "outcomes"),
    "TRUEUP_TRACKING_URI": f"sqlite:///{DEMO}/mlflow/mlflow.db",
}
SETTINGS = """
experiments = ["{root}/serving/experiments/flights-ab.toml"]
[monitor]
state = "{folder}/state"
now = {end}
[jobs.parity]
every = "365d"
window = "14d"
sample = 0.2
[jobs.drift]
every = "365d"
window = "14d"
[jobs.quality]
every = "365d"
[jobs.ledger]
every = "365d"
window = "14d"
[scrape]
interval_seconds = 1
"""
PATIENCE_SECONDS = 300.0
REQUESTS = 60


def check() -> Outcome:
    if missing(PROMETHEUS):
        return Outcome("dashboards", "skipped", f"{PROMETHEUS} missing: {HOW_TO_GET_THEM}")
    if not (DEMO / "report.html").is_file():
        return Outcome("dashboards", "skipped", "build/demo is not there: run `make demo` first")
    with tempfile.TemporaryDirectory(prefix="trueup-dashboards-") as name:
        folder = Path(name)
        config = folder / "monitoring.toml"
        config.write_text(SETTINGS.format(root=ROOT, folder=folder, end=END))
        _trueup("materialize", "--end", END, "--known-at", END)
        done = _trueup("monitor", "run", "--once", "--config", str(config), check=False)
        if done.returncode not in (0, 1):
            return Outcome("dashboards", "failed", f"a job could not run:\n{done.stderr}")
        with _server(folder) as server, _monitor(config) as monitor, _prometheus(folder, server, monitor) as prometheus:
            return _asked(prometheus, server)


def _asked(prometheus: Prometheus, server: str) -> Outcome:
    from trueup.monitoring.config import load_monitoring
    from trueup.monitoring.dashboards import grafana_files

    files = grafana_files(load_monitoring(ROOT / "infra" / "monitoring.toml"))
    every, variables = list(queries(files)), list(choices(files))
    rows = _rows()
    deadline = time.monotonic() + PATIENCE_SECONDS
    sent = 0
    while True:
        for row, at in rows[sent % len(rows) :][:REQUESTS]:
            _ask(server, row, at)
        sent += REQUESTS
        empty = [f"{asked.board}, {asked.panel}: {asked.expr}" for asked in every if not _drawn(prometheus, asked)]
        empty += [f"{choice.board}, ${choice.label}" for choice in variables if not _values(prometheus, choice)]
        if not empty:
            break
        if time.monotonic() > deadline:
            shown = f"{len(empty)} of {len(every) + len(variables)} queries are empty: {'; '.join(empty)}"
            return Outcome("dashboards", "failed", shown)
    for mark in annotations(files):
        prometheus.query(mark.expr)  # raises where Prometheus refuses it
    boards = len({asked.board for asked in every})
    return Outcome(
        "dashboards",
        "passed",
        f"{len(every)} queries and {len(variables)} variables of {boards} dashboards, none empty on the demo's data",
        {"queries": len(every), "variables": len(variables), "requests": sent},
    )


def _drawn(prometheus: Prometheus, asked: Asked) -> bool:
    """Some series has a number, and all that its name is made of."""
    return any(
        math.isfinite(float(series["value"][1])) and asked.shown <= set(series["metric"])
        for series in prometheus.query(asked.expr)
    )


def _values(prometheus: Prometheus, choice: Choice) -> list[str]:
    found: list[str] = prometheus.get(f"/api/v1/label/{choice.label}/values", **{"match[]": choice.metric})["data"]
    return found


def _rows() -> list[tuple[dict[str, Any], str]]:
    """Flights of the replay's last days, and when they are asked about: an hour before they should leave."""
    import pyarrow.parquet as pq

    from trueup.instants import EPOCH, format_instant

    fields = ["origin", "dest", "carrier", "tailnum", "sched_dep_unix", "flight_id"]
    end = (parse_instant(END) - EPOCH) // timedelta(seconds=1)
    flights = pq.read_table(
        DEMO / "feature_repo" / "data" / "outcomes.parquet",
        columns=fields,
        filters=[("sched_dep_unix", ">", end - 3 * 86_400), ("sched_dep_unix", "<=", end)],
    )
    return [
        (row, format_instant(EPOCH + timedelta(seconds=row["sched_dep_unix"]) - timedelta(hours=1)))
        for row in flights.slice(0, 1000).to_pylist()
    ]


def _ask(server: str, row: dict[str, Any], at: str) -> None:
    body = json.dumps({"entities": [row]}).encode()
    headers = {"Content-Type": "application/json", "X-Trueup-Now": at}
    urllib.request.urlopen(urllib.request.Request(f"{server}/v1/predict", body, headers), timeout=30).close()


def _environment() -> dict[str, str]:
    return {**os.environ, **ENVIRONMENT}


def _trueup(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trueup", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, done.stderr
    return done


@contextmanager
def _process(*arguments: str, ready: str, environment: dict[str, str] | None = None) -> Iterator[None]:
    command = [sys.executable, "-m", "trueup", *arguments]
    with subprocess.Popen(command, cwd=ROOT, env={**_environment(), **(environment or {})}) as process:
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while True:
                try:
                    urllib.request.urlopen(ready, timeout=5).close()
                except OSError:
                    assert process.poll() is None, f"{arguments} ended"
                    assert time.monotonic() < deadline, f"{ready} does not answer"
                    time.sleep(0.1)
                else:
                    break
            yield
        finally:
            process.terminate()
            process.wait(120)


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = ("serve", "--config", "serving/serving.toml", "--port", str(port), "--allow-unverified")
    own = {"TRUEUP_SERVING_LOG_DIR": str(folder / "log")}  # the demo's own log stays as it is
    with _process(*arguments, ready=f"{url}/readyz", environment=own):
        yield url


@contextmanager
def _monitor(config: Path) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with _process("monitor", "run", "--config", str(config), "--port", str(port), ready=f"{url}/metrics"):
        yield url


def _prometheus(folder: Path, server: str, monitor: str) -> Prometheus:
    """The committed rules, and targets of this machine, every second."""
    settings = yaml.safe_load((ROOT / "infra" / "prometheus" / "prometheus.yml").read_text())
    settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    settings.pop("alerting")
    for job, url in zip(settings["scrape_configs"], (server, monitor), strict=True):
        job["static_configs"] = [{"targets": [url.removeprefix("http://")]}]
    (folder / "prometheus").mkdir()
    (folder / "prometheus" / "rules.yml").write_text((ROOT / "infra" / "prometheus" / "rules.yml").read_text())
    return Prometheus(folder / "prometheus", settings)
