"""Snapshots that DVC tracks, in the working tree and at any commit. The only importer of DVC, which only reads here.

Which remote is asked, and with which credentials, is said by the configuration as it is now, `.dvc/config.local`
included: a commit's own would name the remote of its day.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from trueup.datasets.manifest import MANIFEST_FILE
from trueup.errors import DatasetError


@dataclass(frozen=True)
class TrackedSnapshot:
    """A snapshot in a folder that DVC tracks. path: of its own folder, from the root of the repository."""

    path: PurePosixPath
    data: Any

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Name and bytes of each file. Raises DatasetError when one is neither in the cache nor to be had."""
        for path in self.data.find(str(self.path)):
            try:
                with self.data.open(path, "rb") as file:
                    content = file.read()
            except Exception as error:  # whatever a remote's client raises: each has its own kinds
                raise DatasetError(f"{PurePosixPath(path).name} cannot be fetched: {_innermost(error)}.") from error
            yield str(PurePosixPath(path).relative_to(self.path)), content


class TrackedData:
    """What DVC tracks of a git repository.

    Raises DatasetError when that is not one where `dvc init` was run, or DVC is not installed.
    """

    def __init__(self, git_repo: Path) -> None:
        try:
            from dvc.exceptions import DvcException
            from dvc.repo import Repo
        except ImportError as error:
            raise DatasetError(
                f"DVC cannot be imported ({error}), and snapshots are restored through it.",
                hint="Install trueup with its `training` extra.",
            ) from error
        try:
            self._repo = Repo(str(git_repo))
            self._config = {part: self._repo.config[part] for part in ("core", "remote")}
        except DvcException as error:
            raise DatasetError(
                f"DVC tracks nothing in {git_repo}: {error}.",
                hint="Run `dvc init` in the repository that keeps the snapshots, or name it with --repo.",
            ) from error
        self.root = Path(self._repo.root_dir)
        self._seen: set[tuple[PurePosixPath, str]] = set()

    @cached_property
    def remote(self) -> str:
        """The default remote, for messages."""
        name = self._config["core"].get("remote")
        if name is None:
            return "no remote is configured"
        url = re.sub(r"//[^/@]*@", "//", str(self._config["remote"].get(name, {}).get("url", "not configured")))
        return f"remote {name} ({url})"

    def commits(self) -> tuple[str, ...]:
        """Every commit that changed what DVC tracks, of all branches, newest first."""
        paths = (":(top,glob)**/dvc.lock", ":(top,glob)**/*.dvc")
        return tuple(self._git("log", "--all", "--date-order", "--format=%H", "--", *paths).split())

    def commit(self, revision: str) -> str | None:
        """The full hash of a commit; None when this repository does not have it."""
        try:
            return self._git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").strip()
        except DatasetError:
            return None

    def snapshots(self, commit: str | None) -> tuple[list[TrackedSnapshot], list[str]]:
        """Those of a commit (None: of the working tree), of folders not looked into before; and what could not be read.

        A folder cannot be read when its list of files is neither in the cache nor to be had from the remote.
        """
        found: list[TrackedSnapshot] = []
        problems: list[str] = []
        if commit is not None and not self._git("ls-tree", "--full-tree", "--name-only", commit, "--", ".dvc/config"):
            return found, problems
        from dvc.api import DVCFileSystem
        from dvc.fs.data import DataFileSystem
        from dvc_data.index import DataIndexDirError

        repo = DVCFileSystem(str(self.root), rev=commit, config=self._config).repo
        # Of DVC alone: DVCFileSystem prefers a file of the working tree, which may be the damaged one.
        data = DataFileSystem(index=repo.index.data["repo"])
        for out in repo.index.outs:
            if not out.use_cache or not out.hash_info or not out.hash_info.isdir:
                continue
            path = PurePosixPath("/", out.fs.relpath(out.fs_path, repo.root_dir))
            if (version := (path, out.hash_info.value)) in self._seen:
                continue
            self._seen.add(version)
            try:
                files = list(data.find(str(path)))
            except DataIndexDirError as error:
                problems.append(f"the list of files of {str(path)[1:]} cannot be fetched: {_innermost(error)}")
                continue
            manifests = (file for file in map(PurePosixPath, files) if file.name == MANIFEST_FILE)
            found.extend(TrackedSnapshot(file.parent, data) for file in manifests)
        return found, problems

    def _git(self, *arguments: str) -> str:
        # A hook that calls us has set GIT_DIR and its like, which would point at another repository.
        own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        try:
            return os.fsdecode(
                subprocess.run(  # noqa: S603 - fixed arguments
                    ["git", "--no-optional-locks", "-C", str(self.root), *arguments],  # noqa: S607 - the user's own git
                    check=True,
                    capture_output=True,
                    env={**own, "LC_ALL": "C"},
                ).stdout
            )
        except (subprocess.CalledProcessError, OSError) as error:
            said = os.fsdecode(getattr(error, "stderr", b"") or b"").strip() or str(error)
            raise DatasetError(f"git in {self.root}: {said.splitlines()[0]}.") from error


def _innermost(error: BaseException) -> str:
    """The innermost cause, in one line: DVC wraps what a remote answered."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
