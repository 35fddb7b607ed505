"""What can change a number without a change of code or data: interpreter, libraries, threads, locale, clock zone.

Taken at training, at serving start and in parity. No host name and no path: the same environment on two
machines has the same fingerprint.
"""

from __future__ import annotations

import importlib
import locale
import os
import platform
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from trueup.hashing import digest

PACKAGES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "pyarrow",
    "duckdb",
    "feast",
    "mlflow",
    "mlflow-skinny",
    "skops",
    "joblib",
    "threadpoolctl",
    "protobuf",
    "redis",
    "trueup",
)
"""Distributions whose version can change a value or a prediction."""

VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "OPENBLAS_CORETYPE",
    "MKL_NUM_THREADS",
    "MKL_CBWR",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NPY_DISABLE_CPU_FEATURES",
    "NPY_ENABLE_CPU_FEATURES",
)
"""Environment variables that set threads or choose arithmetic kernels."""


@dataclass(frozen=True)
class ThreadPool:
    """One native library with threads of its own: a BLAS or an OpenMP runtime.

    architecture: the processor its kernels were chosen for (BLAS only), such as SkylakeX.
    """

    api: str
    library: str
    version: str | None
    architecture: str | None
    threads: int


@dataclass(frozen=True)
class Environment:
    """The fingerprint. `hash` is equal exactly when every field is.

    cpus: those this process may use. packages, variables: sorted by name; what is not installed or not set is
    left out. locale: the C library's, by category. hash_seed: `random` unless PYTHONHASHSEED fixes it.
    """

    python: str
    os: str
    machine: str
    cpus: int
    packages: tuple[tuple[str, str], ...]
    thread_pools: tuple[ThreadPool, ...]
    variables: tuple[tuple[str, str], ...]
    locale: str
    encoding: str
    time_zone: str
    hash_seed: str

    @cached_property
    def hash(self) -> str:
        return digest(self.to_json())

    def to_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "packages": dict(self.packages),
            "thread_pools": [asdict(pool) for pool in self.thread_pools],
            "variables": dict(self.variables),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Environment:
        return cls(
            **{
                **data,
                "packages": tuple(sorted(data["packages"].items())),
                "thread_pools": tuple(ThreadPool(**pool) for pool in data["thread_pools"]),
                "variables": tuple(sorted(data["variables"].items())),
            }
        )


def take_environment(variables: Mapping[str, str] | None = None) -> Environment:
    """The fingerprint of this process. variables: its environment variables (default: `os.environ`)."""
    given = os.environ if variables is None else variables
    libc, libc_version = platform.libc_ver()
    return Environment(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        os=" ".join(filter(None, (platform.system(), platform.release(), libc, libc_version))),
        machine=platform.machine(),
        cpus=_usable_cpus(),
        packages=tuple(sorted((name, found) for name in PACKAGES if (found := _installed(name)) is not None)),
        thread_pools=_thread_pools(),
        variables=tuple(sorted((name, given[name]) for name in VARIABLES if name in given)),
        locale=locale.setlocale(locale.LC_ALL),  # without a second argument it only asks
        encoding=sys.getfilesystemencoding(),
        time_zone=f"{'/'.join(time.tzname)} (UTC{-time.timezone / 3600:+g})",
        hash_seed=given.get("PYTHONHASHSEED", "random"),
    )


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _installed(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _thread_pools() -> tuple[ThreadPool, ...]:
    """Empty without scikit-learn, whose dependency threadpoolctl is: such a process has no model to run."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return ()
    # A library is listed once it is loaded, so load them all: else the fingerprint would depend on what ran before.
    for module in ("numpy.linalg", "scipy.linalg", "sklearn.ensemble"):
        importlib.import_module(module)
    pools = {
        ThreadPool(
            api=str(pool["user_api"]),
            library=str(pool["prefix"]),
            version=pool.get("version"),
            architecture=pool.get("architecture"),
            threads=int(pool["num_threads"]),
        )
        for pool in threadpool_info()
    }
    return tuple(sorted(pools, key=lambda pool: (pool.api, pool.library, pool.version or "", pool.threads)))
