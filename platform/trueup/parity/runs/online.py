"""The online store, from end to end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from trueup.contracts.contract import FeatureContract
from trueup.errors import TrueupError
from trueup.instants import Clock, format_instant, utc_now
from trueup.parity.checks.online import CHECK as ONLINE
from trueup.parity.checks.online import ON_TIES, OnlineCheck
from trueup.parity.compare import Tolerance
from trueup.parity.evidence.clocks import with_created
from trueup.parity.evidence.models import Progress, nothing
from trueup.parity.evidence.online import OnlineGroup, OnlineReading, view_groups
from trueup.parity.report import Report
from trueup.parity.results import AnyResult, could_not_run
from trueup.parity.runs.facts import PACKAGES, check_share, ledger_facts, packages, sample_of
from trueup.stores.ledger import Ledger
from trueup.stores.online_read import OnlineRows
from trueup.stores.snapshot import MEMORY_LIMIT

BATCH_ROWS = 10_000
"""Entities read from the online store, and compared, at once."""


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
    check_share(sample)
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
        **sample_of(sample),
        **ledger_facts(ledger),
    }
    return Report(started, clock(), tuple(ordered), packages(*PACKAGES), facts)


def _ties(entities: int) -> dict[str, str]:
    return {ON_TIES: f"{entities:,}"} if entities else {}


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
                "served", uncompared=group.uncompared[table], notes=group.notes | _ties(group.tied.get(table, 0))
            )
            samples = with_created(result.samples, view.contract, repo=repo)
        except TrueupError as error:
            results[table] = could_not_run(ONLINE, table, str(error))
        else:
            results[table] = replace(result, samples=samples)
    return results
