"""Alerts and their routes by the real tools: promtool, amtool, and an Alertmanager that inhibits."""

from __future__ import annotations

from tests.ops.outcome import Outcome, missing
from tests.ops.pytests import passed
from tests.ops.stack import ALERTMANAGER, HOW_TO_GET_THEM


def check() -> Outcome:
    if absent := missing("promtool", "amtool", ALERTMANAGER):
        return Outcome("rules", "skipped", f"{', '.join(absent)} missing: {HOW_TO_GET_THEM}")
    shown = "promtool fires every alert and not its near miss; amtool takes the routes; Alertmanager inhibits"
    return passed("rules", "tests/trueup/monitoring/alerts", shown)
