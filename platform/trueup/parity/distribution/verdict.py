"""Which features drifted: significant over all features, and far enough to matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from trueup.parity.distribution.bins import Layout, layout, recounted
from trueup.parity.distribution.calibration import Blocks, Chance, against_chance, own_variation, visible
from trueup.parity.distribution.columns import Side
from trueup.parity.distribution.distances import kolmogorov_smirnov, residuals, wasserstein
from trueup.parity.distribution.histogram import align
from trueup.parity.distribution.profiles import profile, spread
from trueup.parity.distribution.reasons import reasons
from trueup.parity.distribution.settings import DriftSettings
from trueup.parity.results import Bin, Drift

_FLOOR_RESAMPLES = 199
MOST_LISTED = 50
"""New and vanished categories that are listed, the largest."""
_MARGIN = 5
"""How many times finer than needed the smallest p-value of a closer look is."""


@dataclass(frozen=True, eq=False)
class Pair:
    """One feature's two sides. blocks: their rows by block, where not rows but blocks are independent."""

    reference: Side
    current: Side
    layout: Layout
    blocks: Blocks | None = None

    @classmethod
    def of(cls, reference: Side, current: Side) -> Pair:
        return cls(reference, current, layout(reference, current))


def judge(pairs: Mapping[str, Pair], settings: DriftSettings) -> dict[str, Drift]:
    """Every feature's distances, p- and q-value and verdict, in the order given.

    drifted: the q-value is at most the stated rate, and a distance that reaches its threshold by chance also reaches
    the smallest that counts.
    """
    rate = settings.false_alarm_rate
    chances = {name: _chance(name, pair, settings, deals=settings.deals, look=1) for name, pair in pairs.items()}
    # A p-value cannot be smaller than one in all deals. Of the features at that end, Benjamini-Hochberg asks for
    # `rate` times their share of all features: they are dealt again, so often that p-values that small can come out.
    extreme = [name for name, chance in chances.items() if chance.at_end]
    if extreme:
        needed = int(np.ceil(_MARGIN * len(pairs) / (len(extreme) * rate)))
        for name in extreme:
            if needed > chances[name].deals:
                chances[name] = _chance(name, pairs[name], settings, deals=needed, look=2)
    adjusted = benjamini_hochberg([chance.p_value for chance in chances.values()])
    return {
        name: _drift(name, pairs[name], chance, q_value, settings)
        for (name, chance), q_value in zip(chances.items(), adjusted, strict=True)
    }


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """The smallest false discovery rate at which each would be called (Y. Benjamini and Y. Hochberg, 1995)."""
    values = np.asarray(p_values, np.float64)
    order = np.argsort(values, kind="stable")
    ranked = values[order] * len(values) / np.arange(1, len(values) + 1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.minimum.accumulate(ranked[::-1])[::-1], 1.0)
    return [float(value) for value in adjusted]


def _chance(name: str, pair: Pair, settings: DriftSettings, *, deals: int, look: int) -> Chance:
    return against_chance(
        pair.layout,
        _generator(settings, name, look),
        rate=settings.false_alarm_rate,
        deals=deals,
        blocks=pair.blocks,
    )


def _generator(settings: DriftSettings, name: str, look: int) -> np.random.Generator:
    """A stream of each feature's own, whatever other features there are."""
    return np.random.default_rng([settings.seed, look, *name.encode()])


def _drift(name: str, pair: Pair, chance: Chance, q_value: float, settings: DriftSettings) -> Drift:
    found, errors = _unbinned(pair)
    seen = {**chance.distances, **found}
    unit = spread(pair.reference.whole.numbers)
    new, vanished = _new_and_vanished(pair)
    drift = Drift(
        dtype=pair.reference.dtype,
        reference=profile(pair.reference.whole, unit),
        current=profile(pair.current.whole, unit),
        drifted=False,
        p_value=chance.p_value,
        q_value=q_value,
        distances=seen,
        thresholds=chance.thresholds,
        floors=_floors(name, pair, seen, settings),
        errors=errors,
        new_categories=new[:MOST_LISTED],
        vanished_categories=vanished[:MOST_LISTED],
        bins=pair.layout.bins(),
        outlier_range=None if unit.low is None or unit.high is None else (unit.low, unit.high),
    )
    telling = [distance for distance, value in seen.items() if value >= drift.limits[distance]]
    if q_value > settings.false_alarm_rate or not telling:
        return drift
    return replace(drift, drifted=True, reasons=reasons(drift, telling, _most_changed(pair.layout)))


def _most_changed(layout: Layout) -> Bin:
    p, q = (side / side.sum() for side in (layout.reference, layout.current))
    return layout.bin(int(residuals(p, q).argmax()))


def _floors(name: str, pair: Pair, seen: Mapping[str, float], settings: DriftSettings) -> dict[str, float]:
    """Name -> the smallest distance that counts."""
    chosen = settings.min_effect.get(name, settings.min_effect.get(pair.reference.feature))
    if chosen is not None:
        return dict.fromkeys(seen, float(chosen))
    random = _generator(settings, name, 3)
    rate = settings.false_alarm_rate
    least = visible(pair.layout, random, rate=rate, rows=settings.effect_rows, deals=_floor_deals(rate))
    moves = own_variation(
        pair.layout, recounted(pair.layout, pair.reference), random, rate=rate, deals=_floor_deals(rate)
    )
    return {distance: max(least[distance], moves.get(distance, 0.0)) for distance in seen}


def _floor_deals(rate: float) -> int:
    """So many that five samples lie beyond the distance that chance exceeds at this rate."""
    return max(_FLOOR_RESAMPLES, int(5 / rate) - 1)


def _unbinned(pair: Pair) -> tuple[dict[str, float], dict[str, float]]:
    """The distances that the numbers themselves give, and how wrong each may be, where it may."""
    if pair.reference.kind == "category":
        return {}, {}
    numbers = align(pair.reference.whole.numbers, pair.current.whole.numbers)
    if not len(numbers.low):
        return {}, {}
    measured = {
        "ks": kolmogorov_smirnov(numbers),
        "wasserstein": wasserstein(numbers, spread(pair.reference.whole.numbers)),
    }
    return (
        {name: value for name, (value, _) in measured.items()},
        {name: error for name, (_, error) in measured.items() if error},
    )


def _new_and_vanished(pair: Pair) -> tuple[tuple[tuple[str, int], ...], tuple[tuple[str, int], ...]]:
    """Categories that only one side has, with their rows there, most first. None where the other side had too many
    categories to keep all apart."""
    reference, current = (_categories(pair.layout, side) for side in (pair.reference, pair.current))
    return _only(current, reference), _only(reference, current)


def _categories(layout: Layout, side: Side) -> tuple[Mapping[str, int], bool]:
    """Category -> rows, and whether these are all. Few numbers count as categories."""
    if side.kind == "category":
        return side.whole.categories.counts, not side.whole.categories.rest
    if not layout.named.any():
        return {}, False
    numbers = side.whole.numbers
    labels = {group.low: group.label for group in layout.groups}
    return {labels[float(value)]: int(n) for value, n in zip(numbers.low, numbers.count, strict=True)}, True


def _only(own: tuple[Mapping[str, int], bool], other: tuple[Mapping[str, int], bool]) -> tuple[tuple[str, int], ...]:
    if not other[1]:
        return ()
    alone = [(text, rows) for text, rows in own[0].items() if text not in other[0]]
    return tuple(sorted(alone, key=lambda item: (-item[1], item[0])))
