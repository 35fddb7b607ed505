"""Laws of `trueup env`: what is shown can be read again, and the exit code says whether anything differs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.trueup.models.test_environment import OLD
from tests.trueup.models.tracking.stores import FINISHED, training_run
from typer.testing import CliRunner, Result

from trueup.cli import app
from trueup.errors import TrueupError
from trueup.models.environment import Environment, Package, read_environment, take_environment
from trueup.models.tracking import Tracking

HERE = take_environment()


def run(*words: str) -> Result:
    result = CliRunner().invoke(app, ["env", *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., str]:
    """Writes this environment with changes to a file, and gives its path."""

    def write(**changes: Any) -> str:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.json"
        path.write_text(json.dumps(replace(HERE, **changes).to_json()))
        return str(path)

    return write


def with_numpy(version: str) -> tuple[Package, ...]:
    return tuple(replace(item, version=version) if item.name == "numpy" else item for item in HERE.packages)


@pytest.fixture(scope="module")
def tracking_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with the model `buyers` version 1, alias champion, trained with NumPy 1.0."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('env')}/mlflow.db"
    tracking = Tracking(uri)
    trained = training_run(environment=replace(HERE, packages=with_numpy("1.0")))
    version = tracking.register(tracking.log(trained, finished=FINISHED)).version
    tracking.set_alias("buyers", "champion", version)
    return uri


def test_what_is_shown_as_json_is_read_again() -> None:
    assert read_environment(run("show", "--json").stdout.encode()) == HERE


def test_the_table_names_what_there_is_and_fits() -> None:
    shown = run("show").stdout
    for text in ("package numpy", "C library", "CPU features", "openmp", "time zone", HERE.hash[:12]):
        assert text in shown
    assert max(len(line) for line in shown.splitlines()) <= 100


@pytest.mark.parametrize("side", [".", "here"])
def test_this_process_has_no_difference_from_itself(written: Callable[..., str], side: str) -> None:
    result = run("diff", written(), side)
    assert result.exit_code == 0
    assert "No difference." in result.stdout


def test_differences_are_ranked_and_the_exit_code_is_1(written: Callable[..., str]) -> None:
    other = written(time_zone="[red]JST", packages=with_numpy("1.0"), os="Plan 9")
    result = run("diff", "here", other)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    starts = [next(at for at, line in enumerate(lines) if line.startswith(part)) for part in (
        "package numpy", "time zone", "operating system", "3 differences, 1 in arithmetic.",
    )]  # fmt: skip
    assert starts == sorted(starts)
    assert "[red]JST" in result.stdout
    assert max(len(line) for line in lines[2:]) <= 100


def test_as_json_it_is_the_differences_and_the_unknown(written: Callable[..., str]) -> None:
    result = run("diff", written(image=None), written(image="sha256:1", hash_seed="7"), "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert [(each["part"], each["tier"], each["a"], each["b"]) for each in found["differences"]] == [
        ("hash seed", "text and time", HERE.hash_seed, "7")
    ]
    assert ("image", "unknown", "sha256:1") in [(each["part"], each["a"], each["b"]) for each in found["unknown"]]


def test_a_model_stands_for_the_environment_it_was_trained_in(tracking_uri: str) -> None:
    here = {item.name: item.version for item in HERE.packages}["numpy"]
    for model in ("buyers@champion", "buyers/1"):
        result = run("diff", model, "here", "--tracking-uri", tracking_uri, "--json")
        assert result.exit_code == 1
        (found,) = json.loads(result.stdout)["differences"]
        assert (found["part"], found["a"], found["b"]) == ("package numpy", "1.0", here)
    assert run("diff", "buyers@champion", "buyers/1", "--tracking-uri", tracking_uri).exit_code == 0


def test_an_environment_of_the_form_before_is_compared_and_its_gaps_are_named(tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    old.write_text(json.dumps(OLD))
    older = tmp_path / "new.json"
    older.write_text(json.dumps(Environment.from_json(OLD).to_json()))
    result = run("diff", str(old), str(older))
    assert result.exit_code == 0
    said = " ".join(result.stdout.split())
    assert (
        "4 parts are not known: package numpy contents, CPU features, package duckdb contents, variables of text"
        in said
    )


@pytest.mark.parametrize(
    ("side", "says"),
    [
        ("nothing.json", r"nothing\.json cannot be read: No such file"),
        ("buyers", "'buyers' is no file and names no version of a model; expected . or here, a JSON file, NAME@ALIAS"),
        ("buyers@nobody", "has no alias 'nobody'"),
        ("sellers/1", "'sellers' is not registered"),
    ],
)
def test_what_is_no_environment_is_named(tracking_uri: str, side: str, says: str) -> None:
    with pytest.raises(TrueupError, match=says):
        run("diff", side, "here", "--tracking-uri", tracking_uri)


def test_a_file_that_is_no_environment_is_named_with_what_writes_one(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(TrueupError, match=r"a\.json: this environment cannot be read.*trueup env show --json"):
        run("diff", "here", str(tmp_path / "a.json"))


def test_what_could_not_run_exits_with_2_and_one_message(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "trueup", "env", "diff", "here", str(tmp_path / "none.json")],
        capture_output=True,
        text=True,
        env={**os.environ},
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "none.json cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["show", "diff"])
def test_the_help_has_an_example(command: str) -> None:
    assert f"Example: trueup env {command}" in " ".join(run(command, "--help").stdout.split())
