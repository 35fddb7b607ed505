"""Sends a replay's requests to the server: in order, a few at a time, over connections that stay open."""

from __future__ import annotations

import http.client
import json
import queue
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

from trueup.errors import StoreError
from trueup.instants import format_instant
from trueup_demo.timeline import Request

CONNECTIONS = 4


class ReplayClient:
    """A small pool of HTTP connections to one server. Use it as a context manager."""

    def __init__(self, host: str, port: int, *, connections: int = CONNECTIONS, timeout: float = 30.0) -> None:
        self._pool = ThreadPoolExecutor(connections, thread_name_prefix="replay")
        self._idle: queue.SimpleQueue[http.client.HTTPConnection] = queue.SimpleQueue()
        for _ in range(connections):
            self._idle.put(http.client.HTTPConnection(host, port, timeout=timeout))

    def ask(self, requests: Sequence[Request]) -> None:
        """Start the requests in order and return when all are answered. Anything but a 200 is a StoreError."""
        for answer in [self._pool.submit(self._ask_one, request) for request in requests]:
            answer.result()

    def _ask_one(self, request: Request) -> None:
        body = json.dumps({"entities": [request.entity], "request_id": request.request_id})
        headers = {"Content-Type": "application/json", "X-Trueup-Now": format_instant(request.instant)}
        connection = self._idle.get()
        try:
            connection.request("POST", "/v1/predict", body, headers)
            response = connection.getresponse()
            answer = response.read()
        finally:
            self._idle.put(connection)
        if response.status != http.HTTPStatus.OK:
            raise StoreError(
                f"request {request.request_id}: the server answered {response.status}: "
                f"{answer[:500].decode(errors='replace')}"
            )

    def __enter__(self) -> ReplayClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)
        while not self._idle.empty():
            self._idle.get().close()
