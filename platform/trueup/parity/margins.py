"""How far a share may stray from the training set's before it means something. Pure.

The training set itself says how far: it is cut into blocks of consecutive rows (training sets are in time order), and
the share of marked rows differs from block to block. By how much, beyond chance, is the intraclass correlation of a
beta-binomial (method of moments, as in Kleinman 1973, J. Am. Stat. Assoc. 68), at the upper 95 % bound of the variance
between blocks (chi-square, by Wilson and Hilferty's approximation), because few blocks measure it badly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

WINDOW_ROWS = 1_000
"""Rows of a block, and of the smallest window that margins are kept for."""
MIN_BLOCKS = 2
FEW_BLOCKS = 20
MOST_BLOCKS = 200

Codes = npt.NDArray[np.int64]
Marks = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Share:
    """How often something happened in the training set: `count` of `rows`, and how unevenly over its blocks.

    correlation: of two rows of a block (0: independent; 1: all of a block or none).
    """

    count: int
    rows: int
    correlation: float

    def allowed(self, window: int, alarm_rate: float) -> float:
        """The share of a window's rows exceeded with at most this probability; never below the training set's own."""
        if window <= 0:
            return 1.0
        quantile = _beta_binomial_quantile(window, (self.count + 0.5) / (self.rows + 1), self.correlation, alarm_rate)
        return max(quantile / window, self.count / self.rows if self.rows else 0.0)

    def to_json(self) -> dict[str, Any]:
        return {"count": self.count, "rows": self.rows, "correlation": self.correlation}


def blocks_of(rows: int) -> int:
    """How many blocks a training set is cut into: of about WINDOW_ROWS, but not too few and not too many."""
    return int(min(max(rows // WINDOW_ROWS, FEW_BLOCKS), MOST_BLOCKS, max(rows // 2, 1)))


def block_numbers(rows: int) -> Codes:
    """Number of the block each row is in."""
    return np.arange(rows, dtype=np.int64) * blocks_of(rows) // max(rows, 1)


def share_of(marks: Marks, among: Marks, block: Codes) -> Share:
    """Of the rows `among` which have the mark; blocks without such rows say nothing."""
    rows = np.bincount(block[among]) if among.any() else np.zeros(1, np.int64)
    counts = np.bincount(block[among & marks], minlength=len(rows)) if among.any() else np.zeros(1, np.int64)
    counts, rows = counts[rows > 0], rows[rows > 0]
    count, total = int(counts.sum()), int(rows.sum())
    return Share(count, total, _correlation(counts.astype(np.float64), rows.astype(np.float64)))


def _correlation(counts: npt.NDArray[np.float64], rows: npt.NDArray[np.float64]) -> float:
    """Intraclass correlation: the variance between blocks, beyond a binomial's, over the most it could be."""
    blocks = len(rows)
    if blocks < MIN_BLOCKS or not 0 < counts.sum() < rows.sum():
        return 0.0
    share = counts.sum() / rows.sum()
    mean_rows = float(rows.mean())
    if mean_rows <= 1:
        return 0.0
    variance = float(np.sum((counts / rows - share) ** 2) / (blocks - 1)) * _variance_bound(blocks - 1)
    binomial = share * (1 - share)
    excess = (variance - binomial / mean_rows) / (binomial * (1 - 1 / mean_rows))
    return round(float(min(max(excess, 0.0), 0.999)), 6)


def _variance_bound(freedom: int) -> float:
    """Factor from an estimated variance to its upper 95 % bound: freedom / chi-square's 5 % quantile."""
    part = 2 / (9 * freedom)
    quantile = freedom * max(1 - part + NormalDist().inv_cdf(0.05) * math.sqrt(part), 0.05) ** 3
    return float(freedom / quantile)


def _beta_binomial_quantile(rows: int, share: float, correlation: float, tail: float) -> int:
    """The smallest count that a beta-binomial of `rows` exceeds with probability at most `tail`."""
    counts = np.arange(rows + 1)
    if correlation >= 1e-6:  # below, the gammas of huge numbers would only add noise to a binomial
        scale = (1 - correlation) / correlation
        a, b = share * scale, (1 - share) * scale
        logs = np.array(
            [
                math.lgamma(rows + 1)
                - math.lgamma(k + 1)
                - math.lgamma(rows - k + 1)
                + math.lgamma(k + a)
                + math.lgamma(rows - k + b)
                - math.lgamma(rows + a + b)
                + math.lgamma(a + b)
                - math.lgamma(a)
                - math.lgamma(b)
                for k in counts.tolist()
            ]
        )
    else:
        logs = np.array(
            [
                math.lgamma(rows + 1)
                - math.lgamma(k + 1)
                - math.lgamma(rows - k + 1)
                + k * math.log(share)
                + (rows - k) * math.log1p(-share)
                for k in counts.tolist()
            ]
        )
    # From the far end, so that the tail's small terms are summed among themselves.
    exceeding = np.append(np.cumsum(np.exp(logs[::-1]))[::-1][1:], 0.0)
    return int(np.flatnonzero(exceeding <= tail)[0])
