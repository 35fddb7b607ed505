"""Causes that show in whole rows and not in one cell: another entity's row, and an answer without any features."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice, permutations
from typing import Any

import numpy as np
import pyarrow as pa

from trueup.contracts.contract import JoinKey, View
from trueup.frame import Status
from trueup.parity.canonical import tokens
from trueup.parity.case import Rows, differ, same
from trueup.parity.compare import NO_TIME, Cells, Mask, cells
from trueup.parity.distortions import type_default
from trueup.parity.proofs.located import Located
from trueup.parity.proofs.search import Search, has_row, no_row, times_of, usable
from trueup.parity.reading import ledger_reading

MOST_EXCHANGES = 24
"""How many ways of exchanging a view's key columns are tried."""
BY_CHANCE = 1e-3
"""How likely views may be absent together by chance for it to be taken for none."""
Content = tuple[Any, ...]
"""What a row of a view is, and what is equal for equal rows."""
Key = tuple[Any, ...]
"""Entity key, as in a request."""
EQUAL_ROWS = 0.01
"""Up to which share of equal rows a row tells whose it is."""
_TELLING = ("Float32", "Float64", "String", "Bytes", "UnixTimestamp")
"""Types whose equal values are of one row, where there is nothing else to tell rows apart by."""


def by_fallback(search: Search) -> None:
    """`serving_fallback`: every view is absent at once, two of them at least that should not be.

    Views that are absent on their own are absent together now and then; what that alone would give is worked out
    from how often each is, and only more than that is a fallback. Where the log says so itself, any absent view is.
    """
    served_by = {view.name: columns_of(search, view) for view in _views_with_columns(search)}
    absent = [_absent(search, columns) for columns in served_by.values()]
    if search.case.fallback is not None:
        for columns, mask in zip(served_by.values(), absent, strict=True):
            for column in set(columns) & set(search.open):
                told = mask & search.case.fallback & search.open[column]
                search.settle(column, np.flatnonzero(told), "serving_fallback")
    if len(served_by) < 2:
        return
    suspects = np.flatnonzero(np.logical_and.reduce(absent))
    if not len(suspects):
        return
    due = [_due(search, columns, suspects) for columns in served_by.values()]
    together = np.logical_and.reduce(absent) & (np.sum(due, axis=0) >= 2)
    untold = together if search.case.fallback is None else together & ~search.case.fallback
    if not untold.any() or _tail(int(untold.sum()), _expected_together(search, absent, due, together)) >= BY_CHANCE:
        return
    for column, mask in search.open.items():
        if column in search.of_views:
            search.settle(column, np.flatnonzero(mask & untold), "serving_fallback")


def by_other_entity(
    search: Search, located: dict[str, Located], *, telling: bool = False, common: bool = False
) -> None:
    """`swapped_entity`: the view's whole served row, values and event time, is another entity's and not its own.

    The other entity is that of exchanged key columns, of another row of the request, or the only one with such a row.
    telling: what differs is one value alone, of a type whose equal values are hardly by chance; else at least two of
    the row's values and its event time differ.

    Where many entities have equal rows, that another has the served row proves little: a row of the entity's own that
    the source has lost may well be equal to it. common: such rows too, for when nothing else has explained them.
    """
    for view, open_columns in search.by_view():
        columns = columns_of(search, view)
        rows = foreign_rows(search, located, view, open_columns, telling=telling)
        if not view.keys or not len(rows):
            continue
        found = _by_exchanged_keys(search, view, columns, rows) | _by_donor(search, view, columns, rows, common=common)
        for column in open_columns:
            search.settle(column, rows[found & search.open[column][rows]], "swapped_entity")


def columns_of(search: Search, view: View) -> list[str]:
    """The features of a view that were served."""
    return [name for name, owner in search.case.views.items() if owner == view.name]


def foreign_rows(
    search: Search, located: dict[str, Located], view: View, open_columns: list[str], *, telling: bool | None = None
) -> Rows:
    """Rows with an open cell of the view that were served a row which is not one of the entity's own.

    Enough must differ from the own one for another to be told by it: at least two of the values and the event time,
    or one value of a type whose equal values are hardly by chance. telling: only the second (True) or the first.
    """
    columns = columns_of(search, view)
    rows = search.view_rows(open_columns)
    own = np.logical_and.reduce(
        [located[name].exact[rows] if name in located else np.ones(len(rows), np.bool_) for name in columns]
    )
    there = np.logical_or.reduce([has_row(search.served(name, rows)) for name in columns])
    rows = rows[there & ~own]
    apart, tells = _apart(search, view, columns, rows)
    strong = (apart >= 2) if telling is False else (apart == 1) & tells
    chosen: Rows = rows[strong | (apart >= 2)] if telling is None else rows[strong]
    return chosen


def _apart(search: Search, view: View, columns: list[str], rows: Rows) -> tuple[Rows, Mask]:
    """How many of the row's values and its event time differ from its own, and whether one of them is telling."""
    apart = np.zeros(len(rows), np.int64)
    tells = np.zeros(len(rows), np.bool_)
    dtypes = {view.column(item.name): item.dtype for item in view.features}
    for column in columns:
        served, expected = search.served(column, rows), search.expected(column, rows)
        different = differ(served, expected, search.tolerance(column))
        apart += different
        if dtypes[column] in _TELLING:
            default = type_default(served.values.type)
            plain = np.array([value is None or value == default for value in served.values.to_pylist()], np.bool_)
            tells |= different & ~plain
    apart += times_of(search.served(columns[0], rows)) != times_of(search.expected(columns[0], rows))
    return apart, tells


def _by_exchanged_keys(search: Search, view: View, columns: list[str], rows: Rows) -> Mask:
    found = np.zeros(len(rows), np.bool_)
    for keys in islice(_exchanges(search, view), MOST_EXCHANGES):
        contract = replace(
            search.case.contract,
            features=tuple(pair for pair in search.case.contract.features if pair[0] == view.name),
            views=(replace(view, keys=keys),),
            on_demand=(),
        )
        frame = search.case.recompute(contract, search.case.reading, rows)
        every = np.ones(len(rows), np.bool_)
        for column in columns:
            candidate = cells(frame, column, view.name)
            every &= same(search.served(column, rows), candidate, search.tolerance(column))
        found |= every
    return found


def _exchanges(search: Search, view: View) -> Iterator[tuple[JoinKey, ...]]:
    """Other columns of the request that the view's key may have been taken from."""
    fields = search.case.contract.entity_fields
    own = tuple(key.request for key in view.keys)
    for names in permutations([item.name for item in fields], len(view.keys)):
        dtypes = {item.name: item.dtype for item in fields}
        if names != own and all(dtypes[name] == key.dtype for name, key in zip(names, view.keys, strict=True)):
            yield tuple(replace(key, request=name) for key, name in zip(view.keys, names, strict=True))


def _by_donor(search: Search, view: View, columns: list[str], rows: Rows, *, common: bool) -> Mask:
    """Rows of which exactly one other entity has the served row: one of the case, of the same request if there are
    several, or any that the source has. common: of which at least one has."""
    served = _contents(search, {name: search.served(name, rows) for name in columns})
    expired = np.logical_and.reduce([search.served(name, rows).statuses == Status.EXPIRED for name in columns])
    names = [key.request for key in view.keys]
    own_keys = _tuples(search.case.inputs.select(names).take(pa.array(rows)))
    donors = _donors_of_case(search, view, columns, rows, set(served))
    owners = _owners(search, view, columns, rows)
    rare = [_share_of_equal(each) <= EQUAL_ROWS for each in owners]
    requests = search.case.requests
    found = np.zeros(len(rows), np.bool_)
    for place, (own_row, content, own) in enumerate(zip(rows.tolist(), served, own_keys, strict=True)):
        which = int(expired[place])
        of_case = {key: seen for key, seen in donors.get(content, {}).items() if key != own}
        others = (set(of_case) | owners[which].get(content, set())) - {own}
        asked = None if requests is None else int(requests[own_row])
        near = [key for key, seen in of_case.items() if asked in seen]
        found[place] = bool(others) if common else rare[which] and (len(others) == 1 or len(near) == 1)
    return found


def _share_of_equal(owners: Mapping[Content, set[Key]]) -> float:
    """Of the rows that entities have at one event time, the share which another entity has just so."""
    rows = sum(map(len, owners.values()))
    return sum(len(keys) for keys in owners.values() if len(keys) > 1) / rows if rows else 0.0


def _donors_of_case(
    search: Search, view: View, columns: list[str], rows: Rows, wanted: set[Content]
) -> dict[Content, dict[Key, set[int]]]:
    """Wanted contents -> the entities of the case that have them, each with the requests it was asked for in."""
    times = times_of(search.expected(columns[0], search.case.rows))
    others = np.flatnonzero(np.isin(times, times_of(search.served(columns[0], rows))))
    keys = _tuples(search.case.inputs.select([key.request for key in view.keys]).take(pa.array(others)))
    contents = _contents(search, {name: search.expected(name, others) for name in columns})
    donors: dict[Content, dict[Key, set[int]]] = {}
    for donor, key, content in zip(others.tolist(), keys, contents, strict=True):
        if content in wanted:
            request = -1 - donor if search.case.requests is None else int(search.case.requests[donor])
            donors.setdefault(content, {}).setdefault(key, set()).add(request)
    return donors


def _owners(
    search: Search, view: View, columns: list[str], rows: Rows
) -> tuple[dict[Content, set[Key]], dict[Content, set[Key]]]:
    """Contents of what the source has at the rows' served event times -> the entities that have them: as they were
    read, and as they are read when they have expired."""
    times = times_of(search.served(columns[0], rows))
    keys, frame = search.case.recompute.owners(view, np.unique(times[times != NO_TIME]))
    read = {name: cells(frame, name, view.name) for name in columns}
    found: tuple[dict[Content, set[Key]], dict[Content, set[Key]]] = ({}, {})
    for known, sides in zip(found, (read, {name: _expired(side) for name, side in read.items()}), strict=True):
        for key, content in zip(_tuples(keys), _contents(search, sides), strict=True):
            known.setdefault(content, set()).add(key)
    return found


def _contents(search: Search, columns: Mapping[str, Cells]) -> list[Content]:
    """Event time, statuses and values of a view's row, so that equal rows are equal."""
    dtypes = search.case.contract.dtypes
    parts: list[list[Any]] = [times_of(next(iter(columns.values()))).tolist()]
    for name, side in columns.items():
        parts.append(side.statuses.tolist())
        parts.append(tokens(side.values, dtypes.get(name)))
    return list(zip(*parts, strict=True))


def _expired(side: Cells) -> Cells:
    """The same rows past their TTL: their values are gone."""
    gone = pa.nulls(len(side), side.values.type)
    return replace(side, values=gone, statuses=np.full_like(side.statuses, Status.EXPIRED))


def _tuples(table: pa.Table) -> list[Key]:
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def _views_with_columns(search: Search) -> list[View]:
    return [view for view in search.case.contract.views if columns_of(search, view)]


def _due(search: Search, columns: list[str], suspects: Rows) -> Mask:
    """Rows that should have something of a view; of the suspects, by what the ledger says the online store held."""
    due: Mask = np.logical_or.reduce([usable(search.expected(name, search.case.rows)) for name in columns])
    held = ledger_reading(search.case.reading)
    read = search.read(held, dict.fromkeys(columns, suspects))
    due[suspects] = np.logical_or.reduce([usable(side) for _, _, side in read])
    return due


def _absent(search: Search, columns: list[str]) -> Mask:
    """Rows that have nothing of a view: no row, or nothing but defaults without an event time."""
    every = np.ones(search.case.served.num_rows, np.bool_)
    for column in columns:
        every &= _nothing(search, column, search.served(column, search.case.rows))
    return every


def _nothing(search: Search, column: str, side: Cells) -> Mask:
    missing = no_row(side)
    untimed = np.flatnonzero((side.statuses == Status.PRESENT) & (times_of(side) == NO_TIME))
    if side.times is not None and len(untimed):
        default = search.case.defaults.get(column, type_default(side.values.type, side.dtype))
        values = side.values.take(pa.array(untimed)).to_pylist()
        missing = missing.copy()
        missing[untimed[np.array([value == default for value in values], np.bool_)]] = True
    return missing & ((times_of(side) == NO_TIME) if side.times is not None else True)


def _expected_together(search: Search, absent: list[Mask], due: list[Mask], together: Mask) -> float:
    """How many rows would have all their views absent if each were absent as often as it is on its own.

    A view that no row had at all may never have been online: only a ledger that brought it says that it was.
    """
    chance = np.ones(len(together))
    for view, missing, wanted in zip(_views_with_columns(search), absent, due, strict=True):
        alone = wanted & ~together
        if alone.any():
            share = float((missing & alone).sum()) / float(alone.sum())
        else:
            share = 0.0 if search.case.recompute.landed_by(view) == "ledger" else 1.0
        chance *= np.where(wanted, share, 1.0)
    several = np.sum(due, axis=0) >= 2
    return float(chance[several].sum())


def _tail(count: int, mean: float) -> float:
    """P(X >= count) of a Poisson variable."""
    if mean <= 0.0:
        return 0.0 if count else 1.0
    return 1.0 - sum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(count))
