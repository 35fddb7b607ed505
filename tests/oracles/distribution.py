"""Distances between two lists of values, the slow and obvious way: one row at a time, and scipy where it has them."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Hashable, Sequence

from scipy import stats
from scipy.spatial import distance


def ks(reference: Sequence[float], current: Sequence[float]) -> float:
    with warnings.catch_warnings():  # of its p-value, which is not looked at
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(stats.ks_2samp(reference, current, method="asymp").statistic)


def wasserstein(reference: Sequence[float], current: Sequence[float]) -> float:
    return float(stats.wasserstein_distance(reference, current))


def jensen_shannon(reference: Sequence[Hashable], current: Sequence[Hashable]) -> float:
    """Over the values themselves, base 2."""
    p, q = _counts(reference, current)
    return float(distance.jensenshannon(p, q, base=2))


def psi(reference: Sequence[Hashable], current: Sequence[Hashable]) -> float:
    """Over the values themselves, half a row added to each."""
    p, q = ([count + 0.5 for count in side] for side in _counts(reference, current))
    return math.fsum(
        (b / sum(q) - a / sum(p)) * math.log((b / sum(q)) / (a / sum(p))) for a, b in zip(p, q, strict=True)
    )


def cramers_v(reference: Sequence[Hashable], current: Sequence[Hashable]) -> float:
    """Of two sides with as many rows: from scipy's chi-square of the table."""
    assert len(reference) == len(current)
    p, q = _counts(reference, current)
    if len(p) < 2:
        return 0.0
    chi_square = stats.chi2_contingency([p, q], correction=False).statistic
    return float(math.sqrt(chi_square / (len(reference) + len(current))))


def fisher(reference: Sequence[Hashable], current: Sequence[Hashable]) -> float:
    """Fisher's exact test, two-sided, of two values."""
    table = _counts(reference, current)
    return float(stats.fisher_exact(table).pvalue) if len(table[0]) == 2 else 1.0


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    return [float(value) for value in stats.false_discovery_control(p_values, method="bh")]


def _counts(reference: Sequence[Hashable], current: Sequence[Hashable]) -> tuple[list[int], list[int]]:
    p, q = Counter(reference), Counter(current)
    values = list(dict.fromkeys([*reference, *current]))
    return [p[value] for value in values], [q[value] for value in values]
