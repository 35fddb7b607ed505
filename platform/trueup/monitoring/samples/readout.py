"""An experiment's read-out as metrics. Withheld numbers are among them: what withholds it is a metric too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import get_args

from prometheus_client.core import GaugeMetricFamily

from trueup.diagnose.gap_ledger import Estimate
from trueup.eventlog.labelled import LABEL_STATES
from trueup.experiments.analysis.effects import Effect
from trueup.monitoring.samples.text import Gauges
from trueup.readout.report import GuardrailVerdict, MetricReadout, Readout


def readout_samples(readout: Readout) -> Iterator[GaugeMetricFamily]:
    found = Gauges()
    name = readout.experiment
    found.add(
        "trueup_experiment_last_run_timestamp_seconds", "When it was read out.", readout.at.timestamp(), experiment=name
    )
    found.add("trueup_experiment_withheld", "1: not to be believed.", float(bool(readout.withheld)), experiment=name)
    ratio = readout.sample_ratio
    found.add(
        "trueup_experiment_sample_ratio_p_value",
        "How likely the variants' sizes are by chance.",
        None if ratio is None else ratio.p_value,
        experiment=name,
    )
    for variant in readout.variants:
        place = {"experiment": name, "variant": variant.name}
        found.add("trueup_experiment_units", "Units that were exposed.", variant.units, **place)
        found.add("trueup_experiment_rows", "Rows answered.", variant.rows, **place)
    for metric in readout.metrics:
        _effects(found, name, metric)
    # Metrics of one outcome with other delays have other states; the longest delay tells when all is in.
    for outcome, states in _states(readout).items():
        for state in LABEL_STATES:
            found.add(
                "trueup_experiment_outcome_rows",
                "Rows answered, by what is known of their outcome.",
                states.get(state, 0),
                experiment=name,
                outcome=outcome,
                state=state,
            )
    for model in readout.models:
        for answering, scores in model.by_variant.items():
            for score in scores:
                place = {"experiment": name, "variant": answering, "outcome": model.outcome, "score": score.score}
                _estimate(found, "trueup_model_score", "Of matured outcomes.", score.estimate, place)
    yield from found


def _effects(found: Gauges, experiment: str, metric: MetricReadout) -> None:
    for at, effect in enumerate(metric.effects):
        place = {"experiment": experiment, "variant": effect.variant, "metric": metric.metric.name}
        if isinstance(effect, Effect):
            for end, value in (("", effect.effect), ("_low", effect.low), ("_high", effect.high)):
                found.add(f"trueup_experiment_effect{end}", "Treatment minus control; 95 % interval.", value, **place)
        if metric.guardrail:
            for verdict in get_args(GuardrailVerdict):
                found.add(
                    "trueup_experiment_guardrail",
                    "1 for the verdict on the guardrail, 0 for the others.",
                    float(metric.guardrail[at] == verdict),
                    **place,
                    verdict=verdict.replace(" ", "_"),
                )


def _states(readout: Readout) -> Mapping[str, Mapping[str, int]]:
    longest: dict[str, MetricReadout] = {}
    for each in readout.metrics:
        known = longest.get(each.metric.outcome)
        if known is None or each.metric.delay > known.metric.delay:
            longest[each.metric.outcome] = each
    return {outcome: each.states for outcome, each in longest.items()}


def _estimate(found: Gauges, name: str, help_text: str, estimate: Estimate | None, place: Mapping[str, str]) -> None:
    for end in ("", "_low", "_high"):
        value = None if estimate is None else getattr(estimate, end.lstrip("_") or "value")
        found.add(f"{name}{end}", f"{help_text} 95 % interval.", value, **place)
