"""A gateway in front of a real MLflow server, that can ask for a password, hang, break, or go away at a request."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_HOP = {"connection", "transfer-encoding", "keep-alive", "content-length"}


@dataclass(frozen=True)
class Answer:
    """What the gateway says itself, instead of asking the server."""

    status: int
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)


class GoneError(Exception):
    """Raised by a rule: the gateway closes for good, and this request gets no answer."""


Rule = Callable[["Request"], Answer | None]
"""What happens to a request; None: the server answers it."""


@dataclass
class Request:
    """number: counted from 1. host: the name the server is told it was asked by."""

    number: int
    headers: Any
    host: str


class Gateway:
    """uri: its address. asked: how many requests came."""

    def __init__(self, server: str, rule: Rule) -> None:
        self.asked = 0
        self._rule = rule
        self._server = server.removeprefix("http://")
        self._counting = threading.Lock()
        self.released = threading.Event()
        self._http = _Http(("127.0.0.1", 0), self)
        self.address = f"127.0.0.1:{self._http.server_port}"
        self.uri = f"http://{self.address}"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.released.set()
        self._http.shutdown()
        self._http.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        with self._counting:
            self.asked += 1
            request = Request(self.asked, handler.headers, self._server)
        handler.close_connection = True
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        try:
            said = self._rule(request)
        except GoneError:
            self.close()
            return
        status, headers, content = (
            (said.status, said.headers, said.body.encode()) if said is not None else self._ask(handler, request, body)
        )
        try:
            handler.send_response(status)
            for name, value in headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            handler.wfile.write(content)
        except ConnectionError:
            pass  # who asked did not wait: that is what the test is about

    def _ask(self, handler: BaseHTTPRequestHandler, request: Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        sent = {name: value for name, value in handler.headers.items() if name.lower() not in {*_HOP, "host"}}
        connection = HTTPConnection(self._server, timeout=60)
        try:
            connection.request(handler.command, handler.path, body, {**sent, "Host": request.host})
            got = connection.getresponse()
            return (
                got.status,
                {name: value for name, value in got.getheaders() if name.lower() not in _HOP},
                got.read(),
            )
        finally:
            connection.close()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], gateway: Gateway) -> None:
        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                gateway.answer(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - the library's names

            def log_message(self, *_: Any) -> None:
                """To nobody."""

        super().__init__(address, Handler)


@contextmanager
def gateway(server: str, rule: Rule) -> Iterator[Gateway]:
    opened = Gateway(server, rule)
    try:
        yield opened
    finally:
        opened.close()
