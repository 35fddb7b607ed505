"""Metrics of predicted probabilities under many weightings of the same rows at once. Pure.

A bootstrap replicate is a weight for each row, so a metric of a thousand replicates is a few passes over one array.
tests/oracles has each of them by scikit-learn, one replicate at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from trueup.errors import InputError

Floats = npt.NDArray[np.float64]
Weigh = Callable[[npt.NDArray[np.int64]], Floats]
"""Weights of these rows, in this order: shape (replicates, rows)."""

MetricName = Literal["auc", "log_loss", "brier", "accuracy"]
_SMALLEST = np.finfo(np.float64).eps
"""Probabilities are kept this far from 0 and 1 in `log_loss`, as scikit-learn does."""


@dataclass(frozen=True)
class MetricKind:
    """of_rows: what a row adds, of a metric that is a mean over rows; None: of one that is not."""

    name: MetricName
    title: str
    higher_is_better: bool
    of_rows: Callable[[Floats, Floats], Floats] | None


def _log_losses(labels: Floats, predictions: Floats) -> Floats:
    clipped = np.clip(predictions, _SMALLEST, 1 - _SMALLEST)
    losses: Floats = -(labels * np.log(clipped) + (1 - labels) * np.log1p(-clipped))
    return losses


def _squares(labels: Floats, predictions: Floats) -> Floats:
    squares: Floats = (predictions - labels) ** 2
    return squares


def _right(labels: Floats, predictions: Floats) -> Floats:
    right: Floats = ((predictions >= 0.5) == (labels == 1)).astype(np.float64)
    return right


METRICS: Mapping[str, MetricKind] = {
    kind.name: kind
    for kind in (
        MetricKind("auc", "AUC", True, None),
        MetricKind("log_loss", "log loss", False, _log_losses),
        MetricKind("brier", "Brier score", False, _squares),
        MetricKind("accuracy", "accuracy at 0.5", True, _right),
    )
}


def metric_kind(name: str) -> MetricKind:
    if name not in METRICS:
        raise InputError("metric", f"metric: {name!r} is not one of {', '.join(METRICS)}.")
    return METRICS[name]


def weighted(kind: MetricKind, labels: Floats, predictions: Floats, weigh: Weigh) -> Floats:
    """The metric in each replicate; NaN in one where it is not defined (no row, or for an AUC no two kinds of rows).

    labels: 0 and 1. predictions: finite, in [0, 1].
    """
    if kind.of_rows is not None:
        rows = np.arange(len(labels))
        weights = weigh(rows)
        total = weights.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean: Floats = weights @ kind.of_rows(labels, predictions) / total
        return mean
    return _auc(labels, predictions, weigh)


def _auc(labels: Floats, predictions: Floats, weigh: Weigh) -> Floats:
    """P(a positive scores above a negative) + half P(they tie), by weight: one pass in the order of the scores."""
    order = np.argsort(predictions, kind="stable").astype(np.int64)
    weights, positive = weigh(order), labels[order]
    firsts = np.flatnonzero(np.r_[True, np.diff(predictions[order]) > 0])
    positives = np.add.reduceat(weights * positive, firsts, axis=1)
    negatives = np.add.reduceat(weights * (1 - positive), firsts, axis=1)
    below = np.cumsum(negatives, axis=1) - negatives / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        auc: Floats = (positives * below).sum(axis=1) / (positives.sum(axis=1) * negatives.sum(axis=1))
    return auc
