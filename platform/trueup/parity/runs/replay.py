"""Replay, from end to end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from trueup.errors import TrueupError
from trueup.instants import Clock, utc_now
from trueup.models.environment import Environment, take_environment
from trueup.parity.checks.replay import CHECK, THRESHOLD, check_replay
from trueup.parity.evidence.models import Progress, Unreadable, nothing
from trueup.parity.evidence.replay import Models, replayed_models
from trueup.parity.evidence.windows import BATCH_ROWS
from trueup.parity.report import Report
from trueup.parity.results import AnyResult, could_not_run
from trueup.parity.runs.facts import environment_fact, nothing_served, packages, window_facts
from trueup.stores.ledger import Ledger

PACKAGES = ("trueup", "scikit-learn", "skops", "numpy", "pandas", "pyarrow")


def run_replay(
    log_dir: Path,
    tracking: Models,
    *,
    repo: Path | None = None,
    ledger: Ledger | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    models: Sequence[str] | None = None,
    threshold: float = THRESHOLD,
    batch_rows: int = BATCH_ROWS,
    clock: Clock = utc_now,
    progress: Progress = nothing,
) -> Report:
    """The logged predictions against the registered models', one result for each model version in the log.

    repo, ledger: where the features training reads are read for the same rows; without a repo they are not. start, end:
    start <= instant < end. models: registered names; all by default. threshold: the probability whose crossing counts.
    batch_rows: log rows held at once.

    Raises InputError when there is no log, SourceError when a log is damaged. A model that cannot be replayed is a
    result that says why.
    """
    started = clock()
    results: list[AnyResult] = []
    replayed: list[tuple[str, str]] = []
    for found in replayed_models(
        log_dir,
        tracking,
        repo=repo,
        ledger=ledger,
        start=start,
        end=end,
        names=models,
        threshold=threshold,
        batch_rows=batch_rows,
        progress=progress,
    ):
        if isinstance(found, Unreadable):
            results.append(could_not_run(CHECK, found.model, found.problem, version=found.version, rows=found.rows))
            continue
        replayed.append((found.model, found.version))
        try:
            results.append(check_replay(found))
        except TrueupError as error:
            results.append(could_not_run(CHECK, found.model, str(error), version=found.version, rows=found.rows))
    if not results:
        results = [nothing_served(CHECK, log_dir, start, end, models)]
    facts = {"served log": str(log_dir), **window_facts(start, end)}
    if repo is not None:
        facts["feature repository"] = str(repo)
    facts |= _environments(tracking, replayed)
    return Report(started, clock(), tuple(results), packages(*PACKAGES), facts)


def _environments(tracking: Models, replayed: Sequence[tuple[str, str]]) -> dict[str, str]:
    """What a replay that differs may be due to: a fact for each model version that was replayed."""
    facts: dict[str, str] = {}
    if not replayed:
        return facts
    here = take_environment()
    for model, version in dict.fromkeys(replayed):
        try:
            trained: Environment | str = tracking.load_environment(model, version)
        except TrueupError as error:
            trained = str(error)
        facts[f"environment of {model}@{version}"] = environment_fact(trained, here)
    return facts
