"""Check `transforms`: an on-demand view gives a row the same value alone, in a batch and in any order.

A server computes it for one row, training for thousands: a function that looks beyond its row is skew by construction.
Tried on real rows and on generated ones, apart from each other, so that no made-up value changes a real row's batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from trueup.contracts.contract import OnDemand
from trueup.features.row_wise import Deviation, Proof, prove_row_wise
from trueup.frame import STATUS, Status
from trueup.instants import EPOCH
from trueup.parity.causes import BY_NAME
from trueup.parity.compare import Mask
from trueup.parity.pairs import Pairs, by_value, frame_of_columns, tally_pairs
from trueup.parity.results import Result
from trueup.parity.tally import Labels, Tally

CHECK: Literal["transforms"] = "transforms"
FAILS = "fails on"
BATCH_DEPENDENT = "odfv_batch_dependent"
REFUSED = "its function fails on the row, each time"
"""Reason of rows that give no value of the declared type in any way, so that there is nothing to compare."""


@dataclass(frozen=True)
class RowSet:
    """Rows to try a view on: columns `view__feature` and request fields, typed.

    name: what they are (`real`, `generated`), as a sample names its row. source: where they come from, in words.
    dtypes: column -> Feast type name.
    """

    name: str
    source: str
    rows: pa.Table
    dtypes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TriedView:
    """An on-demand view and the rows it is tried on. at: when (for the samples). seed: of the other orders.

    service, contract: the feature service it is checked for, if any. notes: what else is known of the rows.
    """

    view: OnDemand
    sets: tuple[RowSet, ...]
    at: datetime
    service: str | None = None
    contract: str | None = None
    seed: int = 0
    notes: Mapping[str, str] = field(default_factory=dict)


def check_transforms(tried: TriedView) -> Result:
    """Every output for every row. Raises ContractError when the function's source does not run."""
    total, refused = Tally(), 0
    notes = dict(tried.notes)
    for rows in tried.sets:
        proof = prove_row_wise(tried.view, rows.rows, dtypes=rows.dtypes, seed=tried.seed)
        total += tally_pairs(_pairs(tried, rows, proof))
        refused += len(proof.refused)
        notes |= _notes(rows, proof)
    problem = None
    if refused and not total.rows:
        why = "; ".join(f"{name}: {note}" for name, note in notes.items() if name.startswith(FAILS))
        problem = f"its function gave no value for any of {refused:,} rows tried ({why})"
    return Result(
        check=CHECK,
        subject=tried.view.name,
        version=None,
        known_at=None,
        service=tried.service,
        contract=tried.contract,
        rows=total.rows,
        features=total.features,
        uncompared={REFUSED: refused} if refused else {},
        samples=total.samples,
        notes=notes,
        problem=problem,
    )


def _pairs(tried: TriedView, rows: RowSet, proof: Proof) -> Pairs:
    """Alone, against the first other value that was found; rows refused alone each time are not in it."""
    view = tried.view
    unsteady = {row for row, _ in proof.deviations}
    kept = [row for row in range(proof.rows) if row not in proof.refused or row in unsteady]
    columns: dict[str, pa.Array] = {}
    alone: dict[str, pa.Array] = {}
    statuses: dict[str, pa.Array] = {}
    alone_statuses: dict[str, pa.Array] = {}
    causes: dict[str, dict[str, Mask]] = {}
    for item in view.outputs:
        name = view.column(item.name)
        found = [proof.deviations.get((row, item.name)) for row in kept]
        alone[name] = proof.alone[item.name].take(pa.array(kept, pa.int64()))
        alone_statuses[name] = _missing_where(by_value(alone[name]), [row in proof.refused for row in kept])
        columns[name] = pa.array(
            [was if other is None else other.value for was, other in zip(alone[name].to_pylist(), found, strict=True)],
            item.arrow,
        )
        statuses[name] = _missing_where(by_value(columns[name]), [_no_value(other) for other in found])
        if BATCH_DEPENDENT in BY_NAME:
            causes[name] = {
                BATCH_DEPENDENT: np.array([other is not None and other.kind == "batch" for other in found], np.bool_)
            }
    instant = (tried.at - EPOCH).total_seconds() * 1e6
    return Pairs(
        first=frame_of_columns(columns, statuses),
        second=frame_of_columns(alone, alone_statuses),
        keys=rows.rows.take(pa.array(kept, pa.int64())),
        labels=Labels(
            np.full(len(kept), int(instant), np.int64),
            request=pa.array([f"{rows.name} row {row}" for row in kept], pa.string()),
        ),
        dtypes={view.column(item.name): item.dtype for item in view.outputs},
        causes=causes,
    )


def _no_value(deviation: Deviation | None) -> bool:
    """A function that changed its inputs mismatches though its value is right: no value of it may be trusted."""
    return deviation is not None and (deviation.error is not None or deviation.kind == "inputs")


def _missing_where(statuses: pa.Array, where: list[bool]) -> pa.Array:
    return pa.array(np.where(np.array(where, np.bool_), int(Status.MISSING), np.asarray(statuses)), STATUS)


def _notes(rows: RowSet, proof: Proof) -> dict[str, str]:
    notes = {f"{rows.name} rows": f"{proof.rows:,} {rows.source}"}
    if proof.refused:
        row = min(proof.refused)
        notes[f"{FAILS} {rows.name} rows"] = (
            f"{len(proof.refused):,} of {proof.rows:,}, such as row {row}: {proof.refused[row]}"
        )
    ways: dict[str, set[int]] = {}
    first: dict[str, tuple[int, Any]] = {}
    for (row, _), deviation in proof.deviations.items():
        ways.setdefault(deviation.way, set()).add(row)
        first.setdefault(deviation.way, (row, deviation.error))
    for way, numbers in ways.items():
        row, error = first[way]
        because = f": {error}" if error is not None else ""
        notes[f"{rows.name} rows, {way}"] = f"{len(numbers):,} rows came out otherwise, such as row {row}{because}"
    return notes
