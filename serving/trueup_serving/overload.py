"""More requests at once than the server works on are refused at once: a queue without end helps nobody."""

from __future__ import annotations

from http import HTTPStatus

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from trueup_serving.metrics import Metrics
from trueup_serving.problems import Problem, answer


class Limited:
    """ASGI middleware: at most `most` requests to `routes` are under way; 503 `overloaded` for those beyond.

    Counted on the event loop alone, so without a lock. Health and metrics are never refused.
    """

    def __init__(self, app: ASGIApp, most: int, routes: frozenset[str], metrics: Metrics) -> None:
        self._app = app
        self._most = most
        self._routes = routes
        self._metrics = metrics
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in self._routes:
            await self._app(scope, receive, send)
            return
        if self._under_way >= self._most:
            self._metrics.overloaded.inc()
            detail = f"The server is at work on {self._most} requests, as many as it takes. Try again."
            problem = Problem(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", detail, headers={"Retry-After": "1"})
            await answer(Request(scope), problem)(scope, receive, send)
            return
        self._under_way += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._under_way -= 1
