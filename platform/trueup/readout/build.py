"""Facts to a `Readout`. Pure: the same facts and seed give the same read-out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.errors import InputError
from trueup.eventlog.labelled import LABEL_STATES, Labelled
from trueup.eventlog.records import (
    CONTRACT_HASH,
    EXPOSURE,
    LOG_TIMESTAMP,
    MODEL,
    MODEL_VERSION,
    PREDICTION,
    REQUEST_ID,
    ROLE,
    ROW,
    UNIT,
    VARIANT,
)
from trueup.experiments.analysis.effects import Effect, NoEffect, adjusted, effect_of
from trueup.experiments.analysis.power import power_of
from trueup.experiments.analysis.sample_ratio import by_segment, sample_ratio
from trueup.experiments.analysis.sequence import difference_sequence
from trueup.experiments.analysis.units import MetricRows, Units, to_units
from trueup.experiments.design import Experiment, Variant
from trueup.experiments.logged import UNKNOWN
from trueup.experiments.metric import Metric
from trueup.readout.evidence import ROWS
from trueup.readout.facts import Mask, ReadoutFacts
from trueup.readout.report import GuardrailVerdict, MetricReadout, ModelReadout, Readout, VariantReadout
from trueup.readout.scores import Difference, Scored, differences, scores_of
from trueup.readout.withhold import reasons, warnings

REPLICATES = 1000
_MOST_LEVELS = 20
"""Levels of a segment that are looked at one by one: those with most units."""

Floats = npt.NDArray[np.float64]


def build_readout(facts: ReadoutFacts, *, replicates: int = REPLICATES, seed: int = 0) -> Readout:
    """Raises InputError for an outcome that a metric cannot be made of."""
    experiment = facts.experiment
    taking_part, exposures = _exposures(facts.rows)
    answers = taking_part & _is(facts.rows, ROLE, "answer")
    units = _units_of(facts.rows, answers)
    both = _both(units)
    observed = _counted(units[~both])
    ratio = sample_ratio(observed, experiment.shares)
    segments = by_segment(_levels(facts, answers), experiment.shares)
    variants = tuple(_variants(facts, answers, observed))
    metrics = _metrics(facts, answers)
    asked = facts.parity is not None
    return Readout(
        experiment=experiment.name,
        split=experiment.hash,
        control=experiment.control_variant.name,
        at=facts.now,
        since=facts.since,
        until=facts.until,
        variants=variants,
        exposures=exposures,
        sample_ratio=ratio,
        segments=segments,
        metrics=metrics,
        models=tuple(_models(facts, answers, taking_part, replicates, seed)),
        withheld=tuple(reasons(variants, ratio, segments, facts.changes, int(both.sum()), parity_was_asked=asked)),
        warnings=tuple(warnings(variants, facts.changes, parity_was_asked=asked)),
        changes=facts.changes,
        counts={**facts.lost, **({"units of more than one variant, left out": int(both.sum())} if both.any() else {})},
    )


def metric_units(facts: ReadoutFacts, metric: Metric) -> Units | str:
    """The units of a metric; why there are none, where its outcome could not be had."""
    taking_part, _ = _exposures(facts.rows)
    rows = _metric_rows(facts, metric, taking_part & _is(facts.rows, ROLE, "answer"))
    return rows if isinstance(rows, str) else to_units(rows, metric.kind)


def _exposures(rows: pa.Table) -> tuple[Mask, dict[str, int]]:
    """Rows that take part, and the answered rows by exposure. Rows of an older log have none: all were assigned."""
    exposure = pc.fill_null(rows.column(EXPOSURE), UNKNOWN)
    answered = exposure.filter(pc.equal(rows.column(ROLE), "answer"))
    counts = {each["values"]: each["counts"] for each in pc.value_counts(answered.combine_chunks()).to_pylist()}
    mask = np.asarray(pc.is_in(exposure, pa.array(["assigned", UNKNOWN])).to_numpy(zero_copy_only=False), np.bool_)
    return mask, dict(sorted(counts.items()))


def _is(rows: pa.Table, name: str, value: str) -> Mask:
    same = pc.fill_null(pc.equal(rows.column(name), value), False)
    return np.asarray(same.to_numpy(zero_copy_only=False) if isinstance(same, pa.Array) else same.to_numpy(), np.bool_)


def _units_of(rows: pa.Table, mask: Mask) -> Any:
    """unit -> its variants, as a pandas series of sets of one or more."""
    frame = rows.select([UNIT, VARIANT]).filter(pa.array(mask)).to_pandas()
    return frame.groupby(UNIT)[VARIANT].agg(lambda found: tuple(sorted(set(found))))


def _both(units: Any) -> npt.NDArray[np.bool_]:
    return np.array([len(found) > 1 for found in units], dtype=np.bool_)


def _counted(units: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for (name,) in units:
        found[name] = found.get(name, 0) + 1
    return dict(sorted(found.items()))


def _levels(facts: ReadoutFacts, mask: Mask) -> dict[str, dict[str, dict[str, int]]]:
    """Column -> level -> variant -> units; a unit counts once in each level it was seen in."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for column in facts.segments:
        frame = facts.rows.select([UNIT, VARIANT, column]).filter(pa.array(mask)).to_pandas()
        frame[column] = frame[column].astype(str)
        counts = frame.drop_duplicates([UNIT, column]).groupby([column, VARIANT]).size()
        most = counts.groupby(level=0).sum().sort_values(ascending=False, kind="stable").index[:_MOST_LEVELS]
        found[column] = {str(level): {str(v): int(n) for v, n in counts[level].items()} for level in most}
    return found


def _variants(facts: ReadoutFacts, answers: Mask, observed: Mapping[str, int]) -> Iterator[VariantReadout]:
    rows = facts.rows.select([VARIANT, LOG_TIMESTAMP, MODEL_VERSION, CONTRACT_HASH]).filter(pa.array(answers))
    ordered = rows.sort_by(LOG_TIMESTAMP)
    for variant in facts.experiment.variants:
        mine = ordered.filter(pc.equal(ordered.column(VARIANT), variant.name))
        yield VariantReadout(
            name=variant.name,
            model=variant.model,
            units=observed.get(variant.name, 0),
            rows=mine.num_rows,
            share=facts.experiment.shares[variant.name],
            versions=tuple(pc.unique(mine.column(MODEL_VERSION)).to_pylist()),
            contracts=tuple(pc.unique(mine.column(CONTRACT_HASH)).to_pylist()),
            parity=None if facts.parity is None else facts.parity.get(variant.name),
        )


def _metrics(facts: ReadoutFacts, answers: Mask) -> tuple[MetricReadout, ...]:
    experiment = facts.experiment
    control = experiment.control_variant
    treatments = [v for v in experiment.variants if v.weight and v != control]
    found = [
        _metric(facts, metric, answers, experiment, control, treatments)
        for metric in (*experiment.metrics, *experiment.guardrails)
        if metric.kind != "model"
    ]
    effects = [e for each in found if not each.metric.guardrail for e in each.effects if isinstance(e, Effect)]
    judged = iter(adjusted(effects))
    return tuple(
        each
        if each.metric.guardrail
        else replace(each, effects=tuple(next(judged) if isinstance(e, Effect) else e for e in each.effects))
        for each in found
    )


def _metric(
    facts: ReadoutFacts,
    metric: Metric,
    answers: Mask,
    experiment: Experiment,
    control: Variant,
    treatments: Sequence[Variant],
) -> MetricReadout:
    rows = _metric_rows(facts, metric, answers)
    if isinstance(rows, str):
        missing = tuple(NoEffect(metric.name, variant.name, rows.rstrip(".")) for variant in treatments)
        unknown: GuardrailVerdict = "not computed"
        verdicts = (unknown,) * len(missing) if metric.guardrail else ()
        return MetricReadout(
            metric, missing, (None,) * len(missing), NoEffect(metric.name, "", rows.rstrip(".")), {}, guardrail=verdicts
        )
    units = to_units(rows, metric.kind)
    effects = tuple(effect_of(metric, units, control.name, variant.name) for variant in treatments)
    labelled = facts.outcomes[metric.name]
    assert isinstance(labelled, Labelled)
    states = np.bincount(labelled.states[answers], minlength=len(LABEL_STATES)).tolist()
    weights = {each.name: each.weight for each in experiment.variants}
    return MetricReadout(
        metric=metric,
        effects=effects,
        sequence=tuple(_sequence(metric, units, control.name, v.name, weights) for v in treatments),
        power=power_of(
            metric, units, ratio=sum(v.weight for v in treatments) / control.weight if control.weight else 1.0
        ),
        states=dict(zip(LABEL_STATES, states, strict=True)),
        not_counted={
            name: count
            for name, count in {
                "without a mature outcome": units.empty,
                "of more than one variant": units.both,
                "without the covariate (its mean stands in)": units.without_covariate,
            }.items()
            if count
        },
        guardrail=tuple(_guardrail(metric, effect) for effect in effects) if metric.guardrail else (),
    )


def _sequence(
    metric: Metric, units: Units, control: str, variant: str, weights: Mapping[str, int]
) -> tuple[float, float] | None:
    """Of means and sums; a ratio has no value of its own for each unit."""
    if metric.kind == "ratio" or not weights[control]:
        return None
    table = units.table[units.table["variant"].isin([control, variant])]
    if len(table) == 0:
        return None
    share = weights[variant] / (weights[variant] + weights[control])
    treated = (table["variant"] == variant).to_numpy()
    return difference_sequence(table["value"].to_numpy(np.float64), treated, share, intended=INTENDED).last


INTENDED = 10_000
"""Units at which the always-valid intervals are tightest; chosen beforehand, as it must be."""


def _guardrail(metric: Metric, effect: Effect | NoEffect) -> GuardrailVerdict:
    """Non-inferiority: may the regression be larger than allowed, by the effect's interval?"""
    if isinstance(effect, NoEffect):
        return "not computed"
    assert metric.max_regression is not None
    allowed = metric.max_regression * abs(effect.control)
    worst, best = (-effect.low, -effect.high) if metric.goal == "increase" else (effect.high, effect.low)
    if worst <= allowed:
        return "holds"
    return "broken" if best > allowed else "undecided"


def _metric_rows(facts: ReadoutFacts, metric: Metric, answers: Mask) -> MetricRows | str:
    labelled = facts.outcomes[metric.name]
    if isinstance(labelled, str):
        return labelled
    value = np.where(labelled.where("mature"), labelled.values, np.nan)
    predictions = facts.rows.column(PREDICTION).to_numpy().astype(np.float64)
    if metric.value != "outcome":
        _check_binary(metric, value[answers])
        value = _distance(metric, value, predictions)
    denominator: Floats | None = None
    if metric.denominator is not None:
        if metric.denominator == ROWS:
            denominator = np.ones(len(value))
        else:
            other = facts.denominators[metric.name]
            if isinstance(other, str):
                return other
            denominator = np.where(other.where("mature"), other.values, np.nan)
    covariate = None
    if metric.covariate is not None:
        column = facts.rows.column(metric.covariate)
        if not (
            pa.types.is_floating(column.type) or pa.types.is_integer(column.type) or pa.types.is_boolean(column.type)
        ):
            raise InputError("covariate", f"covariate: {metric.covariate} is {column.type}; expected numbers.")
        covariate = pc.cast(column, pa.float64()).to_numpy()[answers].astype(np.float64)
    chosen = facts.rows.filter(pa.array(answers))
    return MetricRows(
        unit=chosen.column(UNIT).to_numpy(),
        variant=chosen.column(VARIANT).to_numpy(),
        at=chosen.column(LOG_TIMESTAMP).cast(pa.int64()).to_numpy(),
        value=value[answers],
        denominator=None if denominator is None else denominator[answers],
        covariate=covariate,
    )


def _distance(metric: Metric, outcome: Floats, predictions: Floats) -> Floats:
    match metric.value:
        case "squared_error":
            return (predictions - outcome) ** 2
        case "log_loss":
            clipped = np.clip(predictions, np.finfo(np.float64).eps, 1 - np.finfo(np.float64).eps)
            return -(outcome * np.log(clipped) + (1 - outcome) * np.log1p(-clipped))
        case _:
            right = ((predictions >= metric.threshold) == (outcome == 1)).astype(np.float64)
            return np.where(np.isfinite(outcome), right, np.nan)


def _check_binary(metric: Metric, outcome: Floats) -> None:
    known = outcome[np.isfinite(outcome)]
    wrong = known[(known != 0) & (known != 1)]
    if len(wrong):
        raise InputError(
            "outcome",
            f"metric {metric.name!r}: {len(wrong):,} of {len(known):,} values of {metric.outcome!r} are neither "
            f"0 nor 1, such as {wrong[0]:g}; a prediction is judged by whether the thing happened.",
        )


def _models(
    facts: ReadoutFacts, answers: Mask, taking_part: Mask, replicates: int, seed: int
) -> Iterator[ModelReadout]:
    """One for each outcome that a metric of kind `model` asks for."""
    experiment = facts.experiment
    asked = {m.outcome: m for m in (*experiment.metrics, *experiment.guardrails) if m.kind == "model"}
    for outcome, metric in asked.items():
        labelled = facts.outcomes[metric.name]
        if isinstance(labelled, str):
            continue
        known = labelled.where("mature") & np.isfinite(labelled.values)
        _check_binary(metric, labelled.values[known])
        by_variant = {
            variant.name: scores_of(
                _scored(facts, labelled, known & answers & _is(facts.rows, VARIANT, variant.name)),
                threshold=metric.threshold,
                replicates=replicates,
                seed=seed,
            )
            for variant in experiment.variants
            if variant.weight
        }
        control = experiment.control_variant
        mine = _scored(facts, labelled, known & taking_part & _is(facts.rows, MODEL, control.model))
        found: list[Difference] = []
        for variant in experiment.variants:
            if variant.model != control.model:
                theirs = _scored(facts, labelled, known & taking_part & _is(facts.rows, MODEL, variant.model))
                found += differences(
                    (control.name, mine),
                    (variant.name, theirs),
                    threshold=metric.threshold,
                    replicates=replicates,
                    seed=seed,
                )
        yield ModelReadout(outcome, by_variant, tuple(found))


def _scored(facts: ReadoutFacts, labelled: Labelled, mask: Mask) -> Scored:
    rows = facts.rows.filter(pa.array(mask))
    keys = [
        f"{request}\0{row}"
        for request, row in zip(rows.column(REQUEST_ID).to_pylist(), rows.column(ROW).to_pylist(), strict=True)
    ]
    return Scored(
        unit=rows.column(UNIT).to_numpy(),
        labels=labelled.values[mask],
        predictions=rows.column(PREDICTION).to_numpy().astype(np.float64),
        key=np.array(keys, dtype=np.object_),
    )
