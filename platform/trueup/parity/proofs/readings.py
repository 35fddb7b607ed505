"""Causes by toggling: which changes of how the source is read, and of the value, reproduce what was served."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from trueup.contracts.contract import FeatureContract
from trueup.frame import Status
from trueup.parity.case import CauseBits, Rows, differ
from trueup.parity.causes import BIT
from trueup.parity.compare import NO_TIME, Cells, Mask
from trueup.parity.distortions import DISTORTIONS, Distortion
from trueup.parity.proofs.located import Located
from trueup.parity.proofs.search import Search
from trueup.parity.reading import Path, Reading, paths

LOCATED = dict[str, Located]


def by_readings(search: Search, located: LOCATED, *, changes: Sequence[int], on_demand: bool = False) -> None:
    """Every combination of `changes` toggles, with at most one distortion among them, fewest first.

    on_demand: of features of on-demand views, recomputed with all their inputs; else of feature views. An input that
    was logged is what the function had, and no other reading of it can have made the feature: only where one was not
    logged are readings tried.
    """
    ways = list(paths(search.case.reading))
    for number in changes:
        for path in ways[number]:
            _try(search, located, path, None, on_demand=on_demand)
        for path in ways[number - 1]:
            for place, distortion in enumerate(DISTORTIONS):
                _try(search, located, path, (place, distortion), on_demand=on_demand)


def steps_that_matter(
    search: Search,
    path: Path,
    column: str,
    rows: Rows,
    distortion: Distortion | None,
    contract: FeatureContract | None = None,
) -> CauseBits:
    """The causes of cells that a path reproduces: a step that changes nothing of a cell is no cause of it."""
    bits = np.zeros(len(rows), np.uint64)
    before = search.cells_at(path.start, column, rows, contract)
    for toggle, reading in path.steps:
        after = search.cells_at(reading, column, rows, contract)
        bits[differ(before, after, search.tolerance(column))] |= BIT[toggle.cause]
        before = after
    if distortion is not None:
        bits |= BIT[distortion.cause]
    # With a tolerance, small steps can add up to a mismatch: then all of them are the cause.
    every = np.uint64(0)
    for toggle, _ in path.steps:
        every |= BIT[toggle.cause]
    return np.where(bits == 0, every, bits)


def concerned(
    search: Search, located: LOCATED, path: Path, way: tuple[int, Distortion] | None, column: str, rows: Rows
) -> Mask:
    """Which of these cells of a view's feature the attempt could explain. The others need not be read again."""
    served, here = search.served(column, rows), located[column]
    times = served.times
    if way is not None and (not path.steps):
        return np.ones(len(rows), np.bool_)
    there = here.exact[rows] if way is None else here.distorted.get(way[0], np.zeros(len(here.exact), np.bool_))[rows]
    if times is not None:
        there = there | ((times == NO_TIME) & (way is None))
    there = there.copy()
    before = path.start
    for toggle, after in path.steps:
        chosen = np.flatnonzero(there)
        if not len(chosen):
            break
        expected = search.expected if before is path.start else partial(search.cells_at, before)
        there[chosen] = toggle.concerns(expected(column, rows[chosen]), served.take(chosen))
        before = after
    return there


def _try(search: Search, located: LOCATED, path: Path, way: tuple[int, Distortion] | None, *, on_demand: bool) -> None:
    _try_reading(search, located, path, path.reading, way, on_demand=on_demand)
    if path.steps and path.reading.rule.known_at == "served" and search.case.under_way.any():
        _try_reading(search, located, path, replace(path.reading, under_way=True), way, on_demand=on_demand)


def _try_reading(
    search: Search,
    located: LOCATED,
    path: Path,
    reading: Reading,
    way: tuple[int, Distortion] | None,
    *,
    on_demand: bool,
) -> None:
    distortion = None if way is None else way[1]
    chosen = {}
    for column in _columns(search, on_demand):
        if on_demand and path.steps and _all_logged(search, column):
            continue
        rows = search.rows(column)
        if reading.under_way:
            rows = rows[search.case.under_way[rows]]
        if distortion is not None:
            rows = rows[_present(search.served(column, rows))]
        if len(rows) and not on_demand:
            rows = rows[concerned(search, located, path, way, column, rows)]
        chosen[column] = rows
    for column, rows, candidates in search.read(reading, chosen):
        if distortion is not None:
            distorted = distortion.distort(candidates, search.served(column, rows))
            if distorted is None:
                continue
            candidates = distorted
        found = rows[search.reproduces(column, rows, candidates)]
        if len(found):
            search.settle(column, found, steps_that_matter(search, path, column, found, distortion))


def _columns(search: Search, on_demand: bool) -> Iterable[str]:
    return [column for column, mask in search.open.items() if mask.any() and (column in search.of_views) != on_demand]


def _all_logged(search: Search, column: str) -> bool:
    """Whether all inputs of an on-demand feature are features of the service."""
    contract = search.case.contract
    owner = next(view for view in contract.on_demand if column in {view.column(item.name) for item in view.outputs})
    return set(owner.inputs) <= set(contract.features)


def _present(served: Cells) -> Mask:
    """A distortion changes values; what has none it leaves."""
    present: Mask = served.statuses == Status.PRESENT
    return present
