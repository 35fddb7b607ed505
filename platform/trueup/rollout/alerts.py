"""Alertmanager, asked for what pages somebody now."""

from __future__ import annotations

from collections.abc import Sequence

import requests

from trueup.errors import UnavailableError

TIMEOUT_SECONDS = 10.0
PAGES = ('severity="page"', 'alertname=~"Trueup.+"')
"""Which alerts count, as Alertmanager's own matchers: trueup's own that page somebody (`trueup.monitoring.alerts`)."""


def active_alerts(url: str, matchers: Sequence[str] = PAGES) -> tuple[str, ...]:
    """Names of the alerts that fire, neither silenced nor inhibited, each once, in order.

    matchers: all must match. Raises UnavailableError when Alertmanager does not answer, or refuses a matcher.
    """
    session = requests.Session()
    session.trust_env = False
    query = {"active": "true", "silenced": "false", "inhibited": "false", "unprocessed": "false", "filter": [*matchers]}
    try:
        with session:
            answer = session.get(f"{url.rstrip('/')}/api/v2/alerts", params=query, timeout=TIMEOUT_SECONDS)
            answer.raise_for_status()
            found = answer.json()
    except requests.RequestException as error:
        raise UnavailableError(f"Alertmanager at {url} does not answer: {error}.") from error
    return tuple(sorted({str(each["labels"].get("alertname", "an alert without a name")) for each in found}))
