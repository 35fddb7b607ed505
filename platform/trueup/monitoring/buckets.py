"""Bounds of the histograms' buckets: what the server counts by, and objectives and dashboards may ask for."""

from __future__ import annotations

SECONDS = (0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Of requests, look-ups and variants."""
PREDICTION = tuple(tenth / 10 for tenth in range(1, 11))
AGE_SECONDS = (60, 300, 900, 1800, 3600, 7200, 14400, 28800, 86400, 172800, 604800, 2592000, 7776000, 31536000)
"""Of features: a minute to a year."""
