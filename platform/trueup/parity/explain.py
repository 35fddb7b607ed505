"""Compare served rows with recomputed ones, and find the causes of every mismatch. Pure, but for `recompute`.

The rows are recomputed under the model's own reading once; under changed readings only those rows that still
have a mismatch without a cause.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.contracts.contract import FeatureContract, OnDemand
from trueup.errors import ContractError
from trueup.features.on_demand import evaluate
from trueup.frame import FeatureFrame, Status
from trueup.parity.causes import BIT, CAUSES, Distortion, Pattern, Reading, Toggle, ledger_reading
from trueup.parity.compare import (
    EXACT,
    Cells,
    Codes,
    Comparison,
    Counts,
    Mask,
    Outcome,
    Tolerance,
    cells,
    common_type,
    compare,
    count,
    outcomes,
)

Rows = npt.NDArray[np.int64]
"""Row numbers, ascending."""

CauseBits = npt.NDArray[np.uint64]
"""Per row, the set of causes of one feature's cell: the sum of their `BIT`s. 0: none."""

MOST_CHANGES = 3
"""How many changes at once are tried. Three independent faults in one cell are as good as unexplained."""


class Recompute(Protocol):
    """Reads rows of a case again: row i of the frame is `rows[i]`."""

    def __call__(self, contract: FeatureContract, reading: Reading, rows: Rows) -> FeatureFrame: ...


@dataclass(frozen=True)
class Case:
    """Rows that were served, and how to recompute them.

    contract: whose features they are. reading: the rule they should be reproduced by. inputs: their entity and
    request columns. under_way: rows whose instant lies within a materialization run of one of the views.
    """

    contract: FeatureContract
    reading: Reading
    inputs: pa.Table
    served: FeatureFrame
    under_way: Mask
    recompute: Recompute
    tolerances: Mapping[str, Tolerance] = field(default_factory=dict)

    @property
    def rows(self) -> Rows:
        return np.arange(self.served.num_rows, dtype=np.int64)

    def subset(self, rows: Rows) -> Case:
        """The case of these rows alone."""
        whole = self.recompute
        return replace(
            self,
            inputs=self.inputs.take(pa.array(rows)),
            served=take(self.served, rows),
            under_way=self.under_way[rows],
            recompute=lambda contract, reading, some: whole(contract, reading, rows[some]),
        )

    @property
    def views(self) -> dict[str, str]:
        """Feature -> the view its event times are of; on-demand features have none."""
        names = {view.name for view in self.contract.views}
        return {f"{view}__{feature}": view for view, feature in self.contract.features if view in names}


@dataclass(frozen=True)
class Findings:
    """What comparing and explaining a case gave.

    recomputed: under the case's own reading. comparison: final, cells that equal what a run under way was
    writing taken as equal. causes: feature -> the causes of each row's cell, for features with a mismatch.
    during_materialization: feature -> cells that are equal only so.
    """

    recomputed: FeatureFrame
    comparison: Comparison
    causes: Mapping[str, CauseBits]
    during_materialization: Mapping[str, int]


def examine(case: Case) -> Findings:
    """Every cell compared, every mismatch explained or left without a cause."""
    recomputed = case.recompute(case.contract, case.reading, case.rows)
    comparison = compare(case.served, recomputed, views=case.views, tolerances=case.tolerances)
    comparison, during = _forgive_under_way(case, recomputed, comparison)
    search = _Search(case, comparison.mismatches())
    search.by_reading_and_value()
    search.by_pattern()
    search.by_inputs()
    return Findings(recomputed, comparison, search.causes, during)


def take(frame: FeatureFrame, rows: npt.NDArray[Any]) -> FeatureFrame:
    """These rows of a frame, in this order."""
    positions = pa.array(rows, pa.int64())
    return FeatureFrame(
        frame.values.take(positions), frame.statuses.take(positions), frame.event_timestamps.take(positions)
    )


def only(contract: FeatureContract, columns: Iterable[str]) -> FeatureContract:
    """The contract of these features alone, and of what their on-demand views read."""
    wanted = set(columns)
    features = tuple((view, feature) for view, feature in contract.features if f"{view}__{feature}" in wanted)
    owners = {view for view, _ in features}
    on_demand = tuple(view for view in contract.on_demand if view.name in owners)
    owners |= {source for view in on_demand for source, _ in view.inputs}
    views = tuple(view for view in contract.views if view.name in owners)
    return replace(contract, features=features, views=views, on_demand=on_demand)


@dataclass(frozen=True)
class Attempt:
    """One way a cell could have come about: the readings stepped through, then a distortion of the value."""

    start: Reading
    steps: tuple[tuple[Toggle, Reading], ...]
    distortion: Distortion | None

    @property
    def reading(self) -> Reading:
        return self.steps[-1][1] if self.steps else self.start


def attempts(start: Reading) -> Iterator[Attempt]:
    """Every combination of toggles, and at most one distortion: fewest changes first, then in the causes' order."""
    toggles = [cause for cause in CAUSES if isinstance(cause, Toggle)]
    distortions = [cause for cause in CAUSES if isinstance(cause, Distortion)]
    seen = {start}
    paths: list[tuple[tuple[Toggle, Reading], ...]] = [()]
    for _ in range(MOST_CHANGES):
        longer = []
        for path in paths:
            here = path[-1][1] if path else start
            for toggle in toggles:
                after = toggle.change(here)
                # A reading reached before, on a path at most as long, has been tried.
                if after is not None and after not in seen:
                    seen.add(after)
                    longer.append((*path, (toggle, after)))
        yield from (Attempt(start, path, None) for path in longer)
        yield from (Attempt(start, path, distortion) for path in paths for distortion in distortions)
        paths = longer


def _forgive_under_way(
    case: Case, recomputed: FeatureFrame, comparison: Comparison
) -> tuple[Comparison, dict[str, int]]:
    """Law 1 at the edge: a row read while a run was under way may hold the value from before or after it."""
    mismatches = {column: mask & case.under_way for column, mask in comparison.mismatches().items()}
    rows = _any(mismatches, case.served.num_rows)
    if case.reading.rule.known_at != "served" or not rows.any():
        return comparison, {}
    numbers = np.flatnonzero(rows)
    after = case.recompute(only(case.contract, mismatches), replace(case.reading, under_way=True), numbers)
    forgiven: dict[str, Mask] = {}
    for column, mask in mismatches.items():
        chosen = np.flatnonzero(mask)
        same = _reproduced(case, column, chosen, after, np.searchsorted(numbers, chosen))
        forgiven[column] = np.zeros(len(mask), np.bool_)
        forgiven[column][chosen[same]] = True
    # An on-demand feature of two views may have one's value from before and the other's from after.
    still = {column: mask & ~forgiven[column] for column, mask in mismatches.items()}
    for column, mask in _from_served_inputs(case, still).items():
        inputs = _input_columns(case.contract, column)
        settled = [~comparison_mask | forgiven[name] for name, comparison_mask in mismatches.items() if name in inputs]
        forgiven[column] |= mask & np.logical_and.reduce(settled) if settled else mask
    codes, counts = dict(comparison.codes), dict(comparison.counts)
    for column, mask in forgiven.items():
        codes[column] = np.where(mask, Outcome.EQUAL, codes[column]).astype(np.int8)
        counts[column] = _recount(case, recomputed, column, codes[column], counts[column])
    return Comparison(codes, counts), {column: int(mask.sum()) for column, mask in forgiven.items() if mask.any()}


class _Search:
    """Mismatches that have no cause yet, feature by feature, and the causes found so far."""

    def __init__(self, case: Case, mismatches: Mapping[str, Mask]) -> None:
        self.case = case
        self.open = {column: mask.copy() for column, mask in mismatches.items()}
        self.causes: dict[str, CauseBits] = {
            column: np.zeros(len(mask), np.uint64) for column, mask in self.open.items()
        }

    def settle(self, column: str, rows: Rows, bits: CauseBits) -> None:
        self.causes[column][rows] |= bits
        self.open[column][rows[bits != 0]] = False

    def by_reading_and_value(self) -> None:
        for attempt in attempts(self.case.reading):
            self._try(attempt, attempt.reading)
            if attempt.reading.rule.known_at == "served":
                self._try(attempt, replace(attempt.reading, under_way=True))

    def by_pattern(self) -> None:
        for cause in CAUSES:
            if not isinstance(cause, Pattern):
                continue
            # An on-demand feature has no row of its own that could be missing: see `by_inputs`.
            chosen = {column: np.flatnonzero(mask) for column, mask in self.open.items() if column in self.case.views}
            for column, rows, frame, positions in self._recomputed(cause.reading(self.case.reading), chosen):
                pair = _pair(self.case, column, rows, frame, positions)
                if pair is not None:
                    found = rows[cause.fits(*pair)]
                    self.settle(column, found, np.full(len(found), BIT[cause.name]))

    def by_inputs(self) -> None:
        """An on-demand feature that follows from the inputs as they were served has the causes of its inputs."""
        for column, mask in _from_served_inputs(self.case, self.open).items():
            rows = np.flatnonzero(mask)
            bits = np.zeros(len(rows), np.uint64)
            for name in _input_columns(self.case.contract, column):
                if name in self.causes:
                    bits |= self.causes[name][rows]
            self.settle(column, rows, bits)

    def _try(self, attempt: Attempt, reading: Reading) -> None:
        chosen = {column: self._concerned(column, attempt, reading) for column in self.open}
        for column, rows, frame, positions in self._recomputed(reading, chosen):
            same = _reproduced(self.case, column, rows, frame, positions, attempt.distortion)
            if same.any():
                last = cells(frame, column, None).take(positions[same])
                self.settle(column, rows[same], self._steps_that_matter(attempt, column, rows[same], last))

    def _concerned(self, column: str, attempt: Attempt, reading: Reading) -> Rows:
        """Rows of the feature that the attempt could explain. Whatever is left out need not be read again."""
        mask = self.open[column]
        if attempt.distortion is not None and attempt.distortion.distort(self._served(column, np.arange(0))) is None:
            return np.arange(0)
        rows = np.flatnonzero(mask & self.case.under_way if reading.under_way else mask)
        if not len(rows) or not attempt.steps or column not in self.case.views:
            return rows
        concerns = attempt.steps[-1][0].concerns
        before = attempt.steps[-2][1] if len(attempt.steps) > 1 else attempt.start
        return rows if concerns is None else rows[concerns(self._cells_at(before, column, rows))]

    def _recomputed(
        self, reading: Reading, chosen: Mapping[str, Rows]
    ) -> Iterator[tuple[str, Rows, FeatureFrame, Rows]]:
        """Each feature with its chosen rows, read again, and where they are in the frame."""
        chosen = {column: rows for column, rows in chosen.items() if len(rows)}
        if not chosen:
            return
        every = np.unique(np.concatenate(list(chosen.values())))
        frame = self.case.recompute(only(self.case.contract, chosen), reading, every)
        for column, rows in chosen.items():
            yield column, rows, frame, np.searchsorted(every, rows)

    def _served(self, column: str, rows: Rows) -> Cells:
        return cells(self.case.served, column, self.case.views.get(column)).take(rows)

    def _steps_that_matter(self, attempt: Attempt, column: str, found: Rows, last: Cells) -> CauseBits:
        """The causes of these cells: a step that changes nothing of a cell is no cause of it."""
        bits = np.zeros(len(found), np.uint64)
        before = self._cells_at(attempt.start, column, found)
        for index, (toggle, reading) in enumerate(attempt.steps):
            is_last = index == len(attempt.steps) - 1
            after = last if is_last else self._cells_at(reading, column, found)
            changed = outcomes(before, after, self.case.tolerances.get(column, EXACT)) >= Outcome.VALUE
            bits[changed] |= BIT[toggle.name]
            before = after
        if attempt.distortion is not None:
            bits |= BIT[attempt.distortion.name]
        # With a tolerance, small steps can add up to a mismatch: then all of them are the cause.
        every = np.uint64(sum(int(BIT[toggle.name]) for toggle, _ in attempt.steps))
        return np.where(bits == 0, every, bits)

    def _cells_at(self, reading: Reading, column: str, rows: Rows) -> Cells:
        return cells(self.case.recompute(only(self.case.contract, [column]), reading, rows), column, None)


def _pair(case: Case, column: str, rows: Rows, frame: FeatureFrame, positions: Rows) -> tuple[Cells, Cells] | None:
    """The served cells of these rows, and those of the frame at these positions; None if not comparable."""
    view = case.views.get(column)
    served, candidate = cells(case.served, column, view).take(rows), cells(frame, column, view).take(positions)
    pair = common_type(served, candidate)
    return None if isinstance(pair, str) else pair


def _reproduced(
    case: Case, column: str, rows: Rows, frame: FeatureFrame, positions: Rows, distortion: Distortion | None = None
) -> Mask:
    """Which of the rows are served exactly as the frame has them: value, status and event time."""
    pair = _pair(case, column, rows, frame, positions)
    if pair is None:
        return np.zeros(len(rows), np.bool_)
    served, candidate = pair
    if distortion is not None:
        distorted = distortion.distort(candidate)
        if distorted is None:
            return np.zeros(len(rows), np.bool_)
        candidate = distorted
    codes = outcomes(served, candidate, case.tolerances.get(column, EXACT))
    same: Mask = np.isin(codes, (Outcome.EQUAL, Outcome.WITHIN_TOLERANCE, Outcome.FORGOTTEN))
    return same


def _from_served_inputs(case: Case, candidates: Mapping[str, Mask]) -> dict[str, Mask]:
    """Which of these cells of on-demand features are what their function makes of the inputs as served."""
    found: dict[str, Mask] = {}
    for view in case.contract.on_demand:
        columns = [
            view.column(item.name) for item in view.outputs if candidates.get(view.column(item.name)) is not None
        ]
        rows = np.flatnonzero(_any({column: candidates[column] for column in columns}, case.served.num_rows))
        if not len(rows):
            continue
        outputs = _evaluated(case, view, rows)
        if outputs is None:
            continue
        for column in columns:
            chosen = np.flatnonzero(candidates[column])
            same = _reproduced(case, column, chosen, outputs, np.searchsorted(rows, chosen))
            found[column] = np.zeros(case.served.num_rows, np.bool_)
            found[column][chosen[same]] = True
    return found


def _evaluated(case: Case, view: OnDemand, rows: Rows) -> FeatureFrame | None:
    """The view's outputs from the inputs as served; None when its function fails on them.

    An input that the service does not have was not logged: it is read as the ledger says it stood online, or
    null where the log shows that its view had no usable row.
    """
    logged = set(case.served.columns)
    not_logged = tuple(pair for pair in view.inputs if f"{pair[0]}__{pair[1]}" not in logged)
    features: dict[str, list[Any]] = {
        f"{source}__{feature}": case.served.values.column(f"{source}__{feature}").take(pa.array(rows)).to_pylist()
        for source, feature in view.inputs
        if f"{source}__{feature}" in logged
    }
    if not_logged:
        reading = ledger_reading(case.reading)
        views = tuple(item for item in case.contract.views if item.name in {source for source, _ in not_logged})
        bare = replace(case.contract, features=not_logged, views=views, on_demand=())
        frame = case.recompute(bare, reading, rows)
        for source, feature in not_logged:
            values = frame.values.column(f"{source}__{feature}").to_pylist()
            usable = _usable(case, source, rows)
            features[f"{source}__{feature}"] = [value if ok else None for value, ok in zip(values, usable, strict=True)]
    request = {item.name: case.inputs.column(item.name).take(pa.array(rows)).to_pylist() for item in view.request}
    try:
        outputs = evaluate(view, features, request, len(rows))
    except ContractError:  # it does not take the inputs as served, so it cannot have made the served value of them
        return None
    values = {view.column(name): array for name, array in outputs.items()}
    statuses = {
        name: pc.if_else(array.is_valid(), int(Status.PRESENT), int(Status.NULL)).cast(pa.int8())
        for name, array in values.items()
    }
    return FeatureFrame(pa.table(values), pa.table(statuses), pa.table({}))


def _usable(case: Case, view: str, rows: Rows) -> Mask:
    """Whether the log shows a usable row of the view, by any of its features that was logged."""
    column = next((column for column, owner in case.views.items() if owner == view), None)
    if column is None:
        return np.ones(len(rows), np.bool_)
    statuses = cells(case.served, column, None).statuses[rows]
    usable: Mask = (statuses != Status.MISSING) & (statuses != Status.EXPIRED)
    return usable


def _input_columns(contract: FeatureContract, column: str) -> list[str]:
    """Features whose causes an on-demand feature can have: its inputs.

    An input that the service does not have was not logged; the features of the same view stand in.
    """
    names = {f"{view}__{feature}": view for view, feature in contract.features}
    inputs: list[str] = []
    for odfv in contract.on_demand:
        if column in (odfv.column(item.name) for item in odfv.outputs):
            for source, feature in odfv.inputs:
                own = f"{source}__{feature}"
                inputs.extend([own] if own in names else [name for name, view in names.items() if view == source])
    return list(dict.fromkeys(inputs))


def _recount(case: Case, recomputed: FeatureFrame, column: str, codes: Codes, before: Counts) -> Counts:
    pair = _pair(case, column, case.rows, recomputed, case.rows)
    return before if pair is None else count(codes, *pair)


def _any(masks: Mapping[str, Mask], rows: int) -> Mask:
    every = np.zeros(rows, np.bool_)
    for mask in masks.values():
        every |= mask
    return every
