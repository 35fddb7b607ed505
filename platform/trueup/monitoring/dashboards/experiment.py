"""Dashboard: an experiment. May it be believed, what does it say, and why is a model worse online than offline?"""

from __future__ import annotations

from trueup.monitoring.alerts.models import HIGHER, LOWER
from trueup.monitoring.config import MonitoringConfig
from trueup.monitoring.dashboards.panel import HIGH, LOW, Board, Link, Panel, Query, Row, Variable

_OF = 'experiment=~"$experiment"'


def experiment_board(config: MonitoringConfig) -> Board:
    return Board(
        "trueup-experiment",
        "trueup: experiment",
        "Sample ratio, effects and guardrails of the A/B test, and the offline-to-online ledger of its models.",
        (_glance(config), _effects(), _scores(), _ledger(config)),
        (Variable("experiment", "trueup_experiment_units"),),
        "now-7d",
    )


def _glance(config: MonitoringConfig) -> Row:
    return Row(
        "May it be believed?",
        (
            Panel(
                "Withheld",
                "1: the read-out is withheld; `trueup experiment readout` says why.",
                (Query(f"max by (experiment) (trueup_experiment_withheld{{{_OF}}})", "{{experiment}}"),),
                "number",
                "none",
                6,
                1,
            ),
            Panel(
                "Sample ratio",
                "p-value of the variants' sizes; red where chance does not make them.",
                (Query(f"min by (experiment) (trueup_experiment_sample_ratio_p_value{{{_OF}}})", "{{experiment}}"),),
                "number",
                "short",
                6,
                config.alerts.sample_ratio_p_value,
                True,
            ),
            Panel(
                "Units",
                "Exposed, by variant.",
                (Query(f"max by (variant) (trueup_experiment_units{{{_OF}}})", "{{variant}}"),),
                "number",
                "short",
                6,
                link=Link("trueup-serving", "As they are answered"),
            ),
            Panel(
                "Since the read-out",
                "Of the experiment that was read out longest ago.",
                (Query(f"time() - min(trueup_experiment_last_run_timestamp_seconds{{{_OF}}})"),),
                "number",
                "s",
                6,
                link=Link("trueup-freshness", "Do the jobs run?"),
            ),
        ),
    )


def _effects() -> Row:
    return Row(
        "Effects",
        (
            Panel(
                "Treatment minus control",
                "With its 95 % interval: an effect whose interval leaves 0 out is no chance.",
                tuple(
                    Query(f"trueup_experiment_effect{end}{{{_OF}}}", f"{{{{metric}}}} {{{{variant}}}}{shown}")
                    for end, shown in (("", ""), ("_low", LOW), ("_high", HIGH))
                ),
            ),
            Panel(
                "Guardrails",
                "holds: no regression beyond what is allowed. broken: certainly one.",
                (Query(f"trueup_experiment_guardrail{{{_OF}}} == 1"),),
                "table",
                "none",
                12,
                labels=("metric", "variant", "verdict", "experiment"),
            ),
            Panel(
                "Outcomes",
                "Rows answered, by what is known of their outcome: only mature ones count.",
                (
                    Query(
                        f"sum by (outcome, state) (trueup_experiment_outcome_rows{{{_OF}}})", "{{outcome}}: {{state}}"
                    ),
                ),
                "stacked",
            ),
            Panel(
                "Rows answered",
                "By variant, since the experiment's start.",
                (Query(f"max by (variant) (trueup_experiment_rows{{{_OF}}})", "{{variant}}"),),
            ),
        ),
    )


def _scores() -> Row:
    return Row(
        "Models on matured outcomes",
        (
            Panel(
                "Scores",
                "Of the rows each variant answered, with 95 % intervals.",
                tuple(
                    Query(f"trueup_model_score{end}{{{_OF}}}", f"{{{{variant}}}} {{{{score}}}}{shown}")
                    for end, shown in (("", ""), ("_low", LOW), ("_high", HIGH))
                ),
            ),
            Panel(
                "Promised and kept",
                "The holdout's metric as it was logged, and on matured outcomes.",
                (Query('trueup_ledger_state{state=~"logged|matured"}', "{{model}}@{{version}} {{metric}}: {{state}}"),),
            ),
        ),
    )


def _ledger(config: MonitoringConfig) -> Row:
    return Row(
        "Why online is not what offline promised",
        (
            Panel(
                "Worse than promised",
                "The gap from holdout to online, turned so that above 0 is worse whatever the metric, with its 95 % "
                "interval. An alert wants both: beyond the line, and an interval that leaves 0 out.",
                tuple(
                    Query(
                        f'-trueup_ledger_gap{higher}{{metric=~"{HIGHER}"}}'
                        f' or trueup_ledger_gap{lower}{{metric=~"{LOWER}"}}',
                        f"{{{{model}}}}@{{{{version}}}} {{{{metric}}}}{shown}",
                    )
                    for higher, lower, shown in (("", "", ""), ("_high", "_low", LOW), ("_low", "_high", HIGH))
                ),
                limit=config.alerts.quality_drop,
            ),
            Panel(
                "Steps",
                "From the holdout to online: they add up to the gap.",
                (Query("trueup_ledger_step", "moves the metric by"),),
                "table",
                "short",
                12,
                labels=("model", "version", "metric", "step"),
            ),
            Panel(
                "Causes",
                "What each of the six explains of the gap.",
                (Query("trueup_ledger_cause", "explains"),),
                "table",
                "short",
                12,
                labels=("model", "version", "metric", "cause"),
                link=Link("trueup-parity", "Which values differ?"),
            ),
            Panel(
                "Claimed",
                "1: the cause's interval leaves zero out, though six were looked at.",
                (
                    Query(
                        "max by (model, version, cause) (trueup_ledger_cause_claimed)",
                        "{{model}}@{{version}}: {{cause}}",
                    ),
                ),
                unit="none",
            ),
        ),
    )
