"""`Outcome`: what a training leaves to compare, and two of them compared. Pure.

Tiers: `bit-identical`; `within tolerance`: metrics within 1e-12 and predictions within 1e-9, absolute, which is what
another order of the same additions can do; `different`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from trueup.datasets.training_set import TrainingSet
from trueup.errors import ModelError
from trueup.models.fitted import (
    FITTED_FILE,
    PREDICTIONS_FILE,
    Floats,
    fitted_state,
    read_fitted,
    read_predictions,
)
from trueup.models.tracking import LoggedRun
from trueup.wording import counted

Verdict = Literal["bit-identical", "within tolerance", "different", "not compared"]

METRIC_TOLERANCE = 1e-12
"""Absolute; metrics are between 0 and a few."""
PREDICTION_TOLERANCE = 1e-9
"""Absolute; predictions are probabilities."""
TIER = f"metrics within {METRIC_TOLERANCE:g} and predictions within {PREDICTION_TOLERANCE:g}"
KEPT_MODEL = "kept model"
"""The line that says whether the model that lies in the store is the one its run recorded."""
RESULTS = ("fitted state", "predictions", "metrics")
"""What is learned; the rest is what it was learned from."""
_DIGITS = 12


@dataclass(frozen=True)
class Outcome:
    """snapshot, content: id of the snapshot, digest of its rows and features. contract: hash. params: the flat recipe.

    fitted: part -> digest. predictions: of the holdout, in the snapshot's order; None when they are not known.
    computed: what the run did not record and its kept model gave now.
    """

    snapshot: str | None
    content: str
    contract: str
    params: Mapping[str, str]
    fitted: Mapping[str, str]
    predictions: Floats | None
    metrics: Mapping[str, float]
    computed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """One compared thing. detail: what is the same, or by how much it is not."""

    thing: str
    verdict: Verdict
    detail: str


@dataclass(frozen=True)
class Comparison:
    """lines: what was learned from first, then what was learned (`RESULTS`)."""

    lines: tuple[Line, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst of all lines; what could not be compared does not count, and stands in its own line."""
        return _worst(self.lines)

    @property
    def results(self) -> Verdict:
        """The worst of what was learned."""
        return _worst(line for line in self.lines if line.thing in RESULTS)

    @property
    def same(self) -> bool:
        """Whether both learned the same, bit for bit or within tolerance."""
        return self.results in ("bit-identical", "within tolerance")

    def line(self, thing: str) -> Line:
        return next(line for line in self.lines if line.thing == thing)

    def to_json(self) -> dict[str, Any]:
        return {"verdict": self.verdict, "lines": [asdict(line) for line in self.lines]}


def outcome_of(run: LoggedRun, data: TrainingSet | None) -> Outcome:
    """What a run recorded. data: its training set, for predictions of a run from before they were recorded."""
    card = run.card
    computed = []
    fitted = run.kept.get(FITTED_FILE)
    if fitted is None:
        computed.append("fitted state")
    kept = run.kept.get(PREDICTIONS_FILE)
    predictions = read_predictions(kept) if kept is not None else None
    if predictions is None and data is not None:
        computed.append("predictions")
        predictions = run.bundle().predict(data.features)[data.holdout]
    return Outcome(
        snapshot=card.snapshot,
        content=str(card.dataset),
        contract=card.contract.hash,
        params=run.params,
        fitted=read_fitted(fitted) if fitted is not None else fitted_state(run.bundle().estimator),
        predictions=predictions,
        metrics=card.metrics,
        computed=tuple(computed),
    )


def kept_model(run: LoggedRun, recorded: Outcome, data: TrainingSet) -> Line:
    """Whether the estimator in the store has the fitted state and gives the predictions that its run recorded.

    Whoever serves a model loads that file, and not what was recorded beside it. `not compared` where the libraries here
    cannot load it.
    """
    try:
        bundle = run.bundle()
        fitted, predictions = fitted_state(bundle.estimator), bundle.predict(data.features)[data.holdout]
    except ModelError as error:
        return Line(KEPT_MODEL, "not compared", error.message)
    parts = [name for name in {**recorded.fitted, **fitted} if recorded.fitted.get(name) != fitted.get(name)]
    if parts:
        return Line(KEPT_MODEL, "different", f"it is not what its run recorded: other bits in {', '.join(parts)}")
    if recorded.predictions is not None and recorded.predictions.tobytes() != predictions.tobytes():
        return Line(KEPT_MODEL, "different", "it does not predict what its run recorded")
    return Line(KEPT_MODEL, "bit-identical", "fitted state and predictions are what its run recorded")


def compare_outcomes(a: Outcome, b: Outcome) -> Comparison:
    """From `a`, the recorded one, to `b`."""
    predictions = _predictions(a, b)
    return Comparison(
        (_dataset(a, b), _contract(a, b), _params(a, b), _fitted(a, b, predictions), predictions, _metrics(a, b))
    )


def _dataset(a: Outcome, b: Outcome) -> Line:
    if a.snapshot == b.snapshot:
        return Line("dataset", "bit-identical", f"snapshot {str(a.snapshot)[:_DIGITS]}, content {a.content[:_DIGITS]}")
    moved = f"{str(a.snapshot)[:_DIGITS]} -> {str(b.snapshot)[:_DIGITS]}"
    if a.content == b.content:
        return Line("dataset", "within tolerance", f"the same rows and values, snapshot {moved}")
    return Line("dataset", "different", f"snapshot {moved}")


def _contract(a: Outcome, b: Outcome) -> Line:
    if a.contract == b.contract:
        return Line("contract", "bit-identical", a.contract[:_DIGITS])
    return Line("contract", "different", f"{a.contract[:_DIGITS]} -> {b.contract[:_DIGITS]}")


def _params(a: Outcome, b: Outcome) -> Line:
    if a.params == b.params:
        return Line("parameters", "bit-identical", f"{len(a.params)}, each the same")
    names = [name for name in sorted({*a.params, *b.params}) if a.params.get(name) != b.params.get(name)]
    changes = (f"{name}: {a.params.get(name, 'none')} -> {b.params.get(name, 'none')}" for name in names)
    return Line("parameters", "different", "; ".join(changes))


def _fitted(a: Outcome, b: Outcome, predictions: Line) -> Line:
    """Numbers of other bits that predict alike are within tolerance: a threshold may move where no row lies. Other
    categories or classes never are: a row with one of them is answered otherwise."""
    if a.fitted == b.fitted:
        return Line("fitted state", "bit-identical", f"{', '.join(a.fitted)}{_computed(a, b, 'fitted state')}")
    parts = [name for name in {**a.fitted, **b.fitted} if a.fitted.get(name) != b.fitted.get(name)]
    alike = predictions.verdict in ("bit-identical", "within tolerance")
    numbers = not {"encoder categories", "classes"} & {*parts}
    verdict: Verdict = "within tolerance" if alike and numbers else "different"
    return Line("fitted state", verdict, f"other bits in {', '.join(parts)}")


def _predictions(a: Outcome, b: Outcome) -> Line:
    one, other = a.predictions, b.predictions
    if one is None or other is None:
        return Line("predictions", "not compared", "not recorded")
    if one.shape != other.shape:
        return Line("predictions", "different", f"of {len(one):,} rows -> of {len(other):,} rows")
    rows = counted(len(one), "row")
    computed = _computed(a, b, "predictions")
    if one.tobytes() == other.tobytes():
        return Line("predictions", "bit-identical", f"{rows}{computed}")
    most = float(np.max(np.abs(one - other)))
    differ = int(np.count_nonzero(one != other))
    verdict: Verdict = "within tolerance" if most <= PREDICTION_TOLERANCE else "different"
    return Line("predictions", verdict, f"{differ:,} of {rows} differ, by {most:.3g} at most{computed}")


def _metrics(a: Outcome, b: Outcome) -> Line:
    if a.metrics == b.metrics:
        return Line("metrics", "bit-identical", ", ".join(f"{name} {value:.6g}" for name, value in a.metrics.items()))
    if a.metrics.keys() != b.metrics.keys():
        return Line("metrics", "different", f"{', '.join(a.metrics)} -> {', '.join(b.metrics)}")
    moved = {name: (a.metrics[name], b.metrics[name]) for name in a.metrics if a.metrics[name] != b.metrics[name]}
    most = max(abs(one - other) for one, other in moved.values())
    verdict: Verdict = "within tolerance" if most <= METRIC_TOLERANCE else "different"
    return Line(
        "metrics", verdict, ", ".join(f"{name} {one:.6g} -> {other:.6g}" for name, (one, other) in moved.items())
    )


def _computed(a: Outcome, b: Outcome, thing: str) -> str:
    return " (not recorded: computed now from the kept model)" if thing in (*a.computed, *b.computed) else ""


def _worst(lines: Any) -> Verdict:
    order: tuple[Verdict, ...] = ("different", "within tolerance", "bit-identical")
    found = {line.verdict for line in lines}
    return next((verdict for verdict in order if verdict in found), "not compared")
