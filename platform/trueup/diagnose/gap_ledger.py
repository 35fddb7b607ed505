"""`GapLedger`: from what the holdout promised to what was measured online, as data. Sinks show it.

The states follow each other; each step is the difference of two of them, so the steps add up to the whole gap by
construction, and the terms of a split add up to its step (to 1e-12, which is what floats leave of an exact sum). What
could not be measured has no number and says why; the steps around it are then one step that is not split.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from pydantic import TypeAdapter

from trueup.diagnose.six import SixCause

SCHEMA = "trueup.gap-ledger/1"
"""Name and version of the JSON form. The number goes up when a field changes its meaning or goes away."""
CONFIDENCE = 0.95
SUM_TOLERANCE = 1e-12

StateName = Literal["logged", "recomputed", "population", "features", "served", "matured"]
"""logged: the holdout metric as its run recorded it. recomputed: the kept model on the holdout as it is read today, in
this environment. population: the same model on the served requests, with offline features under the model's own as-of
rule. features: on the features as served. served: the predictions as served. matured: of those, rows whose label delay
is over."""

StepName = Literal["reproduction", "population shift", "feature skew", "serving", "label delay"]

SplitBy = Literal["factor", "segment", "cause", "feature", "reason"]


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % bootstrap interval (percentiles). low, high: None where no interval can be given, such as
    of a number that was only recorded."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def clear(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class State:
    """estimate: the metric; None where it could not be measured, and `missing` says why. rows: it was measured on."""

    name: StateName
    title: str
    estimate: Estimate | None
    rows: int | None = None
    missing: str | None = None


@dataclass(frozen=True)
class Term:
    """A part of a step. name: of the cause, feature, factor, segment or reason. cause: the one of the six it belongs
    to; None: to none (a population that moved, unexplained cells). cells, of: how many values of how many differ, where
    that is what it is about."""

    name: str
    effect: Estimate
    cause: SixCause | None = None
    cells: int | None = None
    of: int | None = None


@dataclass(frozen=True)
class Split:
    """One way to split a step; the terms add up to it. by: what the terms are. what: of one by segment the column."""

    by: SplitBy
    terms: tuple[Term, ...]
    what: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class Step:
    """names: one, or several where the states between them could not be measured. effect: to - from, in the metric's
    own units; None where one end is missing, and `missing` says why. sentences: plain words, ready to show."""

    names: tuple[StepName, ...]
    title: str
    start: StateName
    end: StateName
    effect: Estimate | None
    splits: tuple[Split, ...] = ()
    sentences: tuple[str, ...] = ()
    missing: str | None = None

    def split(self, by: SplitBy) -> Split | None:
        return next((split for split in self.splits if split.by == by), None)


@dataclass(frozen=True)
class CauseTotal:
    """What one of the six explains of the gap, over all steps. claimed: the interval, widened for looking at six
    causes at once (Bonferroni), leaves zero out. effect: None where no step that could show it was measured, and
    `missing` says which. harmful: it makes the metric worse."""

    cause: SixCause
    effect: Estimate | None
    claimed: bool
    harmful: bool
    sentence: str
    advice: str
    missing: str | None = None


@dataclass(frozen=True)
class GapLedger:
    """gap: online minus offline, None where an end is missing. causes: all six, by the size of their effect, what was
    not measured last. seed, replicates: of the bootstrap. facts: what it was made from, as text. notes: what else is to
    be known, sentences."""

    model: str
    version: str
    metric: str
    higher_is_better: bool
    outcome: str
    at: datetime
    since: datetime | None
    until: datetime | None
    states: tuple[State, ...]
    steps: tuple[Step, ...]
    gap: Estimate | None
    causes: tuple[CauseTotal, ...]
    summary: str
    replicates: int
    seed: int
    counts: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def claimed(self) -> tuple[CauseTotal, ...]:
        return tuple(total for total in self.causes if total.claimed)

    @property
    def complete(self) -> bool:
        """Whether every state was measured."""
        return all(state.estimate is not None for state in self.states)

    @property
    def sums_exact(self) -> bool:
        """Whether the measured steps add up to the gap, and every split to its step."""
        measured = [step for step in self.steps if step.effect is not None]
        if self.gap is not None and abs(sum(_value(step) for step in measured) - self.gap.value) > SUM_TOLERANCE:
            return False
        return all(
            abs(sum(term.effect.value for term in split.terms) - _value(step)) <= SUM_TOLERANCE
            for step in measured
            for split in step.splits
        )

    @property
    def exit_code(self) -> int:
        """0: the two ends were measured and no cause is claimed. 1: one is. 2: there is no gap to speak of, because an
        end of it could not be measured and nothing is claimed."""
        if self.claimed:
            return 1
        return 0 if self.gap is not None else 2

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        return {"schema": SCHEMA, "sums_exact": self.sums_exact, "confidence": CONFIDENCE, **data}


def _value(step: Step) -> float:
    assert step.effect is not None
    return step.effect.value


_ADAPTER = TypeAdapter(GapLedger)
