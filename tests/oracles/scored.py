"""Metrics of weighted rows by scikit-learn, one replicate at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import permutations
from typing import Any

from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, roc_auc_score


def metric(name: str, labels: Any, predictions: Any, weights: Any) -> float:
    """NaN where it is not defined."""
    if not weights.sum() or (name == "auc" and len(set(labels[weights > 0].tolist())) < 2):
        return math.nan
    match name:
        case "auc":
            return float(roc_auc_score(labels, predictions, sample_weight=weights))
        case "log_loss":
            return float(log_loss(labels, predictions, sample_weight=weights, labels=[0, 1]))
        case "brier":
            return float(brier_score_loss(labels, predictions, sample_weight=weights))
    return float(accuracy_score(labels, predictions >= 0.5, sample_weight=weights))


def shapley(players: int, worth: Callable[[frozenset[int]], float]) -> list[float]:
    """By the definition: every order, one after the other."""
    orders = list(permutations(range(players)))
    values = [0.0] * players
    for order in orders:
        for at, player in enumerate(order):
            before = frozenset(order[:at])
            values[player] += (worth(before | {player}) - worth(before)) / len(orders)
    return values


def calibration(labels: Any, predictions: Any, bins: int) -> float:
    """Expected calibration error, a bin after the other."""
    total = 0.0
    for number in range(bins):
        mine = [i for i, p in enumerate(predictions) if min(int(p * bins), bins - 1) == number]
        if mine:
            total += abs(sum(predictions[i] - labels[i] for i in mine))
    return total / len(labels)
