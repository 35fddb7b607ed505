"""Whether the variants got the units they should have: a mismatch of the sample ratio breaks every comparison. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import tea_tasting as tt
from scipy.stats import chisquare

ALARM = 0.001
"""p-values below are an alarm (Fabijan et al. 2019, "Diagnosing sample ratio mismatch in online controlled
experiments")."""


@dataclass(frozen=True)
class SampleRatio:
    """observed, expected: variant -> units, and its share by design. p_value: exact binomial or normal of two variants
    (tea-tasting), chi-square of more."""

    observed: Mapping[str, int]
    expected: Mapping[str, float]
    p_value: float

    @property
    def off(self) -> bool:
        return self.p_value < ALARM


@dataclass(frozen=True)
class Segment:
    """adjusted: the level's p-value, by Holm over all levels of all columns."""

    column: str
    level: str
    ratio: SampleRatio
    adjusted: float

    @property
    def off(self) -> bool:
        return self.adjusted < ALARM


def sample_ratio(observed: Mapping[str, int], shares: Mapping[str, float]) -> SampleRatio | None:
    """observed: units of each variant that gets some by design; None when there are none, or one variant only."""
    names = [name for name, share in shares.items() if share > 0]
    counts = [observed.get(name, 0) for name in names]
    if len(names) < 2 or not sum(counts):
        return None
    expected = {name: shares[name] for name in names}
    if len(names) == 2:
        frame = pd.DataFrame({"variant": [name for name, n in zip(names, counts, strict=True) for _ in range(n)]})
        if min(counts) == 0:  # tea-tasting wants to see both variants
            p_value = chisquare(counts, [sum(counts) * expected[name] for name in names]).pvalue
        else:
            wanted = tt.SampleRatio(expected[names[1]] / expected[names[0]])
            p_value = wanted.analyze(frame, names[0], names[1], "variant").pvalue
    else:
        p_value = chisquare(counts, [sum(counts) * expected[name] for name in names]).pvalue
    return SampleRatio(dict(zip(names, counts, strict=True)), expected, float(p_value))


def by_segment(
    levels: Mapping[str, Mapping[str, Mapping[str, int]]], shares: Mapping[str, float]
) -> tuple[Segment, ...]:
    """levels: column -> level -> variant -> units. Sorted by p-value: where a mismatch comes from stands first."""
    found = [
        (column, level, ratio)
        for column, of_column in levels.items()
        for level, observed in of_column.items()
        if (ratio := sample_ratio(observed, shares)) is not None
    ]
    found.sort(key=lambda each: (each[2].p_value, each[0], each[1]))
    segments, highest = [], 0.0
    for rank, (column, level, ratio) in enumerate(found):
        highest = max(highest, min(1.0, ratio.p_value * (len(found) - rank)))
        segments.append(Segment(column, level, ratio, highest))
    return tuple(segments)
