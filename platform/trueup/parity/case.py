"""`Case`: rows that were served, with all that is needed to recompute and to explain them. Values only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trueup.contracts.contract import FeatureContract, View
from trueup.frame import FeatureFrame
from trueup.parity.compare import EXACT, Cells, Mask, Outcome, Tolerance, cells, common_type, outcomes
from trueup.parity.reading import Reading

Rows = npt.NDArray[np.int64]
"""Row numbers, ascending; or microseconds since 1970 UTC, one for each row."""

CauseBits = npt.NDArray[np.uint64]
"""Per row, the set of causes of one feature's cell: the sum of their `BIT`s. 0: none."""

LandedBy = Literal["ledger", "schedule", "nothing"]
"""What says when a view's rows reached the online store: runs in the ledger, its declared schedule, or nothing."""


class Recompute(Protocol):
    """Reads rows of a case again."""

    def __call__(self, contract: FeatureContract, reading: Reading, rows: Rows) -> FeatureFrame:
        """Row i of the frame is `rows[i]`."""

    def gather(self, rows: Rows) -> None:
        """These rows will be asked for again and again."""

    def tied(self, view: View, reading: Reading, rows: Rows) -> Mask:
        """Which of the rows rest on a source row that has both clocks equal with another of other values."""

    def at_event_times(
        self, view: View, reading: Reading, times: Rows, rows: Rows, width: int = 1
    ) -> tuple[npt.NDArray[np.int64], FeatureFrame]:
        """Every row the source has of the rows' entities at an event time (within `width` microseconds from it on):
        positions in `rows`, and the rows found."""

    def event_times(self, view: View, rows: Rows) -> tuple[npt.NDArray[np.int64], Rows]:
        """Event times of all the source has of the rows' entities: positions in `rows`, and the times."""

    def owners(self, view: View, times: Rows, width: int = 1) -> tuple[pa.Table, FeatureFrame]:
        """Every row the source has at one of these event times (whole multiples of `width` microseconds, and within
        them), whoever's: the entities' key columns as in a request, and the rows. Times that very many entities share
        may be left out."""

    def instants(self, rows: Rows) -> Rows:
        """When each row was served: microseconds since 1970 UTC."""

    def covered(self, view: View, times: Rows, rows: Rows) -> Mask:
        """Whether a run that had finished when the row was served may have read a source row of that event time."""

    def landed_by(self, view: View) -> LandedBy: ...

    def last_definition(self, view: View, times: Rows, rows: Rows) -> npt.NDArray[np.object_]:
        """Definition hash of the last run that may have written a row of that event time by then, or None."""


@dataclass(frozen=True)
class Definition:
    """Another definition that features may have been served under.

    contract: with the features of the case that it has. source: the served log's own contract, one that a run in the
    ledger was of, or any other that is known. replaced: the case's own definition had been applied already when the
    rows were served, row by row of the case; None: not known, so not. view, hash: of a ledger's definition the view's
    name in the contract, and `Run.definition_hash`.
    """

    contract: FeatureContract
    source: Literal["log", "ledger", "other"]
    replaced: Mask | None = None
    view: str | None = None
    hash: str | None = None


@dataclass(frozen=True)
class Case:
    """Rows that were served, and how to recompute them.

    contract: whose features they are. reading: the rule they should be reproduced by. inputs: their entity and
    request columns. under_way: rows whose instant lies within a materialization run of one of the views. requests:
    the number of the request each row came with; None: each with its own. definitions: that may have been served
    instead. defaults: feature -> the value that a server is known to put where there is none. fallback: rows the log
    says were answered without features.
    """

    contract: FeatureContract
    reading: Reading
    inputs: pa.Table
    served: FeatureFrame
    under_way: Mask
    recompute: Recompute
    tolerances: Mapping[str, Tolerance] = field(default_factory=dict)
    requests: Rows | None = None
    definitions: tuple[Definition, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    fallback: Mask | None = None

    @property
    def rows(self) -> Rows:
        return np.arange(self.served.num_rows, dtype=np.int64)

    def subset(self, rows: Rows) -> Case:
        """The case of these rows alone."""
        return replace(
            self,
            inputs=self.inputs.take(pa.array(rows)),
            served=take(self.served, rows),
            under_way=self.under_way[rows],
            recompute=_Part(self.recompute, rows),
            requests=None if self.requests is None else self.requests[rows],
            definitions=tuple(
                item if item.replaced is None else replace(item, replaced=item.replaced[rows])
                for item in self.definitions
            ),
            fallback=None if self.fallback is None else self.fallback[rows],
        )

    @property
    def views(self) -> dict[str, str]:
        """Feature -> the view its event times are of; on-demand features have none."""
        names = {view.name for view in self.contract.views}
        return {f"{view}__{feature}": view for view, feature in self.contract.features if view in names}

    def cells(self, column: str, rows: Rows) -> Cells:
        """A feature of these rows as served."""
        dtype = self.contract.dtypes.get(column)
        return cells(self.served, column, self.views.get(column), dtype).take(rows)


@dataclass(frozen=True)
class _Part:
    """Some rows of a whole."""

    whole: Recompute
    rows: Rows

    def __call__(self, contract: FeatureContract, reading: Reading, rows: Rows) -> FeatureFrame:
        return self.whole(contract, reading, self.rows[rows])

    def gather(self, rows: Rows) -> None:
        self.whole.gather(self.rows[rows])

    def tied(self, view: View, reading: Reading, rows: Rows) -> Mask:
        return self.whole.tied(view, reading, self.rows[rows])

    def at_event_times(
        self, view: View, reading: Reading, times: Rows, rows: Rows, width: int = 1
    ) -> tuple[npt.NDArray[np.int64], FeatureFrame]:
        return self.whole.at_event_times(view, reading, times, self.rows[rows], width)

    def event_times(self, view: View, rows: Rows) -> tuple[npt.NDArray[np.int64], Rows]:
        return self.whole.event_times(view, self.rows[rows])

    def owners(self, view: View, times: Rows, width: int = 1) -> tuple[pa.Table, FeatureFrame]:
        return self.whole.owners(view, times, width)

    def instants(self, rows: Rows) -> Rows:
        return self.whole.instants(self.rows[rows])

    def covered(self, view: View, times: Rows, rows: Rows) -> Mask:
        return self.whole.covered(view, times, self.rows[rows])

    def landed_by(self, view: View) -> LandedBy:
        return self.whole.landed_by(view)

    def last_definition(self, view: View, times: Rows, rows: Rows) -> npt.NDArray[np.object_]:
        return self.whole.last_definition(view, times, self.rows[rows])


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


def same(served: Cells, candidate: Cells, tolerance: Tolerance = EXACT) -> Mask:
    """Which cells are served exactly as the candidates are: value, status and event time. Types that have nothing in
    common are the same nowhere."""
    pair = common_type(served, candidate)
    if isinstance(pair, str):
        return np.zeros(len(served), np.bool_)
    found: Mask = np.isin(outcomes(*pair, tolerance), (Outcome.EQUAL, Outcome.WITHIN_TOLERANCE, Outcome.FORGOTTEN))
    return found


def differ(before: Cells, after: Cells, tolerance: Tolerance = EXACT) -> Mask:
    """Which cells mismatch."""
    pair = common_type(before, after)
    if isinstance(pair, str):
        return np.ones(len(before), np.bool_)
    changed: Mask = outcomes(*pair, tolerance) >= Outcome.VALUE
    return changed


def any_of(masks: Mapping[str, Mask], rows: int) -> Mask:
    """Rows that any of the masks has."""
    every = np.zeros(rows, np.bool_)
    for mask in masks.values():
        every |= mask
    return every
