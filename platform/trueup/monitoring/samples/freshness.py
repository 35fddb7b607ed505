"""Freshness as metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily

from trueup.monitoring.freshness import ViewFreshness
from trueup.monitoring.samples.text import Gauges


def freshness_samples(views: Iterable[ViewFreshness]) -> Iterator[GaugeMetricFamily]:
    """What is not known has no sample: an alert on its age must not take it for 1970."""
    found = Gauges()
    for each in views:
        for name, help_text, value in (
            ("fresh", "0: late for its cadence, empty, or all of it expired.", float(each.fresh)),
            ("materialized_timestamp_seconds", "When a run last finished.", _seconds(each.materialized_at)),
            ("known_timestamp_seconds", "Up to when the last run read what was known.", _seconds(each.known_at)),
            ("newest_event_timestamp_seconds", "The newest event time online.", _seconds(each.online.newest)),
            ("entities", "Entities online that were looked at.", float(each.online.entities)),
            ("expired_entities", "Of them, older than the TTL.", float(each.online.expired)),
            ("ttl_seconds", "As declared.", None if each.ttl is None else each.ttl.total_seconds()),
            ("cadence_seconds", "As declared; 0: none.", each.cadence.total_seconds()),
            ("delay_seconds", "As declared.", each.delay.total_seconds()),
        ):
            found.add(f"trueup_view_{name}", help_text, value, view=each.view)
    yield from found


def _seconds(instant: datetime | None) -> float | None:
    return None if instant is None else instant.timestamp()
