"""Dashboard: parity. Which values differ, why, and what drifted."""

from __future__ import annotations

from trueup.monitoring.config import MonitoringConfig
from trueup.monitoring.dashboards.panel import Board, Link, Panel, Query, Row, Variable

_VIEW = 'view=~"$view"'


def parity_board(config: MonitoringConfig) -> Board:
    return Board(
        "trueup-parity",
        "trueup: parity",
        "What is served against what training reads: mismatches by view and cause, drift, expectations.",
        (_glance(config), _mismatches(config), _drift()),
        (Variable("view", "trueup_parity_view_mismatch_ratio"),),
        "now-7d",
    )


def _glance(config: MonitoringConfig) -> Row:
    return Row(
        "At a glance",
        (
            Panel(
                "Failing checks",
                "Subjects of a check whose verdict is `fail`.",
                (Query('sum(trueup_parity_verdict{verdict="fail"})'),),
                "number",
                "none",
                6,
                1,
            ),
            Panel(
                "Unexplained values",
                "That differ, and no change of rule makes them.",
                (Query('sum(trueup_parity_cause_cells{cause="unexplained"})'),),
                "number",
                "short",
                6,
                config.alerts.unexplained_cells + 1,
            ),
            Panel(
                "Drifted features",
                "Of all models.",
                (Query("sum(trueup_parity_drifted_features)"),),
                "number",
                "none",
                6,
                1,
            ),
            Panel(
                "Since the last check",
                "Of the check that was run longest ago.",
                (Query("time() - min(trueup_parity_last_run_timestamp_seconds)"),),
                "number",
                "s",
                6,
                config.alerts.missed_intervals * config.jobs.drift.every.total_seconds(),
                link=Link("trueup-freshness", "Do the jobs run?"),
            ),
            Panel(
                "Verdicts",
                "What each check came to for each subject.",
                (Query("trueup_parity_verdict == 1"),),
                "table",
                "none",
                12,
                labels=("check", "subject", "verdict"),
            ),
            Panel(
                "Compared and left out",
                "Rows that were compared, and those that could not be.",
                (
                    Query("sum by (check) (trueup_parity_rows)", "{{check}}: rows"),
                    Query("sum by (check) (trueup_parity_uncompared_rows)", "{{check}}: left out"),
                ),
            ),
        ),
    )


def _mismatches(config: MonitoringConfig) -> Row:
    return Row(
        "Values that differ",
        (
            Panel(
                "By view",
                "Share of a view's compared values that differ; the line is what an alert allows.",
                (
                    Query(
                        f"max by (check, subject, view) (trueup_parity_view_mismatch_ratio{{{_VIEW}}})",
                        "{{view}} ({{check}} {{subject}})",
                    ),
                ),
                unit="percentunit",
                limit=config.alerts.parity_mismatch_ratio,
                link=Link("trueup-freshness", "How fresh ${__field.labels.view} is", "view"),
            ),
            Panel(
                "By cause",
                "The same by cause. A value with two causes counts under both.",
                (
                    Query(
                        f"max by (view, cause) (trueup_parity_view_cause_ratio{{{_VIEW}}}) > 0 or "
                        f'max by (view, cause) (trueup_parity_view_cause_ratio{{{_VIEW}, cause="unexplained"}})',
                        "{{view}}: {{cause}}",
                    ),
                ),
                unit="percentunit",
            ),
            Panel(
                "Features with most",
                "Share of a feature's compared values that differ.",
                (Query("topk(15, max by (check, subject, feature) (trueup_parity_feature_mismatch_ratio))", "differ"),),
                "table",
                "percentunit",
                12,
                labels=("feature", "check", "subject"),
                link=Link("trueup-serving", "As it is served"),
            ),
            Panel(
                "Predictions replayed",
                "Logged predictions that the model does not give again, bit for bit.",
                (Query('trueup_parity_mismatched_cells{check="replay"}', "{{subject}}"),),
            ),
        ),
    )


def _drift() -> Row:
    return Row(
        "Drift and expectations",
        (
            Panel(
                "Distance over threshold",
                "Above 1 a feature is further from training than chance, and than matters; the fifteen furthest.",
                (
                    Query(
                        "topk(15, max by (subject, feature, statistic) (trueup_parity_drift_distance"
                        " / trueup_parity_drift_threshold))",
                        "{{subject}} {{feature}} ({{statistic}})",
                    ),
                ),
                limit=1,
            ),
            Panel(
                "Drifted of tested",
                "Features of each model.",
                (
                    Query("max by (subject) (trueup_parity_drifted_features)", "{{subject}}: drifted"),
                    Query("max by (subject) (trueup_parity_tested_features)", "{{subject}}: tested"),
                ),
            ),
            Panel(
                "Absent more often than in training",
                "Share served without a value minus the share in training; the fifteen features with most.",
                (
                    Query(
                        'topk(15, max by (subject, feature) (trueup_parity_absent_ratio{side="served"})'
                        ' - max by (subject, feature) (trueup_parity_absent_ratio{side="training"}))',
                        "absent beyond training's",
                    ),
                ),
                "table",
                "percentunit",
                12,
                labels=("feature", "subject"),
                link=Link("trueup-serving", "As it is served"),
            ),
            Panel(
                "Expectations that fail",
                "Of the suite that was kept with each model.",
                (
                    Query("max by (subject) (trueup_parity_failed_expectations)", "{{subject}}: failed"),
                    Query("max by (subject) (trueup_parity_examined_expectations)", "{{subject}}: examined"),
                ),
            ),
        ),
    )
