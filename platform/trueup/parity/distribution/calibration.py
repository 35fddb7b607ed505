"""What distances come about by chance alone, and how likely what was seen is among them.

The null hypothesis is that current rows are drawn from the same distribution as reference rows. Then which side a row
is of says nothing, so the rows of both are dealt to the sides again, many times, keeping the sides' sizes; what was
seen counts as one of the deals. The share of deals at least as extreme is a p-value that is exact whatever the
distribution, the bins and the sizes (R. A. Fisher; B. Phipson and G. Smyth, 2010, for counting the observed one).

All distances of a feature are tested as one: a deal's score is its least likely distance (L. Tippett's combination, the
smallest of the distances' own p-values, calibrated by the same deals as P. Westfall and S. Young do, 1993), so many
distances on one feature are no more chances for a false alarm.

Dealing row by row takes rows to be independent. Served rows are not when one reading is served many times (an hour's
weather to every flight of the hour): then dozens of rows are one piece of evidence, and row-wise deals vary too little,
which raises false alarms. With blocks (the rows of an hour, a day, an entity) whole blocks are dealt instead, which
needs only that blocks are exchangeable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import lgamma

import numpy as np

from trueup.parity.distribution.bins import Layout
from trueup.parity.distribution.distances import Real, distances
from trueup.parity.distribution.histogram import Counts

MOST_ROWS = 999_999_999
"""Rows of both sides that can be dealt: numpy's bound for its hypergeometric generator."""
_DEALS_AT_ONCE = 1_000


@dataclass(frozen=True, eq=False)
class Blocks:
    """Rows that are dealt together. counts: rows of each block in each bin; the first `reference` blocks are the
    reference's."""

    counts: Counts
    reference: int


@dataclass(frozen=True, eq=False)
class Chance:
    """One feature's test. p_value: of all its distances together.

    distances: name -> what was seen. thresholds: name -> the value that, under the null hypothesis, this distance
    or any other exceeds its own of with the stated probability: the p-value is at most the rate when some distance
    reaches its threshold. at_end: no deal has as much of some distance, so more deals could make the p-value smaller.
    """

    p_value: float
    distances: Mapping[str, float]
    thresholds: Mapping[str, float]
    deals: int
    at_end: bool


def against_chance(
    layout: Layout, random: np.random.Generator, *, rate: float, deals: int, blocks: Blocks | None = None
) -> Chance:
    """The observed counts among `deals` deals."""
    measured = [distances(layout, layout.reference[None], layout.current[None])]
    measured += [
        distances(layout, reference, current)
        for reference, current in (
            _deal_rows(layout, random, deals) if blocks is None else _deal_blocks(blocks, random, deals)
        )
    ]
    names = list(measured[0])
    values = np.stack([np.concatenate([part[name] for part in measured]) for name in names])
    likely = np.stack([_upper_shares(row) for row in values])
    # Equal scores are told apart by how far out a distance is, or the first of each distance would all tie.
    least, far = likely.min(axis=0), _standardized(values).max(axis=0)
    as_extreme = (least < least[0]) | ((least == least[0]) & (far >= far[0]))
    cut = _critical(least, rate)
    return Chance(
        p_value=float(as_extreme.mean()),
        distances={name: float(row[0]) for name, row in zip(names, values, strict=True)},
        thresholds={name: _threshold(row, own, cut) for name, row, own in zip(names, values, likely, strict=True)},
        deals=deals,
        at_end=bool(least[0] * (deals + 1) <= 1),
    )


def by_chance(
    layout: Layout, random: np.random.Generator, *, rate: float, sizes: tuple[int, int], deals: int
) -> dict[str, float]:
    """Name -> the distance that two samples of the reference, of so many rows each, exceed with probability `rate`."""
    shares = layout.reference / layout.reference.sum()
    drawn = [random.multinomial(size, shares, size=deals) for size in sizes]
    return {
        name: float(np.quantile(values, 1 - rate, method="higher"))
        for name, values in distances(layout, *drawn).items()
    }


def visible(layout: Layout, random: np.random.Generator, *, rate: float, rows: int, deals: int) -> dict[str, float]:
    """Name -> the smallest distance that samples of `rows` rows would show at this rate.

    That is what two such samples of the reference exceed by chance. What no row of the reference shows (a state, a
    new category) is in no such sample; it could be told from chance once so many rows have it that all of them lying
    on one side has probability `rate`. That share is the least for every distance, or what it makes of the distance.
    """
    told = float(np.ceil(-np.log2(rate)) / rows)
    # Of a share e that only one side has, to first order: divergence in bits and V squared are e / 2.
    root = float(np.sqrt(told / 2))
    least = {"js": root, "cramers_v": root, "largest_bin": 2 * root}
    chance = by_chance(layout, random, rate=rate, sizes=(rows, rows), deals=deals)
    return {name: max(value, least.get(name, told)) for name, value in chance.items()}


def own_variation(
    layout: Layout, windows: Sequence[Counts], random: np.random.Generator, *, rate: float, deals: int
) -> dict[str, float]:
    """Name -> the largest distance of a part of the reference from the rest of it, where that is more than chance.

    windows: the reference's rows by bin, part by part in the order of time. Parts that differ no more than chance says
    say nothing of how the feature moves by itself, and give 0.
    """
    found: dict[str, float] = {}
    known: dict[tuple[int, int], dict[str, float]] = {}
    for window in windows:
        rest = layout.reference - window
        sizes = int(rest.sum()), int(window.sum())
        if not all(sizes):
            continue
        if sizes not in known:
            known[sizes] = by_chance(layout, random, rate=rate, sizes=sizes, deals=deals)
        for name, values in distances(layout, rest[None], window[None]).items():
            value = float(values[0])
            found[name] = max(found.get(name, 0.0), value if value > known[sizes][name] else 0.0)
    return found


def attainable(reference: int, current: int) -> float:
    """Logarithm of the smallest p-value that dealing so many things to two sides can give: of one deal among all."""
    return lgamma(reference + 1) + lgamma(current + 1) - lgamma(reference + current + 1)


def _deal_rows(layout: Layout, random: np.random.Generator, deals: int) -> Iterator[tuple[Counts, Counts]]:
    """Both sides' counts by bin, some deals at a time."""
    pooled = layout.pooled
    size = int(min(layout.current.sum(), layout.reference.sum()))
    swapped = size != layout.current.sum()
    for start in range(0, deals, _DEALS_AT_ONCE):
        dealt = random.multivariate_hypergeometric(
            pooled, size, size=min(_DEALS_AT_ONCE, deals - start), method="marginals"
        )
        rest = pooled - dealt
        yield (dealt, rest) if swapped else (rest, dealt)


def _deal_blocks(blocks: Blocks, random: np.random.Generator, deals: int) -> Iterator[tuple[Counts, Counts]]:
    number = len(blocks.counts)
    few = min(blocks.reference, number - blocks.reference)
    swapped = few == blocks.reference
    pooled = blocks.counts.sum(axis=0)
    for start in range(0, deals, _DEALS_AT_ONCE):
        dealt = np.stack(
            [
                blocks.counts[random.choice(number, few, replace=False, shuffle=False)].sum(axis=0)
                for _ in range(min(_DEALS_AT_ONCE, deals - start))
            ]
        )
        rest = pooled - dealt
        yield (dealt, rest) if swapped else (rest, dealt)


def _upper_shares(values: Real) -> Real:
    """For each value the share of values that are at least as large."""
    ascending = np.sort(values)
    shares: Real = (len(values) - np.searchsorted(ascending, values, "left")) / len(values)
    return shares


def _standardized(values: Real) -> Real:
    """Each distance (a row) in standard deviations above its mean; rounded, for ties to stay ties."""
    deviation = values.std(axis=1, keepdims=True)
    apart = values - values.mean(axis=1, keepdims=True)
    far: Real = np.round(np.divide(apart, deviation, out=np.zeros_like(values), where=deviation > 0), 6)
    return far


def _critical(least: Real, rate: float) -> float:
    """The largest score that at most `rate` of the deals reach; 0 when even the smallest is reached by more."""
    ascending = np.sort(least)
    reached = np.searchsorted(ascending, ascending, "right") / len(ascending)
    allowed = ascending[reached <= rate]
    return float(allowed[-1]) if len(allowed) else 0.0


def _threshold(values: Real, likely: Real, cut: float) -> float:
    """The smallest value among the deals that is no more likely than the cut; above all of them when none is."""
    beyond = values[likely <= cut]
    return float(beyond.min()) if len(beyond) else float(np.nextafter(values.max(), np.inf))
