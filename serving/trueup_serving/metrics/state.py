"""What is asked of the server's parts when it is scraped: the log, the models, the aliases, the settings."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from trueup.eventlog.serving_version import ServingVersion
from trueup.eventlog.writer import LogWriter
from trueup_serving.following import Current


class LogCollector(Collector):
    """The log's own counts."""

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


class ServedCollector(Collector):
    """What is served, how its aliases are followed, and under which settings."""

    def __init__(self, current: Current, version: ServingVersion) -> None:
        self._current = current
        self._version = version

    def collect(self) -> Iterator[Metric]:
        service, following = self._current.served.service, self._current.following
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
        for name, model in service.models.items():
            served.add_metric([name, *model.ref, model.variant.alias, model.contract.hash], 1)
            followed.add_metric([name], int(name not in following.problems))
        read = GaugeMetricFamily(
            "trueup_contract_info",
            "1 for each contract that is read.",
            labels=["service", "contract_hash", "features"],
        )
        for contract in (reader.contract for reader in service.readers.values()):
            read.add_metric([contract.service, contract.hash, str(len(contract.columns))], 1)
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
        yield from (served, followed, read, polls, swaps, serving)
