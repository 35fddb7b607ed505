"""Alerts on parity: values that differ, values nobody can explain, drift, expectations."""

from __future__ import annotations

from trueup.monitoring.alerts.rules import Alert, Group
from trueup.monitoring.alerts.settings import AlertSettings

_CAUSES = (
    "{{ range query (printf `topk(3, trueup_parity_view_cause_ratio{check=%q,subject=%q,view=%q} > 0)` "
    "$labels.check $labels.subject $labels.view) }} {{ .Labels.cause }} {{ .Value | humanizePercentage }};{{ end }}"
)


def parity_group(settings: AlertSettings) -> Group:
    hold = settings.hold_seconds
    return Group(
        "trueup-parity",
        (
            Alert(
                "TrueupParityMismatch",
                _with_model(
                    "max by (check, subject, view) (trueup_parity_view_mismatch_ratio)"
                    f" > {settings.parity_mismatch_ratio:g}"
                ),
                hold,
                "page",
                "parity",
                "What is served of {{ $labels.view }} is not what training reads.",
                "{{ $value | humanizePercentage }} of its compared values differ (check {{ $labels.check }}, "
                f"{{{{ $labels.subject }}}}). Causes:{_CAUSES}",
            ),
            Alert(
                "TrueupUnexplainedMismatch",
                _with_model(
                    'sum by (check, subject) (trueup_parity_cause_cells{cause="unexplained"})'
                    f" > {settings.unexplained_cells}"
                ),
                hold,
                "page",
                "parity",
                "Values of {{ $labels.subject }} differ and nothing explains it.",
                "{{ $value | humanize }} values (check {{ $labels.check }}): no cause that trueup knows makes them.",
            ),
            Alert(
                "TrueupParityCannotRun",
                'max by (check, subject) (trueup_parity_verdict{verdict="could_not_run"}) == 1',
                hold,
                "ticket",
                "parity",
                "{{ $labels.check }} of {{ $labels.subject }} compared nothing.",
                "A comparison of nothing is not a pass. The report says why.",
            ),
            Alert(
                "TrueupDrift",
                _with_model(f"max by (check, subject) (trueup_parity_drifted_features) > {settings.drifted_features}"),
                hold,
                "ticket",
                "parity",
                "Features of {{ $labels.subject }} drifted from training.",
                "{{ $value }} features differ from the training set by more than chance, and enough to matter.",
            ),
            Alert(
                "TrueupExpectationsFail",
                _with_model("max by (check, subject) (trueup_parity_failed_expectations) > 0"),
                hold,
                "ticket",
                "parity",
                "Served rows of {{ $labels.subject }} break its expectations.",
                "{{ $value }} expectations of the suite that was kept with the model fail.",
            ),
        ),
    )


def _with_model(expr: str) -> str:
    """With the label `model`, which inhibition goes by: a subject is `model@version`; a view has none."""
    return f'label_replace({expr}, "model", "$1", "subject", "(.+)@[^@]+")'
