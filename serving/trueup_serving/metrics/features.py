"""What the online store answered, counted: each feature by state, each view by age.

Counted in arrays, a request at a time: tens of features for each row make one counter a feature too slow.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from trueup.contracts.contract import FeatureContract
from trueup.frame import FeatureFrame, Status
from trueup.instants import EPOCH, as_utc
from trueup.monitoring.buckets import AGE_SECONDS

_MICROSECONDS = 1_000_000
_STATES = tuple(state.name.lower() for state in Status)
_FIRST = int(min(Status))
_BOUNDS = np.array(AGE_SECONDS, dtype=np.float64)


@dataclass
class _Counts:
    """Of one feature service. states: feature -> values by state. ages: view -> values by age, and the sum of ages."""

    states: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    ages: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=dict)

    def expect(self, contract: FeatureContract) -> None:
        """Every series is there from the start, at 0."""
        for name in contract.columns:
            self.states.setdefault(name, np.zeros(len(_STATES), dtype=np.int64))
        for view in contract.views:
            self.ages.setdefault(view.name, np.zeros(len(AGE_SECONDS) + 1, dtype=np.int64))
            self.sums.setdefault(view.name, 0.0)


class FeatureCounts(Collector):
    """Counts of every feature service that was read. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._services: dict[str, _Counts] = {}
        self._expected: set[str] = set()

    def expect(self, contract: FeatureContract) -> None:
        with self._lock:
            self._of(contract)

    def count(self, contract: FeatureContract, frame: FeatureFrame, now: datetime) -> None:
        """now: the instant the frame is of. An age below 0, of an event that is still to come, counts as 0."""
        states = {
            name: np.bincount(column.to_numpy() - _FIRST, minlength=len(_STATES))
            for name, column in zip(frame.statuses.column_names, frame.statuses.columns, strict=True)
        }
        instant = (as_utc(now) - EPOCH) / timedelta(seconds=1)
        ages = {}
        for name, column in zip(frame.event_timestamps.column_names, frame.event_timestamps.columns, strict=True):
            times = column.drop_null().cast("int64").to_numpy() / _MICROSECONDS
            if len(times):
                ages[name] = np.maximum(instant - times, 0.0)
        with self._lock:
            counts = self._of(contract)
            for name, found in states.items():
                counts.states[name] += found
            for name, seconds in ages.items():
                bins = np.searchsorted(_BOUNDS, seconds)  # a bound belongs to its own bucket: le
                counts.ages[name] += np.bincount(bins, minlength=len(AGE_SECONDS) + 1)
                counts.sums[name] += float(seconds.sum())

    def _of(self, contract: FeatureContract) -> _Counts:
        counts = self._services.setdefault(contract.service, _Counts())
        if contract.hash not in self._expected:
            counts.expect(contract)
            self._expected.add(contract.hash)
        return counts

    def collect(self) -> Iterator[Metric]:
        values = CounterMetricFamily(
            "trueup_feature_values", "Values read, by state.", labels=["service", "feature", "status"]
        )
        ages = HistogramMetricFamily(
            "trueup_feature_age_seconds",
            "Age of what was read: the request's instant minus its event time.",
            labels=["service", "view"],
        )
        with self._lock:
            for service, counts in self._services.items():
                for feature, found in counts.states.items():
                    for status, count in zip(_STATES, found.tolist(), strict=True):
                        values.add_metric([service, feature, status], count)
                for view, buckets in counts.ages.items():
                    ages.add_metric([service, view], _cumulative(buckets), counts.sums[view])
        yield from (values, ages)


def _cumulative(buckets: npt.NDArray[np.int64]) -> list[tuple[str, float]]:
    bounds = (*(f"{bound:.1f}" for bound in AGE_SECONDS), "+Inf")
    return list(zip(bounds, np.cumsum(buckets).tolist(), strict=True))
