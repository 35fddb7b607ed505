"""Another interpreter to train in: one the user names, or one built from what the run recorded.

What it lacks of trueup itself is lent from the trueup that runs this; packages that compute are never lent.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

from trueup.datasets.training_set import Progress
from trueup.errors import InputError, ModelError
from trueup.models.environment import Environment

BUILD = "build"
LOCK = "requirements.lock"
"""In the root of the run's git repository, as it was at its commit."""
_OWN = ("trueup", "trueup_training", "trueup_serving", "trueup_demo")
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)")
_BY_HAND = "Build the environment by hand and name it: --environment DIR."
_ASK = """
import json
from importlib.metadata import entry_points
from importlib.util import find_spec
commands = [each for each in entry_points(group="trueup.commands") if each.name == "train"]
print(json.dumps(bool(commands) and all(find_spec(name) for name in ("trueup", "trueup_training"))))
"""


def interpreter(place: Path) -> Path:
    """place: a virtual environment's folder, or an interpreter. Raises InputError when it is neither."""
    found = place / "bin" / "python" if place.is_dir() else place
    if not found.is_file() or not os.access(found, os.X_OK):
        raise InputError(
            "environment",
            f"environment: {place} is neither a virtual environment nor an interpreter.",
            hint=f"Name one of the two, or `{BUILD}` to build what the run was trained in.",
        )
    # Not resolved: a virtual environment's interpreter is a link, and what it is depends on where it is called.
    return found.absolute()


def lend_trueup(python: Path, folder: Path) -> tuple[Path, ...]:
    """What to put on the path of an interpreter so that it has trueup: nothing where it has.

    folder: to put links to the running trueup and its list of commands in. Raises InputError when the interpreter does
    not run.
    """
    done = subprocess.run(  # noqa: S603 - an interpreter that the user named, and our own script
        [str(python), "-c", _ASK], capture_output=True, text=True, check=False
    )
    try:
        has_it = json.loads(done.stdout)
    except ValueError as error:
        raise InputError(
            "environment", f"environment: {python} is no Python that runs: {_last(done.stderr)}."
        ) from error
    if has_it:
        return ()
    own = distribution("trueup")
    metadata = folder / f"trueup-{own.version}.dist-info"
    metadata.mkdir(parents=True)
    for name in ("METADATA", "entry_points.txt"):
        (metadata / name).write_text(own.read_text(name) or "", encoding="utf-8")
    for package in _OWN:
        spec = find_spec(package)
        if spec is not None and spec.submodule_search_locations:
            (folder / package).symlink_to(next(iter(spec.submodule_search_locations)))
    return (folder,)


def build_environment(recorded: Environment, tree: Path, folder: Path, tell: Progress) -> Path:
    """The interpreter of a new virtual environment with the packages of the run.

    tree: the run's commit. Its `requirements.lock` is installed, each hash checked; what the run was recorded with
    otherwise than the lock says wins; without a lock, the recorded versions are installed. Raises ModelError that names
    what cannot be had.
    """
    python = _new(recorded, folder, tell)
    pins = {item.name: item.version for item in recorded.packages if item.name not in _OWN}
    lock = tree / LOCK
    if not lock.is_file():
        tell("no lock at the run's commit: the recorded versions are installed")
        _install(python, [f"{name}=={version}" for name, version in pins.items()], (), pins)
        return python
    text = lock.read_text(encoding="utf-8")
    locked = _locked(text)
    tell(f"installing {LOCK} of the run's commit")
    _install(python, [], ("-r", str(lock), *(("--require-hashes",) if "--hash=" in text else ())), locked)
    other = [f"{name}=={version}" for name, version in pins.items() if version not in locked.get(name, version)]
    if other:
        tell(f"recorded otherwise than locked: {', '.join(other)}")
        _install(python, other, ("--no-deps",), pins)
    return python


def _new(recorded: Environment, folder: Path, tell: Progress) -> Path:
    words = recorded.python.split()
    version = words[-1].rpartition(".")[0]
    here = ".".join(map(str, sys.version_info[:2]))
    base = getattr(sys, "_base_executable", sys.executable) if version == here else shutil.which(f"python{version}")
    if base is None:
        raise ModelError(
            f"the run was trained in {recorded.python}; there is no python{version} on PATH to build its environment.",
            hint=f"Install it. {_BY_HAND}",
        )
    tell(f"virtual environment of Python {version}")
    done = subprocess.run(  # noqa: S603 - an interpreter of this machine
        [base, "-m", "venv", "--without-pip", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ModelError(
            f"python{version} cannot make a virtual environment: {_last(done.stdout + done.stderr)}.", hint=_BY_HAND
        )
    return folder / "bin" / "python"


def _install(python: Path, wanted: Sequence[str], options: Sequence[str], known: Mapping[str, object]) -> None:
    """By uv where there is one; by pip where uv fails too, which may be set up for another index."""
    said = "there is neither uv nor pip here"
    for command in _installers(python):
        done = subprocess.run(  # noqa: S603 - uv or pip, with requirements that the run recorded
            [*command, *options, *wanted], capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return
        said = done.stderr or done.stdout
    guilty = _guilty(said, known)
    what = f"{guilty} of the run" if guilty else "what the run was trained with"
    raise ModelError(
        f"{what} cannot be installed: {_reason(said, guilty)}.",
        hint=f"Set up an index that has it (as for pip). {_BY_HAND}",
    )


def _installers(python: Path) -> list[list[str]]:
    """Of this process's own, told to install there: the new environment needs neither."""
    beside = Path(sys.executable).parent / "uv"
    uv = str(beside) if beside.is_file() else shutil.which("uv")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--quiet", "--disable-pip-version-check", "install"]
    return [
        *([[uv, "--quiet", "pip", "install", "--python", str(python)]] if uv else []),
        *([pip] if find_spec("pip") else []),
    ]


def _locked(text: str) -> dict[str, set[str]]:
    """Name -> the versions a lock allows (more than one where markers choose)."""
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if match := _PINNED.match(line):
            found.setdefault(re.sub(r"[-_.]+", "-", match[1]).lower(), set()).add(match[2])
    return found


def _guilty(said: str, known: Mapping[str, object]) -> str | None:
    """The requirement that the installer's message is about."""
    for name, version in re.findall(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9.+!*_-]*[A-Za-z0-9*])", said):
        if re.sub(r"[-_.]+", "-", name).lower() in known:
            return f"{name}=={version}"
    return None


def _reason(said: str, guilty: str | None) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    about = [line for line in lines if guilty and guilty in line]
    return (about or lines or ["the installer said nothing"])[-1].removeprefix("ERROR: ").rstrip(".")


def _last(said: str) -> str:
    lines = said.strip().splitlines()
    return lines[-1].rstrip(".") if lines else "it said nothing"
