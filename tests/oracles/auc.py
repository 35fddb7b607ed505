"""The AUC of two models and the standard error of their difference, pair by pair: slow and obvious.

As DeLong, DeLong and Clarke-Pearson (1988) define it: a kernel over each pair of a positive and a negative row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import covariance, fmean


def auc_difference(positive: Sequence[bool], a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    of_a, of_b = _placements(positive, a), _placements(positive, b)
    variance = 0.0
    for mine, theirs in zip(of_a, of_b, strict=True):
        both = covariance(mine, mine) + covariance(theirs, theirs) - 2 * covariance(mine, theirs)
        variance += both / len(mine)
    return fmean(of_a[0]), fmean(of_b[0]), math.sqrt(max(variance, 0.0))


def _placements(positive: Sequence[bool], scores: Sequence[float]) -> tuple[list[float], list[float]]:
    with_label = [score for score, yes in zip(scores, positive, strict=True) if yes]
    without = [score for score, yes in zip(scores, positive, strict=True) if not yes]
    return (
        [fmean(_wins(mine, other) for other in without) for mine in with_label],
        [fmean(_wins(mine, other) for mine in with_label) for other in without],
    )


def _wins(mine: float, other: float) -> float:
    return 1.0 if mine > other else 0.5 if mine == other else 0.0
