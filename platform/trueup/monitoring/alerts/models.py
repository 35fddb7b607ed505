"""Alerts on models and experiments, from matured outcomes."""

from __future__ import annotations

from trueup.monitoring.alerts.rules import Alert, Group
from trueup.monitoring.alerts.settings import AlertSettings

HIGHER, LOWER = "auc|accuracy", "log_loss|brier"
"""The ledger's metrics, by which way is better."""


def models_group(settings: AlertSettings) -> Group:
    drop = f"{settings.quality_drop:g}"
    worse = (
        f'(trueup_ledger_gap{{metric=~"{HIGHER}"}} < -{drop} and trueup_ledger_gap_high < 0)'
        f' or (trueup_ledger_gap{{metric=~"{LOWER}"}} > {drop} and trueup_ledger_gap_low > 0)'
    )
    return Group(
        "trueup-models",
        (
            Alert(
                "TrueupModelQuality",
                f"max by (model, version, metric) ({worse})",
                settings.hold_seconds,
                "page",
                "model",
                "{{ $labels.model }} is worse online than its holdout promised.",
                "{{ $labels.metric }} of version {{ $labels.version }} on matured outcomes is off by {{ $value }}, and "
                "the interval leaves zero out. `trueup diagnose` says which of the six causes did it.",
            ),
            Alert(
                "TrueupSampleRatioMismatch",
                f"min by (experiment) (trueup_experiment_sample_ratio_p_value) < {settings.sample_ratio_p_value:g}",
                settings.hold_seconds,
                "page",
                "experiment",
                "The variants of {{ $labels.experiment }} do not have the sizes they should.",
                "p = {{ $value }}: the split, or who is logged, is broken, and no effect of it is to be believed.",
            ),
            Alert(
                "TrueupGuardrailBroken",
                'max by (experiment, variant, metric) (trueup_experiment_guardrail{verdict="broken"}) == 1',
                settings.hold_seconds,
                "page",
                "experiment",
                "{{ $labels.variant }} breaks a guardrail of {{ $labels.experiment }}.",
                "{{ $labels.metric }} is worse than the control's by more than `max_regression` allows.",
            ),
        ),
    )
