"""Rows recomputed from their sources under any reading.

Sources are read once per reading: a smaller set of the same rows is taken from what was read before, and rows
that ask the same question (two models scored on one request) are read as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from trueup.contracts.contract import FeatureContract, View
from trueup.features.historical import read_as_of
from trueup.features.on_demand import with_on_demand
from trueup.frame import FeatureFrame
from trueup.instants import EPOCH
from trueup.parity.causes import Reading
from trueup.parity.compare import Mask
from trueup.parity.evidence.models import Progress, nothing
from trueup.parity.explain import Rows, take
from trueup.stores.ledger import Ledger, Run

INSTANT = "__trueup_instant"
"""Column of a row's own instant. A name of ours: a request may have one of any other name."""


class Source:
    """Rows of one set, recomputed under any reading. Remembers what it read, view by view.

    rows: entity and request columns and INSTANT. Rows with the same content are read once.
    """

    def __init__(self, rows: pa.Table, *, repo: Path, ledger: Ledger | None, progress: Progress = nothing) -> None:
        self._distinct, self._number = distinct(rows)
        self._repo, self._ledger, self._progress = repo, ledger, progress
        self._known: dict[tuple[str, str, Reading], tuple[Rows, FeatureFrame]] = {}

    def __call__(self, contract: FeatureContract, reading: Reading, rows: Rows) -> FeatureFrame:
        wanted, positions = np.unique(self._number[rows], return_inverse=True)
        wanted = wanted.astype(np.int64)
        frames = [self._view(contract, view, reading, wanted) for view in contract.views]
        inputs = FeatureFrame(
            _side_by_side([frame.values for frame in frames]),
            _side_by_side([frame.statuses for frame in frames]),
            _side_by_side([frame.event_timestamps for frame in frames]),
        )
        chosen = self._distinct.take(pa.array(wanted))
        request = {item.name: chosen.column(item.name).to_pylist() for item in contract.request_fields}
        return take(with_on_demand(contract, inputs, request), positions)

    def _view(self, contract: FeatureContract, view: View, reading: Reading, rows: Rows) -> FeatureFrame:
        """All features of one view for these rows: from what is known, where that covers them."""
        reading = self._in_effect(contract, view, reading)
        name = (view.name, view.definition_hash, reading)
        known, frame = self._known.get(name, (None, None))
        if known is None or frame is None or not np.isin(rows, known, assume_unique=True).all():
            known, frame = rows, self._read(contract, view, reading, rows)
            self._known[name] = known, frame
        return take(frame, np.searchsorted(known, rows))

    def _in_effect(self, contract: FeatureContract, view: View, reading: Reading) -> Reading:
        """The same reading without what makes no difference to this view."""
        landed = reading.rule.known_at == "served" and self._ledger is not None
        runs = landed and self._ledger is not None and bool(self._ledger.runs(contract.project, view.table))
        return replace(reading, ttl=reading.ttl or view.ttl is None, under_way=reading.under_way and runs)

    def _read(self, contract: FeatureContract, view: View, reading: Reading, rows: Rows) -> FeatureFrame:
        alone = replace(
            contract,
            features=tuple((view.name, item.name) for item in view.features),
            views=(view if reading.ttl else replace(view, ttl=None),),
            on_demand=(),
        )
        ledger = self._ledger
        if reading.under_way and ledger is not None:
            ledger = _LandedAtStart(ledger.path)
        self._progress(f"recompute {view.name} {describe_reading(reading)}, {len(rows):,} rows")
        return read_as_of(
            alone,
            self._distinct.take(pa.array(rows)),
            reading.rule,
            repo=self._repo,
            ledger=ledger,
            instant=INSTANT,
        )


class _LandedAtStart(Ledger):
    """The ledger as if each run had landed the moment it began.

    At an instant within a run its rows then count; before and after, nothing changes. An unfinished run has
    landed nothing either way.
    """

    def runs(self, project: str, view: str) -> tuple[Run, ...]:
        return tuple(
            run if run.finished_at is None else replace(run, finished_at=run.started_at)
            for run in super().runs(project, view)
        )


def describe_reading(reading: Reading) -> str:
    """As a person says it: `as served`, `as label, without TTL`."""
    parts = [f"as {reading.rule.known_at}"]
    parts += ["without TTL"] if not reading.ttl else []
    parts += ["with runs under way"] if reading.under_way else []
    return ", ".join(parts)


def under_way(contract: FeatureContract, at: Rows, ledger: Ledger | None) -> Mask:
    """Rows whose instant (microseconds since 1970) lies within a run of one of the contract's views:
    started_at <= instant < finished_at. A run that never finished has no end to compare with; what it wrote is named
    `ahead_of_ledger`."""
    inside = np.zeros(len(at), np.bool_)
    if ledger is None:
        return inside
    for table in dict.fromkeys(view.table for view in contract.views):
        spans = [
            (micros(run.started_at), micros(run.finished_at))
            for run in ledger.runs(contract.project, table)
            if run.finished_at is not None
        ]
        starts = np.sort(np.array([start for start, _ in spans], np.int64))
        ends = np.sort(np.array([end for _, end in spans], np.int64))
        # Within a run exactly where more runs have begun than ended.
        inside |= np.searchsorted(starts, at, "right") > np.searchsorted(ends, at, "right")
    return inside


def distinct(rows: pa.Table) -> tuple[pa.Table, Rows]:
    """The different rows of a table, and of each row the number of the one it is."""
    number = np.zeros(rows.num_rows, np.int64)
    first = np.arange(min(rows.num_rows, 1), dtype=np.int64)
    for column in rows.columns:
        if pa.types.is_nested(column.type):  # cannot be dictionary-encoded: every row is its own
            return rows, np.arange(rows.num_rows, dtype=np.int64)
        codes = column.combine_chunks().dictionary_encode(null_encoding="encode")
        combined = number * max(len(codes.dictionary), 1) + np.asarray(codes.indices).astype(np.int64)
        # Made dense again column by column, so that the product never overflows.
        _, first, number = np.unique(combined, return_index=True, return_inverse=True)
    return rows.take(pa.array(first)), number.astype(np.int64)


def _side_by_side(tables: Sequence[pa.Table]) -> pa.Table:
    columns = [
        (name, column) for table in tables for name, column in zip(table.column_names, table.columns, strict=True)
    ]
    return pa.Table.from_arrays([column for _, column in columns], names=[name for name, _ in columns])


def micros(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(microseconds=1)
