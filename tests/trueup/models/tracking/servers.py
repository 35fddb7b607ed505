"""A PostgreSQL and an `mlflow server` of the tests' own, really started."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_PATIENCE = 120
"""Seconds a start may take on a busy machine."""


class NotHereError(Exception):
    """PostgreSQL cannot be run on this machine; the text says why."""


@contextmanager
def postgresql() -> Iterator[str]:
    """The address of an empty database, reached by a socket in a folder of its own. Raises NotHereError."""
    initdb, pg_ctl = _program("initdb"), _program("pg_ctl")
    identity = _identity()
    # Not in pytest's folder, which is closed to other users; and a socket's path has to be short.
    folder = Path(tempfile.mkdtemp(prefix="trueup-pg-"))
    try:

        def call(*command: str) -> None:
            log = folder / "log"
            with log.open("ab") as opened:
                done = subprocess.run(command, cwd=folder, stdout=opened, stderr=opened, check=False, **identity)
            assert done.returncode == 0, f"{command[0]} failed:\n{log.read_text()[-3000:]}"

        data = str(folder / "data")
        try:
            if identity:
                os.chown(folder, identity["user"], identity["group"])
            call(initdb, "-D", data, "-U", "trueup", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
        except PermissionError as error:
            raise NotHereError(f"PostgreSQL cannot be run as another user than root: {error}") from error
        call(pg_ctl, "-D", data, "-w", "-o", f"-c listen_addresses='' -c fsync=off -k {folder}", "start")
        try:
            yield f"postgresql+psycopg://trueup@/postgres?host={folder}"
        finally:
            call(pg_ctl, "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


def _program(name: str) -> str:
    """From PATH, or where Debian keeps it, the newest."""
    found = shutil.which(name) or max(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), default=None)
    if found is None:
        raise NotHereError(f"PostgreSQL is not installed ({name})")
    return found


def _identity() -> Mapping[str, Any]:
    """For `subprocess`: PostgreSQL refuses to be root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise NotHereError("PostgreSQL does not run as root, and there is no user to run it as")


class MlflowServer:
    """`mlflow server` on a port of its own. It starts when made; `wait` until it answers, `stop` it in the end."""

    def __init__(self, folder: Path, database: str) -> None:
        self.artifacts = folder / "artifacts"
        self._log = folder / "server.log"
        port = _free_port()
        self.uri = f"http://127.0.0.1:{port}"
        with self._log.open("wb") as opened:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
                    *("--workers", "1", "--backend-store-uri", database),
                    *("--artifacts-destination", str(self.artifacts)),
                ],
                cwd=folder,
                env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                stdout=opened,
                stderr=opened,
                start_new_session=True,
            )

    def wait(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            assert self._process.poll() is None, f"mlflow server ended:\n{self._log.read_text()[-3000:]}"
            assert time.monotonic() < deadline, f"mlflow server does not answer:\n{self._log.read_text()[-3000:]}"
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=5):
                    return
            except OSError:
                time.sleep(0.05)

    def stop(self) -> None:
        # The server and its workers, a session of their own. Not asked to end: it waits for its connections to.
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
