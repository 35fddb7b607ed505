"""Areas under the ROC curve of two models on the same rows, and how far chance alone moves them apart. Pure.

The variance is that of DeLong, DeLong and Clarke-Pearson (1988), "Comparing the areas under two or more correlated
receiver operating characteristic curves: a nonparametric approach", Biometrics 44(3), 837-845, computed by midranks as
Sun and Xu (2014), IEEE Signal Processing Letters 21(11), 1389-1393. It is in closed form: no seed and no resampling.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

ONE_SIDED_95 = 1.6448536269514722
"""Standard normal quantile: a model that is as good is called worse in one of 20 comparisons."""


@dataclass(frozen=True)
class AucDifference:
    """a, b: areas of the two models. standard_error: of their difference, rows taken as independent of each other."""

    a: float
    b: float
    standard_error: float

    @property
    def band(self) -> float:
        """How much lower `a` may be than `b` by chance, at one-sided 95 %."""
        return ONE_SIDED_95 * self.standard_error

    @property
    def a_is_worse(self) -> bool:
        return self.b - self.a > self.band


def auc_difference(positive: npt.NDArray[np.bool_], a: Floats, b: Floats) -> AucDifference:
    """positive: which rows have the label. a, b: finite scores of the same rows.

    Raises ValueError with fewer than two rows of either kind, of which no variance can be told.
    """
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if min(positives, negatives) < 2:
        raise ValueError(
            f"{positives} rows with the label and {negatives} without; an AUC and its variance need two of each"
        )
    of_a, of_b = (_placements(positive, scores) for scores in (a, b))
    variance = sum(float(np.var(mine - theirs, ddof=1)) / len(mine) for mine, theirs in zip(of_a, of_b, strict=True))
    return AucDifference(float(of_a[0].mean()), float(of_b[0].mean()), math.sqrt(variance))


def _placements(positive: npt.NDArray[np.bool_], scores: Floats) -> tuple[Floats, Floats]:
    """Of each positive the share of negatives below it, of each negative the share of positives above it; ties half."""
    ranks = _midranks(scores)
    positives, negatives = scores[positive], scores[~positive]
    of_positives = (ranks[positive] - _midranks(positives)) / len(negatives)
    of_negatives = 1 - (ranks[~positive] - _midranks(negatives)) / len(positives)
    return of_positives, of_negatives


def _midranks(values: Floats) -> Floats:
    """Ranks from 1; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Floats = (last - (counts - 1) / 2)[inverse]
    return ranks
