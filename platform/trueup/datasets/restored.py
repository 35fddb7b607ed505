"""A snapshot that is not in its folder any more, brought back from what DVC tracks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from trueup.datasets.storage import bring_snapshot, check_ref, is_meant, whole_snapshots
from trueup.datasets.tracked import TrackedData, TrackedSnapshot
from trueup.errors import DatasetError


def restore_snapshot(
    snapshot_id: str,
    root: Path,
    *,
    git_repo: Path,
    commit: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """The folder of a snapshot in `root`, where it is put from DVC's cache or remote unless it is there and whole.

    snapshot_id: its id, its first digits (4 at least) or NAME@DIGITS. Looked at: what DVC tracks at `commit`, in the
    working tree, and at every other commit that changed what DVC tracks, newest first. Each byte is checked against the
    manifest before it is in its place. progress: told where is looked next.

    Raises DatasetError that says where was looked when there is none, or what was found is not that snapshot.
    """
    check_ref(snapshot_id)
    there = whole_snapshots(root, snapshot_id)
    if len(there) == 1:
        return there[0]
    tracked = TrackedData(git_repo)
    looked: list[str] = []
    problems: list[str] = []
    for where, version in _versions(tracked, commit, problems):
        if progress is not None:
            progress(where)
        looked.append(where)
        for found in _meant(tracked, snapshot_id, version, where, problems):
            try:
                return bring_snapshot(root, found.path.parent.name, found.path.name, found.files())
            except DatasetError as error:
                problems.append(f"{where} has it, but {error.message}")
    raise _not_found(snapshot_id, tracked, looked, problems)


def _versions(tracked: TrackedData, commit: str | None, problems: list[str]) -> Iterator[tuple[str, str | None]]:
    """(what it is called, commit) of each version to look at; None is the working tree."""
    first = tracked.commit(commit) if commit is not None else None
    if first is not None:
        yield f"commit {first[:12]}", first
    elif commit is not None:
        problems.append(f"commit {commit[:12]} is not in {tracked.root}")
    yield "the working tree", None
    for other in tracked.commits():
        if other != first:
            yield f"commit {other[:12]}", other


def _meant(
    tracked: TrackedData, ref: str, version: str | None, where: str, problems: list[str]
) -> list[TrackedSnapshot]:
    """The snapshot that `ref` means, from each folder of a version that has it. Raises DatasetError if it means two."""
    snapshots, unread = tracked.snapshots(version)
    problems.extend(f"{where}: {problem}" for problem in unread)
    found = [snapshot for snapshot in snapshots if is_meant(ref, snapshot.path)]
    if len(names := sorted({f"{each.path.parent.name}@{each.path.name[:12]}" for each in found})) > 1:
        raise DatasetError(f"snapshot {ref!r} means {len(names)} in {where}: {', '.join(names)}.", hint="Name its id.")
    return found


def _not_found(ref: str, tracked: TrackedData, looked: list[str], problems: list[str]) -> DatasetError:
    places = looked[:3] if len(looked) <= 3 else [*looked[:2], f"{len(looked) - 2} other commits"]
    said = "".join(f" {problem.rstrip('.')}." for problem in problems[:2])
    more = f" ({len(problems) - 2} more such.)" if len(problems) > 2 else ""
    return DatasetError(
        f"snapshot {ref[:16]!r} is not in DVC's cache, nor in its remote: looked at {', '.join(places)} of "
        f"{tracked.root}; {tracked.remote}.{said}{more}",
        hint="Push it from where it was built (dvc push), name the remote that has it (dvc remote add), or the folder "
        "it lies in (--datasets).",
    )
