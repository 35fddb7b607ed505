"""Expectations, from end to end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from trueup.errors import TrueupError
from trueup.instants import Clock, utc_now
from trueup.parity.checks.expectations import CHECK, check_expectations
from trueup.parity.evidence.expectations import DataDocs, Models, served_windows
from trueup.parity.evidence.models import Progress, Unreadable, nothing
from trueup.parity.report import Report
from trueup.parity.results import AnyResult, could_not_run
from trueup.parity.runs.facts import nothing_served, packages, window_facts

PACKAGES = ("trueup", "great-expectations", "pandas", "numpy", "pyarrow")


def run_expectations(
    log_dir: Path,
    tracking: Models,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    models: Sequence[str] | None = None,
    docs: DataDocs | None = None,
    clock: Clock = utc_now,
    progress: Progress = nothing,
) -> Report:
    """The served window against the suite kept with each model, one result for each model version in the log.

    start, end: start <= instant < end. models: registered names; all by default. docs: where Great Expectations' own
    pages go; None: none are built.

    Raises InputError when there is no log, SourceError when a log is damaged. A model that cannot be checked (one that
    was kept without a suite, say) is a result that says why.
    """
    started = clock()
    results: list[AnyResult] = []
    for found in served_windows(
        log_dir, tracking, at=started, start=start, end=end, names=models, docs=docs, progress=progress
    ):
        if isinstance(found, Unreadable):
            results.append(could_not_run(CHECK, found.model, found.problem, version=found.version, rows=found.rows))
            continue
        try:
            results.append(check_expectations(found))
        except TrueupError as error:
            rows = found.values.num_rows
            results.append(could_not_run(CHECK, found.model, str(error), version=found.version, rows=rows))
    if not results:
        results = [nothing_served(CHECK, log_dir, start, end, models)]
    facts = {"served log": str(log_dir), **window_facts(start, end)}
    if docs is not None:
        facts["data docs"] = "by Great Expectations; their style and scripts come from content delivery networks"
    return Report(started, clock(), tuple(results), packages(*PACKAGES), facts)
