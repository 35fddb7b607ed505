"""A parity run from end to end: read, check, show the clocks, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from trueup.contracts.contract import FeatureContract
from trueup.errors import InputError, TrueupError
from trueup.eventlog.foreign import ServiceLog
from trueup.instants import AsOfRule, Clock, format_instant, utc_now
from trueup.parity.checks.online import CHECK as ONLINE
from trueup.parity.checks.online import OnlineCheck
from trueup.parity.checks.served import CHECK as SERVED
from trueup.parity.checks.served import served_result
from trueup.parity.compare import Tolerance
from trueup.parity.evidence.clocks import with_created
from trueup.parity.evidence.log_chunks import BATCH_ROWS as LOG_BATCH_ROWS
from trueup.parity.evidence.log_chunks import LeftOut, Selection
from trueup.parity.evidence.models import CardOf, Progress, nothing
from trueup.parity.evidence.online import OnlineGroup, OnlineReading, view_groups
from trueup.parity.evidence.served import (
    Basis,
    Log,
    ModelTotal,
    default_rule,
    own_logs,
    served_totals,
    service_log,
    strays,
)
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
    foreign: ServiceLog | None = None,
    service: str | None = None,
    project: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    models: Sequence[str] | None = None,
    rule: AsOfRule | None = None,
    tolerances: Mapping[str, Tolerance] | None = None,
    applied: Mapping[str, datetime] | None = None,
    defaults: Mapping[str, Any] | None = None,
    sample: float = 1.0,
    now: datetime | None = None,
    batch_rows: int = LOG_BATCH_ROWS,
    clock: Clock = utc_now,
    progress: Progress = nothing,
) -> Report:
    """The served log against the as-of read, one result for each model version in it (or for the feature service, where
    a log names no model), in chunks of about `batch_rows` rows.

    repo: the feature repository. log_dir: one contract's log, or a directory of several, of which `service` chooses.
    foreign: a log that trueup did not write, instead of those (log_dir then is its path). card_of: the card of a model
    by name and version, such as `Tracking(uri).load_card`; asked only where the log names models. ledger: of the
    materializations; without one the views' declared schedules stand in. project: of the repository; a log of another
    one could not run. start, end: start <= instant < end. models: registered names; all by default. rule: recompute
    under this one instead of each model's own (without a model: `served` where the ledger knows a run of its views,
    else `label`). applied: view or on-demand view -> since when the registry has had its present definition. defaults:
    feature -> what a server is known to put in place of null. sample: share of the entities that is looked at, the same
    ones in every run. now: rows served after it are from the future, and not compared.

    Raises InputError when there is no log or a share that is none. A model, or a file, that cannot be checked is a
    result that says why.
    """
    if not 0 < sample <= 1:
        raise InputError("sample", f"sample: {sample} is no share; expected more than 0 and at most 1.")
    started = clock()
    basis = Basis(repo, ledger, project, rule, tolerances or {}, applied, defaults or {})
    selection = Selection(start, end, models, service, now, sample, batch_rows)
    results: list[AnyResult] = []
    for log in [service_log(foreign)] if foreign is not None else own_logs(log_dir, selection):
        left = LeftOut()
        totals = served_totals(log, card_of, selection, left, basis, progress)
        results += [_served_result(log, total, repo) for total in totals]
        if (problem := left.problem(log.root)) is not None:
            results.append(could_not_run(SERVED, f"files of {log.label}", problem))
    if foreign is None and (problem := LeftOut(damaged=strays(log_dir)).problem(log_dir)) is not None:
        results.append(could_not_run(SERVED, f"files of {log_dir}", problem))
    facts = {"feature repository": str(repo), "served log": str(log_dir), **_ledger_facts(ledger)}
    if foreign is not None and rule is None:
        chosen = default_rule(foreign.contract, ledger).known_at
        knows = "the ledger knows runs" if chosen == "served" else "no ledger knows a run"
        facts["rule"] = (
            f"{chosen}, where the log names no model: none was asked for, and {knows} of the service's views"
        )
    if start is not None:
        facts["since"] = format_instant(start)
    if end is not None:
        facts["until"] = format_instant(end)
    if sample < 1:
        facts["sample"] = f"{sample:.4g} of the entities, by a hash of their keys"
    return Report(started, clock(), tuple(results), environment(), facts)


def _served_result(log: Log, found: ModelTotal, repo: Path) -> AnyResult:
    contract = None if found.card is None else found.card.contract
    known_at = None if found.card is None else found.known_at
    result = served_result(
        found.model, found.version, found.total, contract=contract, known_at=known_at, notes=log.notes
    )
    if contract is None:
        return result
    try:
        return replace(result, samples=with_created(result.samples, contract, repo=repo))
    except TrueupError as error:
        problem = "; ".join(text for text in (result.problem, str(error)) if text)
        return replace(result, problem=problem)


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
