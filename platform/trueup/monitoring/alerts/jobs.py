"""Alerts on the jobs: nothing above can be seen while they do not run."""

from __future__ import annotations

from trueup.monitoring.alerts.rules import Alert, Group
from trueup.monitoring.alerts.settings import AlertSettings

JOB = "trueup-monitor"
"""What Prometheus calls the monitor."""
NEVER_SECONDS = 7200
"""After so long a job that is due at once, as each is at first, should have come to a result."""


def jobs_group(settings: AlertSettings) -> Group:
    last = "max by (task, kind) (trueup_job_last_success_timestamp_seconds)"
    every = "max by (task, kind) (trueup_job_interval_seconds)"
    summary = "{{ $labels.task }} does not run."
    first = "`trueup monitor show` has its last outcome, and the state folder what it said."
    return Group(
        "trueup-jobs",
        (
            Alert(
                "TrueupMonitorMissing",
                "absent(trueup_monitor_info)",
                settings.hold_seconds,
                "page",
                "jobs",
                "No monitor runs.",
                "Nothing is materialized or checked, unless something else does it: `trueup monitor run`.",
            ),
            Alert(
                "TrueupJobNotRun",
                f"time() - {last} > {settings.missed_intervals:g} * {every}",
                settings.hold_seconds,
                "page",
                "jobs",
                summary,
                f"It last came to a result {{{{ $value | humanizeDuration }}}} ago. {first}",
                {"since": "last"},
            ),
            Alert(
                "TrueupJobNotRun",
                f"{every} unless on (task, kind) {last}",
                NEVER_SECONDS,
                "page",
                "jobs",
                summary,
                f"It never came to a result. {first}",
                {"since": "ever"},
            ),
            Alert(
                "TrueupJobMetricsUnreadable",
                "max by (task, kind) (trueup_job_metrics_readable) == 0",
                settings.hold_seconds,
                "ticket",
                "jobs",
                "What {{ $labels.task }} found cannot be read.",
                "Its file of metrics in the state folder is damaged; its next run writes it again.",
            ),
        ),
    )
