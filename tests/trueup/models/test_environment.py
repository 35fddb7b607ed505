"""Laws of `Environment`: the same surroundings have the same hash, and each difference that matters changes it."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from importlib.metadata import version
from typing import Any

import numpy as np
import pytest

from trueup.errors import InputError, ModelError
from trueup.models.environment import (
    IMAGE_DIGEST,
    Environment,
    Package,
    ThreadPool,
    read_environment,
    take_environment,
)

OLD = {
    "python": "CPython 3.11.7",
    "os": "Linux 6.1.0 glibc 2.36",
    "machine": "x86_64",
    "cpus": 2,
    "packages": {"numpy": "2.4.6", "duckdb": "1.4.0"},
    "thread_pools": [
        {"api": "openmp", "library": "libgomp", "version": None, "architecture": None, "threads": 2},
    ],
    "variables": {"OMP_NUM_THREADS": "2"},
    "locale": "C",
    "encoding": "utf-8",
    "time_zone": "UTC/UTC (UTC+0)",
    "hash_seed": "random",
}
"""As it was logged before the form had a number."""


def test_an_environment_survives_json_with_the_same_hash() -> None:
    taken = take_environment()
    again = Environment.from_json(json.loads(json.dumps(taken.to_json())))
    assert json.loads(json.dumps(taken.to_json())) == taken.to_json()
    assert again == taken
    assert again.hash == taken.hash


def test_it_names_what_is_installed_and_the_arithmetic_libraries() -> None:
    taken = take_environment()
    packages = {item.name: item for item in taken.packages}
    assert packages["numpy"].version == version("numpy")
    assert packages["scikit-learn"].version == version("scikit-learn")
    assert len(packages["numpy"].hash or "") == 64
    assert taken.cpu_features
    assert {pool.api for pool in taken.thread_pools} >= {"blas", "openmp"}
    assert taken.cpus >= 1


def test_it_holds_no_path_and_no_host() -> None:
    text = json.dumps(take_environment().to_json())
    assert sys.prefix not in text
    assert os.uname().nodename not in text


def test_what_the_process_did_before_does_not_change_it() -> None:
    take = "from trueup.models.environment import take_environment; print(take_environment().hash)"
    hashes = {
        subprocess.run(
            [sys.executable, "-c", before + take], capture_output=True, text=True, check=True, env={**os.environ}
        ).stdout
        for before in ("", "import sklearn.ensemble, pandas; ")
    }
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("python", "CPython 2.7.18"),
        ("os", "Plan 9"),
        ("libc", "musl 1.2"),
        ("cpu_features", ("X86_V2",)),
        ("image", "sha256:0"),
        ("machine", "vax"),
        ("cpus", 4096),
        ("packages", (Package("numpy", "1.0", None),)),
        ("thread_pools", (ThreadPool("blas", "libmkl", None, None, 3),)),
        ("variables", (("OMP_NUM_THREADS", "3"),)),
        ("locale", "tr_TR.UTF-8"),
        ("encoding", "latin-1"),
        ("time_zone", "NPT/NPT (UTC+5.75)"),
        ("hash_seed", "12"),
    ],
)
def test_every_difference_changes_the_hash(name: str, value: Any) -> None:
    taken = take_environment()
    assert dataclasses.replace(taken, **{name: value}).hash != taken.hash


def test_thread_variables_and_the_hash_seed_are_read_from_the_given_variables() -> None:
    taken = take_environment({"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "HOME": "/nowhere"})
    assert taken.variables == (("OMP_NUM_THREADS", "1"),)
    assert taken.hash_seed == "0"
    assert take_environment({}).hash_seed == "random"


def test_the_image_is_what_the_orchestrator_says_it_is() -> None:
    assert take_environment({IMAGE_DIGEST: f"sha256:{'12' * 32}\n"}).image == f"sha256:{'12' * 32}"
    assert take_environment({IMAGE_DIGEST: ""}).image is None
    assert take_environment({}).image is None


@pytest.mark.parametrize(
    "said",
    ["sha256:12", "latest", "12" * 32, f"sha256:{'AB' * 32}", f"repo/image@sha256:{'12' * 32}", f"sha512:{'1' * 64}"],
)
def test_what_is_no_images_digest_is_an_error_that_names_the_variable(said: str) -> None:
    with pytest.raises(InputError, match="expected sha256: and 64 hex digits") as refused:
        take_environment({IMAGE_DIGEST: said})
    assert (refused.value.field, said in str(refused.value)) == (IMAGE_DIGEST, True)


def test_the_processor_features_are_those_numpy_dispatches_on() -> None:
    ask = "from trueup.models.environment import take_environment; print(*take_environment().cpu_features)"
    found = take_environment().cpu_features or ()
    baseline = np.show_config(mode="dicts")["SIMD Extensions"]["baseline"]
    without = {"NPY_DISABLE_CPU_FEATURES": " ".join(name for name in found if name not in baseline)}
    done = subprocess.run(
        [sys.executable, "-c", ask], capture_output=True, text=True, check=True, env={**os.environ, **without}
    )
    assert done.stdout.split() == list(baseline)


def test_the_form_before_is_read_and_what_it_had_not_is_unknown() -> None:
    read = read_environment(json.dumps(OLD).encode())
    assert (read.os, read.libc) == ("Linux 6.1.0", "glibc 2.36")
    assert (read.cpu_features, read.image) == (None, None)
    assert read.packages == (Package("duckdb", "1.4.0", None), Package("numpy", "2.4.6", None))
    assert read.variables == (("OMP_NUM_THREADS", "2"),)
    assert read.thread_pools == (ThreadPool("openmp", "libgomp", None, None, 2),)
    assert Environment.from_json(read.to_json()) == read


def test_a_system_whose_c_library_had_no_name_has_an_unknown_one() -> None:
    assert Environment.from_json({**OLD, "os": "Darwin 23.1.0"}).libc is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is not JSON"),
        (b"[]", "is a list; expected a JSON object"),
        (b"{}", r"cannot be read \(KeyError: 'os'\)"),
        (json.dumps({**OLD, "format": 3}).encode(), "format 3 cannot be read; this version reads 1 and 2"),
        (json.dumps({**OLD, "cpus": "many"}).encode(), "cannot be read: cpus: "),
        (json.dumps({**OLD, "packages": ["numpy"]}).encode(), "cannot be read"),
        (json.dumps({**OLD, "thread_pools": [{}]}).encode(), r"cannot be read: thread_pools\.0\.api"),
    ],
)
def test_what_is_no_environment_is_refused_in_one_message(content: bytes, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        read_environment(content)
