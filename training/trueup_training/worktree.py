"""The code of a run, checked out beside the user's own tree, which is neither read for it nor changed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trueup.errors import InputError, ModelError

_NO_CODE: tuple[str, ...] = (
    ":(exclude)*.md",
    ":(exclude)*.parquet",
    ":(exclude)*.db",
    ":(exclude)*.sqlite",
    ":(exclude,top)tests",
    ":(exclude,top)docs",
    ":(exclude)dvc.lock",
    ":(exclude)*.dvc",
    ":(exclude,top).dvc",
    ":(exclude,top)training/results",
)
"""Files that decide no model as code: documents, tests; and data, a factor of its own, with what DVC says of it."""


@dataclass(frozen=True)
class CodeChange:
    """What differs from the recorded code to the tree as it is now. stat: as `git diff --stat` says it."""

    stat: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.stat)


@dataclass(frozen=True)
class Checkout:
    """folder: the tree as the run was trained from it. origin: the user's own. inside: the Feast repository in both."""

    folder: Path
    origin: Path
    inside: Path

    @property
    def repo(self) -> Path:
        return self.folder / self.inside

    def own_files(self, pattern: str) -> tuple[Path, ...]:
        """Of the user's own tree, those that git keeps or would keep; `pattern` is git's, such as `*.toml`."""
        names = _text(self.origin, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", pattern)
        return tuple(self.origin / name for name in sorted(set(filter(None, names.split("\0")))))

    def change(self, without: Path | None = None) -> CodeChange:
        """From this tree to the user's own, of files that can decide a model. without: a file that is not asked of."""
        left_out = _NO_CODE
        if without is not None and without.resolve().is_relative_to(self.origin):
            left_out = (*left_out, f":(exclude,top,literal){without.resolve().relative_to(self.origin)}")
        folder = _text(self.folder, "rev-parse", "--absolute-git-dir")
        trees = ("--git-dir", folder, "--work-tree", str(self.origin))
        stat = _text(self.origin, *trees, "diff", "--stat=90", "--no-color", "--no-ext-diff", "--", ".", *left_out)
        # Of the recorded index: what neither it nor .gitignore knows is new.
        new = _text(self.origin, *trees, "ls-files", "--others", "--exclude-standard", "--", ".", *left_out)
        return CodeChange((*stat.splitlines(), *(f" {name} (new)" for name in new.splitlines())))


@contextmanager
def checkout(repo: Path, commit: str, diff: bytes | None, folder: Path) -> Iterator[Checkout]:
    """The commit, with the diff applied, in a git worktree at `folder`, which is gone afterwards whatever happened.

    repo: a Feast repository in the git repository that has the commit. Hooks do not run. Raises InputError when the
    repository is not in one, ModelError when it has no such commit or the diff does not apply.
    """
    try:
        origin = Path(_text(repo, "rev-parse", "--show-toplevel"))
    except subprocess.CalledProcessError as error:
        raise InputError(
            "repo",
            f"repo: {repo} is in no git repository: {_said(error)}.",
            hint="Name the one of the run with --repo.",
        ) from error
    try:
        _git(origin, "cat-file", "-e", f"{commit}^{{commit}}")
    except subprocess.CalledProcessError as error:
        raise ModelError(
            f"commit {commit[:12]} of the run is not in {origin}.",
            hint="Fetch it, or name the repository that has it with --repo.",
        ) from error
    try:
        _git(origin, "worktree", "add", "--detach", str(folder), commit)
        if diff is not None:
            # To the index too, so that it knows files that were new then.
            _git(folder, "apply", "--index", "--binary", "--whitespace=nowarn", "-", given=diff)
        yield Checkout(folder, origin, repo.resolve().relative_to(origin.resolve()))
    except subprocess.CalledProcessError as error:
        raise ModelError(f"commit {commit[:12]} of the run cannot be restored: {_said(error)}.") from error
    finally:
        subprocess.run(  # noqa: S603 - fixed arguments
            _command(origin, "worktree", "remove", "--force", str(folder)), check=False, capture_output=True, env=_own()
        )


def _git(folder: Path, *arguments: str, given: bytes | None = None) -> bytes:
    return subprocess.run(  # noqa: S603 - fixed arguments
        _command(folder, *arguments), input=given, check=True, capture_output=True, env=_own()
    ).stdout


def _text(folder: Path, *arguments: str) -> str:
    return os.fsdecode(_git(folder, *arguments)).rstrip("\n")


def _command(folder: Path, *arguments: str) -> list[str]:
    quiet = ("-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false", "--no-optional-locks")
    return ["git", *quiet, "-C", str(folder), *arguments]


def _own() -> Mapping[str, str]:
    # A hook that calls us has set GIT_DIR and its like, which would point at another repository.
    return {**{name: value for name, value in os.environ.items() if not name.startswith("GIT_")}, "LC_ALL": "C"}


def _said(error: subprocess.CalledProcessError) -> str:
    lines = os.fsdecode(error.stderr or b"").strip().splitlines()
    return lines[0] if lines else f"git exited with {error.returncode}"
