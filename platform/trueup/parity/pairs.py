"""Rows computed twice that should be the same, and no reading to toggle: counted, and a few of them shown. Pure.

`replay` and `transforms` compare this way. (`online` and `served` recompute from a source: see `explain` and `tally`.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import pyarrow as pa

from trueup.frame import FeatureFrame, Status
from trueup.instants import EPOCH
from trueup.parity.compare import Comparison, Mask, Outcome, cells, compare
from trueup.parity.explain import Findings
from trueup.parity.results import Cell, FeatureResult, Sample
from trueup.parity.tally import SAMPLES, Labels, Tally, shown

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Pairs:
    """Row i of `first` should be row i of `second`.

    first: what was served (`Sample.served`). second: what it should have been (`Sample.recomputed`). keys: shown
    with a sample, row by row. dtypes: feature -> its Feast type. causes: feature -> cause -> cells of the feature that
    have it, if they mismatch.
    """

    first: FeatureFrame
    second: FeatureFrame
    keys: pa.Table
    labels: Labels
    dtypes: Mapping[str, str]
    causes: Mapping[str, Mapping[str, Mask]] = field(default_factory=dict)


def tally_pairs(pairs: Pairs) -> Tally:
    """Every feature of every row, exactly compared. A mismatch without a cause is unexplained."""
    comparison = compare(pairs.first, pairs.second, views={})
    features = {name: _feature(pairs, comparison, name) for name in comparison.counts}
    return Tally(pairs.second.num_rows, features, tuple(_samples(pairs, comparison)))


def findings_of(pairs: Pairs) -> Findings:
    """As `tally.roles` and the like take them; every mismatch without a cause."""
    comparison = compare(pairs.first, pairs.second, views={})
    none = {name: np.zeros(len(codes), np.uint64) for name, codes in comparison.codes.items()}
    return Findings(pairs.second, comparison, none, {})


def frame_of_columns(columns: Mapping[str, pa.Array], statuses: Mapping[str, pa.Array] | None = None) -> FeatureFrame:
    """A frame without event times. statuses: PRESENT and NULL, by the values, where none are given."""
    given = statuses or {}
    return FeatureFrame(
        pa.table(dict(columns)),
        pa.table({name: given.get(name, by_value(values)) for name, values in columns.items()}),
        pa.table({}),
    )


def by_value(values: pa.Array) -> pa.Array:
    """int8 statuses: PRESENT where there is a value, NULL where there is none."""
    valid = np.asarray(values.is_valid().to_numpy(zero_copy_only=False), np.bool_)
    return pa.array(np.where(valid, int(Status.PRESENT), int(Status.NULL)).astype(np.int8))


def _feature(pairs: Pairs, comparison: Comparison, name: str) -> FeatureResult:
    mismatched = comparison.codes[name] >= Outcome.VALUE
    explained = np.zeros(len(mismatched), np.bool_)
    by_cause = {}
    for cause, mask in pairs.causes.get(name, {}).items():
        if found := int((mask & mismatched).sum()):
            by_cause[cause] = found
        explained |= mask
    return FeatureResult(
        dtype=pairs.dtypes.get(name, "unknown"),
        counts=comparison.counts[name],
        unexplained=int((mismatched & ~explained).sum()),
        by_cause=by_cause,
    )


def _samples(pairs: Pairs, comparison: Comparison) -> Iterator[Sample]:
    """The first SAMPLES rows of each feature and set of causes."""
    for name, mismatched in comparison.mismatches().items():
        kept: dict[tuple[str, ...], int] = {}
        masks = pairs.causes.get(name, {})
        for row in np.flatnonzero(mismatched).tolist():
            causes = tuple(cause for cause, mask in masks.items() if mask[row])
            kept[causes] = kept.get(causes, 0) + 1
            if kept[causes] <= SAMPLES:
                yield _sample(pairs, name, row, causes)
            elif len(kept) == 1 << len(masks) and min(kept.values()) > SAMPLES:
                break


def _sample(pairs: Pairs, name: str, row: int, causes: tuple[str, ...]) -> Sample:
    labels = pairs.labels
    return Sample(
        feature=name,
        causes=causes,
        keys={
            column: "null" if (value := pairs.keys.column(column)[row].as_py()) is None else shown(value)
            for column in pairs.keys.column_names
        },
        at=EPOCH + int(labels.at[row]) * _MICROSECOND,
        served=_cell(pairs.first, name, row),
        recomputed=_cell(pairs.second, name, row),
        request=None if labels.request is None else labels.request[row].as_py(),
        row=None if labels.row is None else labels.row[row].as_py(),
        role=None if labels.role is None else labels.role[row].as_py(),
    )


def _cell(frame: FeatureFrame, name: str, row: int) -> Cell:
    one = cells(frame, name, None).take(np.array([row]))
    value, status = one.values[0].as_py(), Status(int(one.statuses[0]))
    return Cell(shown(value) if status == Status.PRESENT and value is not None else None, status.name.lower(), None)
