"""A parity run from end to end: read, check, show the clocks, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from trueup.contracts.contract import FeatureContract
from trueup.errors import InputError, TrueupError
from trueup.instants import AsOfRule, Clock, format_instant, utc_now
from trueup.parity.checks.online import CHECK as ONLINE
from trueup.parity.checks.online import OnlineCheck
from trueup.parity.checks.served import CHECK as SERVED
from trueup.parity.checks.served import check_served
from trueup.parity.compare import Tolerance
from trueup.parity.evidence.clocks import with_created
from trueup.parity.evidence.models import CardOf, Progress, Unreadable, nothing
from trueup.parity.evidence.online import OnlineGroup, OnlineReading, view_groups
from trueup.parity.evidence.served import served_models
from trueup.parity.report import Report
from trueup.parity.results import AnyResult, could_not_run
from trueup.stores.ledger import Ledger
from trueup.stores.online_read import OnlineRows
from trueup.stores.registry_ledger import RegistryLedger
from trueup.stores.snapshot import MEMORY_LIMIT

BATCH_ROWS = 10_000
"""Entities read from the online store, and compared, at once."""

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
    online: OnlineRows,
    *,
    now: datetime,
    ledger: Ledger | None,
    views: Sequence[str] | None = None,
    tolerances: Mapping[str, Tolerance] | None = None,
    sample: float = 1.0,
    batch_rows: int = BATCH_ROWS,
    memory_limit: str = MEMORY_LIMIT,
    left_out: Mapping[str, Mapping[str, str]] | None = None,
    problems: Mapping[str, str] | None = None,
    clock: Clock = utc_now,
    progress: Progress = nothing,
) -> Report:
    """The online store as of `now` against what the ledger says it holds, one result for each view's table.

    Both ways: every entity that a source knows, and every one that the store holds. contract: of the feature service
    whose views are checked, or of all of a repository (`trueup.contracts.stored`). online: the store, read in bulk.
    views: names of the Feast views to check; all of the contract's by default. sample: share of the entities, chosen by
    the hash of their keys, so that a smaller sample is part of a larger one. batch_rows, memory_limit: of the entities
    at once, and of DuckDB, which keeps the rest on disk. left_out: view -> feature -> its type,
    which cannot be compared. problems: view -> why it is not in the contract. A view that cannot be checked is a result
    that says why.

    Raises InputError for a view that is not there, or a share that is none.
    """
    if not 0 < sample <= 1:
        raise InputError("sample", f"sample is {sample}; expected a share of the entities, more than 0 and at most 1.")
    started = clock()
    results: dict[str, AnyResult] = {
        view.table: could_not_run(ONLINE, view.table, "nothing was read") for view in contract.views
    }
    reading = OnlineReading(
        repo=repo,
        ledger=ledger,
        now=now,
        batch_rows=batch_rows,
        sample=sample,
        tolerances=tolerances or {},
        left_out=left_out or {},
        memory_limit=memory_limit,
        progress=progress,
    )
    groups = view_groups(contract, views)
    for group in groups:
        results |= _check_group(OnlineGroup(group, online, reading), repo)
    checked = {table for group in groups for alone in group for table in [alone.views[0].table]}
    ordered = [result for table, result in results.items() if table in checked]
    ordered += [could_not_run(ONLINE, table, problem) for table, problem in (problems or {}).items()]
    facts = {
        "feature repository": str(repo),
        "feature service": f"{contract.service}@{contract.hash[:12]}" if contract.service else "all feature views",
        "online store": online.describe,
        "online store read as of": format_instant(now),
        **({"sample": f"{sample:g} of the entities, by the hash of their keys"} if sample < 1 else {}),
        **_ledger_facts(ledger),
    }
    return Report(started, clock(), tuple(ordered), environment(), facts)


def _check_group(group: OnlineGroup, repo: Path) -> dict[str, AnyResult]:
    """A result for each view of the group. What goes wrong with one view leaves the others alone."""
    checks: dict[str, OnlineCheck] = {}
    problems: dict[str, str] = {}
    try:
        for table, entities in group.entities():
            if table in problems:
                continue
            try:
                checks.setdefault(table, OnlineCheck(group.views[table])).add(entities)
            except TrueupError as error:
                problems[table] = str(error)
    except TrueupError as error:
        problems |= {table: str(error) for table in group.tables}
    problems |= group.problems
    results: dict[str, AnyResult] = {}
    for table in group.tables:
        if table in problems:
            results[table] = could_not_run(ONLINE, table, problems[table])
            continue
        view = group.views[table]
        try:
            result = checks.get(table, OnlineCheck(view)).result(
                "served", uncompared=group.uncompared[table], notes=group.notes
            )
            samples = with_created(result.samples, view.contract, repo=repo)
        except TrueupError as error:
            results[table] = could_not_run(ONLINE, table, str(error))
        else:
            results[table] = replace(result, samples=samples)
    return results


def _ledger_facts(ledger: Ledger | None) -> dict[str, str]:
    if isinstance(ledger, RegistryLedger):
        return {"ledger": f"none: the windows that Feast's registry ({ledger.path}) says were materialized stand in"}
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
