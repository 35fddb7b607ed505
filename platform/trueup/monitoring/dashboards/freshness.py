"""Dashboard: how fresh what stands online is, and whether the jobs that keep it so do run."""

from __future__ import annotations

from trueup.monitoring.config import MonitoringConfig
from trueup.monitoring.dashboards.panel import Board, Panel, Query, Row, Variable

_VIEW = 'view=~"$view"'
_SINCE = "(time() - trueup_job_last_success_timestamp_seconds)"


def freshness_board(config: MonitoringConfig) -> Board:
    now = config.monitor.now
    clock = "time()" if now is None else f"{now.timestamp():.0f}"
    return Board(
        "trueup-freshness",
        "trueup: data freshness",
        "Per view: last materialized, newest event, TTL, cadence. Per job: when it last came to a result.",
        (_glance(config), _views(clock), _jobs(config)),
        (Variable("view", "trueup_view_fresh"),),
        "now-24h",
    )


def _glance(config: MonitoringConfig) -> Row:
    late = f"max by (task) ({_SINCE} / trueup_job_interval_seconds) > bool {config.alerts.missed_intervals:g}"
    return Row(
        "At a glance",
        (
            Panel(
                "Views that are not fresh",
                "Late for their cadence, empty, or all of it expired.",
                (Query("count(trueup_view_fresh == 0) or vector(0)"),),
                "number",
                "none",
                8,
                1,
            ),
            Panel(
                "Jobs that do not run",
                "No result for several of their intervals.",
                (Query(f"sum({late})"),),
                "number",
                "none",
                8,
                1,
            ),
            Panel(
                "Runs that came to nothing",
                "In the time shown: could not run, or took too long.",
                (Query('sum(increase(trueup_job_runs_total{outcome=~"could_not_run|timed_out"}[$__range]))'),),
                "number",
                "none",
                8,
                1,
            ),
        ),
    )


def _views(clock: str) -> Row:
    return Row(
        "Views",
        (
            Panel(
                "Since what was last read",
                "How long ago the last run read what was known. Twice the cadence is late.",
                (Query(f"{clock} - max by (view) (trueup_view_known_timestamp_seconds{{{_VIEW}}})", "{{view}}"),),
                unit="s",
            ),
            Panel(
                "In cadences",
                "The same as a multiple of each view's cadence; 2 and more is late.",
                (
                    Query(
                        f"({clock} - max by (view) (trueup_view_known_timestamp_seconds{{{_VIEW}}}))"
                        f" / (max by (view) (trueup_view_cadence_seconds{{{_VIEW}}}) > 0)",
                        "{{view}}",
                    ),
                ),
                limit=2,
            ),
            Panel(
                "Age of the newest event",
                "As a share of the TTL: from 1 on everything online of the view has expired.",
                (
                    Query(
                        f"({clock} - max by (view) (trueup_view_newest_event_timestamp_seconds{{{_VIEW}}}))"
                        f" / max by (view) (trueup_view_ttl_seconds{{{_VIEW}}})",
                        "{{view}}",
                    ),
                ),
                unit="percentunit",
                limit=1,
            ),
            Panel(
                "Entities",
                "Online, and those that are older than the TTL.",
                (
                    Query(f"max by (view) (trueup_view_entities{{{_VIEW}}})", "{{view}}"),
                    Query(f"max by (view) (trueup_view_expired_entities{{{_VIEW}}})", "{{view}}: expired"),
                ),
            ),
            Panel(
                "Fresh",
                "1: as new as it is declared to be.",
                (Query(f"min by (view) (trueup_view_fresh{{{_VIEW}}})"),),
                "table",
                "none",
                12,
                labels=("view",),
            ),
            Panel(
                "Last materialized",
                "When a run of the view last finished.",
                (Query(f"max by (view) (trueup_view_materialized_timestamp_seconds{{{_VIEW}}}) * 1000"),),
                "table",
                "dateTimeFromNow",
                12,
                labels=("view",),
            ),
        ),
    )


def _jobs(config: MonitoringConfig) -> Row:
    return Row(
        "Jobs",
        (
            Panel(
                "Since the last result",
                "In intervals of the job; the line is where an alert begins.",
                (Query(f"max by (task) ({_SINCE} / trueup_job_interval_seconds)", "{{task}}"),),
                limit=config.alerts.missed_intervals,
            ),
            Panel(
                "Duration",
                "Of the last run.",
                (Query("max by (task) (trueup_job_last_duration_seconds)", "{{task}}"),),
                unit="s",
            ),
            Panel(
                "Runs",
                "That ended, since the state folder was new, by what they came to. `failed`: a check found something.",
                (Query("sum by (task, outcome) (trueup_job_runs_total) > 0"),),
                "table",
                "short",
                12,
                labels=("task", "outcome"),
            ),
            Panel(
                "Exit code",
                "Of the last run: 0 passed, 1 a check failed, 2 it could not run.",
                (Query("max by (task) (trueup_job_last_exit_code)", "{{task}}"),),
                unit="none",
                width=6,
            ),
            Panel(
                "Running, and skipped",
                "1 while it runs; times it was due while nobody ran it.",
                (
                    Query("max by (task) (trueup_job_running)", "{{task}} runs"),
                    Query("max by (task) (trueup_job_skipped_total)", "{{task}} skipped"),
                ),
                unit="none",
                width=6,
            ),
        ),
    )
