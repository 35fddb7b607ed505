"""What was run, on disk: a file a job, written whole, and a lock a job, held by who runs it.

The lock is the kernel's (`flock`) and the child process has it too: it is free when both are gone, however they went.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args

from trueup.errors import InputError, StoreError
from trueup.instants import format_instant, parse_instant

RunOutcome = Literal["passed", "failed", "could_not_run", "timed_out"]
OUTCOMES: tuple[RunOutcome, ...] = get_args(RunOutcome)
OF_EXIT_CODE: dict[int, RunOutcome] = {0: "passed", 1: "failed"}
"""Any other is `could_not_run`."""

_FORMAT = 1


@dataclass(frozen=True)
class JobState:
    """slot: the newest that was run. started_at, finished_at, exit_code, outcome: of the last run that ended by itself.
    success_at: when one last came to a result. runs: outcome -> runs. skipped: slots that nobody ran.
    exit_code: None of a run that was stopped for its time."""

    slot: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    success_at: datetime | None = None
    exit_code: int | None = None
    outcome: RunOutcome | None = None
    command: tuple[str, ...] = ()
    runs: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    skipped: int = 0

    def after(
        self,
        *,
        slot: int | None,
        started_at: datetime,
        finished_at: datetime,
        exit_code: int | None,
        command: tuple[str, ...],
        skipped: int,
        left: bool = False,
    ) -> JobState:
        """After one more run. slot: None for one that somebody asked for: it stands for no slot. left: whether it left
        its metrics: a check that could not compare one thing of many says so in them, and has run."""
        outcome: RunOutcome = "timed_out" if exit_code is None else OF_EXIT_CODE.get(exit_code, "could_not_run")
        return replace(
            self,
            slot=self.slot if slot is None else slot,
            started_at=started_at,
            finished_at=finished_at,
            success_at=finished_at if left or outcome in ("passed", "failed") else self.success_at,
            exit_code=exit_code,
            outcome=outcome,
            command=command,
            runs={**self.runs, outcome: self.runs.get(outcome, 0) + 1},
            skipped=self.skipped + skipped,
        )


class StateFolder:
    """`NAME.json` what was run, `NAME.prom` what it found, `NAME.log` what it said, `NAME.lock` while it runs.

    Raises InputError for a folder that cannot be made or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise InputError(
                "monitor.state",
                f"monitor.state: {path} cannot be written: {(error.strerror or str(error)).lower()}.",
                hint="Name another folder: what was run is remembered there.",
            ) from error

    def metrics_file(self, name: str) -> Path:
        return self._file(name, "prom")

    def log_file(self, name: str) -> Path:
        return self._file(name, "log")

    def read(self, name: str) -> JobState:
        """Of a job that never ran, an empty one. Raises StoreError for a file that is none of ours."""
        path = self._file(name, "json")
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return JobState()
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{path} is not a job's state: {error}.", hint="Remove it: the job then runs anew."
            ) from error
        if data.get("format") != _FORMAT:
            raise StoreError(
                f"{path} is of format {data.get('format')!r}; this version of trueup reads {_FORMAT}.",
                hint="Remove it: the job then runs anew.",
            )
        instants = {
            name: parse_instant(data[name], field=name) if data[name] is not None else None
            for name in ("started_at", "finished_at", "success_at")
        }
        return JobState(
            slot=data["slot"],
            exit_code=data["exit_code"],
            outcome=data["outcome"],
            command=tuple(data["command"]),
            runs=data["runs"],
            skipped=data["skipped"],
            **instants,
        )

    def write(self, name: str, state: JobState) -> None:
        """Whole, and on disk when it returns: what was done is not done again. Raises StoreError."""
        data = {"format": _FORMAT, **asdict(state)}
        for key, value in data.items():
            if isinstance(value, datetime):
                data[key] = format_instant(value)
        path = self._file(name, "json")
        aside = path.with_suffix(".json.new")
        try:
            with aside.open("w", encoding="utf-8") as file:
                json.dump(data, file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        except OSError as error:
            raise StoreError(
                f"{path} cannot be written: {(error.strerror or str(error)).lower()}.",
                hint="The job was run, and would be run again after a restart: make room.",
            ) from error

    @contextmanager
    def locked(self, name: str) -> Iterator[int | None]:
        """The lock's file descriptor, to be given to the child; None when somebody else has the lock."""
        descriptor = os.open(self._file(name, "lock"), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
                return
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
            yield descriptor
        finally:
            os.close(descriptor)

    def holder(self, name: str) -> str:
        """The process that last took the lock, as text; empty where that is not known."""
        with suppress(OSError):
            return self._file(name, "lock").read_text(encoding="utf-8").strip()
        return ""

    def _file(self, name: str, suffix: str) -> Path:
        # A name comes from an experiment's file: it may not lead out of the folder.
        return self.path / f"{re.sub(r'[^A-Za-z0-9._-]', '_', name)}.{suffix}"
