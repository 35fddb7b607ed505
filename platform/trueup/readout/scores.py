"""How good the predictions are, by variant and by model, with bootstrap intervals. Pure.

By variant: on the rows it answered. By model: on every row it scored, as answer or as shadow; two models that scored
the same rows are compared on them, drawn together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trueup.diagnose.enough import FEWEST_OF_A_CLASS, FEWEST_ROWS
from trueup.diagnose.gap_ledger import Estimate
from trueup.diagnose.metrics import METRICS, Floats, Weigh, weighted
from trueup.diagnose.samples import Draws, Sample, estimate
from trueup.experiments.metric import ModelScore

SCORES: tuple[ModelScore, ...] = ("auc", "log_loss", "brier", "calibration", "accuracy", "precision", "recall")
HIGHER_IS_BETTER: Mapping[ModelScore, bool] = {
    "auc": True,
    "log_loss": False,
    "brier": False,
    "calibration": False,
    "accuracy": True,
    "precision": True,
    "recall": True,
}
BINS = 10
"""Of the expected calibration error: as many equal parts of 0 to 1."""


@dataclass(frozen=True)
class Scored:
    """Rows with their outcome. unit: what is drawn together. labels: 0 and 1. key: what names a row across models."""

    unit: npt.NDArray[np.object_]
    labels: Floats
    predictions: Floats
    key: npt.NDArray[np.object_]


@dataclass(frozen=True)
class Score:
    """missing: why there is no number."""

    score: ModelScore
    rows: int
    estimate: Estimate | None
    missing: str | None = None


@dataclass(frozen=True)
class Difference:
    """second - first. paired: on the rows both scored, drawn together; else on their own rows, independently."""

    score: ModelScore
    first: str
    second: str
    estimate: Estimate | None
    paired: bool
    missing: str | None = None


def scores_of(rows: Scored, *, threshold: float, replicates: int, seed: int) -> tuple[Score, ...]:
    """Every score of some rows. calibration: expected calibration error over `BINS` equal parts of 0 to 1 (Naeini et
    al. 2015). threshold: from which probability on a prediction says yes, for accuracy, precision and recall."""
    if why := _too_few(rows.labels):
        return tuple(Score(name, len(rows.labels), None, why) for name in SCORES)
    sample = _sample(rows.unit, (seed, 0))
    draws = _draws(sample, [rows], threshold, replicates)[0]
    found = []
    for name in SCORES:
        why = _undefined(name, rows, threshold)
        found.append(Score(name, len(rows.labels), None if why else estimate(draws[name]), why))
    return tuple(found)


def differences(
    first: tuple[str, Scored], second: tuple[str, Scored], *, threshold: float, replicates: int, seed: int
) -> tuple[Difference, ...]:
    """Paired where the two have rows in common, on those; else of two independent samples."""
    names = first[0], second[0]
    one, other, paired = _aligned(first[1], second[1])
    why = _too_few(one.labels) or _too_few(other.labels)
    if why:
        return tuple(Difference(name, *names, None, paired, why) for name in SCORES)
    if paired:
        sample = _sample(one.unit, (seed, 1))
        a, b = _draws(sample, [one, other], threshold, replicates)
    else:
        a = _draws(_sample(one.unit, (seed, 2)), [one], threshold, replicates)[0]
        b = _draws(_sample(other.unit, (seed, 3)), [other], threshold, replicates)[0]
    found = []
    for name in SCORES:
        why = _undefined(name, one, threshold) or _undefined(name, other, threshold)
        found.append(Difference(name, *names, None if why else estimate(b[name] - a[name]), paired, why))
    return tuple(found)


def _sample(unit: npt.NDArray[np.object_], seed: tuple[int, ...]) -> Sample:
    names, number = np.unique(unit.astype(str), return_inverse=True)
    return Sample(number.astype(np.int64), len(names), seed)


def _draws(
    sample: Sample, scored: Sequence[Scored], threshold: float, replicates: int
) -> list[dict[ModelScore, Draws]]:
    found: list[dict[ModelScore, list[Floats]]] = [{name: [] for name in SCORES} for _ in scored]
    for drawn in sample.weights(replicates):

        def weigh(rows: npt.NDArray[np.int64], drawn: Floats = drawn) -> Floats:
            return drawn[:, sample.unit[rows]]

        for values, rows in zip(found, scored, strict=True):
            for name in SCORES:
                values[name].append(score(name, rows.labels, rows.predictions, weigh, threshold))
    return [{name: np.concatenate(parts) for name, parts in values.items()} for values in found]


def score(name: ModelScore, labels: Floats, predictions: Floats, weigh: Weigh, threshold: float) -> Floats:
    """In each replicate; NaN where it is not defined (of precision: nothing was predicted)."""
    match name:
        case "auc" | "log_loss" | "brier":
            return weighted(METRICS[name], labels, predictions, weigh)
        case "calibration":
            return _calibration(labels, predictions, weigh)
    says_yes = (predictions >= threshold).astype(np.float64)
    hits: Mapping[str, tuple[Floats, Floats]] = {
        "accuracy": ((says_yes == labels).astype(np.float64), np.ones(len(labels))),
        "precision": (says_yes * labels, says_yes),
        "recall": (says_yes * labels, labels),
    }
    weights = weigh(np.arange(len(labels)))
    good, of = hits[name]
    with np.errstate(invalid="ignore", divide="ignore"):
        share: Floats = (weights @ good) / (weights @ of)
    return share


def _calibration(labels: Floats, predictions: Floats, weigh: Weigh) -> Floats:
    weights = weigh(np.arange(len(labels)))
    bins = np.minimum((predictions * BINS).astype(np.int64), BINS - 1)
    gap = np.zeros(len(weights))
    for number in range(BINS):
        mine = bins == number
        gap += np.abs(weights[:, mine] @ (predictions[mine] - labels[mine]))
    error: Floats = gap / weights.sum(axis=1)
    return error


def _aligned(first: Scored, second: Scored) -> tuple[Scored, Scored, bool]:
    where = {key: at for at, key in enumerate(second.key.tolist())}
    pairs = [(at, where[key]) for at, key in enumerate(first.key.tolist()) if key in where]
    if not pairs:
        return first, second, False
    mine, theirs = (np.array(side, dtype=np.int64) for side in zip(*pairs, strict=True))
    return _take(first, mine), _take(second, theirs), True


def _take(rows: Scored, at: npt.NDArray[np.int64]) -> Scored:
    return Scored(rows.unit[at], rows.labels[at], rows.predictions[at], rows.key[at])


def _too_few(labels: Floats) -> str | None:
    positive = int((labels == 1).sum())
    if len(labels) < FEWEST_ROWS:
        return f"only {len(labels):,} rows with a mature outcome; it takes {FEWEST_ROWS}"
    if min(positive, len(labels) - positive) < FEWEST_OF_A_CLASS:
        return f"{positive:,} of {len(labels):,} outcomes are positive; it takes {FEWEST_OF_A_CLASS} of either kind"
    return None


def _undefined(name: ModelScore, rows: Scored, threshold: float) -> str | None:
    if name == "precision" and not (rows.predictions >= threshold).any():
        return f"no prediction reaches {threshold:g}"
    return None
