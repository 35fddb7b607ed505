"""A skew in a running server's store, to the webhook: server, monitor, Prometheus and Alertmanager, all real."""

from __future__ import annotations

from tests.ops.outcome import Outcome, missing
from tests.ops.pytests import passed
from tests.ops.stack import ALERTMANAGER, HOW_TO_GET_THEM, PROMETHEUS


def check() -> Outcome:
    if absent := missing(PROMETHEUS, ALERTMANAGER):
        return Outcome("alerting", "skipped", f"{', '.join(absent)} missing: {HOW_TO_GET_THEM}")
    shown = "a value changed in a running server's Redis is one page at the webhook, and what follows from it is quiet"
    return passed("alerting", "tests/trueup/monitoring/test_alert_arrives.py", shown)
