"""`trueup monitor`: the scheduler for people without one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trueup.cli.options import COULD_NOT_RUN, Json, Repo, print_json, print_table
from trueup.console import errors
from trueup.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from trueup.monitoring.config import MonitoringConfig
    from trueup.monitoring.monitor.jobs import Job
    from trueup.monitoring.monitor.scheduler import Scheduler
    from trueup.monitoring.monitor.state import JobState, StateFolder

DEFAULT_CONFIG = Path("infra/monitoring.toml")
WHOLE = "monitor"
"""The lock of the scheduler itself."""

MonitoringFile = Annotated[Path, typer.Option("--config", help="The settings of jobs and alerts (TOML).")]

monitor = typer.Typer(
    help="Materialize, parity, drift, quality, ledger and freshness on their cadence, and what they found as metrics."
)


@monitor.command()
def run(
    task: Annotated[str | None, typer.Argument(help="Run this one now, whether it is due or not.")] = None,
    config: MonitoringFile = DEFAULT_CONFIG,
    repo: Repo = None,
    once: Annotated[bool, typer.Option("--once", help="Run what is due and end; for cron, or CI.")] = False,
    host: Annotated[str | None, typer.Option(help="Address that /metrics is served on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port that /metrics is served on; 0 takes a free one.")] = None,
) -> None:
    """Run the jobs on their cadence until SIGTERM or SIGINT, and serve their metrics.

    Each job is a command of trueup's own, run in a process of its own and never beside itself. What was run is
    remembered: after a restart nothing is done twice, and what was cut off, or due meanwhile, is done once.

    Exits 0 when it was told to stop, 2 when it cannot start; with a task or --once 1 when a check failed, 2 when one
    could not run.

    Example: trueup monitor run --config infra/monitoring.toml
    """
    from trueup.monitoring.config import load_monitoring
    from trueup.monitoring.monitor.state import StateFolder

    settings = load_monitoring(config)
    folder = StateFolder(settings.monitor.state)
    scheduler = _scheduler(settings, folder, repo)
    if task is not None:
        raise typer.Exit(_one(scheduler, folder, task))
    with folder.locked(WHOLE) as lock:
        if lock is None:
            raise InputError(
                "monitor.state",
                f"monitor.state: another monitor (process {folder.holder(WHOLE) or 'unknown'}) works on {folder.path}.",
                hint="Stop it, or name another folder: two on one would each run every job.",
            )
        if once:
            raise typer.Exit(_code(scheduler, once=True))
        _serve_until_told(
            scheduler, folder, host or settings.monitor.host, settings.monitor.port if port is None else port
        )


@monitor.command()
def show(config: MonitoringFile = DEFAULT_CONFIG, repo: Repo = None, as_json: Json = False) -> None:
    """The jobs: how often, when last and with what, when next, and the command behind each.

    Example: trueup monitor show --json
    """
    from trueup.instants import format_duration, utc_now
    from trueup.monitoring.config import load_monitoring
    from trueup.monitoring.monitor.slots import due, slot_of, start_of
    from trueup.monitoring.monitor.state import StateFolder

    settings = load_monitoring(config)
    folder = StateFolder(settings.monitor.state)
    now = utc_now()
    rows = []
    for job in _plan(settings, repo)():
        state = folder.read(job.name)
        done = {} if state.slot is None else {job.name: state.slot}
        waits = not due([job], done, now)
        rows.append(
            {
                "task": job.name,
                "every": format_duration(job.every),
                "last run": _shown(state.finished_at),
                "outcome": state.outcome or "-",
                "next": _shown(start_of(slot_of(now, job.every) + 1, job.every)) if waits else "now",
                "skipped": state.skipped,
                "command": "trueup " + " ".join(job.command(now, folder.metrics_file(job.name))),
            }
        )
    if as_json:
        print_json(rows)
    else:
        print_table([{name: value for name, value in row.items() if name != "command"} for row in rows])


def _scheduler(settings: MonitoringConfig, folder: StateFolder, repo: Path | None) -> Scheduler:
    from trueup.monitoring.monitor.scheduler import Scheduler

    section = settings.monitor
    return Scheduler(
        _plan(settings, repo),
        folder,
        _Lines(folder),
        at_once=section.at_once,
        stop_seconds=section.stop_seconds,
        env={} if repo is None else {"TRUEUP_REPO": str(repo.resolve())},
    )


def _plan(settings: MonitoringConfig, repo: Path | None) -> Callable[[], Sequence[Job]]:
    """Reads the registry and the experiments anew at each call."""
    from trueup.contracts.stored import stored_views
    from trueup.experiments.toml import load_experiment
    from trueup.monitoring.monitor.jobs import Watched, plan_jobs
    from trueup.settings import Settings, feature_repo
    from trueup.stores.feast_rows import open_store

    folder = feature_repo(repo or Settings().repo)

    def plan() -> Sequence[Job]:
        store = open_store(folder)
        services: tuple[str | None, ...] = settings.services or (None,)
        found = {view.table: view for name in services for view in stored_views(store, name).contract.views}
        watched = []
        for path in settings.experiments:
            design = load_experiment(path)
            models = dict.fromkeys(f"{variant.model}@{variant.alias}" for variant in design.variants)
            watched.append(Watched(design.name, path, tuple(models)))
        return plan_jobs(settings, tuple(found.values()), watched)

    return plan


def _one(scheduler: Scheduler, folder: StateFolder, task: str) -> int:
    job = next((job for job in scheduler.jobs if job.name == task), None)
    if job is None:
        raise InputError(
            "task", f"task: there is no job {task!r}; there are {', '.join(job.name for job in scheduler.jobs)}."
        )
    ran = scheduler.run_one(job)
    if ran.busy:
        raise InputError("task", f"task: {task} is running already (process {folder.holder(job.lock) or 'unknown'}).")
    assert ran.state is not None  # nobody stops a run that was asked for alone
    return COULD_NOT_RUN if ran.state.exit_code is None else min(ran.state.exit_code, COULD_NOT_RUN)


def _code(scheduler: Scheduler, *, once: bool) -> int:
    """As commands do: a failed check outweighs one that could not run."""
    outcomes = {ran.state.outcome for ran in scheduler.run(once=once) if ran.state is not None}
    return 1 if "failed" in outcomes else COULD_NOT_RUN if outcomes - {"passed"} else 0


def _serve_until_told(scheduler: Scheduler, folder: StateFolder, host: str, port: int) -> None:
    import signal

    from prometheus_client import CollectorRegistry, start_http_server

    from trueup.monitoring.monitor.exposition import MonitorCollector

    registry = CollectorRegistry(auto_describe=False)
    registry.register(MonitorCollector(folder, lambda: scheduler.jobs, lambda: scheduler.running))
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise InputError(
            "monitor.port",
            f"monitor.port: {host}:{port} cannot be listened on: {(error.strerror or str(error)).lower()}.",
            hint="Name another with --port.",
        ) from error
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: scheduler.stop())
    errors.print(f"metrics at http://{host}:{server.server_port}/metrics; {len(scheduler.jobs)} jobs", markup=False)
    try:
        scheduler.run()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    errors.print("stopped", markup=False)


class _Lines:
    """A line for each run that ended, on standard error."""

    def __init__(self, folder: StateFolder) -> None:
        self._folder = folder

    def started(self, job: Job) -> None:
        """The line comes when it ends."""

    def finished(self, job: Job, state: JobState) -> None:
        assert state.started_at is not None
        assert state.finished_at is not None
        seconds = (state.finished_at - state.started_at).total_seconds()
        sign = "[green]✓[/green]" if state.outcome == "passed" else "[red]✗[/red]"
        more = "" if state.outcome == "passed" else f", see {self._folder.log_file(job.name)}"
        said = (state.outcome or "").replace("_", " ")
        errors.print(f"{_shown(state.finished_at)} {sign} {job.name} {said} in {seconds:.1f} s{more}", soft_wrap=True)

    def problem(self, what: str) -> None:
        errors.print(what, markup=False, soft_wrap=True)


def _shown(instant: datetime | None) -> str:
    from trueup.instants import format_instant

    return "never" if instant is None else format_instant(instant.replace(microsecond=0))
