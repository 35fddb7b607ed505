"""How small an effect this sample can see, and how many units a given effect takes, on tea-tasting. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from trueup.experiments.analysis.effects import FEWEST_UNITS, NoEffect, tea_metric
from trueup.experiments.analysis.units import Units
from trueup.experiments.metric import Metric

POWER = 0.8


@dataclass(frozen=True)
class Power:
    """units: of both variants together. detectable: smallest effect found with 80 % power at 5 % (two-sided), absolute
    and relative to the mean of all units. needed: units for the effect that was asked for; None when none was."""

    metric: str
    units: int
    detectable: float
    relative: float
    needed: int | None = None


def power_of(metric: Metric, units: Units, *, ratio: float = 1.0, relative: float | None = None) -> Power | NoEffect:
    """ratio: units of the treatment for one of the control. relative: of the effect whose sample is asked for.

    The variance is that of the units there are, whatever their variant, with the covariate where the metric has one.
    """
    table = units.table
    if len(table) < 2 * FEWEST_UNITS:
        return NoEffect(metric.name, "", f"there are {len(table):,} units with a value; it takes {2 * FEWEST_UNITS}")
    if float(table["value"].var()) == 0:
        return NoEffect(metric.name, "", f"every unit has the same value, {table['value'].iloc[0]:g}")
    covariate = metric.covariate is not None and float(table["covariate"].var()) > 0
    solved = tea_metric(metric, covariate=covariate, power=POWER, ratio=ratio, n_obs=len(table)).solve_power(
        table, "effect_size"
    )[0]
    needed = None
    if relative is not None:
        asked = tea_metric(metric, covariate=covariate, power=POWER, ratio=ratio, rel_effect_size=relative)
        needed = int(asked.solve_power(table, "n_obs")[0].n_obs)
    return Power(metric.name, len(table), float(solved.effect_size), float(solved.rel_effect_size), needed)
