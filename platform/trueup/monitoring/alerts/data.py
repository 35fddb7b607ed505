"""Alerts on what stands online: freshness against each view's own cadence and TTL, and absent values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from trueup.contracts.contract import View
from trueup.instants import format_duration
from trueup.monitoring.alerts.rules import Alert, Group
from trueup.monitoring.alerts.settings import AlertSettings
from trueup.monitoring.config import MonitoringConfig
from trueup.monitoring.freshness import MISSED_RUNS
from trueup.monitoring.monitor.jobs import cadences, materialize_task


def data_group(config: MonitoringConfig, views: Sequence[View]) -> Group:
    """views: those that are kept online, each once by its table."""
    settings, now = config.alerts, config.monitor.now
    clock = "time()" if now is None else f"{now.timestamp():.0f}"  # of a replay, the instant it stands at
    tasks = {
        table: materialize_task(every)
        for every, tables in cadences(config.jobs.materialize, views).items()
        for table in tables
    }
    rules = [rule for view in views for rule in _of_view(view, settings, clock, tasks[view.table])]
    return Group("trueup-data", (*rules, _empty(settings), _null_rate(settings)))


def _of_view(view: View, settings: AlertSettings, clock: str, task: str) -> Iterator[Alert]:
    name, schedule = view.table, view.schedule
    series = f"{{view={_quoted(name)}}}"
    if schedule.cadence:
        late = MISSED_RUNS * schedule.cadence + schedule.delay
        yield Alert(
            "TrueupLateMaterialization",
            f"{clock} - max by (view) (trueup_view_known_timestamp_seconds{series}) > {late.total_seconds():g}",
            settings.hold_seconds,
            "page",
            "data",
            "{{ $labels.view }} is not materialized on its cadence.",
            f"Its last run read what was known {{{{ $value | humanizeDuration }}}} ago; its cadence is "
            f"{format_duration(schedule.cadence)}.",
            {"view": name, "task": task},
        )
    if view.ttl is not None:
        yield Alert(
            "TrueupStaleView",
            f"{clock} - max by (view) (trueup_view_newest_event_timestamp_seconds{series})"
            f" > {view.ttl.total_seconds():g}",
            settings.hold_seconds,
            "page",
            "data",
            "Everything online of {{ $labels.view }} has expired.",
            f"Its newest event is {{{{ $value | humanizeDuration }}}} old; its TTL is {format_duration(view.ttl)}, so "
            "each of its features is served as expired.",
            {"view": name, "task": task},
        )


def _empty(settings: AlertSettings) -> Alert:
    return Alert(
        "TrueupEmptyView",
        "max by (view) (trueup_view_entities) == 0",
        settings.hold_seconds,
        "page",
        "data",
        "The online store holds nothing of {{ $labels.view }}.",
        "Each of its features is served as missing. Was it never materialized, or was the store emptied?",
    )


def _null_rate(settings: AlertSettings) -> Alert:
    """Live, against what the model learned from: in training a value that is not there is null, whatever the reason."""
    served = (
        'sum by (service, feature) (rate(trueup_feature_values_total{status!="present"}[1h]))'
        " / sum by (service, feature) (rate(trueup_feature_values_total[1h]))"
    )
    trained = 'max by (feature) (trueup_parity_absent_ratio{side="training"})'
    enough = f"sum by (service, feature) (increase(trueup_feature_values_total[1h])) >= {settings.null_ratio_rows}"
    more = f"({served} - on (feature) group_left () {trained}) > {settings.null_ratio_increase:g}"
    return Alert(
        "TrueupNullRate",
        # The view's name, which inhibition goes by, is the feature's up to the first two underscores.
        f'label_replace(({more}) and ({enough}), "view", "$1", "feature", "(.+?)__.*")',
        settings.hold_seconds,
        "page",
        "data",
        "{{ $labels.feature }} is absent more often than in training.",
        "By {{ $value | humanizePercentage }} of the rows served within an hour for {{ $labels.service }}: null, "
        "missing or expired.",
    )


def _quoted(text: str) -> str:
    """A PromQL string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
