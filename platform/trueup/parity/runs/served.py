"""The served log, from end to end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from trueup.errors import TrueupError
from trueup.eventlog.foreign import ServiceLog
from trueup.eventlog.serving_version import Document
from trueup.instants import AsOfRule, Clock, utc_now
from trueup.parity.checks.served import CHECK as SERVED
from trueup.parity.checks.served import served_result
from trueup.parity.compare import Tolerance
from trueup.parity.evidence.cases import Basis, Log
from trueup.parity.evidence.clocks import with_created
from trueup.parity.evidence.log_chunks import BATCH_ROWS as LOG_BATCH_ROWS
from trueup.parity.evidence.log_chunks import LeftOut, Selection
from trueup.parity.evidence.models import CardOf, Progress, nothing
from trueup.parity.evidence.served import (
    ModelTotal,
    default_rule,
    own_logs,
    served_totals,
    service_log,
    serving_documents,
    strays,
)
from trueup.parity.report import Report
from trueup.parity.results import AnyResult, Result, could_not_run
from trueup.parity.runs.facts import (
    PACKAGES,
    check_share,
    ledger_facts,
    nothing_served,
    packages,
    sample_of,
    window_facts,
)
from trueup.parity.serving import Documents, Versions, serving_facts, serving_notes, together
from trueup.stores.ledger import Ledger

FILES = "files of "
"""How the subject of a result begins that is about no model, but about files of a log that cannot be read."""


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
    declared_types: bool = True,
    serving: Mapping[str, Any] | None = None,
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
    feature -> what a server is known to put in place of null. declared_types: False where history is read by one of
    Feast's own stores, which leave values as the source has them. serving: settings that the rows should have been
    served under (`trueup.eventlog.serving_version.SETTINGS`). sample: share of the entities that is looked at, the
    same ones in every run. now: rows served after it are from the future, and not compared.

    Raises InputError when there is no log or a share that is none. A model, or a file, that cannot be checked is a
    result that says why.
    """
    check_share(sample)
    started = clock()
    basis = Basis(repo, ledger, project, rule, tolerances or {}, applied, defaults or {}, declared_types)
    selection = Selection(start, end, models, service, now, sample, batch_rows)
    results: list[AnyResult] = []
    versions: dict[str, Versions] = {}
    documents: dict[str, Document | str] = {}
    for log in [service_log(foreign)] if foreign is not None else own_logs(log_dir, selection):
        left = LeftOut()
        totals = served_totals(log, card_of, selection, left, basis, progress)
        results += [_served_result(log, total, repo) for total in totals]
        for total in totals:
            versions[total.label] = together(versions.get(total.label, {}), total.serving)
            read = serving_documents(log, total.serving)
            documents |= {name: said for name, said in read.items() if isinstance(documents.get(name, ""), str)}
        if (problem := left.problem(log.root)) is not None:
            results.append(could_not_run(SERVED, f"{FILES}{log.label}", problem))
    if foreign is None and (problem := LeftOut(damaged=strays(log_dir)).problem(log_dir)) is not None:
        results.append(could_not_run(SERVED, f"{FILES}{log_dir}", problem))
    versions = {label: found for label, found in versions.items() if found}  # of none, no row was looked at
    results = [_with_serving(result, versions, documents, serving or {}) for result in results]
    if not results:
        results = [nothing_served(SERVED, log_dir, start, end, models)]
    facts = {
        "feature repository": str(repo),
        "served log": str(log_dir),
        **ledger_facts(ledger),
        **window_facts(start, end),
        **sample_of(sample),
        **serving_facts(versions, documents, serving or {}),
    }
    if foreign is not None and rule is None:
        chosen = default_rule(foreign.contract, ledger).known_at
        knows = "the ledger knows runs" if chosen == "served" else "no ledger knows a run"
        facts["rule"] = (
            f"{chosen}, where the log names no model: none was asked for, and {knows} of the service's views"
        )
    return Report(started, clock(), tuple(results), packages(*PACKAGES), facts)


def _with_serving(
    result: AnyResult, versions: Mapping[str, Versions], documents: Documents, expected: Mapping[str, Any]
) -> AnyResult:
    if not isinstance(result, Result) or result.label not in versions:
        return result
    return replace(result, notes={**result.notes, **serving_notes(result.label, versions, documents, expected)})


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
