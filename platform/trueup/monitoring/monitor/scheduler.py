"""Runs what is due, until it is told to stop.

Each job runs in a process of its own and never beside itself: not in this monitor, and not in another or by hand on
the same state. A run that was cut off is due again, one that ended is not.
"""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from trueup.errors import StoreError, TrueupError
from trueup.instants import Clock, utc_now
from trueup.monitoring.monitor.child import Child, trueup_command
from trueup.monitoring.monitor.jobs import Job
from trueup.monitoring.monitor.slots import Due, due, next_due
from trueup.monitoring.monitor.state import JobState, StateFolder

BUSY_SECONDS = 5.0
"""After this a job that somebody else was running is tried again."""
LONGEST_SLEEP = timedelta(minutes=1)
"""The clock may be set, and the definitions may change, while nothing is due."""


class Told(Protocol):
    """Hears of runs."""

    def started(self, job: Job) -> None: ...

    def finished(self, job: Job, state: JobState) -> None: ...

    def problem(self, what: str) -> None:
        """Something that is wrong and stops nothing."""


@dataclass(frozen=True)
class Ran:
    """state: after the run; None where there was none, because somebody else had the lock, or it was cut off."""

    job: Job
    state: JobState | None
    busy: bool = False


class Scheduler:
    """plan: asked for the jobs again and again; what it raises keeps the jobs that were. at_once: runs side by side.

    stop_seconds: how long running jobs may go on after `stop`, before they are cut off. command_of: from a job's
    arguments to the program that is run. env: variables that are set for it.
    """

    def __init__(
        self,
        plan: Callable[[], Sequence[Job]],
        folder: StateFolder,
        told: Told,
        *,
        at_once: int,
        stop_seconds: float,
        env: Mapping[str, str] | None = None,
        clock: Clock = utc_now,
        command_of: Callable[[Sequence[str]], tuple[str, ...]] = trueup_command,
    ) -> None:
        self.jobs = tuple(plan())
        self._command_of = command_of
        self._env = dict(env or {})
        self._plan = plan
        self._folder = folder
        self._told = told
        self._clock = clock
        self._stop_seconds = stop_seconds
        self._at_once = at_once
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._children: dict[str, Child] = {}
        self._lock = threading.Lock()
        self._trouble: str | None = None

    @property
    def running(self) -> frozenset[str]:
        """Names of the jobs that this monitor is running."""
        with self._lock:
            return frozenset(self._children)

    def stop(self) -> None:
        """Nothing is started any more. Safe to call from a signal's handler."""
        self._stopping.set()
        self._wake.set()

    def run(self, *, once: bool = False) -> tuple[Ran, ...]:
        """Until `stop`; once: what is due now, and no more. Returns what was run last of each job."""
        last: dict[str, Ran] = {}
        busy_until: dict[str, datetime] = {}
        with ThreadPoolExecutor(self._at_once, thread_name_prefix="trueup-job") as pool:
            under_way: dict[Future[Ran], Due] = {}
            waiting = list(self._due())
            while not self._stopping.is_set():
                now = self._clock()
                for item in list(waiting):
                    held = item.job.lock in {other.job.lock for other in under_way.values()}
                    if len(under_way) < self._at_once and not held and busy_until.get(item.job.name, now) <= now:
                        waiting.remove(item)
                        future = pool.submit(self.run_one, item.job, item)
                        future.add_done_callback(lambda _: self._wake.set())
                        under_way[future] = item
                if once and not under_way and not waiting:
                    break
                self._sleep(now, busy=bool(waiting) and not under_way, once=once)
                for future in wait(under_way, timeout=0, return_when=FIRST_COMPLETED).done:
                    item = under_way.pop(future)
                    try:
                        ran = future.result()
                    except TrueupError as error:
                        if once:
                            raise
                        # A disk that is full, say: the others go on, and it is tried again.
                        self._told.problem(f"{item.job.name}: {error}")
                        busy_until[item.job.name] = self._clock() + LONGEST_SLEEP
                        continue
                    last[item.job.name] = ran
                    if ran.busy:
                        busy_until[item.job.name] = self._clock() + timedelta(seconds=BUSY_SECONDS)
                if not once:
                    self._replan()
                    taken = {item.job.name for item in under_way.values()}
                    waiting = [item for item in self._due() if item.job.name not in taken]
            self._cut_off(under_way)
        return tuple(last.values())

    def run_one(self, job: Job, item: Due | None = None) -> Ran:
        """One run, now. item: the slot it is for; None: somebody asked for it."""
        with self._folder.locked(job.lock) as lock:
            if lock is None:
                return Ran(job, None, busy=True)
            before = self._folder.read(job.name)
            if item is not None and before.slot is not None and before.slot >= item.slot:
                return Ran(job, before)  # done by somebody else meanwhile
            started = self._clock()
            metrics = self._folder.metrics_file(job.name)
            written = _written(metrics)
            arguments = job.command(item.at if item is not None else started, metrics)
            command = self._command_of(arguments)
            with self._lock:
                if self._stopping.is_set():
                    return Ran(job, None)
                child = self._start(job, command, f"trueup {shlex.join(arguments)}", lock)
                self._children[job.name] = child
            self._told.started(job)
            try:
                code = child.wait(job.timeout)
            finally:
                with self._lock:
                    del self._children[job.name]
            if child.was_stopped and code is not None:
                return Ran(job, None)  # cut off: it stays due
            state = before.after(
                slot=None if item is None else item.slot,
                started_at=started,
                finished_at=self._clock(),
                exit_code=code,
                command=tuple(arguments),
                skipped=0 if item is None else item.skipped,
                left=_written(metrics) != written,
            )
            self._folder.write(job.name, state)
        self._told.finished(job, state)
        return Ran(job, state)

    def _start(self, job: Job, command: tuple[str, ...], told: str, lock: int) -> Child:
        log = self._folder.log_file(job.name)
        try:
            return Child(command, told, log, lock, self._env)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise StoreError(f"it cannot be started: {error.filename or log}: {reason}.") from error

    def _due(self) -> tuple[Due, ...]:
        done = {job.name: slot for job in self.jobs if (slot := self._folder.read(job.name).slot) is not None}
        return due(self.jobs, done, self._clock())

    def _replan(self) -> None:
        """The definitions as they are now: views come, go, and change their cadence."""
        try:
            self.jobs = tuple(self._plan())
            self._trouble = None
        except TrueupError as error:
            if str(error) != self._trouble:
                self._told.problem(f"the jobs stay as they were: {error}")
            self._trouble = str(error)

    def _sleep(self, now: datetime, *, busy: bool, once: bool) -> None:
        upcoming = None if once else next_due(self.jobs, now)
        seconds = LONGEST_SLEEP.total_seconds()
        if upcoming is not None:
            seconds = min(seconds, max((upcoming - now).total_seconds(), 0.0))
        if busy:
            seconds = min(seconds, BUSY_SECONDS)
        self._wake.wait(seconds)
        self._wake.clear()

    def _cut_off(self, under_way: dict[Future[Ran], Due]) -> None:
        """Running jobs may end by themselves for a while; then they are told to."""
        wait(under_way, timeout=self._stop_seconds)
        with self._lock:
            children = list(self._children.values())
        for child in children:
            child.stop()


def _written(path: Path) -> int | None:
    """When the file was last written; None where there is none. A file that is replaced is another one."""
    try:
        return path.stat().st_ino ^ path.stat().st_mtime_ns
    except FileNotFoundError:
        return None
