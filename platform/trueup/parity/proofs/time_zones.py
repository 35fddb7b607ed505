"""`timezone_shift` of event times: the source's clock read as if it were another zone's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from trueup.contracts.contract import View
from trueup.frame import Status
from trueup.parity.case import Rows, same
from trueup.parity.compare import NO_TIME, Cells, Mask, cells
from trueup.parity.distortions import MOST_SHIFT, QUARTER_HOUR, shifted
from trueup.parity.proofs.located import Located
from trueup.parity.proofs.search import Search, times_of
from trueup.parity.proofs.whole_rows import columns_of, foreign_rows

SAMPLE = 200
"""Rows that are looked at for how far times are shifted."""
MOST_SHIFTS = 3
"""How many different shifts of a view are named, those first that most of the sample shows."""


def by_shift(search: Search, located: dict[str, Located]) -> None:
    """The read of the instant `h` earlier, with the event time `h` later, gives the whole row that was served; its
    timestamps may have been shifted as well.

    Only shifts that the data shows are tried, on a sample first: whole numbers of quarter hours between a served
    event time and one the source has of the entity.
    """
    for view, open_columns in search.by_view():
        rows = foreign_rows(search, located, view, open_columns)
        rows = rows[times_of(search.served(open_columns[0], rows)) != NO_TIME]
        if not len(rows):
            continue
        sample = rows[np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).astype(np.int64)]
        for shift in _shifts(search, view, sample)[:MOST_SHIFTS]:
            found = rows[_shifted(search, view, shift, rows)]
            for column in open_columns:
                search.settle(column, found[search.open[column][found]], "timezone_shift")


def _shifted(search: Search, view: View, shift: int, rows: Rows) -> Mask:
    """Rows that are wholly those of the shifted source."""
    reading = replace(search.case.reading, deviation="shifted", size=shift)
    every = np.ones(len(rows), np.bool_)
    chosen = dict.fromkeys(columns_of(search, view), rows)
    for column, _, candidates in search.read(reading, chosen):
        every &= _alike(search, column, search.served(column, rows), candidates)
    return every


def _alike(search: Search, column: str, served: Cells, candidates: Cells) -> Mask:
    """Cells that are served as the candidates are, or as those would be in another time zone."""
    alike = same(served, candidates, search.tolerance(column))
    elsewhere = shifted(candidates, served)
    return alike if elsewhere is None else alike | same(served, elsewhere, search.tolerance(column))


def _shifts(search: Search, view: View, rows: Rows) -> list[int]:
    """Shifts by which the source has the served values of some row, those first that most rows show."""
    columns = columns_of(search, view)
    times = times_of(search.served(columns[0], rows))
    positions, known = search.case.recompute.event_times(view, rows)
    apart = times[positions] - known
    zone = (apart != 0) & (np.abs(apart) <= MOST_SHIFT) & (apart % QUARTER_HOUR == 0)
    positions, known, apart = positions[zone], known[zone], apart[zone]
    found, frame = search.case.recompute.at_event_times(view, search.case.reading, known, rows[positions])
    every = np.ones(len(found), np.bool_)
    for column in columns:
        served = replace(search.served(column, rows[positions[found]]), times=None)
        alike = _alike(search, column, served, cells(frame, column, None))
        every &= alike | (served.statuses == Status.EXPIRED)  # of which nothing but the event time is there
    shifts, counts = np.unique(apart[found[every]], return_counts=True)
    return [int(shift) for shift in shifts[np.lexsort((shifts, np.abs(shifts), -counts))]]
