"""What can change a number without a change of code or data: interpreter, libraries, processor, threads, locale, zone.

Taken at training, at serving start and in parity. No host name and no path: the same environment on two
machines has the same fingerprint. `environment_diff` says what a difference can do.
"""

from __future__ import annotations

import importlib
import json
import locale
import os
import platform
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from trueup.errors import InputError, ModelError
from trueup.hashing import digest
from trueup.models.distributions import installed

FORMAT = 2
"""Version of the JSON form. 1, which had no number: packages by version alone, no CPU features and no image."""

IMAGE_DIGEST = "TRUEUP_IMAGE_DIGEST"
"""Environment variable with the container image's digest. A process cannot ask for it, so the orchestrator sets it."""
_IMAGE = re.compile(r"sha256:[0-9a-f]{64}")

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
class Package:
    """An installed distribution. hash: of its contents; None when unknown (`distributions.content_hash`)."""

    name: str
    version: str
    hash: str | None


@dataclass(frozen=True)
class Environment:
    """The fingerprint. `hash` is equal exactly when every field is. None: not known.

    os: name and kernel release. libc: the C library, whose `exp` and `log` Python and others call. cpus: those this
    process may use. cpu_features: instruction sets that NumPy chooses its kernels by. packages, variables: sorted by
    name; what is not installed or not set is left out. locale: the C library's, by category. hash_seed: `random`
    unless PYTHONHASHSEED fixes it. image: digest of the container image, as `TRUEUP_IMAGE_DIGEST` has it.
    """

    python: str
    os: str
    libc: str | None
    machine: str
    cpus: int
    cpu_features: tuple[str, ...] | None
    packages: tuple[Package, ...]
    thread_pools: tuple[ThreadPool, ...]
    variables: tuple[tuple[str, str], ...]
    locale: str
    encoding: str
    time_zone: str
    hash_seed: str
    image: str | None

    @cached_property
    def hash(self) -> str:
        return digest(self.to_json())

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            **asdict(self),
            "cpu_features": None if self.cpu_features is None else list(self.cpu_features),
            "packages": {item.name: {"version": item.version, "hash": item.hash} for item in self.packages},
            "thread_pools": [asdict(pool) for pool in self.thread_pools],
            "variables": dict(self.variables),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Environment:
        """Of this form or the one before, whose absent parts are None. Raises ModelError for anything else."""
        form = data.get("format", 1)
        if form not in (1, FORMAT):
            raise ModelError(
                f"environment format {form!r} cannot be read; this version reads 1 and {FORMAT}.",
                hint="Use the version of trueup that wrote it, or a newer one.",
            )
        try:
            return _ADAPTER.validate_python(_fields(_from_1(data) if form == 1 else data))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ModelError(f"this environment cannot be read: {where}: {first['msg']}.") from error
        except (KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"this environment cannot be read ({type(error).__name__}: {error}).") from error


_ADAPTER = TypeAdapter(Environment)


def read_environment(content: bytes) -> Environment:
    """The JSON form as text. Raises ModelError when it is none."""
    try:
        data = json.loads(content)
    except ValueError as error:
        raise ModelError(f"this environment is not JSON: {error}.") from error
    if not isinstance(data, dict):
        raise ModelError(f"this environment is a {type(data).__name__}; expected a JSON object.")
    return Environment.from_json(data)


def take_environment(variables: Mapping[str, str] | None = None) -> Environment:
    """The fingerprint of this process. variables: its environment variables (default: `os.environ`).

    Loads scikit-learn's and SciPy's native libraries, where they are installed: seconds in a process that has not.
    Raises InputError for an image's digest that is none.
    """
    given = os.environ if variables is None else variables
    packages = ((name, installed(name)) for name in PACKAGES)
    return Environment(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        os=f"{platform.system()} {platform.release()}",
        libc=" ".join(filter(None, platform.libc_ver())) or None,
        machine=platform.machine(),
        cpus=_usable_cpus(),
        cpu_features=_cpu_features(),
        packages=tuple(
            sorted((Package(name, *found) for name, found in packages if found), key=lambda item: item.name)
        ),
        thread_pools=_thread_pools(),
        variables=tuple(sorted((name, given[name]) for name in VARIABLES if name in given)),
        locale=locale.setlocale(locale.LC_ALL),  # without a second argument it only asks
        encoding=sys.getfilesystemencoding(),
        time_zone=f"{'/'.join(time.tzname)} (UTC{-time.timezone / 3600:+g})",
        hash_seed=given.get("PYTHONHASHSEED", "random"),
        image=_image(given.get(IMAGE_DIGEST, "")),
    )


def _from_1(data: Mapping[str, Any]) -> dict[str, Any]:
    """Its `os` ended with the C library: system, release, library and version, each one word."""
    words = data["os"].split(" ")
    system, libc = (words[:-2], words[-2:]) if len(words) == 4 else (words, [])
    return {
        **data,
        "os": " ".join(system),
        "libc": " ".join(libc) or None,
        "cpu_features": None,
        "packages": {name: {"version": version, "hash": None} for name, version in data["packages"].items()},
        "image": None,
    }


def _fields(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **data,
        "packages": [{"name": name, **rest} for name, rest in sorted(data["packages"].items())],
        "variables": sorted(data["variables"].items()),
    }


def _cpu_features() -> tuple[str, ...] | None:
    """What NumPy was built for and what more it found: the choice of kernels its results depend on.

    Asked of NumPy and not of /proc/cpuinfo, whose flags change with the kernel and the hypervisor and mostly choose no
    arithmetic. `NPY_DISABLE_CPU_FEATURES` counts. OpenBLAS chooses by itself: see `ThreadPool.architecture`.
    """
    config = np.show_config(mode="dicts")
    simd = config.get("SIMD Extensions") if isinstance(config, dict) else None
    return None if simd is None else (*simd.get("baseline", ()), *simd.get("found", ()))


def _image(text: str) -> str | None:
    """The digest of the container image, None where nothing is said."""
    said = text.strip()
    if not said:
        return None
    if not _IMAGE.fullmatch(said):
        raise InputError(
            IMAGE_DIGEST,
            f"{IMAGE_DIGEST}: {said!r} is not an image's digest; expected sha256: and 64 hex digits in lower case.",
            hint="A tag or an image's name does not say which image it is: set what follows the @ in the image's "
            "reference, or leave it unset.",
        )
    return said


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
    return tuple(sorted(pools, key=_sorted_by))


def _sorted_by(pool: ThreadPool) -> tuple[str, str, str, str, int]:
    return pool.api, pool.library, pool.version or "", pool.architecture or "", pool.threads
