"""Cells over time, hour by hour while they are added up, in a few round widths when they are shown. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from trueup.instants import EPOCH
from trueup.parity.causes import CAUSES, UNEXPLAINED
from trueup.parity.compare import add_counts
from trueup.parity.explain import Findings
from trueup.parity.results import Bucket
from trueup.parity.tally import Labels, per_bucket_causes, per_row

MOST_BUCKETS = 62
_WIDTHS = tuple(timedelta(hours=hours) for hours in (1, 3, 6, 12, 24, 7 * 24, 28 * 24))
_HOUR = timedelta(hours=1)
_MICROSECOND = timedelta(microseconds=1)
_HOUR_MICROS = _HOUR // _MICROSECOND


@dataclass(frozen=True)
class Timeline:
    """hours: hour since 1970 -> of its rows: `rows`, `compared`, `mismatched`, and cells of each cause. first, last:
    instants of the rows, microseconds since 1970 UTC; None where there is no row. The time lines of the parts of some
    rows add up to that of all."""

    hours: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    first: int | None = None
    last: int | None = None

    def __add__(self, other: Timeline) -> Timeline:
        hours = dict(self.hours)
        for hour, counts in other.hours.items():
            hours[hour] = add_counts(hours[hour], counts) if hour in hours else counts
        edges = [edge for edge in (self.first, self.last, other.first, other.last) if edge is not None]
        return Timeline(hours, min(edges, default=None), max(edges, default=None))

    def buckets(self) -> tuple[Bucket, ...]:
        """At most MOST_BUCKETS of one width, in order, without gaps."""
        if self.first is None or self.last is None:
            return ()
        length = self.last - self.first
        width = next((w for w in _WIDTHS if length / (w // _MICROSECOND) < MOST_BUCKETS - 1), None)
        step = (width or timedelta(days=math.ceil(length / 86_400e6 / (MOST_BUCKETS - 1)))) // _HOUR
        origin = self.first // _HOUR_MICROS // step * step
        totals: list[dict[str, int]] = [{} for _ in range((self.last // _HOUR_MICROS - origin) // step + 1)]
        for hour, counts in self.hours.items():
            number = (hour - origin) // step
            totals[number] = add_counts(totals[number], counts)
        return tuple(_bucket(origin + index * step, counts) for index, counts in enumerate(totals))


def timeline(findings: Findings, labels: Labels) -> Timeline:
    if not len(labels.at):
        return Timeline()
    rows = len(labels.at)
    hours, number = np.unique(labels.at // _HOUR_MICROS, return_inverse=True)
    compared, mismatched, unexplained = per_row(findings, rows)
    columns: dict[str, npt.NDArray[np.int64]] = {
        "rows": np.ones(rows, np.int64),
        "compared": compared,
        "mismatched": mismatched,
        UNEXPLAINED: unexplained,
    }
    sums = {name: np.bincount(number, weights=values).astype(np.int64).tolist() for name, values in columns.items()}
    sums |= {name: cells.tolist() for name, cells in per_bucket_causes(findings, number, len(hours)).items()}
    found = {
        hour: {name: totals[index] for name, totals in sums.items() if totals[index]}
        for index, hour in enumerate(hours.tolist())
    }
    return Timeline(found, int(labels.at.min()), int(labels.at.max()))


def _bucket(hour: int, counts: Mapping[str, int]) -> Bucket:
    causes = {cause.name: counts[cause.name] for cause in CAUSES if cause.name in counts}
    if UNEXPLAINED in counts:
        causes[UNEXPLAINED] = counts[UNEXPLAINED]
    return Bucket(
        start=EPOCH + hour * _HOUR,
        rows=counts.get("rows", 0),
        compared=counts.get("compared", 0),
        mismatched=counts.get("mismatched", 0),
        by_cause=causes,
    )
