"""Laws of a second environment: built from the lock or the record, it really trains, and a swap names it."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from trueup.errors import InputError, ModelError
from trueup.models.environment import HASH_SEED, Environment, Package, take_environment
from trueup_training.runtime import Runtime, moved_environment, moved_threads, own_variables, recorded_variables
from trueup_training.second_environment import LOCK, build_environment, interpreter, lend_trueup

HERE = take_environment()


def wheel(folder: Path, name: str, version: str) -> str:
    """A wheel with one module that knows its version; its SHA-256."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"VERSION = '{version}'\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: a\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_digest(text)},{len(text)}\n" for path, text in files.items())
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        for inside, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            file.writestr(zipfile.ZipInfo(inside), text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place to install from."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for tool in ("UV", "PIP"):
        monkeypatch.setenv(f"{tool}_NO_INDEX", "1")
        monkeypatch.setenv(f"{tool}_FIND_LINKS", str(folder))
    return folder


def recorded(**packages: str) -> Environment:
    return replace(HERE, packages=tuple(Package(name, version, None) for name, version in sorted(packages.items())))


def imported(python: Path, name: str) -> str:
    ask = f"import {name}; print({name}.VERSION)"
    return subprocess.run([str(python), "-c", ask], capture_output=True, text=True, check=True).stdout.strip()


def test_the_lock_of_the_commit_is_installed_and_what_was_recorded_otherwise_wins(tmp_path: Path, wheels: Path) -> None:
    hashes = {name: wheel(wheels, name, "1.0") for name in ("alpha", "beta")}
    wheel(wheels, "beta", "2.0")
    tree = tmp_path / "tree"
    tree.mkdir()
    lock = "".join(f"{name}==1.0 \\\n    --hash=sha256:{found}\n" for name, found in hashes.items())
    (tree / LOCK).write_text(lock)
    told: list[str] = []
    python = build_environment(recorded(beta="2.0", trueup="9.9"), tree, tmp_path / "built", told.append)
    assert (imported(python, "alpha"), imported(python, "beta")) == ("1.0", "2.0")
    assert told[1:] == [f"installing {LOCK} of the run's commit", "recorded otherwise than locked: beta==2.0"]
    assert interpreter(tmp_path / "built") == python

    (tree / LOCK).write_text(lock.replace(hashes["beta"], "0" * 64))
    with pytest.raises(ModelError, match=r"beta==1\.0 of the run cannot be installed: .*--environment DIR"):
        build_environment(recorded(), tree, tmp_path / "tampered", told.append)


def test_without_a_lock_the_recorded_versions_are_installed_and_one_that_is_nowhere_is_named(
    tmp_path: Path, wheels: Path
) -> None:
    wheel(wheels, "alpha", "1.0")
    tree = tmp_path / "tree"
    tree.mkdir()
    told: list[str] = []
    environment = recorded(alpha="1.0", **{"scikit-learn": "0.0.1"})
    with pytest.raises(ModelError, match=r"^scikit-learn==0\.0\.1 of the run cannot be installed: .*Set up an index"):
        build_environment(environment, tree, tmp_path / "built", told.append)
    elsewhere = replace(HERE, python="CPython 3.99.1")
    with pytest.raises(ModelError, match=r"trained in CPython 3\.99\.1; there is no python3\.99 on PATH"):
        build_environment(elsewhere, tree, tmp_path / "other", told.append)


def test_what_is_no_interpreter_is_said(tmp_path: Path) -> None:
    for wrong in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError, match="neither a virtual environment nor an interpreter"):
            interpreter(wrong)
    with pytest.raises(InputError, match="is no Python that runs"):
        lend_trueup(Path(shutil.which("true") or ""), tmp_path / "lent")


def test_an_interpreter_that_has_trueup_is_lent_nothing(tmp_path: Path) -> None:
    assert lend_trueup(Path(sys.executable), tmp_path / "lent") == ()
    assert not (tmp_path / "lent").exists()


def test_recorded_variables_are_restored_and_what_was_not_recorded_is_left() -> None:
    own = {"OMP_NUM_THREADS": "4", "TZ": "UTC", "HOME": "/root", HASH_SEED: "1"}
    then = replace(HERE, variables=(("OMP_NUM_THREADS", "1"),), text_variables=(("LANG", "C"),), hash_seed="random")
    assert recorded_variables(then, own) == {"OMP_NUM_THREADS": "1", "LANG": "C"}
    assert recorded_variables(replace(then, text_variables=None, hash_seed="7"), own) == {
        "OMP_NUM_THREADS": "1", "TZ": "UTC", HASH_SEED: "7",
    }  # fmt: skip
    assert "HOME" not in own_variables(own)


def test_threads_and_environment_are_swapped_apart() -> None:
    then = Runtime(Path("then"), {"OMP_NUM_THREADS": "1", "TZ": "CET"}, (Path("lent"),))
    now = Runtime(Path("now"), {"TZ": "UTC", "LANG": "C"})
    assert then.swapped(now, environment=False, threads=False) == then
    assert then.swapped(now, environment=True, threads=True) == now
    assert then.swapped(now, environment=False, threads=True) == replace(then, variables={"TZ": "CET"})
    both = {"OMP_NUM_THREADS": "1", "TZ": "UTC", "LANG": "C"}
    assert then.swapped(now, environment=True, threads=False) == replace(now, variables=both)
    assert list(moved_threads(then, now, (1, 1))) == ["OMP_NUM_THREADS: 1 -> none"]


def test_of_the_environment_threads_and_processors_are_left_out() -> None:
    pools = tuple(replace(pool, threads=pool.threads + 1) for pool in HERE.thread_pools)
    variables = tuple(sorted({**dict(HERE.variables), "OMP_NUM_THREADS": "77"}.items()))
    assert not [*moved_environment(HERE, replace(HERE, cpus=99, thread_pools=pools, variables=variables))]
    assert [*moved_environment(HERE, replace(HERE, hash_seed="5"))] == [f"hash seed: {HERE.hash_seed} -> 5"]
