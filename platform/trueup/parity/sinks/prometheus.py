"""The report as Prometheus metrics, for node exporter's textfile collector.

Labels are bounded: checks, subjects (models and their versions, views), features of their contracts, and the known
causes. Reasons and entities are no labels. Counts are gauges: a run counts for itself, not on from the last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from trueup.parity.causes import UNEXPLAINED
from trueup.parity.compare import Counts, add_counts
from trueup.parity.report import Report
from trueup.parity.results import (
    EXIT_CODES,
    AnyResult,
    DriftResult,
    ExpectationResult,
    FeatureResult,
    Result,
    joint_verdict,
)

_SUBJECT = ("check", "subject")


def render_prometheus(report: Report) -> str:
    """The metrics in the text format, with HELP and TYPE."""
    return generate_latest(registry(report)).decode()


def registry(report: Report) -> CollectorRegistry:
    """A registry of its own, to write or to push."""
    found = CollectorRegistry(auto_describe=False)
    found.register(_Report(report))
    return found


class _Report(Collector):
    """Families made for each collection: no counters of this process, whatever mode prometheus_client is in."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def collect(self) -> Iterator[GaugeMetricFamily]:
        report = self._report
        yield from _runs(report)
        # One subject may have been checked more than once, under several rules or windows: its results are one series.
        groups: dict[tuple[str, str], list[AnyResult]] = {}
        for result in report.results:
            groups.setdefault((result.check, result.label), []).append(result)
        yield _verdicts(groups)
        yield _rows(groups)
        yield from _cells(groups)
        yield from _views(groups)
        yield from _drift(groups)
        yield _absent(groups)
        yield from _expectations(groups)


_Groups = dict[tuple[str, str], list[AnyResult]]


def _runs(report: Report) -> Iterator[GaugeMetricFamily]:
    """By check, so that two jobs that run different ones are two series."""
    finished = GaugeMetricFamily(
        "trueup_parity_last_run_timestamp_seconds",
        "When the run of the check finished, in seconds since 1970 UTC.",
        labels=["check"],
    )
    took = GaugeMetricFamily(
        "trueup_parity_last_run_duration_seconds",
        "How long the run took, with the checks it ran beside.",
        labels=["check"],
    )
    for check in dict.fromkeys(result.check for result in report.results):
        finished.add_metric([check], report.finished_at.timestamp())
        took.add_metric([check], (report.finished_at - report.started_at).total_seconds())
    yield from (finished, took)


def _verdicts(groups: _Groups) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "trueup_parity_verdict",
        "1 for the verdict the check came to, 0 for the two others.",
        labels=[*_SUBJECT, "verdict"],
    )
    for place, results in groups.items():
        for verdict in EXIT_CODES:
            family.add_metric([*place, verdict.replace(" ", "_")], float(joint_verdict(results) == verdict))
    return family


def _rows(groups: _Groups) -> GaugeMetricFamily:
    family = GaugeMetricFamily("trueup_parity_rows", "Rows that were checked.", labels=_SUBJECT)
    for place, results in groups.items():
        family.add_metric(place, sum(result.rows for result in results))
    return family


def _cells(groups: _Groups) -> Iterator[GaugeMetricFamily]:
    compared = GaugeMetricFamily("trueup_parity_compared_cells", "Values that were compared.", labels=_SUBJECT)
    mismatched = GaugeMetricFamily("trueup_parity_mismatched_cells", "Values that differ.", labels=_SUBJECT)
    left_out = GaugeMetricFamily("trueup_parity_uncompared_rows", "Rows that could not be compared.", labels=_SUBJECT)
    not_compared = GaugeMetricFamily(
        "trueup_parity_uncompared_cells",
        "Values of single features that could not be compared, of the rows that were.",
        labels=_SUBJECT,
    )
    by_cause = GaugeMetricFamily(
        "trueup_parity_cause_cells",
        "Values that differ, by cause; one with two causes counts under both.",
        labels=[*_SUBJECT, "cause"],
    )
    ratio = GaugeMetricFamily(
        "trueup_parity_feature_mismatch_ratio",
        "Share of a feature's compared values that differ, 0 to 1.",
        labels=[*_SUBJECT, "feature"],
    )
    for place, several in groups.items():
        results = [result for result in several if isinstance(result, Result)]
        if not results:
            continue
        compared.add_metric(place, sum(result.compared for result in results))
        mismatched.add_metric(place, sum(result.mismatched for result in results))
        left_out.add_metric(place, sum(sum(result.uncompared.values()) for result in results))
        not_compared.add_metric(place, sum(sum(result.counts.uncompared.values()) for result in results))
        # Always there, so that an alert on it has something to watch before the first one.
        causes = {UNEXPLAINED: sum(result.unexplained for result in results)}
        features: dict[str, Counts] = {}
        for result in results:
            for cause, count in result.by_cause.items():
                causes[cause] = causes.get(cause, 0) + count
            for name, feature in result.features.items():
                features[name] = features.get(name, Counts()) + feature.counts
        for cause, count in causes.items():
            by_cause.add_metric([*place, cause], count)
        for name, counts in features.items():
            if counts.compared:
                ratio.add_metric([*place, name], counts.mismatched / counts.compared)
    yield from (compared, mismatched, left_out, not_compared, by_cause, ratio)


def _views(groups: _Groups) -> Iterator[GaugeMetricFamily]:
    """By view: a feature is named `view__feature`, and the subject of the check `online` is a view itself."""
    labels = [*_SUBJECT, "view"]
    ratio = GaugeMetricFamily(
        "trueup_parity_view_mismatch_ratio", "Share of a view's compared values that differ, 0 to 1.", labels=labels
    )
    by_cause = GaugeMetricFamily(
        "trueup_parity_view_cause_ratio",
        "The same by cause; a value with two causes counts under both.",
        labels=[*labels, "cause"],
    )
    for place, several in groups.items():
        views: dict[str, list[FeatureResult]] = {}
        for result in several:
            if isinstance(result, Result):
                for name, feature in result.features.items():
                    view = result.subject if result.check == "online" else name.partition("__")[0]
                    views.setdefault(view, []).append(feature)
        for view, features in views.items():
            counts = sum((feature.counts for feature in features), Counts())
            if not counts.compared:
                continue
            ratio.add_metric([*place, view], counts.mismatched / counts.compared)
            causes = {UNEXPLAINED: sum(feature.unexplained for feature in features)}
            for feature in features:
                causes = add_counts(causes, feature.by_cause)
            for cause, count in causes.items():
                by_cause.add_metric([*place, view, cause], count / counts.compared)
    yield from (ratio, by_cause)


def _absent(groups: _Groups) -> GaugeMetricFamily:
    """Null, missing or expired: a training set knows no more than null of either."""
    family = GaugeMetricFamily(
        "trueup_parity_absent_ratio",
        "Share of a feature's rows without a value, 0 to 1: when trained, and as served.",
        labels=[*_SUBJECT, "feature", "side"],
    )
    for place, several in groups.items():
        rows: dict[tuple[str, str], tuple[int, int]] = {}
        for result in several:
            if isinstance(result, DriftResult):
                for name, drift in result.features.items():
                    for side, profile in (("training", drift.reference), ("served", drift.current)):
                        absent, total = rows.get((name, side), (0, 0))
                        without = profile.null + profile.missing + profile.expired
                        rows[name, side] = absent + without, total + profile.rows
        for (name, side), (absent, total) in rows.items():
            if total:
                family.add_metric([*place, name, side], absent / total)
    return family


def _drift(groups: _Groups) -> Iterator[GaugeMetricFamily]:
    tested = GaugeMetricFamily("trueup_parity_tested_features", "Features tested for drift.", labels=_SUBJECT)
    drifted = GaugeMetricFamily("trueup_parity_drifted_features", "Features that drifted.", labels=_SUBJECT)
    labels = [*_SUBJECT, "feature", "statistic"]
    distance = GaugeMetricFamily(
        "trueup_parity_drift_distance",
        "Distance of a feature from its reference; the largest of several.",
        labels=labels,
    )
    threshold = GaugeMetricFamily(
        "trueup_parity_drift_threshold", "What that distance exceeds by chance at the stated rate.", labels=labels
    )
    for place, several in groups.items():
        results = [result for result in several if isinstance(result, DriftResult)]
        if not results:
            continue
        tested.add_metric(place, sum(len(result.features) for result in results))
        drifted.add_metric(place, sum(len(result.drifted) for result in results))
        for key, (value, limit) in _distances(results).items():
            distance.add_metric([*place, *key], value)
            if limit is not None:
                threshold.add_metric([*place, *key], limit)
    yield from (tested, drifted, distance, threshold)


def _distances(results: Iterable[DriftResult]) -> dict[tuple[str, str], tuple[float, float | None]]:
    """(feature, statistic) -> the largest distance, and its own threshold."""
    found: dict[tuple[str, str], tuple[float, float | None]] = {}
    for result in results:
        for name, drift in result.features.items():
            for statistic, value in drift.distances.items():
                key = name, statistic
                if key not in found or value > found[key][0]:
                    found[key] = value, drift.limits.get(statistic)
    return found


def _expectations(groups: _Groups) -> Iterator[GaugeMetricFamily]:
    examined = GaugeMetricFamily("trueup_parity_examined_expectations", "Expectations examined.", labels=_SUBJECT)
    failed = GaugeMetricFamily("trueup_parity_failed_expectations", "Expectations that failed.", labels=_SUBJECT)
    for place, several in groups.items():
        results = [result for result in several if isinstance(result, ExpectationResult)]
        if results:
            examined.add_metric(place, sum(len(result.expectations) for result in results))
            failed.add_metric(place, sum(len(result.failed) for result in results))
    yield from (examined, failed)
