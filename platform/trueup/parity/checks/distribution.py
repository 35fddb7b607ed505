"""Check `distribution`: two samples of a model's features that should be alike.

The training set against what was served, or a window of the log against another one. A feature drifted when the
difference is more than chance at the stated rate and large enough to matter; neither alone will do, for with many rows
everything is significant, and with few everything is large.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import log
from typing import Literal

import numpy as np
import numpy.typing as npt

from trueup.frame import FeatureFrame
from trueup.parity.distribution.calibration import MOST_ROWS, Blocks, attainable
from trueup.parity.distribution.columns import WINDOWS, Column, Side, columns_of, side
from trueup.parity.distribution.settings import LEAST_ROWS, DriftSettings
from trueup.parity.distribution.verdict import Pair, judge
from trueup.parity.results import Drift, DriftResult

CHECK: Literal["distribution"] = "distribution"

TOO_FEW_ROWS = f"too few rows (fewer than {LEAST_ROWS} on a side)"
TOO_FEW_BLOCKS = "too few blocks (no deal of them is as rare as the false-alarm rate)"
TOO_MANY_ROWS = "too many rows to resample one by one (deal blocks instead)"
ONE_SIDE = "only one side has the feature"
OTHER_TYPE = "another type on each side"
NO_DISTRIBUTION = "a type without a distribution to compare"

Blocked = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows of features. name: what they are, as text. rows: in the order of time (which is what tells how the
    features move by themselves). blocks: of each row the number of its block, when rows of a block are not
    independent; None takes every row to be."""

    name: str
    rows: FeatureFrame
    blocks: Blocked | None = None


@dataclass(frozen=True, eq=False)
class Samples:
    """Evidence of one result. notes: what a reader should know of how the rows were taken."""

    subject: str
    version: str | None
    reference: Sample
    current: Sample
    settings: DriftSettings = field(default_factory=DriftSettings)
    service: str | None = None
    contract: str | None = None
    features: tuple[str, ...] | None = None
    notes: Mapping[str, str] = field(default_factory=dict)


def check_distribution(samples: Samples) -> DriftResult:
    """Every feature that both samples have and that can be tested; the others are counted by reason."""
    reference, current = (
        {name: column for name, column in columns_of(sample.rows).items() if _asked(samples, column)}
        for sample in (samples.reference, samples.current)
    )
    uncompared: Counter[str] = Counter()
    testable: dict[str, tuple[Column, Column]] = {}
    for name in dict.fromkeys([*reference, *current]):
        reason = _why_not(samples, reference.get(name), current.get(name))
        if reason is None:
            testable[name] = reference[name], current[name]
        else:
            uncompared[reason] += 1
    pairs = {name: _pair(samples, *columns) for name, columns in testable.items()}
    return drift_result(samples, judge(pairs, samples.settings), uncompared)


def drift_result(samples: Samples, features: Mapping[str, Drift], uncompared: Mapping[str, int]) -> DriftResult:
    settings = samples.settings
    rows = samples.reference.rows.num_rows, samples.current.rows.num_rows
    empty = [sample.name for sample in (samples.reference, samples.current) if not sample.rows.num_rows]
    return DriftResult(
        check=CHECK,
        subject=samples.subject,
        version=samples.version,
        reference=samples.reference.name,
        current=samples.current.name,
        reference_rows=rows[0],
        rows=rows[1],
        service=samples.service,
        contract=samples.contract,
        rates={
            "false_alarm_rate": settings.false_alarm_rate,
            "effect_rows": float(settings.effect_rows),
            "least_rows": float(LEAST_ROWS),
            "resamples": float(settings.deals),
            "reference_windows": float(WINDOWS),
        },
        features=features,
        uncompared=dict(uncompared),
        notes={**_independence(samples), **samples.notes},
        problem=f"There are no rows of {' or '.join(empty)}." if empty else None,
    )


def _asked(samples: Samples, column: Column) -> bool:
    return samples.features is None or column.feature in samples.features


def _why_not(samples: Samples, reference: Column | None, current: Column | None) -> str | None:
    if reference is None or current is None:
        return ONE_SIDE
    if reference.dtype != current.dtype or reference.kind != current.kind:
        return OTHER_TYPE
    if reference.kind is None:
        return NO_DISTRIBUTION
    rows = len(reference.statuses), len(current.statuses)
    if min(rows) < LEAST_ROWS:
        return TOO_FEW_ROWS
    ids = samples.reference.blocks, samples.current.blocks
    if ids[0] is None or ids[1] is None:
        return TOO_MANY_ROWS if sum(rows) > MOST_ROWS else None
    blocks = [len(np.unique(own)) for own in ids if own is not None]
    return TOO_FEW_BLOCKS if attainable(*blocks) > log(samples.settings.false_alarm_rate) else None


def _pair(samples: Samples, reference: Column, current: Column) -> Pair:
    sides: tuple[Side, Side] = side(reference), side(current)
    pair = Pair.of(*sides)
    if samples.reference.blocks is None or samples.current.blocks is None:
        return pair
    counted = [
        _by_block(pair.layout.assign(column), own, pair.layout.size)
        for column, own in ((reference, samples.reference.blocks), (current, samples.current.blocks))
    ]
    return Pair(*sides, pair.layout, Blocks(np.concatenate(counted), len(counted[0])))


def _by_block(bins: npt.NDArray[np.intp], blocks: Blocked, size: int) -> npt.NDArray[np.int64]:
    """Rows of each block in each bin."""
    names, number = np.unique(blocks, return_inverse=True)
    counts = np.bincount(number * size + bins, minlength=len(names) * size)
    return counts.reshape(len(names), size).astype(np.int64)


def _independence(samples: Samples) -> dict[str, str]:
    ids = samples.reference.blocks, samples.current.blocks
    if ids[0] is None or ids[1] is None:
        return {"resampled by": "row; rows are taken to be independent of each other"}
    counts = [len(np.unique(own)) for own in ids if own is not None]
    return {"resampled by": f"block; {counts[0]:,} blocks of the reference and {counts[1]:,} current ones"}
