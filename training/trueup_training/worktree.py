"""The code of a run, checked out beside the user's own tree, which is neither read for it nor changed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from trueup.errors import InputError, ModelError

_NO_CODE: tuple[str, ...] = (
    ":(exclude)*.md",
    ":(exclude)*.parquet",
    ":(exclude)*.db",
    ":(exclude)*.sqlite",
    ":(exclude)*.dvc",
    ":(exclude)*dvc.lock",
    ":(exclude,top)tests",
    ":(exclude,top)docs",
    ":(exclude,top).dvc",
    ":(exclude,top)training/results",
)
"""Files that decide no model as code: documents, tests; and data, a factor of its own, with what DVC says of it."""
_FEAST = "feature_store.yaml"


@dataclass(frozen=True)
class CodeChange:
    """What differs from the recorded code to the tree as it is now. stat: as `git diff --stat` says it."""

    stat: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.stat)


@dataclass(frozen=True)
class Checkout:
    """folder: the tree as the run was trained from it. origin: the user's own. repo: the Feast repository in `folder`.

    Every method raises ModelError when git fails.
    """

    folder: Path
    origin: Path
    repo: Path

    def own_files(self, pattern: str) -> tuple[Path, ...]:
        """Of the user's own tree, those that git keeps or would keep; `pattern` is git's, such as `*.toml`."""
        with _told(f"the files of {self.origin} cannot be listed"):
            names = _text(self.origin, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", pattern)
        return tuple(self.origin / name for name in sorted(set(filter(None, names.split("\0")))))

    def change(self, without: Path | None = None) -> CodeChange:
        """From this tree to the user's own, of files that can decide a model. without: a file that is not asked of."""
        left_out = _NO_CODE
        if without is not None and without.resolve().is_relative_to(self.origin):
            left_out = (*left_out, f":(exclude,top,literal){without.resolve().relative_to(self.origin)}")
        with _told(f"the code in {self.origin} cannot be compared with the run's"):
            folder = _text(self.folder, "rev-parse", "--absolute-git-dir")
            trees = ("--git-dir", folder, "--work-tree", str(self.origin))
            stat = _text(self.origin, *trees, "diff", "--stat=90", "--no-color", "--no-ext-diff", "--", ".", *left_out)
            # Of the recorded index: what neither it nor .gitignore knows is new.
            new = _text(self.origin, *trees, "ls-files", "--others", "--exclude-standard", "--", ".", *left_out)
        return CodeChange((*stat.splitlines(), *(f" {name} (new)" for name in new.splitlines())))


@contextmanager
def checkout(
    repo: Path, commit: str, diff: bytes | None, folder: Path, *, inside: str | None = None
) -> Iterator[Checkout]:
    """The commit, with the diff applied, in a git worktree at `folder`, which is gone afterwards whatever happened.

    repo: a Feast repository in the git repository that has the commit. inside: where in the git repository the Feast
    repository lay then; None when that is not known. Hooks do not run. Raises InputError when `repo` is in no git
    repository, ModelError when it has no such commit, the diff does not apply, or the commit has no such Feast
    repository.
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
        with _told(f"commit {commit[:12]} of the run cannot be restored"):
            _git(origin, "worktree", "add", "--detach", str(folder), commit)
            if diff is not None:
                # To the index too, so that it knows files that were new then.
                _git(folder, "apply", "--index", "--binary", "--whitespace=nowarn", "-", given=diff)
            now = repo.resolve().relative_to(origin.resolve())
            feast = _feast_repo(folder, (inside,) if inside is not None else (str(now),), commit)
        yield Checkout(folder, origin, feast)
    finally:
        subprocess.run(  # noqa: S603 - fixed arguments
            _command(origin, "worktree", "remove", "--force", str(folder)), check=False, capture_output=True, env=_own()
        )


def _feast_repo(folder: Path, likely: tuple[str, ...], commit: str) -> Path:
    """likely: where it should be; elsewhere only when there is no other."""
    for inside in likely:
        if (folder / inside / _FEAST).is_file():
            return folder / inside
    listed = filter(None, _text(folder, "ls-files", "-z", "--", f":(glob)**/{_FEAST}").split("\0"))
    found = sorted(str(PurePosixPath(name).parent) for name in listed)
    if len(found) == 1:
        return folder / found[0]
    raise ModelError(
        f"commit {commit[:12]} of the run has no {_FEAST} in {' or '.join(likely)}, where its Feast repository should "
        f"be; it has one in: {', '.join(found) or 'no folder'}.",
        hint="Keep that file in git, and name the same Feast repository with --repo.",
    )


@contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except subprocess.CalledProcessError as error:
        raise ModelError(f"{what}: {_said(error)}.") from error


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
    return lines[0].rstrip(".") if lines else f"git exited with {error.returncode}"
