"""Laws of `Environment`: the same surroundings have the same hash, and each difference that matters changes it."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from importlib.metadata import version
from typing import Any

import pytest

from trueup.models.environment import Environment, ThreadPool, take_environment


def test_an_environment_survives_json_with_the_same_hash() -> None:
    taken = take_environment()
    again = Environment.from_json(json.loads(json.dumps(taken.to_json())))
    assert again == taken
    assert again.hash == taken.hash


def test_it_names_what_is_installed_and_the_arithmetic_libraries() -> None:
    taken = take_environment()
    packages = dict(taken.packages)
    assert packages["numpy"] == version("numpy")
    assert packages["scikit-learn"] == version("scikit-learn")
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
        ("machine", "vax"),
        ("cpus", 4096),
        ("packages", (("numpy", "1.0"),)),
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
