"""One cause, one page: a real Alertmanager, given alerts, keeps those quiet that follow from another."""

from __future__ import annotations

import json
import shutil
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.ops.stack import ALERTMANAGER, HOW_TO_GET_THEM, Alertmanager
from tests.trueup.monitoring.alerts.cases import CONFIG, VIEWS

from trueup.monitoring.alerts import files

pytestmark = pytest.mark.skipif(
    shutil.which(ALERTMANAGER) is None, reason=f"{ALERTMANAGER} is missing: {HOW_TO_GET_THEM}"
)


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Alertmanager]:
    config = yaml.safe_load(files.alerting_files(CONFIG, VIEWS)[files.ALERTMANAGER])
    with Alertmanager(tmp_path, config) as running:
        assert isinstance(running, Alertmanager)
        yield running


def loud(alertmanager: Alertmanager, *alerts: dict[str, str]) -> set[str]:
    """Names of those of the alerts that are told to somebody."""
    body = json.dumps([{"labels": labels} for labels in alerts]).encode()
    request = urllib.request.Request(
        f"{alertmanager.url}/api/v2/alerts", body, {"Content-Type": "application/json"}, method="POST"
    )
    urllib.request.urlopen(request, timeout=30).close()
    deadline = time.monotonic() + 60
    while True:  # an alert is taken in, and looked at, a moment later
        found: list[dict[str, Any]] = alertmanager.get("/api/v2/alerts")
        if len(found) == len(alerts) and all(each["status"]["state"] != "unprocessed" for each in found):
            return {each["labels"]["alertname"] for each in found if not each["status"]["inhibitedBy"]}
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def alert(name: str, **labels: str) -> dict[str, str]:
    return {"alertname": f"Trueup{name}", "severity": "page", **labels}


STORY: dict[str, tuple[tuple[dict[str, str], ...], set[str]]] = {
    "the server is gone": (
        (
            alert("ServingDown", job="trueup-serving"),
            alert("ServerDown", instance="a"),
            alert("ServerDown", instance="b"),
            alert("NoTraffic", experiment="e"),
            alert("ErrorBudgetBurn", window="1h"),
        ),
        {"TrueupServingDown"},
    ),
    "Redis is away": (
        (
            alert("OnlineStoreFails", service="s"),
            alert("ErrorBudgetBurn", window="1h"),
            alert("ErrorBudgetBurn", window="6h"),
            alert("FallbackAnswers", experiment="e", variant="v"),
        ),
        {"TrueupOnlineStoreFails"},
    ),
    "nothing is materialized": (
        (
            alert("JobNotRun", task="materialize-1h", kind="materialize"),
            alert("LateMaterialization", view="weather", task="materialize-1h"),
            alert("StaleView", view="weather", task="materialize-1h"),
        ),
        {"TrueupJobNotRun"},
    ),
    "one job is dead, and another's view has nothing new": (
        (
            alert("JobNotRun", task="materialize-1d", kind="materialize"),
            alert("StaleView", view="weather", task="materialize-1h"),
            alert("EmptyView", view="facts"),
        ),
        {"TrueupJobNotRun", "TrueupStaleView", "TrueupEmptyView"},
    ),
    "one view is late, and another's values differ": (
        (
            alert("LateMaterialization", view="weather"),
            alert("StaleView", view="weather"),
            alert("NullRate", view="weather", feature="weather__wind"),
            alert("ParityMismatch", view="weather", check="served", subject="m@1", model="m"),
            alert("ParityMismatch", view="planes", check="served", subject="m@1", model="m"),
        ),
        {"TrueupLateMaterialization", "TrueupParityMismatch"},
    ),
    "skew makes a model worse": (
        (
            alert("ParityMismatch", view="weather", check="served", subject="m@1", model="m"),
            alert("Drift", check="distribution", subject="m@1", model="m"),
            alert("ModelQuality", model="m", version="1", metric="auc"),
            alert("ModelQuality", model="other", version="1", metric="auc"),
        ),
        {"TrueupParityMismatch", "TrueupModelQuality"},
    ),
    "somebody writes to the store": (
        (
            alert("UnexplainedMismatch", check="online", subject="weather"),
            alert("ParityMismatch", view="weather", check="online", subject="weather"),
        ),
        {"TrueupUnexplainedMismatch"},
    ),
    "a burnt budget, through every window": (
        (
            alert("LatencyBudgetBurn", window="1h"),
            alert("LatencyBudgetBurn", window="6h"),
            {**alert("LatencyBudgetBurn", window="3d"), "severity": "ticket"},
        ),
        {"TrueupLatencyBudgetBurn"},
    ),
    "the split is off": (
        (
            alert("SampleRatioMismatch", experiment="e"),
            alert("GuardrailBroken", experiment="e", variant="v", metric="q"),
            alert("GuardrailBroken", experiment="other", variant="v", metric="q"),
        ),
        {"TrueupSampleRatioMismatch", "TrueupGuardrailBroken"},
    ),
}


@pytest.mark.parametrize("name", STORY)
def test_what_follows_from_an_alert_is_quiet(name: str, alertmanager: Alertmanager) -> None:
    alerts, expected = STORY[name]
    assert loud(alertmanager, *alerts) == expected


def test_of_a_burnt_budget_the_shortest_window_is_told(alertmanager: Alertmanager) -> None:
    loud(alertmanager, alert("ErrorBudgetBurn", window="1h"), alert("ErrorBudgetBurn", window="6h"))
    told = [each["labels"] for each in alertmanager.get("/api/v2/alerts") if not each["status"]["inhibitedBy"]]
    assert [labels["window"] for labels in told] == ["1h"]
