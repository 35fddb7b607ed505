"""Error budgets burnt too fast, in several windows at once.

The windows and rates are those of Google's SRE Workbook, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts": a page when
2 % of 30 days' budget went in an hour, or 5 % in six; a ticket when 10 % went in three days. The short window, a
twelfth of the long one, ends the alert soon after the trouble ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from trueup.monitoring.alerts.rules import Alert, Group, Record, Severity
from trueup.monitoring.alerts.settings import Objectives

ROUTES = 'route=~"/v1/.*"'


@dataclass(frozen=True)
class Burn:
    """rate: how many times faster than the objective allows."""

    rate: float
    long: str
    short: str
    for_seconds: int
    severity: Severity


BURNS = (
    Burn(14.4, "1h", "5m", 120, "page"),
    Burn(6.0, "6h", "30m", 900, "page"),
    Burn(1.0, "3d", "6h", 3600, "ticket"),
)
WINDOWS = tuple(dict.fromkeys(window for burn in BURNS for window in (burn.short, burn.long)))


def burn_group(slo: Objectives) -> Group:
    rules: list[Alert | Record] = []
    for window in WINDOWS:
        rules.append(Record(f"trueup:request_errors:ratio_rate{window}", _errors(window)))
        rules.append(Record(f"trueup:request_slow:ratio_rate{window}", _slow(window, slo)))
    rules += _alerts(
        "TrueupErrorBudgetBurn",
        "trueup:request_errors",
        1 - slo.availability,
        f"Requests fail: {_percent(slo.availability)} should be answered without a 5xx",
    )
    rules += _alerts(
        "TrueupLatencyBudgetBurn",
        "trueup:request_slow",
        1 - slo.latency,
        f"Requests are slow: {_percent(slo.latency)} should be answered within {slo.latency_seconds:g} s",
    )
    return Group("trueup-slo", rules)


def _alerts(name: str, series: str, budget: float, summary: str) -> Iterator[Alert]:
    for burn in BURNS:
        limit = f"{burn.rate * budget:.6g}"
        yield Alert(
            name,
            f"{series}:ratio_rate{burn.long} > {limit} and {series}:ratio_rate{burn.short} > {limit}",
            burn.for_seconds,
            burn.severity,
            "serving",
            f"{summary}.",
            f"{{{{ $value | humanizePercentage }}}} over {burn.long}: {burn.rate:g} times what the objective allows.",
            {"window": burn.long},
        )


def _errors(window: str) -> str:
    return (
        f'sum(rate(trueup_requests_total{{{ROUTES}, code=~"5.."}}[{window}]))'
        f" / sum(rate(trueup_requests_total{{{ROUTES}}}[{window}]))"
    )


def _slow(window: str, slo: Objectives) -> str:
    return (
        f'1 - sum(rate(trueup_request_seconds_bucket{{{ROUTES}, le="{float(slo.latency_seconds)}"}}[{window}]))'
        f" / sum(rate(trueup_request_seconds_count{{{ROUTES}}}[{window}]))"
    )


def _percent(share: float) -> str:
    return f"{100 * share:g} %"
