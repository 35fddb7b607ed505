"""`Metric`: one thing an experiment is judged by, as its TOML declares it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from trueup.errors import InputError
from trueup.eventlog.labelled import Absent

Kind = Literal["mean", "sum", "ratio", "model"]
"""mean: what `value` is on average over the rows of a unit. sum: what it adds up to, of a unit. ratio: the sum of
`value` by the sum of `denominator`, both of a unit (its standard error by the delta method). model: how good the
predictions are that were answered, row by row."""

Value = Literal["outcome", "squared_error", "log_loss", "correct"]
"""What of a row is averaged: its outcome; or how far the answered prediction is from the outcome, which must be 0 or 1
then: (p - y)^2, -log of the probability given to y in nats, or whether p >= `threshold` is y."""

Goal = Literal["increase", "decrease"]

ModelScore = Literal["auc", "log_loss", "brier", "calibration", "accuracy", "precision", "recall"]


@dataclass(frozen=True)
class Metric:
    """outcome: name of the imported outcome it is made of. delay: how long after a request its outcome may come; until
    then its row is immature, and counts as nothing. covariate: a column of the served log (a feature, such as
    `route_history__late_share`) that no variant can have changed, for CUPED. threshold: from which probability on a
    prediction says yes. denominator: of kind `ratio`, the outcome that the sum is divided by, or `rows`, their number.
    max_regression: of a guardrail, how much worse than the control, relative (0.02 is 2 %), it may be; None: it is no
    guardrail. score: of kind `model`.
    """

    name: str
    outcome: str
    kind: Kind = "mean"
    value: Value = "outcome"
    denominator: str | None = None
    goal: Goal = "increase"
    delay: timedelta = timedelta()
    absent: Absent = "unknown"
    covariate: str | None = None
    threshold: float = 0.5
    max_regression: float | None = None
    score: ModelScore | None = None

    def __post_init__(self) -> None:
        for wanted, field in (("ratio", "denominator"), ("model", "score")):
            there = getattr(self, field) is not None
            if there != (self.kind == wanted):
                said = "needs one" if not there else f"is only of kind {wanted!r}"
                raise InputError(field, f"metric {self.name!r} of kind {self.kind!r}: {field} {said}.")
        if self.kind == "model" and self.covariate is not None:
            raise InputError("covariate", f"metric {self.name!r}: a model's score takes no covariate.")
        if self.kind == "model" and self.guardrail:
            # A read-out judges guardrails by their units; accepted here, it would never be judged, and pass.
            raise InputError(
                "max_regression",
                f"metric {self.name!r}: a model's score is no guardrail.",
                hint='Guard a mean: kind = "mean" with value = "correct", "squared_error" or "log_loss".',
            )

    @property
    def guardrail(self) -> bool:
        return self.max_regression is not None
