"""One request as the metrics see it: RED of the variants its rows are of, and each read of the online store."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from types import TracebackType

from prometheus_client import CollectorRegistry, Counter, Histogram

from trueup.contracts.contract import FeatureContract
from trueup.experiments.assign import Assignment
from trueup.experiments.design import Portfolio
from trueup.frame import FeatureFrame
from trueup.monitoring.buckets import SECONDS
from trueup_serving.metrics.features import FeatureCounts

_OUTCOMES = ("answered", "failed")


class Watched:
    """The counters behind `Watching`."""

    def __init__(self, registry: CollectorRegistry, design: Portfolio) -> None:
        self.features = FeatureCounts()
        registry.register(self.features)
        self.requests = Counter(
            "trueup_variant_requests",
            "Requests with a row of the variant, by whether they were answered.",
            ["experiment", "variant", "outcome"],
            registry=registry,
        )
        self.seconds = Histogram(
            "trueup_variant_seconds",
            "Time in the service of requests with a row of the variant, from assignment to logged.",
            ["experiment", "variant"],
            buckets=SECONDS,
            registry=registry,
        )
        self.lookups = Counter(
            "trueup_lookups", "Reads of the online store.", ["service", "outcome"], registry=registry
        )
        self.lookup_seconds = Histogram(
            "trueup_lookup_seconds",
            "Time of one read of the online store for a feature service, on-demand features computed.",
            ["service"],
            buckets=SECONDS,
            registry=registry,
        )
        for experiment in design.experiments:
            for variant in experiment.variants:
                self.seconds.labels(experiment.name, variant.name)  # present from the start, at 0
                for outcome in _OUTCOMES:
                    self.requests.labels(experiment.name, variant.name, outcome)

    def expect(self, contract: FeatureContract) -> None:
        """Its series are there from the start, at 0."""
        self.features.expect(contract)
        self.lookup_seconds.labels(contract.service)
        for outcome in _OUTCOMES:
            self.lookups.labels(contract.service, outcome)


class Watching:
    """One request, as a context manager around the service's work. See `trueup_serving.service.Watch`."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._places: frozenset[tuple[str, str]] = frozenset()
        self._started = time.perf_counter()

    def __enter__(self) -> Watching:
        self._started = time.perf_counter()
        return self

    def assigned(self, assignments: Sequence[Assignment]) -> None:
        self._places = frozenset((each.experiment.name, each.variant.name) for each in assignments)

    def looked_up(self, contract: FeatureContract, frame: FeatureFrame | None, now: datetime, seconds: float) -> None:
        watched = self._watched
        watched.lookup_seconds.labels(contract.service).observe(seconds)
        watched.lookups.labels(contract.service, "failed" if frame is None else "answered").inc()
        if frame is not None:
            watched.features.count(contract, frame, now)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds = time.perf_counter() - self._started
        for place in self._places:
            self._watched.seconds.labels(*place).observe(seconds)
            self._watched.requests.labels(*place, "answered" if kind is None else "failed").inc()
