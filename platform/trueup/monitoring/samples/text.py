"""Families of metrics as Prometheus' text, for node exporter's textfile collector and for the monitor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


class Families(Collector):
    """Families that are there already: no counters of this process, whatever mode prometheus_client is in."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = tuple(families)

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def text_of(families: Iterable[Metric]) -> str:
    """The metrics in the text format, with HELP and TYPE."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Families(families))
    return generate_latest(registry).decode()


class Gauges:
    """Families by name, in the order they are first named; each sample is added where it is known."""

    def __init__(self) -> None:
        self._families: dict[str, GaugeMetricFamily] = {}

    def add(self, name: str, help_text: str, value: float | None, /, **labels: str) -> None:
        """value: None is no sample, but the family is there. Every sample of a family has the same labels."""
        family = self._families.setdefault(name, GaugeMetricFamily(name, help_text, labels=list(labels)))
        if value is not None:
            family.add_metric(list(labels.values()), value)

    def __iter__(self) -> Iterator[GaugeMetricFamily]:
        return iter(self._families.values())
