"""What Prometheus scrapes. Label values come from the code and the design, never from a request."""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trueup.eventlog.serving_version import ServingVersion
from trueup.eventlog.writer import LogWriter
from trueup.experiments.design import EXPOSURES
from trueup_serving.following import Current
from trueup_serving.request_ids import HEADER, request_id_of
from trueup_serving.service import Answer

BUCKETS = (0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
OTHER = "other"
"""The route of a request for something there is not."""


class Metrics:
    """One server's metrics, in a registry of its own."""

    def __init__(self, current: Current, version: ServingVersion) -> None:
        service = current.served.service
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
        self.fallbacks = Counter(
            "trueup_fallback_rows",
            "Rows answered without features, as the online store did not answer.",
            ["experiment", "variant"],
            registry=self.registry,
        )
        self.exposures = Counter(
            "trueup_exposures",
            "Rows answered, by how they met the experiment: assigned, or outside of it and why.",
            ["experiment", "exposure"],
            registry=self.registry,
        )
        self.overloaded = Counter(
            "trueup_overloaded_requests",
            "Requests refused because as many as the server takes were under way.",
            registry=self.registry,
        )
        for experiment in service.design.experiments:
            for variant in experiment.variants:
                self.assignments.labels(experiment.name, variant.name)  # present from the start, at 0
                self.fallbacks.labels(experiment.name, variant.name)
            for exposure in EXPOSURES:
                self.exposures.labels(experiment.name, exposure)
        self.registry.register(_LogCollector(service.log))
        self.registry.register(_ServedCollector(current, version))

    def count(self, answers: Iterable[Answer]) -> None:
        """Rows that were answered."""
        answers = tuple(answers)
        counted = Tally((each.experiment, each.model.variant.name, each.fallback) for each in answers)
        for (experiment, variant, fallback), rows in counted.items():
            self.assignments.labels(experiment, variant).inc(rows)
            if fallback:
                self.fallbacks.labels(experiment, variant).inc(rows)
        for (experiment, exposure), rows in Tally((each.experiment, each.exposure) for each in answers).items():
            self.exposures.labels(experiment, exposure).inc(rows)


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


class _ServedCollector(Collector):
    """What is served, how its aliases are followed, and under which settings; read when it is asked for."""

    def __init__(self, current: Current, version: ServingVersion) -> None:
        self._current = current
        self._version = version

    def collect(self) -> Iterator[Metric]:
        models, following = self._current.served.service.models, self._current.following
        served = GaugeMetricFamily(
            "trueup_model_info",
            "1 for each model that is served.",
            labels=["variant", "model", "version", "alias", "contract_hash"],
        )
        followed = GaugeMetricFamily(
            "trueup_alias_followed",
            "0 while a variant's model is not what its alias names, or lost its verdict.",
            labels=["variant"],
        )
        for name, model in models.items():
            served.add_metric([name, *model.ref, model.variant.alias, model.contract.hash], 1)
            followed.add_metric([name], int(name not in following.problems))
        polls = CounterMetricFamily("trueup_alias_polls", "Times the aliases were asked for.", labels=["outcome"])
        polls.add_metric(["ok"], following.polls - following.failed)
        polls.add_metric(["failed"], following.failed)
        settings = self._version.to_json()
        serving = GaugeMetricFamily(
            "trueup_serving_info",
            "1 for the settings that answers are given under.",
            labels=["version", *settings],
        )
        serving.add_metric([self._version.hash, *map(str, settings.values())], 1)
        swaps = CounterMetricFamily("trueup_model_swaps", "Versions that took the place of others.", following.swaps)
        yield from (served, followed, polls, swaps, serving)


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
