"""A distribution run from end to end: read, compare, report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trueup.instants import Clock, utc_now
from trueup.parity.checks.distribution import CHECK, check_distribution
from trueup.parity.distribution.settings import DriftSettings
from trueup.parity.evidence.distribution import Block, FileOf, Window, drift_samples
from trueup.parity.evidence.models import Progress, Unreadable, nothing
from trueup.parity.report import Report
from trueup.parity.results import AnyResult, DriftResult
from trueup.parity.runs.facts import PACKAGES, nothing_served, packages


def run_distribution(
    log_dir: Path,
    file_of: FileOf,
    *,
    window: Window | None = None,
    against: Window | None = None,
    models: Sequence[str] | None = None,
    features: Sequence[str] | None = None,
    block: Block = "hour",
    settings: DriftSettings | None = None,
    clock: Clock = utc_now,
    progress: Progress = nothing,
) -> Report:
    """One result for each model version that served within the window; see `drift_samples` for what is asked.

    file_of: such as `Tracking(uri).load_file`. A model that cannot be checked is a result that says why.
    """
    started = clock()
    window = window or Window()
    results: list[AnyResult] = []
    for found in drift_samples(
        log_dir,
        file_of,
        window=window,
        against=against,
        models=models,
        features=features,
        block=block,
        settings=settings,
        progress=progress,
    ):
        if isinstance(found, Unreadable):
            held = f"served{against}" if against is not None else "training set"
            results.append(
                DriftResult(
                    CHECK,
                    found.model,
                    found.version or None,
                    reference=held,
                    current=f"served{window}",
                    reference_rows=0,
                    rows=found.rows,
                    problem=found.problem,
                )
            )
        else:
            results.append(check_distribution(found))
    if not results:
        results = [nothing_served(CHECK, log_dir, window.start, window.end, models)]
    return Report(started, clock(), tuple(results), packages(*PACKAGES), {"served log": str(log_dir)})
