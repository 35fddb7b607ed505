"""How far two sides are from each other, on the bins they share. Every distance is zero or more, and zero when all
shares are the same.

- null_rate, missing_rate, expired_rate, nan_rate, infinite_rate: difference of the shares of all rows.
- psi: population stability index, sum of (q - p) ln(q / p) over the groups, half a row added to each.
- js: Jensen-Shannon distance over the groups, base 2: the square root of the divergence, 0 to 1 (J. Lin, 1991).
- cramers_v: Cramer's V of the table groups x sides, 0 to 1, with both sides weighed alike, so that it does not change
  with the number of rows; between sides of as many rows its square times all rows is Pearson's chi-square.
- largest_bin: the largest difference of one bin's shares over the root of their mean, of all bins and not of groups:
  what a single value, category or state does, however many others there are.
- ks: Kolmogorov-Smirnov, the largest difference of the distribution functions of the finite numbers.
- wasserstein: area between those two functions (earth mover's distance), in units of the reference's spread.
- outliers: difference of the shares of rows outside the robust range of both sides' numbers together.
- categories: share of current rows in categories the reference has none of, plus the reverse.

The last axis of counts is the bins; all others are kept, so that thousands of resamples are measured at once.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trueup.parity.distribution.bins import (
    EXPIRED,
    MINUS_INFINITY,
    MISSING,
    NAN,
    NULL,
    PLUS_INFINITY,
    Layout,
)
from trueup.parity.distribution.histogram import Aligned, Floats
from trueup.parity.distribution.profiles import Spread

RATES = {
    "null_rate": (NULL,),
    "missing_rate": (MISSING,),
    "expired_rate": (EXPIRED,),
    "nan_rate": (NAN,),
    "infinite_rate": (MINUS_INFINITY, PLUS_INFINITY),
}
"""Distance -> the bins it is about."""

SHARES = (*RATES, "ks", "outliers", "categories")
"""Distances that are a share of rows."""

_DIGITS = 12
"""Sums of the same shares in another order must not differ: ties between resamples are ties."""

Real = npt.NDArray[np.float64]


def distances(layout: Layout, reference: npt.NDArray[np.generic], current: npt.NDArray[np.generic]) -> dict[str, Real]:
    """Name -> distance. Rates of states that neither side ever has are left out, but for `null_rate`, and so is what
    does not apply to the feature's type."""
    p, q = (_shares(side.astype(np.float64)) for side in (reference, current))
    pooled = layout.pooled
    found = {
        name: np.abs(q[..., bins] - p[..., bins]).max(axis=-1)
        for name, bins in ((name, list(bins)) for name, bins in RATES.items())
        if name == "null_rate" or pooled[bins].any()
    }
    found["largest_bin"] = residuals(p, q).max(axis=-1)
    groups = np.flatnonzero(layout.grouped(pooled) > 0)
    a, b = (layout.grouped(side)[..., groups] for side in (reference, current))
    shares = _shares(a), _shares(b)
    found |= {"psi": _psi(a, b), "js": _jensen_shannon(*shares), "cramers_v": _cramers_v(*shares)}
    if len(layout.position):
        f, g = (np.cumsum(side[..., layout.first :], axis=-1, dtype=np.float64) for side in (reference, current))
        both = (f[..., -1:] > 0) & (g[..., -1:] > 0)
        apart = np.where(both, np.abs(g / np.maximum(g[..., -1:], 1) - f / np.maximum(f[..., -1:], 1)), 0.0)
        found["ks"] = apart.max(axis=-1)
        found["wasserstein"] = (apart[..., :-1] * np.diff(layout.position)).sum(axis=-1)
    if layout.outer.any():
        found["outliers"] = np.abs((q - p)[..., layout.outer].sum(axis=-1))
    if layout.named.any():
        r, c = p[..., layout.named], q[..., layout.named]
        found["categories"] = (c * (r == 0)).sum(axis=-1) + (r * (c == 0)).sum(axis=-1)
    return {name: np.round(values, _DIGITS) for name, values in found.items()}


def residuals(p: Real, q: Real) -> Real:
    """Difference of the shares of each bin over the root of their mean."""
    middle = np.sqrt((p + q) / 2)
    return np.divide(np.abs(q - p), middle, out=np.zeros_like(middle), where=middle > 0)


def kolmogorov_smirnov(numbers: Aligned) -> tuple[float, float]:
    """Of the numbers themselves, not of the bins; and how wrong it may be: the most that one bucket holds, zero when
    every value was kept apart."""
    f, g = _cumulated(numbers)
    if not len(f):
        return 0.0, 0.0
    blurred = numbers.low < numbers.high
    held = np.maximum(np.diff(f, prepend=0.0), np.diff(g, prepend=0.0))[blurred]
    return float(np.abs(g - f).max()), float(held.max(initial=0.0))


def wasserstein(numbers: Aligned, unit: Spread) -> tuple[float, float]:
    """Of the numbers themselves, in units of the spread; and how wrong it may be: each value is taken to lie in the
    middle of its bucket."""
    f, g = _cumulated(numbers)
    if not len(f):
        return 0.0, 0.0
    with np.errstate(over="ignore"):
        low, high = (np.clip(end / unit.unit, -1e100, 1e100) for end in (numbers.low, numbers.high))
    middle = low / 2 + high / 2
    moved = np.diff(f, prepend=0.0) + np.diff(g, prepend=0.0)
    return float((np.abs(g - f)[:-1] * np.diff(middle)).sum()), float((moved * (high - low) / 2).sum())


def _cumulated(numbers: Aligned) -> tuple[Floats, Floats]:
    """Both distribution functions at the upper end of each place; empty when a side has no number."""
    totals = int(numbers.reference.sum()), int(numbers.current.sum())
    if not all(totals):
        return np.empty(0), np.empty(0)
    return np.cumsum(numbers.reference) / totals[0], np.cumsum(numbers.current) / totals[1]


def _shares(counts: Real) -> Real:
    shares: Real = counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)
    return shares


def _psi(reference: Real, current: Real) -> Real:
    p, q = (_shares(side + 0.5) for side in (reference, current))
    index: Real = ((q - p) * np.log(q / p)).sum(axis=-1)
    return index


def _jensen_shannon(p: Real, q: Real) -> Real:
    middle = (p + q) / 2
    divergence = (_entropy_to(p, middle) + _entropy_to(q, middle)) / 2
    return np.sqrt(np.maximum(divergence, 0.0))


def _entropy_to(p: Real, middle: Real) -> Real:
    """Relative entropy in bits; a group without rows adds nothing."""
    ratio = np.divide(p, middle, out=np.ones_like(p), where=p > 0)
    entropy: Real = (p * np.log2(ratio)).sum(axis=-1)
    return entropy


def _cramers_v(p: Real, q: Real) -> Real:
    both = p + q
    terms = np.divide((p - q) ** 2, both, out=np.zeros_like(both), where=both > 0)
    root: Real = np.sqrt(terms.sum(axis=-1) / 2)
    return root
