"""Causes told by which of the two sides had a row at all, or a value: the general ones, asked last."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trueup.frame import Status
from trueup.parity.case import Rows
from trueup.parity.causes import BIT
from trueup.parity.compare import NO_TIME, Cells, Mask
from trueup.parity.distortions import type_default
from trueup.parity.likeness import Likeness, likeness
from trueup.parity.proofs.readings import steps_that_matter
from trueup.parity.proofs.search import Search, has_row, no_row, times_of, usable
from trueup.parity.reading import ledger_reading, paths

SHARED = 3
"""From how many cells on one value in the place of all nulls of a feature is a default, whatever it is."""


def by_default(search: Search, *, changes: int = 0, on_demand: bool = False) -> None:
    """`null_default`: recomputed without a value, served as a default.

    A default is that of the type (or -1), the one the case names, or one value that all such cells of the feature
    share. What has no row has no event time either; an event time of its own means that there was a row.
    changes: of the reading, beside; then only a known default counts. on_demand: of on-demand features, else of views;
    a function may well give a zero, so its inputs are asked first.
    """
    for path in list(paths(search.case.reading))[changes]:
        chosen = {
            column: rows
            for column in search.open
            if (column not in search.of_views) is on_demand
            and len(rows := _filled(search, column, any_value=not path.steps))
        }
        if not path.steps:
            sides = [(column, rows, search.expected(column, rows)) for column, rows in chosen.items()]
        else:
            sides = list(search.read(path.reading, chosen))
        for column, rows, expected in sides:
            served = search.served(column, rows)
            empty = (expected.statuses != Status.PRESENT) & (expected.statuses != 0)
            if served.times is not None and expected.times is not None:
                empty &= (served.times == expected.times) | (served.times == NO_TIME)
            found = rows[empty & (_is_default(search, column, served) | _is_shared(served, empty))]
            if len(found):
                bits = np.full(len(found), BIT["null_default"], np.uint64)
                if path.steps:
                    bits |= steps_that_matter(search, path, column, found, None)
                search.settle(column, found, bits)


def by_absence(search: Search) -> None:
    """`expired`, `missing_online`: against what the ledger says the online store held."""
    chosen = {column: search.rows(column) for column in search.of_views}
    for column, rows, held in search.read(ledger_reading(search.case.reading), chosen):
        served = search.served(column, rows)
        same_row = np.ones(len(rows), np.bool_)
        if served.times is not None and held.times is not None:
            same_row = (served.times == held.times) & (served.times != NO_TIME)
        search.settle(column, rows[(served.statuses == Status.EXPIRED) & usable(held) & same_row], "expired")
        search.settle(column, rows[no_row(served) & has_row(held)], "missing_online")


def by_backfill(search: Search) -> None:
    """`definition_not_backfilled` of a feature that was never written: the view's row is there, the feature is not.

    Served MISSING beside an event time says so itself. A null may be a real one: then the last run that can have
    written the row must be of a definition without the feature, or, where the ledger knows no definitions, the feature
    must be null in every row up to some event time.
    """
    for view, columns in search.by_view():
        lacking = {
            column: {
                item.hash
                for item in search.case.definitions
                if item.source == "ledger" and item.view == view.name and column not in item.contract.columns
            }
            for column in columns
        }
        for column in columns:
            rows = search.rows(column)
            served, expected = search.served(column, rows), search.expected(column, rows)
            if served.times is None:
                continue
            same_row = (served.times == times_of(expected)) & (served.times != NO_TIME)
            search.settle(column, rows[same_row & (served.statuses == Status.MISSING)], "definition_not_backfilled")
            null = np.flatnonzero(same_row & (served.statuses == Status.NULL) & (expected.statuses == Status.PRESENT))
            if not len(null):
                continue
            if search.case.recompute.landed_by(view) == "ledger" and lacking[column]:
                last = search.case.recompute.last_definition(view, served.times[null], rows[null])
                null = null[np.isin(last.astype(str), sorted(lacking[column] - {None}))]
                search.settle(column, rows[null], "definition_not_backfilled")
            elif len(null) >= SHARED and _never_written(search, column, int(served.times[null].max())):
                search.settle(column, rows[null], "definition_not_backfilled")


def _never_written(search: Search, column: str, until: int) -> bool:
    """Whether no row up to an event time was served with a value of the feature."""
    every = search.case.rows
    served = search.served(column, every)
    written = (served.statuses == Status.PRESENT) & (times_of(served) <= until)
    return not bool(written.any())


def _filled(search: Search, column: str, *, any_value: bool) -> Rows:
    """Open cells that were served a value; only a known default, unless any will do."""
    rows = search.rows(column)
    served = search.served(column, rows)
    filled: Mask = served.statuses == Status.PRESENT
    chosen: Rows = rows[filled if any_value else filled & _is_default(search, column, served)]
    return chosen


def _is_default(search: Search, column: str, served: Cells) -> Mask:
    kind = served.values.type
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    known = [type_default(kind, served.dtype), -1 if number else None, search.case.defaults.get(column)]
    found = np.zeros(len(served), np.bool_)
    for default in known:
        if default is not None:
            every = pa.array([default] * len(served), kind)
            found |= likeness(served.values, every, dtype=served.dtype) == Likeness.SAME
    return found


def _is_shared(served: Cells, empty: Mask) -> Mask:
    """Cells without a value of their own, where all of them were served one and the same."""
    if int(empty.sum()) < SHARED:
        return np.zeros(len(served), np.bool_)
    values = served.values.filter(pa.array(empty))
    first = values[0]
    same = all(value == first for value in values) if pa.types.is_nested(values.type) else len(pc.unique(values)) == 1
    return empty if same else np.zeros(len(served), np.bool_)
