"""Causes of on-demand features: those of their inputs, and a function that looks at the whole batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trueup.contracts.contract import FeatureContract, OnDemand
from trueup.errors import ContractError
from trueup.features.on_demand import Batches, evaluate
from trueup.frame import FeatureFrame, Status
from trueup.parity.case import Case, Rows, any_of, differ, same
from trueup.parity.compare import EXACT, Mask, cells
from trueup.parity.proofs.search import Search
from trueup.parity.reading import ledger_reading

Inputs = dict[str, list[Any]]
"""`view__feature` -> values, row by row."""


def by_inputs(search: Search) -> None:
    """A feature that follows from the inputs as they were served has the causes of those inputs that change it."""
    for view in search.case.contract.on_demand:
        columns = _open_columns(search, view)
        rows = search.view_rows(columns)
        if not len(rows):
            continue
        served = inputs_as_served(search.case, view, rows)
        outputs = _outputs(search.case, view, served, rows)
        if outputs is None:
            continue
        matters = _inputs_that_matter(search, view, served, outputs, columns, rows)
        for column in columns:
            chosen = np.flatnonzero(search.open[column][rows])
            hit = chosen[_reproduced(search, column, rows, chosen, outputs)]
            bits, every = np.zeros(len(hit), np.uint64), np.zeros(len(hit), np.uint64)
            for pair in view.inputs:
                which = matters[column].get(f"{pair[0]}__{pair[1]}")
                if which is None:
                    continue
                for cause_of in _columns_behind(search.case.contract, pair):
                    if cause_of in search.causes:
                        of_input = search.causes[cause_of][rows[hit]]
                        every |= of_input
                        bits |= np.where(which[hit], of_input, np.uint64(0))
            # Inputs that change it only together are its causes together.
            search.settle(column, rows[hit], np.where(bits == 0, every, bits))


def by_batch(search: Search) -> None:
    """`odfv_batch_dependent`: on the inputs as served, the function gives what was served for the rows of the request
    alone, for the row alone or for all rows at once, and something else for another of these batches."""
    for view in search.case.contract.on_demand:
        columns = _open_columns(search, view)
        if not len(search.view_rows(columns)):
            continue
        every = search.case.rows
        served = inputs_as_served(search.case, view, every)
        ways = [_outputs(search.case, view, served, every, batches) for batches in _ways_to_batch(search.case)]
        outputs = [way for way in ways if way is not None]
        for column in columns:
            rows = search.rows(column)
            candidates = [cells(way, column, None).take(rows) for way in outputs]
            hits = [search.reproduces(column, rows, candidate) for candidate in candidates]
            if hits:
                found = rows[np.logical_or.reduce(hits) & ~np.logical_and.reduce(hits)]
                search.settle(column, found, "odfv_batch_dependent")


def from_served_inputs(case: Case, candidates: Mapping[str, Mask]) -> dict[str, Mask]:
    """Which of these cells of on-demand features are what their function makes of the inputs as served."""
    found: dict[str, Mask] = {}
    for view in case.contract.on_demand:
        columns = [name for item in view.outputs if (name := view.column(item.name)) in candidates]
        rows = np.flatnonzero(any_of({column: candidates[column] for column in columns}, case.served.num_rows))
        if not len(rows):
            continue
        outputs = _outputs(case, view, inputs_as_served(case, view, rows), rows)
        if outputs is None:
            continue
        for column in columns:
            chosen = np.flatnonzero(candidates[column])
            candidate = cells(outputs, column, None).take(np.searchsorted(rows, chosen))
            tolerance = case.tolerances.get(column, EXACT)
            found[column] = np.zeros(case.served.num_rows, np.bool_)
            found[column][chosen[same(case.cells(column, chosen), candidate, tolerance)]] = True
    return found


def input_columns(contract: FeatureContract, column: str) -> list[str]:
    """Features whose causes an on-demand feature can have: its inputs.

    An input that the service does not have was not logged; the features of the same view stand in.
    """
    inputs: list[str] = []
    for view in contract.on_demand:
        if column in (view.column(item.name) for item in view.outputs):
            for pair in view.inputs:
                inputs.extend(_columns_behind(contract, pair))
    return list(dict.fromkeys(inputs))


def inputs_as_served(case: Case, view: OnDemand, rows: Rows) -> Inputs:
    """The view's inputs. One that the service does not have was not logged: it is read as the ledger says it stood
    online, or null where the log shows that its view had no usable row."""
    logged = set(case.served.columns)
    not_logged = tuple(pair for pair in view.inputs if f"{pair[0]}__{pair[1]}" not in logged)
    features: Inputs = {
        f"{source}__{feature}": case.served.values.column(f"{source}__{feature}").take(pa.array(rows)).to_pylist()
        for source, feature in view.inputs
        if f"{source}__{feature}" in logged
    }
    if not_logged:
        views = tuple(item for item in case.contract.views if item.name in {source for source, _ in not_logged})
        bare = replace(case.contract, features=not_logged, views=views, on_demand=())
        frame = case.recompute(bare, ledger_reading(case.reading), rows)
        for source, feature in not_logged:
            values = frame.values.column(f"{source}__{feature}").to_pylist()
            usable = _usable(case, source, rows)
            features[f"{source}__{feature}"] = [value if ok else None for value, ok in zip(values, usable, strict=True)]
    return features


def _inputs_that_matter(
    search: Search, view: OnDemand, served: Inputs, outputs: FeatureFrame, columns: list[str], rows: Rows
) -> dict[str, dict[str, Mask]]:
    """Feature -> input -> rows in which it matters to the feature that the input was served as it was.

    It does if the input as recomputed among the others as served would change the feature, or the input as served among
    the others as recomputed would.
    """
    suspects = [
        pair
        for pair in view.inputs
        if any(
            name in search.causes and search.causes[name][rows].any()
            for name in _columns_behind(search.case.contract, pair)
        )
    ]
    if len(suspects) <= 1:
        return {
            column: {f"{pair[0]}__{pair[1]}": np.ones(len(rows), np.bool_) for pair in suspects} for column in columns
        }
    right = _recomputed(search, view, rows)
    expected = _outputs(search.case, view, right, rows)
    found: dict[str, dict[str, Mask]] = {column: {} for column in columns}
    for source, feature in suspects:
        name = f"{source}__{feature}"
        mended = _outputs(search.case, view, {**served, name: right[name]}, rows)
        spoilt = _outputs(search.case, view, {**right, name: served[name]}, rows)
        for column in columns:
            found[column][name] = _apart(search, column, outputs, mended, rows) | _apart(
                search, column, expected, spoilt, rows
            )
    return found


def _recomputed(search: Search, view: OnDemand, rows: Rows) -> Inputs:
    """The view's inputs under the case's own reading."""
    case = search.case
    owners = {source for source, _ in view.inputs}
    views = tuple(item for item in case.contract.views if item.name in owners)
    bare = replace(case.contract, features=view.inputs, views=views, on_demand=())
    frame = case.recompute(bare, case.reading, rows)
    return {name: frame.values.column(name).to_pylist() for name in frame.columns}


def _apart(search: Search, column: str, before: FeatureFrame | None, after: FeatureFrame | None, rows: Rows) -> Mask:
    """Rows in which the feature is another one; all, where the function failed for one side."""
    if before is None or after is None:
        return np.ones(len(rows), np.bool_)
    return differ(cells(before, column, None), cells(after, column, None), search.tolerance(column))


def _reproduced(search: Search, column: str, rows: Rows, chosen: Rows, outputs: FeatureFrame) -> Mask:
    return search.reproduces(column, rows[chosen], cells(outputs, column, None).take(chosen))


def _outputs(
    case: Case, view: OnDemand, features: Inputs, rows: Rows, batches: Batches | None = None
) -> FeatureFrame | None:
    """The view's outputs; None when its function fails, so that it cannot have made what was served of them."""
    request = {item.name: case.inputs.column(item.name).take(pa.array(rows)).to_pylist() for item in view.request}
    try:
        outputs = evaluate(view, features, request, len(rows), batches)
    except ContractError:
        return None
    values = {view.column(name): array for name, array in outputs.items()}
    statuses = {
        name: pc.if_else(array.is_valid(), int(Status.PRESENT), int(Status.NULL)).cast(pa.int8())
        for name, array in values.items()
    }
    return FeatureFrame(pa.table(values), pa.table(statuses), pa.table({}))


def _ways_to_batch(case: Case) -> list[Batches]:
    """All rows at once, each alone, and those of each request."""
    every = case.rows
    ways: list[Batches] = [[every.tolist()], [[row] for row in every.tolist()]]
    if case.requests is not None:
        order = np.argsort(case.requests, kind="stable")
        bounds = np.flatnonzero(np.diff(case.requests[order])) + 1
        ways.append([part.tolist() for part in np.split(order, bounds)])
    return ways


def _open_columns(search: Search, view: OnDemand) -> list[str]:
    return [name for item in view.outputs if (name := view.column(item.name)) in search.open]


def _columns_behind(contract: FeatureContract, pair: tuple[str, str]) -> list[str]:
    """The input itself where the service has it, else the features of its view."""
    if pair in contract.features:
        return [f"{pair[0]}__{pair[1]}"]
    return [f"{view}__{feature}" for view, feature in contract.features if view == pair[0]]


def _usable(case: Case, view: str, rows: Rows) -> Mask:
    """Whether the log shows a usable row of the view, by any of its features that was logged."""
    column = next((column for column, owner in case.views.items() if owner == view), None)
    if column is None:
        return np.ones(len(rows), np.bool_)
    statuses = cells(case.served, column, None).statuses[rows]
    usable: Mask = (statuses != Status.MISSING) & (statuses != Status.EXPIRED)
    return usable
