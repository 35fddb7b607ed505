"""A parity run from end to end: read, check, show the clocks, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from trueup.contracts.contract import FeatureContract
from trueup.errors import TrueupError
from trueup.instants import AsOfRule, Clock, format_instant, utc_now
from trueup.parity.checks.online import CHECK as ONLINE
from trueup.parity.checks.online import check_online
from trueup.parity.checks.served import CHECK as SERVED
from trueup.parity.checks.served import check_served
from trueup.parity.compare import Tolerance
from trueup.parity.evidence.clocks import with_created
from trueup.parity.evidence.models import CardOf, Progress, ReadOnline, Unreadable, nothing
from trueup.parity.evidence.online import online_entities, view_contracts
from trueup.parity.evidence.served import served_models
from trueup.parity.report import Report
from trueup.parity.results import AnyResult, could_not_run
from trueup.stores.ledger import Ledger

BATCH_ROWS = 50_000
"""Entities of a view compared at once."""

_PACKAGES = ("trueup", "feast", "duckdb", "pyarrow", "numpy")


def run_served(
    repo: Path,
    log_dir: Path,
    card_of: CardOf,
    *,
    ledger: Ledger | None,
    start: datetime | None = None,
    end: datetime | None = None,
    models: Sequence[str] | None = None,
    rule: AsOfRule | None = None,
    tolerances: Mapping[str, Tolerance] | None = None,
    applied: Mapping[str, datetime] | None = None,
    clock: Clock = utc_now,
    progress: Progress = nothing,
) -> Report:
    """The served log against the as-of read, one result for each model version in it.

    repo: the feature repository. log_dir: one contract's log, or a directory of several. card_of: the card of
    a model by name and version, such as `Tracking(uri).load_card`. ledger: of the materializations; without one
    the views' declared schedules stand in. start, end: start <= instant < end. models: registered names; all
    by default. rule: recompute under this one instead of each model's own. applied: view or on-demand view -> since
    when the registry has had its present definition.

    Raises InputError when there is no log, SourceError when a log is damaged. A model that cannot be checked is a
    result that says why.
    """
    started = clock()
    results: list[AnyResult] = []
    for found in served_models(
        log_dir,
        card_of,
        repo=repo,
        ledger=ledger,
        start=start,
        end=end,
        models=models,
        rule=rule,
        tolerances=tolerances,
        applied=applied,
        progress=progress,
    ):
        if isinstance(found, Unreadable):
            results.append(could_not_run(SERVED, found.model, found.problem, version=found.version, rows=found.rows))
            continue
        try:
            result = check_served(found)
            samples = with_created(result.samples, found.case.contract, repo=repo)
        except TrueupError as error:
            results.append(could_not_run(SERVED, found.model, str(error), version=found.version))
        else:
            results.append(replace(result, samples=samples))
    facts = {"feature repository": str(repo), "served log": str(log_dir), **_ledger_facts(ledger)}
    if start is not None:
        facts["since"] = format_instant(start)
    if end is not None:
        facts["until"] = format_instant(end)
    return Report(started, clock(), tuple(results), environment(), facts)


def run_online(
    repo: Path,
    contract: FeatureContract,
    online: ReadOnline,
    *,
    now: datetime,
    ledger: Ledger | None,
    views: Sequence[str] | None = None,
    tolerances: Mapping[str, Tolerance] | None = None,
    batch_rows: int = BATCH_ROWS,
    clock: Clock = utc_now,
    progress: Progress = nothing,
) -> Report:
    """The online store as of `now` against what the ledger says it holds, one result for each view's table.

    contract: of the feature service whose views are checked. online: reads entity rows of a contract at an
    instant. views: names of the Feast views to check; all of the service's by default. A view that cannot be
    checked is a result that says why.
    """
    started = clock()
    results: list[AnyResult] = []
    for alone in view_contracts(contract):
        (view,) = alone.views
        if views is not None and view.table not in views:
            continue
        batches = online_entities(
            alone,
            online,
            repo=repo,
            ledger=ledger,
            now=now,
            batch_rows=batch_rows,
            tolerances=tolerances,
            progress=progress,
        )
        try:
            result = check_online(alone, "served", batches)
            samples = with_created(result.samples, alone, repo=repo)
        except TrueupError as error:
            results.append(could_not_run(ONLINE, view.table, str(error)))
        else:
            results.append(replace(result, samples=samples))
    facts = {
        "feature repository": str(repo),
        "feature service": f"{contract.service}@{contract.hash[:12]}",
        "online store read as of": format_instant(now),
        **_ledger_facts(ledger),
    }
    return Report(started, clock(), tuple(results), environment(), facts)


def _ledger_facts(ledger: Ledger | None) -> dict[str, str]:
    return {"ledger": str(ledger.path) if ledger is not None else "none: the views' declared schedules stand in"}


def environment() -> dict[str, str]:
    """Package -> version, of what a run is made with."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
