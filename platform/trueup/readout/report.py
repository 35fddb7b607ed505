"""`Readout`: an experiment's read-out, as data. Sinks show it; nothing is computed after this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from pydantic import TypeAdapter

from trueup.experiments.analysis.effects import Effect, NoEffect
from trueup.experiments.analysis.power import Power
from trueup.experiments.analysis.sample_ratio import SampleRatio, Segment
from trueup.experiments.changes import SplitChange
from trueup.experiments.metric import Metric
from trueup.readout.facts import ParityRate
from trueup.readout.scores import Difference, Score

SCHEMA = "trueup.readout/1"
"""Name and version of the JSON form. The number goes up when a field changes its meaning or goes away."""

GuardrailVerdict = Literal["holds", "undecided", "broken", "not computed"]
"""holds: the interval leaves out a regression of more than `max_regression`. broken: it leaves out anything less."""


@dataclass(frozen=True)
class MetricReadout:
    """One metric, every variant against the control. sequence: the always-valid interval of each effect, in the order
    of `effects`; None where there is none. states: label state -> rows. not_counted: why a unit is not in it -> units.
    guardrail: of each effect, in the same order; empty for a metric that is none."""

    metric: Metric
    effects: tuple[Effect | NoEffect, ...]
    sequence: tuple[tuple[float, float] | None, ...]
    power: Power | NoEffect
    states: Mapping[str, int]
    not_counted: Mapping[str, int] = field(default_factory=dict)
    guardrail: tuple[GuardrailVerdict, ...] = ()


@dataclass(frozen=True)
class VariantReadout:
    """rows: answered, with an outcome or without. versions, contracts: of the models that answered, by first row."""

    name: str
    model: str
    units: int
    rows: int
    share: float
    versions: tuple[str, ...]
    contracts: tuple[str, ...]
    parity: ParityRate | None


@dataclass(frozen=True)
class ModelReadout:
    """Scores by variant on the rows it answered, and differences to the control, on rows both models scored where there
    are some. metric: that asked for it. outcome: they are scored against."""

    outcome: str
    by_variant: Mapping[str, tuple[Score, ...]]
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Readout:
    """withheld: why the effects are not to be believed; empty: they may be. warnings: what to know beside."""

    experiment: str
    split: str
    control: str
    at: datetime
    since: datetime | None
    until: datetime | None
    variants: tuple[VariantReadout, ...]
    exposures: Mapping[str, int]
    sample_ratio: SampleRatio | None
    segments: tuple[Segment, ...]
    metrics: tuple[MetricReadout, ...]
    models: tuple[ModelReadout, ...]
    withheld: tuple[str, ...]
    warnings: tuple[str, ...]
    changes: tuple[SplitChange, ...]
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def computed(self) -> bool:
        """Whether there is any number to read out."""
        effects = any(isinstance(each, Effect) for metric in self.metrics for each in metric.effects)
        scores = any(
            score.estimate is not None
            for model in self.models
            for found in model.by_variant.values()
            for score in found
        )
        return effects or scores

    @property
    def guardrails_hold(self) -> bool:
        return not any(verdict == "broken" for metric in self.metrics for verdict in metric.guardrail)

    @property
    def exit_code(self) -> int:
        """0: read out. 1: withheld, or a guardrail is broken. 2: there is not one number."""
        if self.withheld or not self.guardrails_hold:
            return 1
        return 0 if self.computed else 2

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        return {"schema": SCHEMA, "read_out": not self.withheld, **data}


_ADAPTER = TypeAdapter(Readout)
