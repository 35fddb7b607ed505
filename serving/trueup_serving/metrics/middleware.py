"""Each request counted and timed, whatever becomes of it."""

from __future__ import annotations

import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trueup_serving.metrics import Metrics
from trueup_serving.request_ids import HEADER, request_id_of

OTHER = "other"
"""The route of a request for something there is not."""


class Measured:
    """ASGI middleware: counts and times each request, and gives each answer its request id."""

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: frozenset[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        route = scope["path"] if scope["path"] in self._routes else OTHER
        code = 500  # unless an answer says otherwise
        started = time.perf_counter()

        async def sending(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
                headers: list[Any] = message["headers"]
                if not any(name.lower() == HEADER.lower().encode() for name, _ in headers):
                    headers.append((HEADER.lower().encode(), request_id_of(scope).encode()))
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            self._metrics.requests.labels(route, str(code)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - started)
