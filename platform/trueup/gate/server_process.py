"""The model server as a process of its own, as in production; stopped in order, so that its log is whole."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from trueup.errors import StoreError

READY_WITHIN_SECONDS = 120.0
ONLINE_STORE_WITHIN_SECONDS = 10.0
"""How long a server that listens may say that it cannot answer: its online store may be loading."""
STOPPED_WITHIN_SECONDS = 60.0
_REFUSED = 2
"""Exit code of a trueup command that says why it does not run."""
_POLL_SECONDS = 0.05
HOST = "127.0.0.1"


class ServerError(StoreError):
    """A server that does not serve. said: why, in one line. refused: it said so itself of these settings, and ended."""

    def __init__(self, said: str, output: str, *, refused: bool = False) -> None:
        super().__init__(f"the model server is not ready: {said} {output}")
        self.said = said
        self.refused = refused


@contextmanager
def model_server(config: Path, output: Path, environment: Mapping[str, str]) -> Iterator[int]:
    """`trueup serve` with this configuration on a free port, which is yielded once /readyz says yes.

    output: file for what the server prints. environment: of its process, beside this one's. Raises ServerError with its
    last lines when it ends before it is ready, is not ready in time or does not stop in order.
    """
    port = _free_port()
    command = [sys.executable, "-m", "trueup", "serve", "--config", str(config), "--host", HOST, "--port", str(port)]
    with output.open("wb") as printed:
        server = subprocess.Popen(  # noqa: S603 (our own command)
            command,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            env={**_own(), **environment},
        )
        try:
            _wait_until_ready(server, port, output)
            yield port
            server.send_signal(signal.SIGTERM)
            code = server.wait(STOPPED_WITHIN_SECONDS)
        finally:
            if server.poll() is None:
                server.kill()
                server.wait()
    if code not in (0, -signal.SIGTERM):
        raise ServerError(f"it stopped with exit code {code}.", _last_lines(output))


def _wait_until_ready(server: subprocess.Popen[bytes], port: int, output: Path) -> None:
    said = "it does not listen"
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    listened = False
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise _ended(server.returncode, output)
        connection = http.client.HTTPConnection(HOST, port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            if answer.status == http.HTTPStatus.OK:
                return
            said = _unavailable(answer.status, answer.read())
            if not listened:
                deadline, listened = time.monotonic() + ONLINE_STORE_WITHIN_SECONDS, True
        except (OSError, http.client.HTTPException):
            pass  # not listening yet
        finally:
            connection.close()
        time.sleep(_POLL_SECONDS)
    raise ServerError(f"{said.rstrip('.')}.", _last_lines(output))


def _unavailable(status: int, content: bytes) -> str:
    """What /readyz says of the online store, which is all that makes a server that listens unavailable."""
    try:
        return f"its online store does not answer: {json.loads(content)['online_store']}"
    except (ValueError, KeyError, TypeError):
        return f"/readyz answers {status}, {content[:200].decode(errors='replace')}"


def _ended(code: int, output: Path) -> ServerError:
    lines = [line.strip() for line in output.read_text(errors="replace").splitlines() if line.strip()]
    refused = code == _REFUSED
    said = lines[-1].removeprefix("trueup: ") if lines else "it said nothing."
    return ServerError(said if refused else f"exit code {code}: {said}", _last_lines(output), refused=refused)


def _own() -> Mapping[str, str]:
    # The settings are all in the file: another server's, in variables, would win over it.
    return {name: value for name, value in os.environ.items() if not name.upper().startswith("TRUEUP_SERVING_")}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _last_lines(output: Path, lines: int = 15) -> str:
    tail = output.read_text(errors="replace").splitlines()[-lines:]
    return f"The end of {output}:\n" + "\n".join(tail)
