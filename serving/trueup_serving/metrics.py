"""What Prometheus scrapes. Label values come from the code and the design, never from a request."""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trueup.eventlog.writer import LogWriter
from trueup_serving.request_ids import HEADER, request_id_of
from trueup_serving.service import Answer, Service

BUCKETS = (0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
OTHER = "other"
"""The route of a request for something there is not."""


class Metrics:
    """One server's metrics, in a registry of its own."""

    def __init__(self, service: Service) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("trueup_requests", "Requests answered.", ["route", "code"], registry=self.registry)
        self.seconds = Histogram(
            "trueup_request_seconds",
            "Time from a request's headers to the last byte of its answer.",
            ["route"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.assignments = Counter(
            "trueup_assignments",
            "Rows answered, by the variant they were assigned to.",
            ["experiment", "variant"],
            registry=self.registry,
        )
        info = Gauge(
            "trueup_model_info",
            "1 for each model that is served.",
            ["variant", "model", "version", "alias", "contract_hash"],
            registry=self.registry,
        )
        self._experiment = service.design.name
        for name, model in service.models.items():
            self.assignments.labels(self._experiment, name)  # present from the start, at 0
            model_name, version = model.ref
            info.labels(name, model_name, version, model.variant.alias, model.contract.hash).set(1)
        self.registry.register(_LogCollector(service.log))

    def count(self, answers: Iterable[Answer]) -> None:
        """Rows that were answered."""
        for variant, rows in Tally(answer.model.variant.name for answer in answers).items():
            self.assignments.labels(self._experiment, variant).inc(rows)


class _LogCollector(Collector):
    """The log's own counts, read when they are asked for."""

    def __init__(self, log: LogWriter) -> None:
        self._log = log

    def collect(self) -> Iterator[Metric]:
        state = self._log.state
        rows = CounterMetricFamily("trueup_log_rows", "Served rows by what became of them.", labels=["outcome"])
        for outcome in ("written", "dropped", "failed"):
            rows.add_metric([outcome], getattr(state, outcome))
        yield rows
        yield GaugeMetricFamily("trueup_log_queue_rows", "Served rows that wait to be written.", state.queued)
        yield GaugeMetricFamily(
            "trueup_log_queue_limit_rows", "How many may wait before rows are dropped.", self._log.limits.queue_rows
        )
        yield GaugeMetricFamily(
            "trueup_log_healthy", "0 while the last write of the log failed.", int(state.error is None)
        )


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
