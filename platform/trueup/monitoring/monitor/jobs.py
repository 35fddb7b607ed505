"""What is to be run how often: the settings and the repository's views as jobs. Pure.

A job is a command line of trueup's own, so that what the monitor does can be done by hand, and a job's verdict is its
exit code: 0 passed, 1 the check failed, 2 it could not run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from trueup.contracts.contract import View
from trueup.instants import format_duration, format_instant
from trueup.monitoring.config import MaterializeJob, MonitoringConfig, ParityJob

Kind = Literal["materialize", "freshness", "parity", "drift", "quality", "ledger"]
Command = Callable[[datetime, Path], list[str]]
"""From the instant a run is for, and where its metrics go, to `trueup`'s arguments."""


@dataclass(frozen=True)
class Job:
    """name: of its state and its metrics; stable as long as the settings are. metrics: whether it leaves some."""

    name: str
    kind: Kind
    every: timedelta
    timeout: timedelta
    command: Command
    metrics: bool = True

    @property
    def lock(self) -> str:
        """What it holds while it runs. Two materializations would write Feast's registry, a file, over each other."""
        return self.kind if self.kind == "materialize" else self.name


@dataclass(frozen=True)
class Watched:
    """An experiment as jobs need it. models: name@alias of its variants, each once."""

    name: str
    file: Path
    models: tuple[str, ...]


def plan_jobs(config: MonitoringConfig, views: Sequence[View], experiments: Sequence[Watched]) -> tuple[Job, ...]:
    """The jobs in the order they are started in where several are due. views: those that are kept online."""
    return tuple(_plan(config, views, experiments))


def _plan(config: MonitoringConfig, views: Sequence[View], experiments: Sequence[Watched]) -> Iterator[Job]:
    jobs, at = config.jobs, config.monitor.now
    if jobs.materialize.enabled:
        for every, tables in cadences(jobs.materialize, views).items():
            yield Job(
                materialize_task(every),
                "materialize",
                every,
                jobs.materialize.timeout,
                _materialize(tables, at),
                metrics=False,
            )
    if jobs.freshness.enabled:
        # Views by name, where not all of the repository's are watched.
        only = () if config.services is None else tuple(word for view in views for word in ("--view", view.table))
        command = _with_metrics(["freshness", *only, *_option("--now", at)])
        yield Job("freshness", "freshness", jobs.freshness.every, jobs.freshness.timeout, command)
    if jobs.parity.enabled:
        for service in config.services or (None,):
            yield _parity(jobs.parity, service, at)
    if jobs.drift.enabled:
        command = _windowed(["parity", "distribution"], jobs.drift.window, at)
        yield Job("drift", "drift", jobs.drift.every, jobs.drift.timeout, command)
    for experiment in experiments:
        if jobs.quality.enabled:
            given = ["experiment", "readout", str(experiment.file), *_option("--now", at)]
            command = _with_metrics(given)
            yield Job(f"quality-{experiment.name}", "quality", jobs.quality.every, jobs.quality.timeout, command)
        if jobs.ledger.enabled:
            models = [word for model in experiment.models for word in ("--model", model)]
            given = ["diagnose", *models, "--experiment", str(experiment.file), *_option("--now", at)]
            command = _windowed(given, jobs.ledger.window, at)
            yield Job(f"ledger-{experiment.name}", "ledger", jobs.ledger.every, jobs.ledger.timeout, command)


def _parity(job: ParityJob, service: str | None, at: datetime | None) -> Job:
    given = ["parity", "all", *([] if service is None else [service])]
    given += ["--skip", ",".join(("distribution", *job.skip)), "--sample", str(job.sample)]
    if job.fail_on is not None:
        given += ["--fail-on", ",".join(job.fail_on)]
    command = _windowed([*given, *_option("--now", at)], job.window, at)
    name = "parity" if service is None else f"parity-{service}"
    return Job(name, "parity", job.every, job.timeout, command)


def cadences(job: MaterializeJob, views: Sequence[View]) -> Mapping[timedelta, tuple[str, ...]]:
    """How often -> tables of the views that are materialized so often, together."""
    found: dict[timedelta, list[str]] = {}
    for view in views:
        every = job.every or view.schedule.cadence or job.undeclared
        found.setdefault(every, []).append(view.table)
    return {every: tuple(dict.fromkeys(found[every])) for every in sorted(found)}


def materialize_task(every: timedelta) -> str:
    """The name of the job that materializes views so often."""
    return f"materialize-{format_duration(every)}"


def _materialize(tables: Sequence[str], at: datetime | None) -> Command:
    options = [*_option("--end", at), *_option("--known-at", at)]
    return lambda _due, _metrics: ["materialize", *tables, "--incremental", *options]


def _with_metrics(given: Sequence[str]) -> Command:
    return lambda _due, metrics: [*given, "--prometheus", str(metrics)]


def _windowed(given: Sequence[str], window: timedelta, at: datetime | None) -> Command:
    """Looks back from the instant the run is for, or, in a replay, from the instant it stands at."""

    def command(due: datetime, metrics: Path) -> list[str]:
        since = (at or due) - window
        return [*given, "--since", format_instant(since), *_option("--until", at), "--prometheus", str(metrics)]

    return command


def _option(name: str, instant: datetime | None) -> list[str]:
    return [] if instant is None else [name, format_instant(instant)]
