"""Every entity of a view, from its source and from the online store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from trueup.contracts.contract import FeatureContract, JoinKey, View
from trueup.features.online import OnlineReader
from trueup.frame import EVENT_TIME, FeatureFrame
from trueup.instants import EPOCH, AsOfRule
from trueup.parity.causes import Reading
from trueup.parity.checks.online import Entities
from trueup.parity.compare import Tolerance
from trueup.parity.evidence.models import Progress, ReadOnline, nothing
from trueup.parity.evidence.recompute import INSTANT, Source, under_way
from trueup.parity.explain import Case
from trueup.parity.tally import Labels
from trueup.stores.asof import read_latest
from trueup.stores.duckdb_tables import connect
from trueup.stores.ledger import Ledger
from trueup.stores.redis_connection import Client


def redis_reader(client: Client) -> ReadOnline:
    """Reads from a Redis in Feast's layout, as serving does."""

    def read(contract: FeatureContract, rows: pa.Table, now: datetime) -> FeatureFrame:
        return OnlineReader(contract, client=client).read(rows.to_pylist(), now)

    return read


def view_contracts(contract: FeatureContract) -> tuple[FeatureContract, ...]:
    """One contract for each view's table, with all features the service needs of it, under its own name and keys.

    A table that a service uses twice (origin and destination) stands online once.
    """
    tables: dict[str, list[View]] = {}
    for view in contract.views:
        tables.setdefault(view.table, []).append(view)
    found = []
    for name, uses in tables.items():
        first = uses[0]
        features = {item.name: item for use in uses for item in use.features}
        alone = replace(
            first,
            name=name,
            keys=tuple(JoinKey(item.name, item.dtype, item.name) for item in first.keys),
            features=tuple(features.values()),
        )
        found.append(replace(contract, features=tuple((name, item) for item in features), views=(alone,), on_demand=()))
    return tuple(found)


def online_entities(
    contract: FeatureContract,
    online: ReadOnline,
    *,
    repo: Path,
    ledger: Ledger | None,
    now: datetime,
    batch_rows: int,
    tolerances: Mapping[str, Tolerance] | None = None,
    progress: Progress = nothing,
) -> Iterator[Entities]:
    """Every entity of a view's source known by `now`, in key order, `batch_rows` at a time. contract: of one view."""
    (view,) = contract.views
    progress(f"list entities of {view.table}")
    keys = _entity_keys(view, repo, now)
    at = (now - EPOCH) // timedelta(microseconds=1)
    own = {name: tolerance for name, tolerance in (tolerances or {}).items() if name in contract.columns}
    for offset in range(0, keys.num_rows, batch_rows):
        rows = keys.slice(offset, batch_rows)
        progress(f"check {view.table} {offset + rows.num_rows:,} of {keys.num_rows:,} entities")
        instants = np.full(rows.num_rows, at, np.int64)
        case = Case(
            contract=contract,
            reading=Reading(AsOfRule("served")),
            inputs=rows,
            served=online(contract, rows, now),
            under_way=under_way(contract, instants, ledger),
            recompute=Source(rows, repo=repo, ledger=ledger),
            tolerances=own,
        )
        yield Entities(case, Labels(instants))


def _entity_keys(view: View, repo: Path, now: datetime) -> pa.Table:
    """Key columns and INSTANT of every entity the source knew by `now`, in key order."""
    with connect() as connection:
        bare = replace(view, features=())
        latest = read_latest(connection, bare, start=None, end=now, known_at=now, base_dir=repo)
    instants = pa.array([now], EVENT_TIME).take(pa.array(np.zeros(latest.num_rows, np.int64)))
    return pa.table({**{name: latest.keys[name] for name in latest.keys.column_names}, INSTANT: instants})
