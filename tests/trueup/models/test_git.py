"""Laws of `git_state`: commit and diff give the very tree, and looking changes nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from trueup.gate.keys import new_key
from trueup.models import git as git_module
from trueup.models.git import git_state


def run(repo: Path, *arguments: str, given: bytes = b"") -> bytes:
    return subprocess.run(["git", "-C", str(repo), *arguments], check=True, capture_output=True, input=given).stdout


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    folder = tmp_path / "repo"
    (folder / "sub").mkdir(parents=True)
    run(tmp_path, "init", "--quiet", str(folder))
    run(folder, "config", "user.name", "t")
    run(folder, "config", "user.email", "t@example.org")
    (folder / "a.sql").write_text("SELECT 1\n")
    (folder / "sub" / "b.bin").write_bytes(bytes(range(256)))
    (folder / ".gitignore").write_text("data/\n")
    run(folder, "add", ".")
    run(folder, "commit", "--quiet", "-m", "first")
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }


def git_folder_hash(repo: Path) -> str:
    found = hashlib.sha256()
    for path in sorted((repo / ".git").rglob("*")):
        if path.is_file():
            found.update(f"{path}\0".encode() + path.read_bytes())
    return found.hexdigest()


def dirty_in_every_way(repo: Path) -> None:
    (repo / "a.sql").write_text("SELECT 2\n")
    (repo / "sub" / "b.bin").write_bytes(bytes(range(255, -1, -1)))
    (repo / ".gitignore").unlink()
    (repo / "sub" / "new ü.txt").write_text("untracked\n")
    (repo / "staged.txt").write_text("staged\n")
    run(repo, "add", "staged.txt")


def test_a_clean_tree_is_its_commit(repo: Path) -> None:
    state = git_state(repo)
    assert state.commit == run(repo, "rev-parse", "HEAD").decode().strip()
    assert (state.dirty, state.diff, state.problem) == (False, None, None)


def test_a_folder_inside_stands_for_the_whole_repository(repo: Path) -> None:
    (repo / "a.sql").write_text("SELECT 2\n")
    assert git_state(repo / "sub") == replace(git_state(repo), inside="sub")
    assert git_state(repo).inside == "."
    assert git_state(repo / "sub").dirty


def test_ignored_files_do_not_make_it_dirty(repo: Path) -> None:
    (repo / "data").mkdir()
    (repo / "data" / "rows.parquet").write_bytes(b"rows")
    assert not git_state(repo).dirty


def test_commit_and_diff_give_the_very_tree(repo: Path, tmp_path: Path) -> None:
    dirty_in_every_way(repo)
    state = git_state(repo)
    assert state.dirty
    assert state.commit is not None
    assert state.diff is not None
    copy = tmp_path / "copy"
    run(tmp_path, "clone", "--quiet", str(repo), str(copy))
    run(copy, "checkout", "--quiet", state.commit)
    run(copy, "apply", "--binary", "-", given=state.diff)
    assert content(copy) == content(repo)


def test_a_change_in_the_second_of_the_commit_is_seen(repo: Path) -> None:
    run(repo, "config", "core.trustctime", "false")
    second = 1_700_000_000
    os.utime(repo / "a.sql", (second, second))
    run(repo, "add", "a.sql")
    os.utime(repo / ".git" / "index", (second, second))
    (repo / "a.sql").write_text("SELECT 2\n")  # as long as before
    os.utime(repo / "a.sql", (second, second))
    assert b"+SELECT 2" in (git_state(repo).diff or b"")


def test_looking_changes_nothing(repo: Path) -> None:
    dirty_in_every_way(repo)
    before = git_folder_hash(repo), content(repo)
    git_state(repo)
    assert (git_folder_hash(repo), content(repo)) == before


def test_variables_of_a_calling_hook_do_not_point_elsewhere(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = git_state(repo)
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere/index")
    assert git_state(repo) == expected


def test_a_diff_that_is_too_large_is_left_out_and_said_so(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_module, "MAX_DIFF", 10)
    (repo / "a.sql").write_text("SELECT 2\n")
    state = git_state(repo)
    assert (state.dirty, state.diff) == (True, None)
    assert "over 10: not kept" in (state.problem or "")


def test_a_private_key_beside_the_code_is_in_no_diff(repo: Path) -> None:
    """A run's diff is read by all who may read the run: the gate's key in it would let each of them sign."""
    new_key(repo / "sub" / "gate ü.pem")
    (repo / "sub" / "gate ü.pem.pub").unlink()
    state = git_state(repo)
    assert (state.dirty, state.diff, state.problem) == (False, None, None)
    (repo / "notes.txt").write_text("new\n")
    diff = git_state(repo).diff or b""
    assert b"notes.txt" in diff
    assert b"gate" not in diff
    assert b"PRIVATE KEY" not in diff


def test_where_there_is_no_commit_the_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert "not a git repository" in (git_state(tmp_path).problem or "")
    run(tmp_path, "init", "--quiet", ".")
    state = git_state(tmp_path)
    assert (state.commit, state.dirty) == (None, False)
    assert state.problem
    assert git_state(tmp_path / "nowhere").problem
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("git") is None
    assert git_state(tmp_path).problem == "git is not installed"
