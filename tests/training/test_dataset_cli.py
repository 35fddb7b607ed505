"""Laws of `trueup dataset`: exit codes, what is printed, and that one command's output is the next one's input."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from tests.training import changed, shop
from typer.testing import CliRunner

from trueup.console import output
from trueup.errors import DatasetError, InputError
from trueup_training.cli import add_commands

Command = Callable[..., Result]
COLUMNS = 100


@pytest.fixture
def command(own_repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """trueup with a repository and a datasets folder of the test's own, exit code checked."""
    monkeypatch.setenv("TRUEUP_REPO", str(own_repo))
    monkeypatch.setenv("TRUEUP_TRACKING_URI", f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    app = typer.Typer()
    add_commands(app)

    def command(*words: object, code: int = 0) -> Result:
        result = CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)
        assert result.exit_code == code, result.output
        return result

    return command


@pytest.fixture
def built(command: Command, recipe_file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(command("dataset", "build", recipe_file, "--json").stdout)
    return found


def variant(recipe_file: Path, tmp_path: Path, *changes: tuple[str, str]) -> Path:
    text = recipe_file.read_text(encoding="utf-8")
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    path = tmp_path / "variant.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_snapshot_goes_beside_the_tracking_store_unless_asked_otherwise(
    built: dict[str, Any], command: Command, recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Path(built["folder"]) == tmp_path / "mlruns" / "datasets" / "shop" / built["id"]
    monkeypatch.setenv("TRUEUP_DATASETS", str(tmp_path / "set"))
    again = json.loads(command("dataset", "build", recipe_file, "--json").stdout)
    assert again == {**built, "folder": str(tmp_path / "set" / "shop" / built["id"])}
    asked = json.loads(command("dataset", "build", recipe_file, "--out", tmp_path / "out", "--json").stdout)
    assert Path(asked["folder"]).is_relative_to(tmp_path / "out")


def test_the_id_can_go_to_a_file_which_the_next_command_reads(
    command: Command, recipe_file: Path, tmp_path: Path
) -> None:
    id_file = tmp_path / "results" / "shop.snapshot"
    built = json.loads(command("dataset", "build", recipe_file, "--id-file", id_file, "--json").stdout)
    assert id_file.read_text(encoding="utf-8") == built["id"] + "\n"
    with pytest.raises(InputError, match=r"--id-file .* cannot be written: "):
        command("dataset", "build", recipe_file, "--id-file", tmp_path)


def test_one_that_is_not_here_is_said_to_be_restored_from_dvc(command: Command, tmp_path: Path) -> None:
    for words in (["verify", "abcd"], ["diff", "abcd", "abcd"]):
        with pytest.raises(DatasetError, match=r"comes back with: trueup dataset restore ID"):
            command("dataset", *words)
    with pytest.raises(InputError, match=r"repo: .*absent is no folder"):
        command("dataset", "restore", "abcd", "--repo", tmp_path / "absent")


def test_building_prints_the_id_the_rule_and_the_parts(command: Command, recipe_file: Path) -> None:
    said = command("dataset", "build", recipe_file).stdout
    assert "known_at = served, pinned 2024-02-10T00:00:00Z" in said
    assert "2 with no answer in time" in said
    assert "event_timestamps.parquet  2,948" in said


def test_a_whole_snapshot_passes_by_folder_and_by_id(built: dict[str, Any], command: Command) -> None:
    for ref in (built["folder"], built["id"], built["id"][:8]):
        assert "PASS" in command("dataset", "verify", ref).stdout
    found = json.loads(command("dataset", "verify", built["id"], "--rebuild", "--json").stdout)
    assert (found["verdict"], found["id"], found["problems"]) == ("pass", built["id"], [])
    assert found["rebuilt"]["same"] is True


@pytest.mark.parametrize("name", ["manifest.json", "rows.parquet", "features.parquet"])
def test_a_flipped_byte_fails_and_is_named(built: dict[str, Any], command: Command, name: str) -> None:
    path = Path(built["folder"], name)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    assert name in command("dataset", "verify", built["id"], code=1).stdout
    found = json.loads(command("dataset", "verify", built["folder"], "--rebuild", "--json", code=1).stdout)
    assert found["verdict"] == "fail"
    assert name in found["problems"][0]
    assert found["rebuilt"] is None


def test_built_again_after_late_data_it_is_the_same(built: dict[str, Any], command: Command, own_repo: Path) -> None:
    later = shop.PINNED + timedelta(days=30)
    changed.load_lands_late(own_repo, created=later)
    changed.orders_land_late(own_repo, known=later)
    assert "the same bytes" in command("dataset", "verify", built["id"], "--rebuild").stdout


def test_built_again_after_a_restatement_it_says_which_rows_and_features(
    built: dict[str, Any], command: Command, own_repo: Path, tmp_path: Path
) -> None:
    early = shop.PINNED - timedelta(days=3)
    changed.restate(own_repo, "facts", "kind", lambda row: "yard" if row["site"] == "Oslo" else row["kind"])
    changed.restate(own_repo, "orders", "known", lambda row: row["known"] + timedelta(days=9 * (row["known"] > early)))
    printed = command("dataset", "verify", built["id"], "--rebuild", code=1).stdout
    assert "facts__kind" in printed
    assert "late_data" in printed
    found = json.loads(command("dataset", "verify", built["id"], "--rebuild", "--json", code=1).stdout)["rebuilt"]
    kind = next(column for column in found["columns"] if column["column"] == "facts__kind")
    assert kind["reasons"] == ["late_data"]
    assert (kind["samples"][0]["a"], kind["samples"][0]["b"]) == ("hub", "yard")
    assert found["only_a"]["reasons"] == {"late_data": found["only_a"]["rows"]}
    assert found["only_a"]["rows"] > 0
    # What was built to compare is not kept.
    assert [path.name for path in (tmp_path / "mlruns" / "datasets" / "shop").iterdir()] == [built["id"]]


def test_a_definition_in_the_registry_that_changed_since_does_not_matter(
    built: dict[str, Any], command: Command, own_repo: Path
) -> None:
    (own_repo / "data" / "registry.db").unlink()
    assert "the same bytes" in command("dataset", "verify", built["id"], "--rebuild").stdout


def test_a_source_that_is_gone_is_could_not_run(built: dict[str, Any], command: Command, own_repo: Path) -> None:
    (own_repo / "data" / "orders.parquet").unlink()
    with pytest.raises(Exception, match="table 'orders' cannot be read"):
        command("dataset", "verify", built["id"], "--rebuild")


def test_a_difference_names_inputs_rows_features_and_cells(
    built: dict[str, Any], command: Command, recipe_file: Path, tmp_path: Path
) -> None:
    changes = (('known_at = "served"', 'known_at = "unbounded"'), ("start = 2024-01-02", "start = 2024-01-03"))
    path = variant(recipe_file, tmp_path, *changes)
    other = json.loads(command("dataset", "build", path, "--json").stdout)
    found = json.loads(command("dataset", "diff", built["id"], other["id"], "--json", code=1).stdout)
    assert [(change["reason"], change["part"]) for change in found["changes"]] == [
        ("as_of", "known_at"),
        ("window", "train"),
    ]
    assert found["only_a"]["reasons"] == {"window": 69}
    assert {column["column"]: column["reasons"] for column in found["columns"]} == {
        "load__level": ["as_of"],
        "load__open": ["as_of"],
    }
    printed = command("dataset", "diff", built["folder"], other["folder"], code=1).stdout
    for said in ("served -> unbounded", "69 only in A (window 69)", "load__level", "2024-01-03T00:17:46Z"):
        assert said in printed
    assert output.width == COLUMNS
    assert max(map(len, printed.splitlines())) <= COLUMNS


def test_a_sample_is_named_as_the_reason_of_missing_rows(
    built: dict[str, Any], command: Command, recipe_file: Path, tmp_path: Path
) -> None:
    path = variant(recipe_file, tmp_path, ('label = "late"', 'label = "late"\nsample = 2000'))
    other = json.loads(command("dataset", "build", path, "--json").stdout)
    found = json.loads(command("dataset", "diff", built["id"], other["id"], "--json", code=1).stdout)
    assert found["only_a"]["reasons"] == {"sample": 253}
    assert found["columns"] == []


def test_a_snapshot_and_itself_are_the_same(built: dict[str, Any], command: Command) -> None:
    assert "SAME" in command("dataset", "diff", built["id"], built["folder"]).stdout


def test_what_is_not_there_could_not_run(built: dict[str, Any], command: Command, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=rf"'beef' is neither .* has shop@{built['id'][:12]}"):
        command("dataset", "diff", built["id"], "beef")
    with pytest.raises(DatasetError, match="is no snapshot"):
        command("dataset", "verify", tmp_path)
    with pytest.raises(InputError, match=r"recipe .*none\.toml"):
        command("dataset", "build", tmp_path / "none.toml")
    words = [sys.executable, "-m", "trueup", "dataset", "verify", "beef", "--datasets", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_train_takes_a_snapshot_that_was_built_before(
    built: dict[str, Any], command: Command, recipe_file: Path, own_repo: Path
) -> None:
    for table in ("load", "orders", "facts"):
        (own_repo / "data" / f"{table}.parquet").unlink()
    trained = json.loads(command("train", recipe_file, "--dataset", built["id"][:8], "--json").stdout)
    assert trained["snapshot"] == built["id"]
    assert trained["dataset"] == built["content"]
    assert (trained["train_rows"], trained["label_unknown"]) == (built["train_rows"], None)


@pytest.mark.parametrize("name", ["build", "verify", "diff"])
def test_every_command_has_an_example(command: Command, name: str) -> None:
    assert f"Example: trueup dataset {name}" in " ".join(command("dataset", name, "--help").stdout.split())
