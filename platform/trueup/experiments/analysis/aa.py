"""A/A simulation: the same rows assigned anew by other salts, where no effect can be. Pure.

What is found then is chance: the share of "significant" effects should be alpha, and that of alarming sample ratios its
threshold. If it is more, the analysis (or the unit) is wrong, not the experiment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import binomtest

from trueup.experiments.analysis.effects import ALPHA, Effect, effect_of
from trueup.experiments.analysis.sample_ratio import ALARM, sample_ratio
from trueup.experiments.analysis.units import Units
from trueup.experiments.assign import position
from trueup.experiments.design import Experiment
from trueup.experiments.metric import Metric

_CONFIDENCE = 0.99
"""Of the interval that the expected rate must lie in: a correct analysis fails one simulation in a hundred a metric."""


@dataclass(frozen=True)
class FalsePositives:
    """found of simulations; expected: the rate there should be; low, high: exact binomial interval of the rate."""

    name: str
    simulations: int
    found: int
    expected: float
    low: float
    high: float

    @property
    def right(self) -> bool:
        return self.low <= self.expected <= self.high


def simulate(
    experiment: Experiment,
    units: Mapping[str, tuple[Metric, Units]],
    *,
    simulations: int,
    seed: int,
    progress: Callable[[int], None] = lambda _: None,
) -> tuple[FalsePositives, ...]:
    """units: metric -> the units there are, whose variants are not looked at. The first treatment against the control.

    Raises nothing for a metric that has too few units: it has no entry.
    """
    control = experiment.control_variant.name
    treatment = next((name for name, share in experiment.shares.items() if name != control and share > 0), None)
    if treatment is None:
        return ()
    shares = {name: experiment.shares[name] for name in (control, treatment)}
    share = shares[treatment] / (shares[control] + shares[treatment])
    everyone = sorted({unit for _, found in units.values() for unit in found.table["unit"]})
    where = {unit: at for at, unit in enumerate(everyone)}
    places = {name: found.table["unit"].map(where).to_numpy() for name, (_, found) in units.items()}
    significant: dict[str, list[bool]] = {}
    alarms = []
    for number in range(simulations):
        salt = f"aa/{seed}/{number}"
        treated = np.array([position(salt, str(unit)) < share * 2**64 for unit in everyone])
        found = sample_ratio(
            {control: int((~treated).sum()), treatment: int(treated.sum())}, {control: 1 - share, treatment: share}
        )
        if found is not None:
            alarms.append(found.off)
        for name, (metric, mine) in units.items():
            names = np.where(treated[places[name]], treatment, control)
            again = replace(mine, table=mine.table.assign(variant=names))
            effect = effect_of(metric, again, control, treatment)
            if isinstance(effect, Effect):
                significant.setdefault(name, []).append(effect.p_value < ALPHA)
        progress(1)
    rates = [_rate(name, hits, ALPHA) for name, hits in significant.items()]
    return (*rates, _rate("sample ratio", alarms, ALARM)) if alarms else tuple(rates)


def _rate(name: str, hits: list[bool], expected: float) -> FalsePositives:
    interval = binomtest(sum(hits), len(hits)).proportion_ci(_CONFIDENCE, method="exact")
    return FalsePositives(name, len(hits), sum(hits), expected, float(interval.low), float(interval.high))
