"""Every entity of the views of a key, from their sources and from the online store, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from trueup.contracts.contract import FeatureContract, JoinKey, View
from trueup.errors import InputError, TrueupError
from trueup.frame import EVENT_TIME, FeatureFrame
from trueup.instants import AsOfRule
from trueup.parity.case import Case, take
from trueup.parity.checks.online import NEVER_MATERIALIZED, NOT_LANDED, Entities, OnlineView
from trueup.parity.compare import Tolerance, add_counts
from trueup.parity.evidence.models import Progress, nothing
from trueup.parity.evidence.recompute import INSTANT, Source, micros, under_way
from trueup.parity.logged import AsLogged, at_precision
from trueup.parity.reading import Reading
from trueup.parity.tally import Labels
from trueup.stores.key_columns import KeyColumns, in_sample
from trueup.stores.ledger import Ledger
from trueup.stores.online_read import OnlineRows
from trueup.stores.redis_connection import Client
from trueup.stores.redis_rows import RedisRows
from trueup.stores.registry_ledger import RegistryLedger
from trueup.stores.snapshot import MEMORY_LIMIT, Batch, Snapshot, snapshot

NOT_SAMPLED = "not in the sample"
ONLY_STORED_NOT_SAMPLED = "entities that the store alone holds, not in the sample"
NO_KEY = "keys that no online store can hold"
ONE_DIRECTION = "store to source"
VIEWS_AT_ONCE = 12
"""Views of one key that are read together; more would hold more of each batch in memory."""


def redis_reader(client: Client) -> RedisRows:
    """Reads a Redis in Feast's layout, as serving through trueup's store does: TTLs applied."""
    return RedisRows(client)


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


def view_groups(contract: FeatureContract, names: Sequence[str] | None = None) -> list[list[FeatureContract]]:
    """The contracts of `view_contracts` whose rows are under the same keys, and so are read together.

    names: only these views. Raises InputError for one that the contract does not have.
    """
    every = view_contracts(contract)
    known = [alone.views[0].table for alone in every]
    for name in names or ():
        if name not in known:
            raise InputError("view", f"there is no feature view {name!r} to check; there are {', '.join(known)}.")
    by_keys: dict[tuple[tuple[str, str], ...], list[FeatureContract]] = {}
    for alone in every:
        (view,) = alone.views
        if names is None or view.table in names:
            by_keys.setdefault(tuple(sorted((item.name, item.dtype) for item in view.keys)), []).append(alone)
    return [
        group[start : start + VIEWS_AT_ONCE]
        for group in by_keys.values()
        for start in range(0, len(group), VIEWS_AT_ONCE)
    ]


_SECOND = 1_000_000
"""Microseconds: how finely a store that keeps whole seconds knows an event time."""


@dataclass(frozen=True)
class OnlineReading:
    """How an online store is checked. repo: of the sources. ledger: of the materializations; without one the views'
    declared schedules stand in. now: instant of the read. sample: share of the entities, by the hash of their keys.
    left_out: view -> feature -> its Feast type, which cannot be compared. memory_limit: of DuckDB.
    """

    repo: Path
    ledger: Ledger | None
    now: datetime
    batch_rows: int
    sample: float = 1.0
    tolerances: Mapping[str, Tolerance] = field(default_factory=dict)
    left_out: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    memory_limit: str = MEMORY_LIMIT
    progress: Progress = nothing


class OnlineGroup:
    """Views of one key, read together: each source once, each entity once.

    views: what is checked of those whose source can be read. problems: view -> why the others cannot. tied: view ->
    entities that rest on one of several source rows which cannot be told apart. uncompared, notes: of each view,
    complete when `entities` is through.
    """

    def __init__(self, group: Sequence[FeatureContract], online: OnlineRows, reading: OnlineReading) -> None:
        self.views: dict[str, OnlineView] = {}
        self.problems: dict[str, str] = {}
        self.uncompared: dict[str, dict[str, int]] = {alone.views[0].table: {} for alone in group}
        self.tied: dict[str, int] = {}
        self.notes: dict[str, str] = {}
        self._group, self._online, self._reading = group, online, reading
        self._project = group[0].project
        self._left_out = 0

    @property
    def tables(self) -> list[str]:
        return [alone.views[0].table for alone in self._group]

    def entities(self) -> Iterator[tuple[str, Entities]]:
        """View and some of its entities, all views of a batch one after the other. Raises StoreError when the online
        store cannot be read, ContractError for join keys that no online store can hold."""
        how = self._reading
        layout = KeyColumns(self._group[0].views[0].keys)
        with snapshot(layout.keys, now=how.now, memory_limit=how.memory_limit) as listing:
            self.problems |= self._online.refuses(self._project, [alone.views[0] for alone in self._group])
            views = [view for alone in self._group if (view := self._add(listing, alone)) is not None]
            if not views:
                return
            if self._online.lists:
                how.progress(f"list what the online store holds of {', '.join(self.views)}")
                listing.add_stored(self._scanned(views))
            else:
                self.notes[ONE_DIRECTION] = (
                    f"not checked: {self._online.describe} cannot list what it holds, so rows of entities that the "
                    "source does not know are not found"
                )
            total, done = listing.list_all(), 0
            for batch in listing.batches(how.batch_rows):
                yield from self._read(layout, views, batch)
                done += batch.rows.num_rows
                how.progress(f"check {', '.join(self.views)} {done:,} of {total:,} entities")
            if self._left_out:
                self.notes[ONLY_STORED_NOT_SAMPLED] = f"{self._left_out:,}"

    def _add(self, listing: Snapshot, alone: FeatureContract) -> View | None:
        (view,) = alone.views
        how = self._reading
        if view.table in self.problems:
            return None
        how.progress(f"list entities of {view.table}")
        try:
            runs = how.ledger.runs(self._project, view.table) if how.ledger is not None else ()
            listing.add(view, runs=runs, base_dir=how.repo)
            self.tied[view.table] = listing.tied[view.table]
        except TrueupError as error:
            self.problems[view.table] = str(error)
            return None
        self.views[view.table] = OnlineView(
            contract=alone,
            case_of=lambda inputs, served: self._case(alone, inputs, served),
            tolerances={name: item for name, item in how.tolerances.items() if name in alone.columns},
            left_out=how.left_out.get(view.table, {}),
            not_landed=self._not_landed(view),
        )
        return view

    def _not_landed(self, view: View) -> str:
        ledger = self._reading.ledger
        never = isinstance(ledger, RegistryLedger) and not ledger.materialized(self._project, view.table)
        return NEVER_MATERIALIZED if never else NOT_LANDED

    def _scanned(self, views: Sequence[View]) -> Iterator[pa.Table]:
        skipped: dict[str, int] = {}
        for found in self._online.scan(self._project, views):
            skipped = add_counts(skipped, found.skipped)
            yield found.columns
        self.notes |= {reason: f"{number:,}" for reason, number in sorted(skipped.items())}

    def _read(self, layout: KeyColumns, views: Sequence[View], batch: Batch) -> Iterator[tuple[str, Entities]]:
        how = self._reading
        encoded = layout.encode(batch.rows)
        usable = np.fromiter((key is not None for key in encoded), np.bool_, len(encoded))
        keys = [key for key in encoded if key is not None]
        chosen = usable.copy()
        chosen[usable] = in_sample(keys, how.sample)
        for view in views:
            listed = batch.views[view.table].listed
            for reason, rows in ((NO_KEY, ~usable), (NOT_SAMPLED, usable & ~chosen)):
                if number := int((rows & listed).sum()):
                    self.uncompared[view.table] = add_counts(self.uncompared[view.table], {reason: number})
        known = np.logical_or.reduce([batch.views[view.table].listed for view in views])
        self._left_out += int((usable & ~chosen & ~known).sum())
        numbers = pa.array(np.flatnonzero(chosen))
        rows = batch.rows if chosen.all() else batch.rows.take(numbers)
        if not rows.num_rows:
            return
        keys = [key for key, ours in zip(encoded, chosen, strict=True) if key is not None and ours]
        instants = pa.array(np.full(rows.num_rows, micros(how.now)), pa.int64()).cast(EVENT_TIME)
        inputs = rows.append_column(INSTANT, instants)
        stored = self._online.read(self._project, views, rows, keys, how.now)
        for view, found in zip(views, stored, strict=True):
            side = batch.views[view.table]
            expected, listed = self._as_kept(side.frame), side.listed
            if not chosen.all():
                expected, listed = take(expected, np.flatnonzero(chosen)), listed[chosen]
            yield view.table, Entities(inputs, found.frame, expected, listed, found.other_types)

    def _case(self, alone: FeatureContract, inputs: pa.Table, served: FeatureFrame) -> tuple[Case, Labels]:
        how = self._reading
        instants = np.full(inputs.num_rows, micros(how.now), np.int64)
        source = Source(inputs, repo=how.repo, ledger=how.ledger, project=self._project)
        case = Case(
            contract=alone,
            reading=Reading(AsOfRule("served")),
            inputs=inputs,
            served=served,
            under_way=under_way(alone, instants, how.ledger),
            recompute=AsLogged(source, _SECOND) if self._online.whole_seconds else source,
            tolerances=self.views[alone.views[0].table].tolerances,
        )
        return case, Labels(instants)

    def _as_kept(self, frame: FeatureFrame) -> FeatureFrame:
        return at_precision(frame, _SECOND) if self._online.whole_seconds else frame
