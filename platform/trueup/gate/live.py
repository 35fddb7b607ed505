"""Live rows that a model version scored, checked as `trueup parity served` checks them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

from trueup.eventlog.reader import find_logs
from trueup.gate.facts import NotAsked
from trueup.instants import format_instant
from trueup.models.tracking import Registered, Tracking
from trueup.parity.config import find_config
from trueup.parity.report import Report
from trueup.parity.results import AnyResult
from trueup.parity.runs.served import FILES, run_served
from trueup.stores.applied import applied_since
from trueup.stores.feast_rows import has_declared_types, open_store
from trueup.stores.ledger import Ledger


def shadow_result(
    log: Path, candidate: Registered, *, tracking: Tracking, repo: Path, ledger: Ledger | None, now: datetime
) -> tuple[AnyResult, ...] | NotAsked:
    """The results of `live_report`, of any time before now."""
    found = live_report(log, candidate, tracking=tracking, repo=repo, ledger=ledger, start=None, now=now)
    return found if isinstance(found, NotAsked) else found.results


def live_report(
    log: Path,
    candidate: Registered,
    *,
    tracking: Tracking,
    repo: Path,
    ledger: Ledger | None,
    start: datetime | None,
    now: datetime,
) -> Report | NotAsked:
    """The parity of every row in the log that this version scored, as an answer or as a shadow, judged by the
    repository's parity.toml; and a result for files of the log that cannot be read, whose rows may be its own.

    start: earlier rows are not looked at; None: all are. now: later rows are not of this world. Raises what reading
    the log raises.
    """
    if not log.is_dir() or not find_logs(log):
        return NotAsked(f"there is no served log at {log}, so it has scored no live traffic.")
    store = open_store(repo)
    config = find_config(repo, None)
    report = run_served(
        repo,
        log,
        tracking.load_card,
        project=store.project,
        ledger=ledger,
        models=[candidate.name],
        tolerances=config.tolerances,
        applied={} if ledger is None else applied_since(store, ledger),
        defaults=config.null_default,
        declared_types=has_declared_types(store.config),
        start=start,
        now=now,
    ).under(config.policy(None))
    version = (candidate.name, str(candidate.version))
    found = tuple(
        each for each in report.results if (each.subject, each.version) == version or each.subject.startswith(FILES)
    )
    since = "" if start is None else f" since {format_instant(start)}"
    return replace(report, results=found) if found else NotAsked(f"no row in {log} was scored by {candidate}{since}.")
