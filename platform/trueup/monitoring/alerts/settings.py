"""What the alerts go by: `[alerts]` and `[slo]` of `monitoring.toml`. Ratios are 0 to 1, times are seconds."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

from trueup.monitoring.buckets import SECONDS


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AlertSettings(_Section):
    """Thresholds, and where alerts go."""

    parity_mismatch_ratio: float = Field(default=0.001, ge=0, le=1)
    """Share of a view's compared values that may differ."""
    unexplained_cells: int = Field(default=0, ge=0)
    """How many values may differ without a cause."""
    null_ratio_increase: float = Field(default=0.05, gt=0, le=1)
    """By how much more of a feature may be absent when served than it was in training."""
    null_ratio_rows: int = Field(default=100, ge=1)
    """Of so many served rows within an hour, before that says anything."""
    drifted_features: int = Field(default=0, ge=0)
    """How many features of a model may have drifted."""
    quality_drop: float = Field(default=0.02, gt=0)
    """By how much a metric on matured outcomes may be worse than the holdout promised, in the metric's own units."""
    sample_ratio_p_value: float = Field(default=0.001, gt=0, lt=1)
    """Below it the variants' sizes are not chance."""
    missed_intervals: float = Field(default=3.0, gt=1)
    """A job that came to no result for so many of its intervals is not running."""
    hold_seconds: int = Field(default=300, ge=0)
    """How long a condition lasts before it is an alert (`for` of a rule)."""
    no_traffic_seconds: int = Field(default=600, ge=1)
    """How long nothing may be asked."""
    log_queue_ratio: float = Field(default=0.8, gt=0, lt=1)
    """How full the log's queue may be."""
    runbook_url: str = "infra/runbook.md"
    """The page with a section for each alert."""
    webhook: str | None = None
    """Where Alertmanager posts alerts; none: they are seen in Alertmanager and Grafana alone."""
    webhook_token_file: str | None = None
    """A file with the bearer token of the webhook, as Alertmanager sees it."""


class Objectives(_Section):
    """The service level objectives of the server, over 30 days."""

    availability: float = Field(default=0.999, gt=0, lt=1)
    """Share of requests that are answered without a 5xx."""
    latency_seconds: float = Field(default=0.1, gt=0)
    """A bucket bound of `trueup_request_seconds`."""
    latency: float = Field(default=0.99, gt=0, lt=1)
    """Share of requests that are answered within it."""

    @field_validator("latency_seconds")
    @classmethod
    def _bound(cls, seconds: float) -> float:
        if seconds not in SECONDS:
            listed = ", ".join(f"{bound:g}" for bound in SECONDS)
            raise PydanticCustomError("bucket", f"the server counts requests within {listed} seconds; name one of them")
        return seconds


class Scrape(_Section):
    """What Prometheus scrapes. serving, monitor: host:port of each."""

    serving: tuple[str, ...] = ("localhost:8080",)
    monitor: tuple[str, ...] = ("localhost:9464",)
    alertmanager: tuple[str, ...] = ("localhost:9093",)
    interval_seconds: int = Field(default=15, ge=1)
