"""The as-of read: what training learns from, what parity recomputes, and what diagnosis compares."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa

from trueup.contracts.contract import FeatureContract
from trueup.errors import InputError
from trueup.features.on_demand import with_on_demand
from trueup.frame import FeatureFrame
from trueup.instants import AsOfRule
from trueup.stores.asof import read_view
from trueup.stores.ledger import Ledger

Progress = Callable[[str], None]


def read_as_of(
    contract: FeatureContract,
    rows: pa.Table,
    rule: AsOfRule,
    *,
    repo: Path,
    ledger: Ledger | None,
    instant: str = "event_timestamp",
    progress: Progress | None = None,
) -> FeatureFrame:
    """Every feature of the contract as of each row's own instant, under one rule.

    rows: the contract's entity columns and request columns, and the instant column (timestamp; naive is
        UTC), in any order; a null key gives MISSING. One row in, one row out, in order.
    rule: which rows count (see `AsOfRule`). `served` asks the ledger; without one, or before it begins,
        the views' declared schedules stand in.
    repo: the feature repository, which relative paths of sources start from.
    progress: told the name of each view before it is read.

    Raises InputError for a column that is not there, SourceError for a source that cannot be read or that
    contradicts itself.
    """
    needed = [item.name for item in (*contract.entity_fields, *contract.request_fields)]
    if missing := [name for name in [*needed, instant] if name not in rows.column_names]:
        raise InputError(
            missing[0],
            f"feature service {contract.service}: the entity rows have no column {', '.join(map(repr, missing))}; "
            f"they have {', '.join(rows.column_names)}.",
        )
    values: dict[str, pa.ChunkedArray] = {}
    statuses: dict[str, pa.ChunkedArray] = {}
    event_timestamps: dict[str, pa.ChunkedArray] = {}
    with duckdb.connect() as connection:
        for view in contract.views:
            if progress is not None:
                progress(view.name)
            runs = ledger.runs(contract.project, view.table) if ledger is not None and rule.known_at == "served" else ()
            read = read_view(connection, view, rows, instant=instant, rule=rule, runs=runs, base_dir=repo)
            values |= dict(zip(read.values.column_names, read.values.columns, strict=True))
            statuses |= dict(zip(read.statuses.column_names, read.statuses.columns, strict=True))
            event_timestamps[view.name] = read.event_timestamps
    inputs = FeatureFrame(pa.table(values), pa.table(statuses), pa.table(event_timestamps))
    request = {item.name: rows.column(item.name).to_pylist() for item in contract.request_fields}
    return with_on_demand(contract, inputs, request)
