"""Whether the source has the very row that was served: same entity, same event time, same value.

It says which readings are worth trying, since a reading can only give a row that the source has, and it proves what no
reading of ours gives: an older row that came back, a row of the future, a row that the source has lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trueup.frame import FeatureFrame, Status
from trueup.parity.case import Rows, same
from trueup.parity.compare import NO_TIME, Mask, cells
from trueup.parity.distortions import DISTORTIONS, Distortion
from trueup.parity.proofs.search import Search, has_row, times_of
from trueup.parity.reading import widest_reading


@dataclass(frozen=True)
class Located:
    """Per row of the case, for one feature.

    exists: the source has a row of the entity at the served event time. exact: with the served value. distorted:
    place in `DISTORTIONS` -> with a value that becomes the served one so.
    """

    exists: Mask
    exact: Mask
    distorted: dict[int, Mask]


def locate(search: Search) -> dict[str, Located]:
    """For each feature of a view with open cells. Served cells without event time are taken for located: there is
    nothing to look for, and a reading may give none as well."""
    found: dict[str, Located] = {}
    for view, columns in search.by_view():
        rows = search.view_rows(columns)
        served = search.served(columns[0], rows)
        times = times_of(served)
        if served.times is None:
            positions, frame = np.empty(0, np.int64), None
        else:
            timed = np.flatnonzero(times != NO_TIME)
            at, frame = search.case.recompute.at_event_times(view, search.case.reading, times[timed], rows[timed])
            positions = timed[at]
        for column in columns:
            found[column] = _located(search, column, rows, times, positions, frame)
    return found


def by_located(search: Search, located: dict[str, Located]) -> None:
    """`future_event`, `lag`, `stale_overwrite`: the source's own row, which no reading gives at that instant."""
    for view, columns in search.by_view():
        landed_by = search.case.recompute.landed_by(view)
        for column in columns:
            rows = search.rows(column)
            served, here = search.served(column, rows), located[column]
            times = times_of(served)
            ways: list[tuple[Mask, Distortion | None]] = [(here.exact[rows], None)]
            ways += [(mask[rows], DISTORTIONS[place]) for place, mask in here.distorted.items()]
            instants = search.case.recompute.instants(rows)
            older = times < times_of(search.expected(column, rows))
            for mask, distortion in ways:
                there = mask & (times != NO_TIME) & search.open[column][rows]
                for cause, which in (
                    ("future_event", times > instants),
                    ("lag" if landed_by == "nothing" else "stale_overwrite", older),
                ):
                    chosen = rows[there & which & search.open[column][rows]]
                    search.settle(column, chosen, cause)
                    if distortion is not None:
                        search.settle(column, chosen, distortion.cause)


def by_loss(search: Search, located: dict[str, Located]) -> None:
    """`tombstone_missing`, `missing_offline`: the source has no such row, and nothing newer that counts."""
    for view, columns in search.by_view():
        chosen = {
            column: rows[has_row(search.served(column, rows))] for column in columns for rows in [search.rows(column)]
        }
        for column, rows, widest in search.read(widest_reading(search.case.reading), chosen):
            served = search.served(column, rows)
            times = times_of(served)
            unknown = ~has_row(widest)
            if served.times is not None:
                unknown |= ~located[column].exists[rows] & (times > times_of(search.expected(column, rows)))
            lost = unknown
            brought = search.case.recompute.covered(view, times, rows) & (times != NO_TIME)
            search.settle(column, rows[lost & brought], "tombstone_missing")
            search.settle(column, rows[lost & ~brought], "missing_offline")


def _located(
    search: Search, column: str, rows: Rows, times: Rows, positions: Rows, frame: FeatureFrame | None
) -> Located:
    size = search.case.served.num_rows
    exists, exact = np.ones(size, np.bool_), np.ones(size, np.bool_)
    distorted: dict[int, Mask] = {}
    timed = rows[times != NO_TIME]
    if frame is None:
        return Located(exists, exact, dict.fromkeys(range(len(DISTORTIONS)), exact))
    exists[timed] = exact[timed] = False
    exists[rows[positions]] = True
    candidates = cells(frame, column, search.case.views[column])
    served = search.served(column, rows[positions])
    tolerance = search.tolerance(column)
    # Of an expired row only the event time is there to be compared.
    hit = same(served, candidates, tolerance) | (served.statuses == Status.EXPIRED)
    exact[rows[positions[hit]]] = True
    for place, distortion in enumerate(DISTORTIONS):
        changed = distortion.distort(candidates, served)
        if changed is not None:
            mask = np.zeros(size, np.bool_)
            mask[rows[positions[same(served, changed, tolerance) & ~hit]]] = True
            distorted[place] = mask
    return Located(exists, exact, distorted)
