"""One run of a job: a process of its own, in a group of its own, with an end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

GRACE_SECONDS = 10.0
"""How long a process that was told to end may take."""


def trueup_command(arguments: Sequence[str]) -> tuple[str, ...]:
    """How `trueup` is called as this very installation."""
    return (sys.executable, "-m", "trueup", *arguments)


@dataclass
class Child:
    """A process. What it says goes to a file, which holds its last run. told: first of all, what is run. env: set
    beside this process' own variables."""

    command: tuple[str, ...]
    told: str
    log: Path
    lock: int
    env: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] = field(init=False)
    _told: threading.Event = field(init=False, default_factory=threading.Event)

    def __post_init__(self) -> None:
        with self.log.open("wb") as log:
            log.write(f"$ {self.told}\n".encode())
            log.flush()
            self.process = subprocess.Popen(  # noqa: S603 - trueup itself
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(self.lock,),
                env={**os.environ, **self.env},
                start_new_session=True,  # a Ctrl-C on the terminal is the monitor's to pass on
            )

    def wait(self, timeout: timedelta) -> int | None:
        """Its exit code; None when it took longer than `timeout` and was stopped for that."""
        try:
            return self.process.wait(timeout.total_seconds())
        except subprocess.TimeoutExpired:
            self.stop()
            return None

    @property
    def was_stopped(self) -> bool:
        """Whether it was told to end from outside of it."""
        return self._told.is_set()

    def stop(self, grace: float = GRACE_SECONDS) -> None:
        """Told to end, and made to where it does not; it and what it started. Returns when it is gone."""
        self._told.set()
        self._signal(signal.SIGTERM)
        try:
            self.process.wait(grace)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self.process.wait()

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
