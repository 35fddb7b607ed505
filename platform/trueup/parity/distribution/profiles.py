"""One side of a feature as a person wants to see it, and the range its numbers keep to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trueup.parity.distribution.columns import Tally
from trueup.parity.distribution.histogram import Numbers
from trueup.parity.results import Profile

QUANTILES: Mapping[str, float] = {
    "min": 0.0,
    "p01": 0.01,
    "p25": 0.25,
    "p50": 0.5,
    "p75": 0.75,
    "p99": 0.99,
    "max": 1.0,
}
_QUARTILES = 1.3489795003921634
"""Distance of the quartiles of a normal distribution, in standard deviations; of the 5 % quantiles: the next."""
_TWENTIETHS = 3.289707253902945


@dataclass(frozen=True)
class Spread:
    """How far numbers lie apart. unit: their standard deviation, were they normal; never zero.

    low, high: the ends of the robust range; what lies outside is an outlier. None where nine tenths of the values are
    one value, which say nothing of a range.
    """

    unit: float
    low: float | None = None
    high: float | None = None


def spread(numbers: Numbers) -> Spread:
    """The distance of the quartiles or of the 5 % quantiles, whichever is larger as a standard deviation of a normal
    distribution (half of the values may be one value); where both are zero, the standard deviation itself; of one
    value alone, its size.

    The range is Tukey's outer fence, three times the quartiles' distance beyond the quartiles (J. W. Tukey, Exploratory
    Data Analysis, 1977), with that distance taken from the unit. So less than 5 % of wild values do not move it.
    """
    low, high, lower, upper = (numbers.quantile(share) for share in (0.25, 0.75, 0.05, 0.95))
    unit = max(high / _QUARTILES - low / _QUARTILES, upper / _TWENTIETHS - lower / _TWENTIETHS)
    unit = min(unit, _MOST / (4 * _QUARTILES))
    if unit > 0:
        reach = 3 * _QUARTILES * unit
        return Spread(unit, float(max(low - reach, -_MOST)), float(min(high + reach, _MOST)))
    if not len(numbers.count):
        return Spread(1.0)
    # Scaled by the largest, so that squares neither overflow nor vanish.
    largest = float(np.abs(numbers.middle).max()) or 1.0
    scaled = numbers.middle / largest
    mean = np.average(scaled, weights=numbers.count)
    deviation = float(np.sqrt(np.average((scaled - mean) ** 2, weights=numbers.count))) * largest
    return Spread(deviation if deviation > 0 else largest)


_MOST = float(np.finfo(np.float64).max)


def profile(tally: Tally, reference: Spread) -> Profile:
    """reference: of the reference side, for both sides: outliers are those of its range."""
    numbers = tally.numbers
    inside = reference.low is None or reference.high is None
    infinite = tally.minus_infinity + tally.plus_infinity
    distinct = len(tally.categories.counts) + (1 if tally.categories.rest else 0)
    return Profile(
        rows=tally.rows,
        null=tally.null,
        missing=tally.missing,
        expired=tally.expired,
        nan=tally.nan,
        infinite=infinite,
        outliers=0 if inside else numbers.rows_outside(reference.low or 0.0, reference.high or 0.0),
        distinct=(distinct or (len(numbers.count) if numbers.exact else None)),
        quantiles={name: numbers.quantile(share) for name, share in QUANTILES.items()} if len(numbers.count) else {},
    )
