"""A read-out as tables of text, for a terminal and for Markdown. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from trueup.diagnose.gap_ledger import Estimate
from trueup.experiments.analysis.effects import Effect, NoEffect
from trueup.experiments.analysis.power import Power
from trueup.readout.facts import ParityRate
from trueup.readout.report import MetricReadout, Readout
from trueup.readout.scores import SCORES, Score

Row = Mapping[str, str]


@dataclass(frozen=True)
class Shown:
    """A table under a title, with notes below it."""

    title: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def head(readout: Readout) -> str:
    """One sentence: whether it is read out."""
    if readout.withheld:
        return f"WITHHELD: {readout.experiment} is not read out."
    if not readout.computed:
        return f"{readout.experiment}: there is nothing to read out yet."
    return f"{readout.experiment}: read out."


def always(readout: Readout) -> Iterator[Shown]:
    """What is shown whether it is withheld or not: who was exposed to what."""
    yield Shown(
        "Variants",
        tuple(
            {
                "variant": variant.name + (" (control)" if variant.name == readout.control else ""),
                "units": f"{variant.units:,}",
                "by design": f"{variant.share:.1%}",
                "answered rows": f"{variant.rows:,}",
                "versions": ", ".join(variant.versions) or "-",
                "values that differ": _parity(variant.parity),
            }
            for variant in readout.variants
        ),
        tuple(_sample_ratio(readout)),
    )
    outside = {name: count for name, count in readout.exposures.items() if name not in ("assigned", "not logged")}
    if outside:
        yield Shown(
            "Outside of the experiment", tuple({"why": n, "answered rows": f"{c:,}"} for n, c in outside.items())
        )


def results(readout: Readout) -> Iterator[Shown]:
    """Effects and scores."""
    metrics = [each for each in readout.metrics if not each.metric.guardrail]
    guardrails = [each for each in readout.metrics if each.metric.guardrail]
    if metrics:
        yield Shown("Metrics", tuple(row for each in metrics for row in _effects(each)), tuple(_notes(metrics)))
    if guardrails:
        yield Shown(
            "Guardrails", tuple(row for each in guardrails for row in _guardrails(each)), tuple(_notes(guardrails))
        )
    for model in readout.models:
        names = list(model.by_variant)
        found = {name: {score.score: score for score in scores} for name, scores in model.by_variant.items()}
        yield Shown(
            f"Model scores on answered rows (outcome {model.outcome})",
            tuple(
                {"score": score, **{name: _score(found[name][score]) for name in names}} for score in SCORES if names
            ),
            tuple(dict.fromkeys(f"{n}: {s.missing}" for n, each in found.items() for s in each.values() if s.missing)),
        )
        if model.differences:
            paired = model.differences[0].paired
            yield Shown(
                "Differences of models on " + ("the rows both scored" if paired else "their own rows"),
                tuple(
                    {
                        "score": each.score,
                        "difference": f"{each.second} - {each.first}",
                        "effect": "-" if each.estimate is None else f"{each.estimate.value:+.4f}",
                        "95 % interval": _interval(each.estimate),
                    }
                    for each in model.differences
                ),
                tuple(dict.fromkeys(each.missing for each in model.differences if each.missing)),
            )


def _effects(metric: MetricReadout) -> Iterator[Row]:
    for effect, sequence in zip(metric.effects, metric.sequence, strict=True):
        name = metric.metric.name
        if isinstance(effect, NoEffect):
            yield {**dict.fromkeys(_COLUMNS, ""), "metric": name, "variant": effect.variant, "effect": effect.why}
            continue
        moved = "-" if not effect.significant else "better" if effect.better(metric.metric.goal) else "worse"
        yield {
            "metric": name,
            "variant": effect.variant,
            "control": f"{effect.control:.4f}",
            "effect": f"{effect.effect:+.4f}" + ("" if effect.relative is None else f" ({effect.relative:+.1%})"),
            "95 % interval": f"{effect.low:+.4f} to {effect.high:+.4f}",
            "at any time": "-" if sequence is None else f"{sequence[0]:+.4f} to {sequence[1]:+.4f}",
            "p (Holm)": "-" if effect.adjusted is None else f"{effect.adjusted:.3g}",
            "": moved,
        }


_COLUMNS = ("metric", "variant", "control", "effect", "95 % interval", "at any time", "p (Holm)", "")


def _guardrails(metric: MetricReadout) -> Iterator[Row]:
    allowed = metric.metric.max_regression or 0.0
    for effect, verdict in zip(metric.effects, metric.guardrail, strict=True):
        if isinstance(effect, NoEffect):
            yield {
                "guardrail": metric.metric.name,
                "variant": effect.variant,
                "effect": effect.why,
                "95 % interval": "",
                "allowed": f"{allowed:.1%} worse",
                "": verdict,
            }
            continue
        yield {
            "guardrail": metric.metric.name,
            "variant": effect.variant,
            "effect": f"{effect.effect:+.4f}" + ("" if effect.relative is None else f" ({effect.relative:+.1%})"),
            "95 % interval": f"{effect.low:+.4f} to {effect.high:+.4f}",
            "allowed": f"{allowed:.1%} worse",
            "": verdict,
        }


def _notes(metrics: list[MetricReadout]) -> Iterator[str]:
    for each in metrics:
        name = each.metric.name
        states = {state: count for state, count in each.states.items() if state != "mature" and count}
        if states:
            said = ", ".join(f"{count:,} {state}" for state, count in states.items())
            yield f"{name}: rows that do not count: {said}."
        for why, count in each.not_counted.items():
            yield f"{name}: {count:,} units {why}."
        for effect in each.effects:
            if isinstance(effect, Effect) and effect.cuped is not None:
                yield f"{name}: covariate {each.metric.covariate} took {effect.cuped:.0%} of the variance away (CUPED)."
        if isinstance(each.power, Power):
            yield (
                f"{name}: {each.power.units:,} units can see an effect of {each.power.detectable:.4f} "
                f"({each.power.relative:.1%}) with 80 % power."
            )


def _sample_ratio(readout: Readout) -> Iterator[str]:
    ratio = readout.sample_ratio
    if ratio is None:
        yield "The sample ratio could not be looked at."
        return
    yield f"Sample ratio: p = {ratio.p_value:.3g}" + (" - OFF (alarm below 0.001)." if ratio.off else ", as designed.")
    for segment in readout.segments:
        if segment.off:
            yield f"It is off in {segment.column} = {segment.level}: adjusted p = {segment.adjusted:.2g}."


def _parity(rate: ParityRate | None) -> str:
    if rate is None:
        return "-"
    return f"{rate.share:.1%}" if rate.compared else "not compared"


def _score(score: Score) -> str:
    if score.estimate is None:
        return "-"
    return f"{score.estimate.value:.4f} [{_interval(score.estimate)}]"


def _interval(estimate: Estimate | None) -> str:
    if estimate is None or estimate.low is None or estimate.high is None:
        return "-"
    return f"{estimate.low:.4f} to {estimate.high:.4f}"
