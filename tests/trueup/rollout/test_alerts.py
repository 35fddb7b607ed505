"""What pages somebody now, asked of Debian's real Alertmanager."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.ops.outcome import missing
from tests.ops.stack import ALERTMANAGER, HOW_TO_GET_THEM, Alertmanager

from trueup.errors import UnavailableError
from trueup.rollout.alerts import active_alerts

CONFIG = {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    if missing(ALERTMANAGER):
        pytest.skip(f"there is no {ALERTMANAGER}: {HOW_TO_GET_THEM}")
    with Alertmanager(tmp_path_factory.mktemp("alertmanager"), CONFIG) as running:
        yield running


def post(url: str, path: str, body: object) -> None:
    headers = {"Content-Type": "application/json"}
    urllib.request.urlopen(
        urllib.request.Request(f"{url}{path}", json.dumps(body).encode(), headers), timeout=10
    ).close()


def test_pages_of_trueup_count_and_neither_tickets_nor_others_nor_silenced_ones(alertmanager: Alertmanager) -> None:
    assert active_alerts(alertmanager.url) == ()
    names = {
        "TrueupParityMismatch": "page",
        "TrueupDrift": "ticket",
        "SomebodyElses": "page",
        "TrueupServerDown": "page",
    }
    post(
        alertmanager.url,
        "/api/v2/alerts",
        [{"labels": {"alertname": name, "severity": severity}} for name, severity in names.items()],
    )
    assert active_alerts(alertmanager.url) == ("TrueupParityMismatch", "TrueupServerDown")
    assert active_alerts(f"{alertmanager.url}/", ['severity="ticket"']) == ("TrueupDrift",)
    silence = {
        "matchers": [{"name": "alertname", "value": "TrueupServerDown", "isRegex": False}],
        "startsAt": "2020-01-01T00:00:00Z",
        "endsAt": "2100-01-01T00:00:00Z",
        "createdBy": "test",
        "comment": "being mended",
    }
    post(alertmanager.url, "/api/v2/silences", silence)
    assert active_alerts(alertmanager.url) == ("TrueupParityMismatch",)


def test_an_alertmanager_that_refuses_or_is_away_is_an_error(alertmanager: Alertmanager, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="400"):
        active_alerts(alertmanager.url, ["no matcher"])
    with pytest.raises(UnavailableError, match=r"Alertmanager at http://127\.0\.0\.1:1 does not answer"):
        active_alerts("http://127.0.0.1:1")
