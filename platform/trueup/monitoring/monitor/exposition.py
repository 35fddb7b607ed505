"""What Prometheus scrapes of the monitor: its runs, and what the jobs found when they last ran.

Everything is read from the state folder at each scrape, so a restarted monitor says what the one before it would have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from trueup.monitoring.monitor.jobs import Job
from trueup.monitoring.monitor.state import OUTCOMES, StateFolder

_JOB = ("task", "kind")
"""Not `job`: that is what Prometheus calls the target."""


class MonitorCollector(Collector):
    """jobs, running: asked at each scrape."""

    def __init__(
        self, folder: StateFolder, jobs: Callable[[], Sequence[Job]], running: Callable[[], frozenset[str]]
    ) -> None:
        self._folder = folder
        self._jobs = jobs
        self._running = running

    def collect(self) -> Iterator[Metric]:
        jobs = self._jobs()
        yield from self._runs(jobs)
        found: list[Metric] = []
        unreadable = GaugeMetricFamily(
            "trueup_job_metrics_readable", "0: what the job left cannot be read.", labels=list(_JOB)
        )
        for job in jobs:
            if job.metrics:
                families = self._left(job)
                unreadable.add_metric([job.name, job.kind], float(families is not None))
                found += families or ()
        yield unreadable
        yield from merged(found)

    def _left(self, job: Job) -> list[Metric] | None:
        """What the job's last run left; nothing of one that never ran; None when it cannot be read."""
        try:
            text = self._folder.metrics_file(job.name).read_text(encoding="utf-8")
            return list(text_string_to_metric_families(text))
        except FileNotFoundError:
            return []
        except (OSError, ValueError):
            return None

    def _runs(self, jobs: Sequence[Job]) -> Iterator[Metric]:
        labels = list(_JOB)
        runs = CounterMetricFamily("trueup_job_runs", "Runs that ended.", labels=[*_JOB, "outcome"])
        skipped = CounterMetricFamily(
            "trueup_job_skipped", "Times it was due while nobody ran it, or it still ran.", labels=labels
        )
        gauges = {
            name: GaugeMetricFamily(f"trueup_job_{name}", help_text, labels=labels)
            for name, help_text in (
                ("last_run_timestamp_seconds", "When its last run ended."),
                (
                    "last_success_timestamp_seconds",
                    "When a run last came to a result: exit code 0 or 1, or metrics left.",
                ),
                ("last_duration_seconds", "How long its last run took."),
                ("last_exit_code", "Of its last run; none of one that was stopped for its time."),
                ("interval_seconds", "Its cadence."),
                ("running", "1 while this monitor runs it."),
            )
        }
        running = self._running()
        for job in jobs:
            place = [job.name, job.kind]
            state = self._folder.read(job.name)
            for outcome in OUTCOMES:
                runs.add_metric([*place, outcome], state.runs.get(outcome, 0))
            skipped.add_metric(place, state.skipped)
            gauges["interval_seconds"].add_metric(place, job.every.total_seconds())
            gauges["running"].add_metric(place, float(job.name in running))
            if state.finished_at is not None and state.started_at is not None:
                gauges["last_run_timestamp_seconds"].add_metric(place, state.finished_at.timestamp())
                took = (state.finished_at - state.started_at).total_seconds()
                gauges["last_duration_seconds"].add_metric(place, took)
            if state.success_at is not None:
                gauges["last_success_timestamp_seconds"].add_metric(place, state.success_at.timestamp())
            if state.exit_code is not None:
                gauges["last_exit_code"].add_metric(place, state.exit_code)
        info = GaugeMetricFamily("trueup_monitor_info", "1 for the monitor that answers.", labels=["version"])
        info.add_metric([version("trueup")], 1)
        yield from (info, runs, skipped, *gauges.values())


def merged(families: Iterable[Metric]) -> Iterator[Metric]:
    """One family a name, whichever jobs left it, and one sample a series: the last that was left of it."""
    found: dict[str, Metric] = {}
    samples: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], Sample]] = {}
    for family in families:
        found.setdefault(family.name, Metric(family.name, family.documentation, family.type))
        series = samples.setdefault(family.name, {})
        for sample in family.samples:
            series[sample.name, tuple(sorted(sample.labels.items()))] = sample
    for name, family in found.items():
        family.samples = list(samples[name].values())
        yield family
