"""Plays weeks of real time: views materialized on their own cadence, flights asked about at their own instant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import cycle

from feast import FeatureStore

from trueup.contracts.contract import FeatureContract
from trueup.stores.materialize import materialize
from trueup_demo.client import ReplayClient
from trueup_demo.timeline import Materialization, Request, materializations, stretches


def fill(store: FeatureStore, at: datetime) -> int:
    """The first materialization: everything known at `at`. Returns the rows written."""
    return sum(run.rows or 0 for run in materialize(store, clock=lambda: at, registry=False))


def replay(
    store: FeatureStore,
    contract: FeatureContract,
    requests: Sequence[Request],
    client: ReplayClient,
    *,
    start: datetime,
    end: datetime,
    progress: Callable[[int, str], None],
) -> int:
    """Everything that happens in [start, end), in order. Returns the number of materialization runs.

    All requests before a run becomes readable are answered before it is carried out, so what the ledger says
    the store held at an instant is what it held. progress: requests done, and the replayed day.
    """
    # Views of one table share its materialization, whatever they are called in the service.
    schedules = {view.table: view.schedule for view in contract.views}
    runs = 0
    for stretch in stretches(materializations(schedules, start, end), requests):
        if stretch.materialization is not None:
            runs += _materialize(store, stretch.materialization)
        if stretch.requests:
            client.ask(stretch.requests)
            progress(len(stretch.requests), f"{stretch.requests[-1].instant:%-d %B}")
    return runs


def _materialize(store: FeatureStore, run: Materialization) -> int:
    """Every view of the run. Each asks the clock when it starts and when it is done."""
    clock = cycle((run.start, run.readable))
    return len(materialize(store, views=run.views, incremental=True, registry=False, clock=lambda: next(clock)))
