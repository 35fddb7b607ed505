"""Dashboard: how fresh what stands online is, and whether the jobs that keep it so do run."""

from __future__ import annotations

from trueup.monitoring.config import MonitoringConfig
from trueup.monitoring.dashboards.panel import Board, Link, Panel, Query, Row, Variable

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
                "Late for their cadence, empty, or all of it expired. No data: `trueup freshness` has not run yet.",
                (Query("sum(trueup_view_fresh == bool 0)"),),
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
    of = f"{{{_VIEW}}}"
    return Row(
        "Views",
        (
            Panel(
                "Views, as they stand and as declared",
                "Known up to: what the last run read. Expired: entities older than the TTL. A view without a TTL never "
                "expires and has none here; a cadence of 0 is none.",
                (
                    Query(f"min by (view) (trueup_view_fresh{of})", "fresh", "none", 1, True),
                    Query(_instant("materialized", of), "materialized", "dateTimeAsIso"),
                    Query(_instant("known", of), "known up to", "dateTimeAsIso"),
                    Query(_instant("newest_event", of), "newest event", "dateTimeAsIso"),
                    Query(f"max by (view) (trueup_view_cadence_seconds{of})", "cadence", "s"),
                    Query(f"max by (view) (trueup_view_delay_seconds{of})", "delay", "s"),
                    Query(f"max by (view) (trueup_view_ttl_seconds{of})", "TTL", "s"),
                    Query(f"max by (view) (trueup_view_expired_entities{of})", "expired", "short"),
                ),
                "table",
                "none",
                24,
                labels=("view",),
                link=Link("trueup-parity", "Values of ${__data.fields.view} that differ", "view"),
            ),
            Panel(
                "In cadences",
                "How long ago the last run read what was known, as a multiple of the view's cadence; 2 and more is "
                "late. Views without a cadence are not here.",
                (
                    Query(
                        f"({clock} - max by (view) (trueup_view_known_timestamp_seconds{of}))"
                        f" / (max by (view) (trueup_view_cadence_seconds{of}) > 0)",
                        "{{view}}",
                    ),
                ),
                width=8,
                limit=2,
            ),
            Panel(
                "Age of the newest event",
                "As a share of the TTL: from 1 on everything online of the view has expired. Views without a TTL are "
                "not here.",
                (
                    Query(
                        f"({clock} - max by (view) (trueup_view_newest_event_timestamp_seconds{of}))"
                        f" / max by (view) (trueup_view_ttl_seconds{of})",
                        "{{view}}",
                    ),
                ),
                unit="percentunit",
                width=8,
                limit=1,
            ),
            Panel(
                "Entities",
                "Online, and those that are older than the TTL. A fall is a source that lost keys.",
                (
                    Query(f"max by (view) (trueup_view_entities{of})", "{{view}}"),
                    Query(f"max by (view) (trueup_view_expired_entities{of})", "{{view}}: expired"),
                ),
                width=8,
            ),
        ),
    )


def _instant(name: str, of: str) -> str:
    """In milliseconds, as Grafana shows instants."""
    return f"max by (view) (trueup_view_{name}_timestamp_seconds{of}) * 1000"


def _jobs(config: MonitoringConfig) -> Row:
    limit = config.alerts.missed_intervals
    return Row(
        "Jobs",
        (
            Panel(
                "Last runs",
                "Exit code 0: passed; 1: a check found something, its own board says what; 2: it could not run. "
                "Skipped: times it was due while nobody ran it.",
                (
                    Query("max by (task) (trueup_job_last_run_timestamp_seconds) * 1000", "last run", "dateTimeAsIso"),
                    Query("max by (task) (trueup_job_last_duration_seconds)", "took", "s"),
                    Query("max by (task) (trueup_job_last_exit_code)", "exit code", "none", 2),
                    Query(f"max by (task) ({_SINCE})", "since a result", "s"),
                    Query("max by (task) (trueup_job_interval_seconds)", "every", "s"),
                    Query("max by (task) (trueup_job_running)", "runs now", "none"),
                    Query("max by (task) (trueup_job_skipped_total)", "skipped", "short", 1),
                    Query("min by (task) (trueup_job_metrics_readable)", "metrics readable", "none", 1, True),
                ),
                "table",
                "none",
                24,
                labels=("task",),
            ),
            Panel(
                "Since the last result",
                "In intervals of the job; the line is where an alert begins.",
                (Query(f"max by (task) ({_SINCE} / trueup_job_interval_seconds)", "{{task}}"),),
                width=8,
                limit=limit,
            ),
            Panel(
                "Duration",
                "Of the last run. One that nears its interval will be skipped.",
                (Query("max by (task) (trueup_job_last_duration_seconds)", "{{task}}"),),
                unit="s",
                width=8,
            ),
            Panel(
                "Runs",
                "That ended, since the state folder was new, by what they came to. `failed`: a check found something.",
                (Query("sum by (task, outcome) (trueup_job_runs_total) > 0", "runs"),),
                "table",
                "short",
                8,
                labels=("task", "outcome"),
            ),
        ),
    )
