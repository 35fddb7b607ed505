"""Shared by every test: a fixed Hypothesis profile, and no telemetry."""

from __future__ import annotations

import os

# Before anything of Feast: `feast.metrics` (imported by its first read) switches prometheus_client to shared files, one
# set for the whole process, if it comes first; every server of a test then counts into the same numbers. pytest-xdist's
# workers inherit the variable of a parent that has imported it.
for name in ("PROMETHEUS_MULTIPROC_DIR", "PROMETHEUS_MULTIPROCESS_DIR", "prometheus_multiproc_dir"):
    os.environ.pop(name, None)
import prometheus_client  # noqa: E402, F401
from hypothesis import HealthCheck, settings  # noqa: E402

# Same examples in every run (no flake, no luck); `--hypothesis-seed` or the profile `search` explores.
settings.register_profile(
    "ci", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("search", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# Before any library reads it: on shared processors, OpenMP's threads wait for each other far longer than they work.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
