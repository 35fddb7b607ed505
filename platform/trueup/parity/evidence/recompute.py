"""Rows recomputed from their sources under any reading.

The first read of a view is one pass over its source, for all rows at once. Rows that are to be explained are
gathered, and what the sources have of their entities is then kept at hand, so that each further reading costs
milliseconds. Rows that ask the same question (two models scored on one request) are read as one.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trueup.contracts.contract import FeatureContract, View
from trueup.features.on_demand import with_on_demand
from trueup.frame import FeatureFrame
from trueup.instants import EPOCH, Schedule
from trueup.parity.case import LandedBy, Rows, take
from trueup.parity.compare import Mask
from trueup.parity.evidence.models import Progress, nothing
from trueup.parity.reading import Reading
from trueup.stores.asof import open_history, read_owners
from trueup.stores.duckdb_tables import connect
from trueup.stores.history import ViewHistory, ViewRows
from trueup.stores.landing import out_of_order
from trueup.stores.ledger import Ledger, Run
from trueup.wording import counted

INSTANT = "__trueup_instant"
"""Column of a row's own instant. A name of ours: a request may have one of any other name."""
MOST_OWNERS = 100_000
"""Entities among which the owner of a served row is looked for."""


@dataclass(frozen=True)
class _Known:
    """What one reading of a view gave for these distinct rows, ascending."""

    rows: Rows
    frame: FeatureFrame
    tied: Mask


@dataclass(frozen=True)
class _Held:
    """The history of these distinct rows' entities, ascending."""

    rows: Rows
    history: ViewHistory
    stack: ExitStack


class Source:
    """Rows of one set, recomputed under any reading (`trueup.parity.case.Recompute`). Remembers what it read.

    rows: entity and request columns and INSTANT. Rows with the same content are read once. project: of the ledger's
    runs; by default that of the contract it is first called with.
    """

    def __init__(
        self,
        rows: pa.Table,
        *,
        repo: Path,
        ledger: Ledger | None,
        project: str | None = None,
        progress: Progress = nothing,
    ) -> None:
        self._distinct, self._number = distinct(rows)
        self._repo, self._ledger, self._project, self._progress = repo, ledger, project, progress
        self._at = _instants(self._distinct)
        self._known: dict[tuple[str, str, Reading], _Known] = {}
        self._held: dict[tuple[str, str], _Held] = {}
        self._gathered = np.empty(0, np.int64)
        self._runs_of: dict[str, tuple[Run, ...]] = {}
        self._open = ExitStack()
        weakref.finalize(self, self._open.close)

    def __call__(self, contract: FeatureContract, reading: Reading, rows: Rows) -> FeatureFrame:
        self._project = self._project or contract.project
        wanted, positions = self._distinct_rows(rows)
        frames = [take(known.frame, at) for known, at in (self._view(view, reading, wanted) for view in contract.views)]
        inputs = FeatureFrame(
            _side_by_side([frame.values for frame in frames]),
            _side_by_side([frame.statuses for frame in frames]),
            _side_by_side([frame.event_timestamps for frame in frames]),
        )
        chosen = self._distinct.take(pa.array(wanted))
        request = {item.name: chosen.column(item.name).to_pylist() for item in contract.request_fields}
        return take(with_on_demand(contract, inputs, request), positions)

    def gather(self, rows: Rows) -> None:
        self._gathered = np.union1d(self._gathered, self._number[rows])

    def tied(self, view: View, reading: Reading, rows: Rows) -> Mask:
        wanted, positions = self._distinct_rows(rows)
        known, at = self._view(view, reading, wanted)
        return known.tied[at][positions]

    def at_event_times(
        self, view: View, reading: Reading, times: Rows, rows: Rows, width: int = 1
    ) -> tuple[npt.NDArray[np.int64], FeatureFrame]:
        history, positions = self._history(view, self._number[rows])
        found, read = history.at_event_times(times, positions, declared_types=reading.declared_types, width=width)
        return found, _frame(view, read)

    def event_times(self, view: View, rows: Rows) -> tuple[npt.NDArray[np.int64], Rows]:
        history, positions = self._history(view, self._number[rows])
        return history.event_times(positions)

    def owners(self, view: View, times: Rows, width: int = 1) -> tuple[pa.Table, FeatureFrame]:
        with connect() as connection:
            keys, read = read_owners(connection, view, times, width=width, most=MOST_OWNERS, base_dir=self._repo)
        return keys, _frame(view, read)

    def instants(self, rows: Rows) -> Rows:
        return self._at[self._number[rows]]

    def covered(self, view: View, times: Rows, rows: Rows) -> Mask:
        at = self.instants(rows)
        found = np.zeros(len(rows), np.bool_)
        for finish, run in _finished(self._runs(view)):
            # What is later than the run itself was not there to be brought, however far its window went.
            end = min(micros(run.event_end), finish)
            found |= (finish <= at) & (times >= micros(run.event_start)) & (times <= end)
        return found

    def last_definition(self, view: View, times: Rows, rows: Rows) -> npt.NDArray[np.object_]:
        at = self.instants(rows)
        found = np.full(len(rows), None, np.object_)
        for finish, run in _finished(self._runs(view)):
            brought = (finish <= at) & (times >= micros(run.event_start)) & (times <= micros(run.event_end))
            if run.known_after is None:
                found[brought] = run.definition_hash
            else:  # it may have left the row out, which had been written before
                found[brought & (found == None)] = run.definition_hash  # noqa: E711
        return found

    def landed_by(self, view: View) -> LandedBy:
        if self._runs(view):
            return "ledger"
        return "nothing" if view.schedule == Schedule() else "schedule"

    def _distinct_rows(self, rows: Rows) -> tuple[Rows, npt.NDArray[np.int64]]:
        """The different ones of these rows, ascending, and where each row is among them."""
        wanted, positions = np.unique(self._number[rows], return_inverse=True)
        return wanted.astype(np.int64), positions.astype(np.int64)

    def _view(self, view: View, reading: Reading, rows: Rows) -> tuple[_Known, npt.NDArray[np.int64]]:
        """All features of one view: from what is known, where that covers the rows, and where they are in it."""
        reading = self._in_effect(view, reading)
        name = (view.name, view.definition_hash, reading)
        known = self._known.get(name)
        if known is None or not np.isin(rows, known.rows, assume_unique=True).all():
            known = self._known[name] = self._read(view, reading, rows)
        return known, np.searchsorted(known.rows, rows)

    def _in_effect(self, view: View, reading: Reading) -> Reading:
        """The same reading without what makes no difference to this view."""
        runs = self._runs(view) if reading.rule.known_at == "served" else ()
        finished = [run for run in runs if run.finished_at is not None]
        deviation = reading.deviation
        if (
            (deviation == "first_landed" and reading.rule.known_at == "unbounded")
            or (deviation == "before_last_run" and not finished)
            or (deviation == "last_writer" and not out_of_order(finished))
        ):
            deviation = "none"
        return replace(
            reading,
            ttl=reading.ttl or view.ttl is None,
            under_way=reading.under_way and bool(finished),
            # A view that declares no schedule is due when its runs bring it.
            declared=reading.declared and bool(runs) and view.schedule != Schedule(),
            deviation=deviation,
            size=0 if deviation == "none" else reading.size,
        )

    def _read(self, view: View, reading: Reading, rows: Rows) -> _Known:
        if len(rows) and np.isin(rows, self._gathered, assume_unique=True).all():
            history, positions = self._history(view, rows)
            read = history.read(reading.rule.known_at, reading.variation, positions, refuse=False)
        else:
            self._progress(f"recompute {view.name} {describe_reading(reading)}, {counted(len(rows), 'row')}")
            with connect() as connection:
                asked = self._distinct.take(pa.array(rows))
                with open_history(
                    connection,
                    view,
                    asked,
                    instant=INSTANT,
                    runs=self._runs(view),
                    ahead=False,
                    base_dir=self._repo,
                ) as history:
                    read = history.read(reading.rule.known_at, reading.variation, refuse=False)
        return _Known(rows, _frame(view, read), np.asarray(read.tied.to_pylist(), np.bool_))

    def _history(self, view: View, rows: Rows) -> tuple[ViewHistory, npt.NDArray[np.int64]]:
        """What the view's source has of these distinct rows' entities, and where the rows are in it."""
        name = (view.name, view.definition_hash)
        held = self._held.get(name)
        if held is None or not np.isin(rows, held.rows).all():
            if held is not None:
                held.stack.close()
            every = np.union1d(self._gathered, rows)
            self._progress(f"gather the history of {view.name} for {counted(len(every), 'row')}")
            stack = self._open.enter_context(ExitStack())
            connection = stack.enter_context(connect())
            asked = self._distinct.take(pa.array(every))
            history = stack.enter_context(
                open_history(connection, view, asked, instant=INSTANT, runs=self._runs(view), base_dir=self._repo)
            )
            held = self._held[name] = _Held(every, history, stack)
        return held.history, np.searchsorted(held.rows, rows)

    def _runs(self, view: View) -> tuple[Run, ...]:
        if self._ledger is None or self._project is None:
            return ()
        if view.table not in self._runs_of:
            self._runs_of[view.table] = self._ledger.runs(self._project, view.table)
        return self._runs_of[view.table]


def _finished(runs: Sequence[Run]) -> list[tuple[int, Run]]:
    """Finished runs in the order they finished, with when."""
    done = [(micros(run.finished_at), run) for run in runs if run.finished_at is not None]
    return sorted(done, key=lambda item: (item[0], item[1].run_id))


def _frame(view: View, read: ViewRows) -> FeatureFrame:
    return FeatureFrame(read.values, read.statuses, pa.table({view.name: read.event_timestamps}))


def _instants(rows: pa.Table) -> Rows:
    return np.asarray(rows[INSTANT].combine_chunks().cast(pa.int64())).astype(np.int64)


def describe_reading(reading: Reading) -> str:
    """As a person says it: `as served`, `as label, without TTL`."""
    parts = [f"as {reading.rule.known_at}"]
    parts += ["without TTL"] if not reading.ttl else []
    parts += ["with runs under way"] if reading.under_way else []
    parts += ["by its declared schedule"] if reading.declared else []
    parts += (
        [f"{reading.deviation.replace('_', ' ')} {reading.size or ''}".strip()] if reading.deviation != "none" else []
    )
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
