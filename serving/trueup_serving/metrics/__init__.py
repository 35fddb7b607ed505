"""What Prometheus scrapes. Label values come from the code, the design and contracts, never from a request.

A server is one process with a registry of its own, and each server is a target of its own: nothing is shared, so
nothing can be counted twice.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from trueup.eventlog.serving_version import ServingVersion
from trueup.experiments.design import EXPOSURES
from trueup.monitoring.buckets import PREDICTION, SECONDS
from trueup_serving.following import Current
from trueup_serving.metrics.state import LogCollector, ServedCollector
from trueup_serving.metrics.watching import Watched, Watching
from trueup_serving.service import Answer

disable_created_metrics()  # type: ignore[no-untyped-call] # a series more for each counter, that nothing here asks for


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
            buckets=SECONDS,
            registry=self.registry,
        )
        self.assignments = Counter(
            "trueup_assignments",
            "Rows answered, by the variant they were assigned to.",
            ["experiment", "variant"],
            registry=self.registry,
        )
        self.predictions = Histogram(
            "trueup_prediction",
            "What was answered.",
            ["experiment", "variant"],
            buckets=PREDICTION,
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
                for family in (self.assignments, self.fallbacks, self.predictions):
                    family.labels(experiment.name, variant.name)  # present from the start, at 0
            for exposure in EXPOSURES:
                self.exposures.labels(experiment.name, exposure)
        self._watched = Watched(self.registry, service.design)
        for reader in service.readers.values():
            self._watched.expect(reader.contract)
        self.registry.register(LogCollector(service.log))
        self.registry.register(ServedCollector(current, version))

    def watch(self) -> Watching:
        """Around the service's work on one request."""
        return Watching(self._watched)

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
        for each in answers:
            self.predictions.labels(each.experiment, each.model.variant.name).observe(each.prediction)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The metrics in the form that `accept` asks for, and that form's content type: OpenMetrics or Prometheus'
        own text."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type
