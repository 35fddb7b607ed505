"""From findings to a result: cells are counted, a few are shown. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trueup.frame import FeatureFrame, Status
from trueup.instants import EPOCH, as_utc, format_instant
from trueup.parity.causes import BIT, CAUSES
from trueup.parity.compare import NO_TIME, Outcome, cells
from trueup.parity.explain import Case, Findings
from trueup.parity.results import Cell, FeatureResult, RoleResult, Sample

ON_TIES = "cells rest on source rows with both clocks equal and other values"
SAMPLES = 6
"""How many cells are shown of each set of causes."""
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Labels:
    """What identifies the rows of a case. at: instants, microseconds since 1970 UTC. The others are absent in
    a check without requests."""

    at: npt.NDArray[np.int64]
    request: pa.Array | None = None
    row: pa.Array | None = None
    role: pa.Array | None = None

    def subset(self, rows: npt.NDArray[np.int64]) -> Labels:
        """Of these rows alone."""
        positions = pa.array(rows)
        columns = (self.request, self.row, self.role)
        return Labels(self.at[rows], *(None if column is None else column.take(positions) for column in columns))


@dataclass(frozen=True)
class Tally:
    """Counts and samples of a case; the tallies of its parts add up to it."""

    rows: int = 0
    features: Mapping[str, FeatureResult] = field(default_factory=dict)
    samples: tuple[Sample, ...] = ()

    def __add__(self, other: Tally) -> Tally:
        features = dict(self.features)
        for name, result in other.features.items():
            features[name] = features[name] + result if name in features else result
        return Tally(self.rows + other.rows, features, _few(self.samples + other.samples))


def tally(case: Case, findings: Findings, labels: Labels) -> Tally:
    dtypes = case.contract.dtypes
    features = {
        column: _feature(findings, column, dtypes.get(column, "unknown")) for column in findings.comparison.counts
    }
    return Tally(case.served.num_rows, features, tuple(_samples(case, findings, labels)))


def tied(findings: Findings) -> dict[str, int]:
    """A note: cells that rest on one of several source rows, of which nobody can say which is right."""
    cells_on_ties = sum(findings.on_ties.values())
    return {ON_TIES: cells_on_ties} if cells_on_ties else {}


def roles(findings: Findings, labels: Labels) -> dict[str, RoleResult]:
    """Role -> its part of the rows, in the order of their names."""
    if labels.role is None or not len(labels.at):
        return {}
    codes = labels.role.dictionary_encode()
    compared, mismatched, unexplained = per_row(findings, len(labels.at))
    names = codes.dictionary.to_pylist()
    of_row = np.asarray(codes.indices.fill_null(-1))
    found = {}
    for number, name in sorted(enumerate(names), key=lambda item: str(item[1])):
        mask = of_row == number
        found[str(name)] = RoleResult(
            int(mask.sum()), int(compared[mask].sum()), int(mismatched[mask].sum()), int(unexplained[mask].sum())
        )
    return found


def shown(value: Any) -> str:
    """A value as text that loses nothing: floats to the last digit, instants as ISO 8601, lists as in JSON."""
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    if isinstance(value, datetime):
        return format_instant(as_utc(value))
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(_item(item) for item in value)}]"
    return str(value)


def _item(value: Any) -> str:
    return (
        "null" if value is None else json.dumps(value, ensure_ascii=False) if isinstance(value, str) else shown(value)
    )


def _feature(findings: Findings, column: str, dtype: str) -> FeatureResult:
    counts = findings.comparison.counts[column]
    bits = findings.causes.get(column)
    during = findings.during_materialization.get(column, 0)
    if bits is None:
        return FeatureResult(dtype, counts, during_materialization=during)
    mismatched = findings.comparison.codes[column] >= Outcome.VALUE
    return FeatureResult(
        dtype=dtype,
        counts=counts,
        unexplained=int((mismatched & (bits == 0)).sum()),
        during_materialization=during,
        by_cause={cause.name: number for cause in CAUSES if (number := int(np.count_nonzero(bits & BIT[cause.name])))},
    )


def per_row(findings: Findings, rows: int) -> tuple[npt.NDArray[np.int64], ...]:
    """Compared, mismatched and unexplained cells of each row."""
    compared, mismatched, unexplained = (np.zeros(rows, np.int64) for _ in range(3))
    for column, codes in findings.comparison.codes.items():
        compared += codes != Outcome.NOT_COMPARED
        mask = codes >= Outcome.VALUE
        mismatched += mask
        if column in findings.causes:
            unexplained += mask & (findings.causes[column] == 0)
    return compared, mismatched, unexplained


def per_bucket_causes(
    findings: Findings, number: npt.NDArray[np.int64], buckets: int
) -> dict[str, npt.NDArray[np.int64]]:
    """Cause -> its cells in each bucket, for the causes that were found, in their order. number: bucket of each row."""
    found: dict[str, npt.NDArray[np.int64]] = {}
    for bits in findings.causes.values():
        rows = np.flatnonzero(bits)  # few of many
        of_rows = bits[rows]
        for cause in CAUSES:
            mine = rows[(of_rows & BIT[cause.name]) != 0]
            if len(mine):
                cells_of = np.bincount(number[mine], minlength=buckets)
                found[cause.name] = found.get(cause.name, np.zeros(buckets, np.int64)) + cells_of
    return {cause.name: found[cause.name] for cause in CAUSES if cause.name in found}


def _samples(case: Case, findings: Findings, labels: Labels) -> Iterator[Sample]:
    """A few cells of each set of causes, from the features that have most of them, spread over the rows."""
    mismatches = findings.comparison.mismatches()
    sets: set[int] = set()
    for column, mask in mismatches.items():
        sets.update(np.unique(findings.causes[column][mask]).tolist())
    # Single causes first, in the causes' order; what is unexplained last.
    for bits in sorted(sets, key=lambda bits: (bits == 0, bits.bit_count(), bits)):
        masks = {column: mask & (findings.causes[column] == bits) for column, mask in mismatches.items()}
        # Sorting is stable: features with equally many keep the contract's order.
        columns = sorted((c for c in masks if masks[c].any()), key=lambda c: -int(masks[c].sum()))[:SAMPLES]
        for index, column in enumerate(columns):
            share = SAMPLES // len(columns) + (index < SAMPLES % len(columns))
            rows = np.flatnonzero(masks[column])
            for row in dict.fromkeys(rows[(2 * i + 1) * len(rows) // (2 * share)] for i in range(share)):
                yield _sample(case, findings, labels, column, int(row))


def _sample(case: Case, findings: Findings, labels: Labels, column: str, row: int) -> Sample:
    bits = findings.causes[column][row]
    owner = next((view for view in case.contract.views if case.views.get(column) == view.name), None)
    names = [key.request for key in owner.keys] if owner else [item.name for item in case.contract.entity_fields]
    return Sample(
        feature=column,
        causes=tuple(cause.name for cause in CAUSES if bits & BIT[cause.name]),
        keys={name: shown(case.inputs.column(name)[row].as_py()) for name in dict.fromkeys(names)},
        at=EPOCH + int(labels.at[row]) * _MICROSECOND,
        served=_cell(case, case.served, column, row),
        recomputed=_cell(case, findings.recomputed, column, row),
        request=_at(labels.request, row),
        row=_at(labels.row, row),
        role=_at(labels.role, row),
        ttl=owner.ttl if owner is not None else None,
    )


def _cell(case: Case, frame: FeatureFrame, column: str, row: int) -> Cell:
    one = cells(frame, column, case.views.get(column)).take(np.array([row]))
    value, status = one.values[0].as_py(), int(one.statuses[0])
    time = None if one.times is None or one.times[0] == NO_TIME else EPOCH + int(one.times[0]) * _MICROSECOND
    return Cell(
        value=shown(value) if status == Status.PRESENT and value is not None else None,
        status=Status(status).name.lower() if status in set(Status) else f"unknown ({status})",
        event_time=time,
    )


def _at(column: pa.Array | None, row: int) -> Any:
    return None if column is None else column[row].as_py()


def _few(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """The first SAMPLES of each set of causes."""
    kept: dict[tuple[str, ...], int] = {}
    chosen = []
    for sample in samples:
        kept[sample.causes] = kept.get(sample.causes, 0) + 1
        if kept[sample.causes] <= SAMPLES:
            chosen.append(sample)
    return tuple(chosen)
