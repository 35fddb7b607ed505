"""`Search`: the mismatches that have no cause yet, feature by feature, and the causes found so far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

import numpy as np

from trueup.contracts.contract import FeatureContract, View
from trueup.frame import FeatureFrame, Status
from trueup.parity.case import Case, CauseBits, Rows, any_of, only, same
from trueup.parity.causes import BIT
from trueup.parity.compare import EXACT, NO_TIME, Cells, Mask, Tolerance, cells
from trueup.parity.reading import Reading


class Search:
    """mismatches: feature -> rows that mismatch. recomputed: the case under its own reading.

    A cell is open until it is settled; what is settled stays so. The proofs differ in what they look at, so the order
    in which they are asked is the order of their claims.
    """

    def __init__(self, case: Case, recomputed: FeatureFrame, mismatches: Mapping[str, Mask]) -> None:
        self.case = case
        self.recomputed = recomputed
        self.mismatches = mismatches
        self.open = {column: mask.copy() for column, mask in mismatches.items()}
        self.causes: dict[str, CauseBits] = {
            column: np.zeros(len(mask), np.uint64) for column, mask in self.open.items()
        }

    @cached_property
    def of_views(self) -> dict[str, View]:
        """Mismatching features of feature views -> their view; on-demand features are not among them."""
        views = {view.name: view for view in self.case.contract.views}
        return {column: views[name] for column, name in self.case.views.items() if column in self.open}

    def rows(self, column: str) -> Rows:
        """The open cells of a feature."""
        return np.flatnonzero(self.open[column])

    def by_view(self) -> Iterator[tuple[View, list[str]]]:
        """Views that have open cells, with the features that have them."""
        for view in self.case.contract.views:
            columns = [name for name, owner in self.of_views.items() if owner is view and self.open[name].any()]
            if columns:
                yield view, columns

    def view_rows(self, columns: list[str]) -> Rows:
        """Rows with an open cell of any of these features."""
        return np.flatnonzero(any_of({name: self.open[name] for name in columns}, self.case.served.num_rows))

    def settle(self, column: str, rows: Rows, cause: str | CauseBits) -> None:
        """Names the cause of these open cells: one for all, or the bits of each (0: none)."""
        bits = np.full(len(rows), BIT[cause], np.uint64) if isinstance(cause, str) else cause
        self.causes[column][rows] |= bits
        self.open[column][rows[bits != 0]] = False

    def tolerance(self, column: str) -> Tolerance:
        return self.case.tolerances.get(column, EXACT)

    def served(self, column: str, rows: Rows) -> Cells:
        return self.case.cells(column, rows)

    def expected(self, column: str, rows: Rows) -> Cells:
        """As recomputed under the case's own reading."""
        return cells(self.recomputed, column, self.case.views.get(column)).take(rows)

    def read(
        self, reading: Reading, chosen: Mapping[str, Rows], contract: FeatureContract | None = None
    ) -> Iterator[tuple[str, Rows, Cells]]:
        """Each feature's chosen rows, recomputed. contract: another one than the case's."""
        chosen = {column: rows for column, rows in chosen.items() if len(rows)}
        if not chosen:
            return
        every = np.unique(np.concatenate(list(chosen.values())))
        frame = self.case.recompute(only(contract or self.case.contract, chosen), reading, every)
        for column, rows in chosen.items():
            found = cells(frame, column, self.case.views.get(column)).take(np.searchsorted(every, rows))
            yield column, rows, found

    def cells_at(self, reading: Reading, column: str, rows: Rows, contract: FeatureContract | None = None) -> Cells:
        ((_, _, found),) = self.read(reading, {column: rows}, contract)
        return found

    def reproduces(self, column: str, rows: Rows, candidates: Cells) -> Mask:
        """Which of these cells are served exactly as the candidates are."""
        return same(self.served(column, rows), candidates, self.tolerance(column))


def has_row(side: Cells) -> Mask:
    """Cells whose view had a row for the entity, expired or not."""
    found: Mask = (side.statuses != Status.MISSING) & (side.statuses != 0)
    return found


def usable(side: Cells) -> Mask:
    """Cells whose view had a row that counts."""
    found: Mask = (side.statuses == Status.PRESENT) | (side.statuses == Status.NULL)
    return found


def no_row(side: Cells) -> Mask:
    """Cells whose view had no row: MISSING, or without a value and without an event time, as a log without statuses
    shows it."""
    found: Mask = side.statuses == Status.MISSING
    return found if side.times is None else found | ((side.statuses == Status.NULL) & (side.times == NO_TIME))


def times_of(side: Cells) -> Rows:
    """Event times, NO_TIME where there is none."""
    return np.full(len(side), NO_TIME, np.int64) if side.times is None else side.times
