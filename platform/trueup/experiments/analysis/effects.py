"""The effect of each variant against the control, metric by metric, on tea-tasting. Pure.

Welch's t-test; ratios by the delta method (Deng et al. 2018, "Applying the delta method in metric analytics"); CUPED by
the metric's covariate (Deng et al. 2013); p-values of all effects adjusted together by Holm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import tea_tasting as tt

from trueup.experiments.analysis.units import Units
from trueup.experiments.metric import Goal, Metric

CONFIDENCE = 0.95
ALPHA = 1 - CONFIDENCE
FEWEST_UNITS = 30
"""Of a variant. With fewer the normal approximation behind the interval is not to be relied on."""


@dataclass(frozen=True)
class Effect:
    """One metric, one variant against the control. units: of control and treatment. control, treatment: the metric.
    effect: treatment - control, with its 95 % interval; relative: to the control. p_value: two-sided; adjusted: by Holm
    over all effects of the read-out, None for a guardrail. cuped: share of the variance that the covariate took away;
    None without one."""

    metric: str
    variant: str
    units: tuple[int, int]
    control: float
    treatment: float
    effect: float
    low: float
    high: float
    relative: float | None
    relative_low: float | None
    relative_high: float | None
    p_value: float
    adjusted: float | None = None
    cuped: float | None = None

    @property
    def significant(self) -> bool:
        return self.adjusted is not None and self.adjusted < ALPHA

    def better(self, goal: Goal) -> bool:
        """Whether it moved the way it should."""
        return self.effect > 0 if goal == "increase" else self.effect < 0


@dataclass(frozen=True)
class NoEffect:
    """Why there is no number for this metric and variant."""

    metric: str
    variant: str
    why: str


def effect_of(metric: Metric, units: Units, control: str, variant: str) -> Effect | NoEffect:
    """units: of all variants. metric: of kind mean, sum or ratio."""
    table = units.table[units.table["variant"].isin([control, variant])]
    sizes = tuple(int((table["variant"] == name).sum()) for name in (control, variant))
    if min(sizes) < FEWEST_UNITS:
        few = control if sizes[0] < FEWEST_UNITS else variant
        return NoEffect(
            metric.name, variant, f"{few} has {min(sizes):,} units with a mature outcome; it takes {FEWEST_UNITS}"
        )
    if float(table["value"].var()) == 0:
        return NoEffect(metric.name, variant, f"every unit has the same value, {table['value'].iloc[0]:g}")
    uses_covariate = metric.covariate is not None and float(table["covariate"].var()) > 0
    found = _analyzed(metric, table, control, variant, covariate=uses_covariate)
    if not np.isfinite(found.effect_size):
        return NoEffect(metric.name, variant, "its denominator adds up to 0")
    plain = _analyzed(metric, table, control, variant, covariate=False) if uses_covariate else found
    width, before = (each.effect_size_ci_upper - each.effect_size_ci_lower for each in (found, plain))
    defined = found.control > 0  # a relative effect of a control that is zero or negative says nothing
    return Effect(
        metric=metric.name,
        variant=variant,
        units=(sizes[0], sizes[1]),
        control=float(found.control),
        treatment=float(found.treatment),
        effect=float(found.effect_size),
        low=float(found.effect_size_ci_lower),
        high=float(found.effect_size_ci_upper),
        relative=float(found.rel_effect_size) if defined else None,
        relative_low=float(found.rel_effect_size_ci_lower) if defined else None,
        relative_high=float(found.rel_effect_size_ci_upper) if defined else None,
        p_value=float(found.pvalue),
        cuped=1 - (width / before) ** 2 if uses_covariate else None,
    )


def adjusted(effects: Sequence[Effect]) -> tuple[Effect, ...]:
    """With p-values adjusted for looking at all of them (Holm 1979), in the same order."""
    order = sorted(range(len(effects)), key=lambda at: effects[at].p_value)
    highest, found = 0.0, {}
    for rank, at in enumerate(order):
        highest = max(highest, min(1.0, effects[at].p_value * (len(effects) - rank)))
        found[at] = highest
    return tuple(replace(effect, adjusted=found[at]) for at, effect in enumerate(effects))


def tea_metric(metric: Metric, *, covariate: bool, **more: object) -> tt.Mean | tt.RatioOfMeans:
    """The metric as tea-tasting has it, over the columns of `Units`."""
    options: Mapping[str, object] = {"confidence_level": CONFIDENCE, "alpha": ALPHA, **more}
    column = "covariate" if covariate else None
    if metric.kind == "ratio":
        return tt.RatioOfMeans("value", "denominator", column, None, **options)
    return tt.Mean("value", column, **options)


def _analyzed(metric: Metric, table: object, control: str, variant: str, *, covariate: bool) -> tt.metrics.MeanResult:
    experiment = tt.Experiment(metric=tea_metric(metric, covariate=covariate))
    del variant
    return experiment.analyze(table, control=control)["metric"]
