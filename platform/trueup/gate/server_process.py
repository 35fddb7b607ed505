"""The model server as a process of its own, as in production; stopped in order, so that its log is whole."""

from __future__ import annotations

import http.client
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


class ServerRefusedError(StoreError):
    """The server said why it does not serve these settings, and ended. said: its last line."""

    def __init__(self, code: int, said: str, output: str) -> None:
        super().__init__(f"the model server did not start (exit code {code}). {output}")
        self.said = said


READY_WITHIN_SECONDS = 120.0
STOPPED_WITHIN_SECONDS = 60.0
_POLL_SECONDS = 0.05
HOST = "127.0.0.1"


@contextmanager
def model_server(config: Path, output: Path, environment: Mapping[str, str]) -> Iterator[int]:
    """`trueup serve` with this configuration on a free port, which is yielded once /readyz says yes.

    output: file for what the server prints. environment: of its process, beside this one's. Raises ServerRefusedError
    when it ends before it is ready, StoreError with its last lines when it is not ready in time or does not stop in
    order.
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
        raise StoreError(f"the model server stopped with exit code {code}. {_last_lines(output)}")


def _wait_until_ready(server: subprocess.Popen[bytes], port: int, output: Path) -> None:
    said = "it does not listen"
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            lines = [line for line in output.read_text(errors="replace").splitlines() if line.strip()]
            raise ServerRefusedError(server.returncode, lines[-1] if lines else "it said nothing", _last_lines(output))
        connection = http.client.HTTPConnection(HOST, port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            if answer.status == http.HTTPStatus.OK:
                return
            said = f"/readyz answers {answer.status}, {answer.read()[:300].decode(errors='replace')}"
        except OSError:
            pass  # not listening yet
        finally:
            connection.close()
        time.sleep(_POLL_SECONDS)
    raise StoreError(
        f"the model server was not ready within {READY_WITHIN_SECONDS:.0f} s: {said}. {_last_lines(output)}"
    )


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
