"""What the alerts go by: `[alerts]` and `[slo]` of `monitoring.toml`. Ratios are 0 to 1, times are seconds."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AlertSettings(_Section):
    """Thresholds. `hold_seconds`: how long a condition must last before it pages (`for` of a rule)."""

    parity_mismatch_ratio: float = Field(default=0.001, ge=0, le=1)
    """Share of a view's compared values that may differ."""
    unexplained_cells: int = Field(default=0, ge=0)
    """How many values may differ without a cause."""
    null_ratio_increase: float = Field(default=0.05, gt=0, le=1)
    """By how much more of a feature may be absent when served than it was in training."""
    drifted_features: int = Field(default=0, ge=0)
    """How many features of a model may have drifted."""
    quality_drop: float = Field(default=0.02, gt=0)
    """By how much a score on matured outcomes may be below what the holdout promised, in the score's own units."""
    sample_ratio_p_value: float = Field(default=0.001, gt=0, lt=1)
    """Below it the variants' sizes are not chance."""
    missed_intervals: float = Field(default=3.0, gt=1)
    """A job that did not run for so many of its intervals is not running."""
    hold_seconds: int = Field(default=300, ge=0)
    no_traffic_seconds: int = Field(default=600, ge=1)


class Objectives(_Section):
    """The service level objectives of the server, over 30 days."""

    availability: float = Field(default=0.999, gt=0, lt=1)
    """Share of requests that are answered without a 5xx."""
    latency_seconds: float = Field(default=0.1, gt=0)
    """A bucket bound of `trueup_request_seconds`."""
    latency: float = Field(default=0.99, gt=0, lt=1)
    """Share of requests that are answered within it."""
