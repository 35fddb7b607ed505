"""The commit a folder stands at, and what differs from it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

MAX_DIFF = 16 * 1024 * 1024
"""Bytes of a diff that are kept at most: part of one reproduces nothing."""
_PRIVATE_KEY = re.compile(rb"^-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----", re.MULTILINE)


@dataclass(frozen=True)
class GitState:
    """commit: full hash, or None when it cannot be told; `problem` then says why.

    dirty: something differs from the commit, untracked files included, ignored ones not, and none that holds a private
    key: whoever may read a run would have it. diff: a binary patch
    that `git apply` turns the commit into the tree with, new files included; None when clean, or when `problem`
    says why it was not kept. inside: the folder's own path in the repository, `.` for its root.
    """

    commit: str | None
    dirty: bool
    diff: bytes | None = None
    problem: str | None = None
    inside: str | None = None


def git_state(folder: Path) -> GitState:
    """The state of the repository `folder` is in. Changes nothing in it, and never raises."""
    if shutil.which("git") is None:
        return GitState(None, dirty=False, problem="git is not installed")
    try:
        root = Path(os.fsdecode(_git(folder, "rev-parse", "--show-toplevel")).rstrip("\n"))
        inside = os.fsdecode(_git(folder, "rev-parse", "--show-prefix")).rstrip("\n").rstrip("/") or "."
        commit = _git(root, "rev-parse", "--verify", "HEAD^{commit}").decode().strip()
        dirty = bool(_git(root, "status", "--porcelain", "-z", "--untracked-files=normal"))
    except subprocess.CalledProcessError as error:
        return GitState(None, dirty=False, problem=_first_line(error))
    if not dirty:
        return GitState(commit, dirty=False, inside=inside)
    try:
        diff = _diff(root)
    except subprocess.CalledProcessError as error:
        return GitState(commit, dirty=True, problem=f"no diff: {_first_line(error)}", inside=inside)
    if not diff:  # but for a private key
        return GitState(commit, dirty=False, inside=inside)
    if len(diff) > MAX_DIFF:
        problem = f"the diff of {len(diff):,} bytes is over {MAX_DIFF:,}: not kept"
        return GitState(commit, dirty=True, problem=problem, inside=inside)
    return GitState(commit, dirty=True, diff=diff, inside=inside)


def _diff(root: Path) -> bytes:
    """From HEAD to the files as they are, by way of an index and an object folder that are thrown away."""
    objects = os.fsdecode(_git(root, "rev-parse", "--path-format=absolute", "--git-path", "objects")).rstrip("\n")
    index = os.fsdecode(_git(root, "rev-parse", "--path-format=absolute", "--git-path", "index")).rstrip("\n")
    with tempfile.TemporaryDirectory() as scratch:
        own_index, own_objects = Path(scratch, "index"), Path(scratch, "objects")
        own_objects.mkdir()
        if Path(index).exists():
            # What git knows about unchanged files, so that it reads only the others. With its time: git reads a file
            # again that may have changed in the very second its index was written.
            shutil.copy2(index, own_index)
        own = {
            "GIT_INDEX_FILE": str(own_index),
            "GIT_OBJECT_DIRECTORY": str(own_objects),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": objects,
        }
        _git(root, "add", "--all", ".", variables=own)
        added = _git(root, "diff", "--cached", "--name-only", "--diff-filter=A", "-z", "HEAD", variables=own)
        for name in filter(None, added.split(b"\0")):
            if _holds_private_key(root / os.fsdecode(name)):
                _git(root, "update-index", "--force-remove", "--", os.fsdecode(name), variables=own)
        return _git(
            root,
            *("diff", "--cached", "--binary", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv", "HEAD"),
            variables=own,
        )


def _holds_private_key(path: Path) -> bool:
    """In PEM, as the gate's own and SSH's are."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return _PRIVATE_KEY.search(file.read(65_536)) is not None


def _git(folder: Path, *arguments: str, variables: dict[str, str] | None = None) -> bytes:
    # A hook that calls us has set GIT_DIR and its like, which would point at another repository.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(  # noqa: S603 - fixed arguments
        ["git", "--no-optional-locks", "-C", str(folder), *arguments],  # noqa: S607 - the user's own git, from PATH
        check=True,
        capture_output=True,
        env={**inherited, "LC_ALL": "C", **(variables or {})},
    ).stdout


def _first_line(error: subprocess.CalledProcessError) -> str:
    lines = os.fsdecode(error.stderr or b"").strip().splitlines()
    return lines[0] if lines else f"git exited with {error.returncode}"
