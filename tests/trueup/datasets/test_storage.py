"""Laws of a snapshot on disk: all of it or nothing, and every changed byte is named."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.trueup.datasets.examples import SPEC, kept, training_set

from trueup.datasets.content import table_digest
from trueup.datasets.manifest import MANIFEST_FILE
from trueup.datasets.snapshot import Snapshot, open_snapshot
from trueup.datasets.storage import find_snapshot, problems
from trueup.errors import DatasetError

PARTS = ["rows.parquet", "features.parquet", "statuses.parquet", "event_timestamps.parquet"]


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    return kept(tmp_path / "datasets")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_loaded_is_what_was_kept(snapshot: Snapshot) -> None:
    given, loaded = training_set(), open_snapshot(str(snapshot.folder), Path()).load()
    assert loaded.rows == given.rows
    assert loaded.features == given.features
    assert loaded.labels.tobytes() == given.labels.tobytes()
    assert (loaded.train, loaded.holdout) == (given.train, given.holdout)
    assert snapshot.manifest.content == table_digest(given.rows, given.features.values) == loaded.digest


def test_a_snapshot_lies_under_its_name_and_id_with_nothing_beside_it(snapshot: Snapshot, tmp_path: Path) -> None:
    place = f"buyers/{snapshot.id}"
    assert sorted(files(tmp_path / "datasets")) == sorted(f"{place}/{name}" for name in [MANIFEST_FILE, *PARTS])
    assert problems(snapshot.folder) == ()


def test_kept_again_it_is_the_same_files_and_nothing_is_written_twice(snapshot: Snapshot, tmp_path: Path) -> None:
    before = {path: path.stat().st_ino for path in snapshot.folder.iterdir()}
    assert kept(tmp_path / "datasets").folder == snapshot.folder
    assert {path: path.stat().st_ino for path in snapshot.folder.iterdir()} == before
    assert files(kept(tmp_path / "elsewhere").folder) == files(snapshot.folder)


def test_a_damaged_snapshot_is_replaced_by_a_whole_one(snapshot: Snapshot, tmp_path: Path) -> None:
    (snapshot.folder / PARTS[1]).write_bytes(b"")
    kept(tmp_path / "datasets")
    assert problems(snapshot.folder) == ()
    assert [path.name for path in (tmp_path / "datasets").iterdir()] == ["buyers"]


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: flip(path, path.stat().st_size // 2), "its bytes were changed"),
        (lambda path: flip(path, 0), "its bytes were changed"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), r"bytes; the manifest says"),
        (lambda path: path.write_bytes(b""), r"has 0 bytes; the manifest says"),
        (lambda path: path.unlink(), "is missing"),
    ],
    ids=["flipped", "flipped first", "truncated", "emptied", "missing"],
)
def test_a_part_that_is_not_the_manifests_is_named(
    snapshot: Snapshot, name: str, damage: Callable[[Path], object], said: str
) -> None:
    damage(snapshot.folder / name)
    (found,) = problems(snapshot.folder)
    assert found.startswith(f"{name} ")
    with pytest.raises(DatasetError, match=said):
        snapshot.load()


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(bytes(content))


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / MANIFEST_FILE
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data["spec"]["as_of"].update(known_at="unbounded"), "says that it is"),
        (lambda data: data["parts"][0].update(sha256="0" * 64), "says that it is"),
        (lambda data: data.update(id="0" * 64), "says that it is 000000000000: it was edited"),
        (lambda data: data.update(note="harmless"), "says that it is"),
        (lambda data: data["contract"]["views"][0].update(ttl="9d"), "was edited or damaged: contract of buyers_v1"),
        (lambda data: data["spec"]["as_of"].update(pinned=None), "not pinned"),
        (lambda data: data.pop("counts"), r"is incomplete \(KeyError: 'counts'\)"),
        (lambda data: data["parts"][0].update(name="../x"), "no name of a file"),
        (lambda data: data.update(format=99), "of format 99; this version reads 1"),
    ],
)
def test_an_edited_manifest_is_named(snapshot: Snapshot, change: Callable[[dict[str, Any]], object], said: str) -> None:
    edit(snapshot.folder, change)
    (found,) = problems(snapshot.folder)
    assert MANIFEST_FILE in found
    with pytest.raises(DatasetError, match=said):
        open_snapshot(str(snapshot.folder), Path())


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_manifest_that_is_none_is_named(snapshot: Snapshot, content: bytes) -> None:
    (snapshot.folder / MANIFEST_FILE).write_bytes(content)
    (found,) = problems(snapshot.folder)
    assert f"{MANIFEST_FILE} is " in found


def test_a_manifest_of_another_snapshot_is_named(snapshot: Snapshot, tmp_path: Path) -> None:
    other = kept(tmp_path / "datasets", name="others")
    shutil.copy(other.folder / MANIFEST_FILE, snapshot.folder / MANIFEST_FILE)
    assert f"of snapshot {other.id[:12]}, not of the one it lies in" in problems(snapshot.folder)[0]


def test_a_file_that_the_manifest_does_not_know_is_named(snapshot: Snapshot) -> None:
    (snapshot.folder / "more.parquet").write_bytes(b"")
    (snapshot.folder / ".gitignore").write_bytes(b"")
    assert problems(snapshot.folder) == ("more.parquet is not in the manifest.",)


def test_a_copy_under_any_name_is_still_the_snapshot(snapshot: Snapshot, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(snapshot.folder, tmp_path / "train"))
    assert open_snapshot(str(copy), Path()).id == snapshot.id
    assert problems(copy) == ()


class Killed(BaseException):
    """What ends a build in the middle."""


@pytest.mark.parametrize("writes", range(6))
def test_a_build_that_ends_in_the_middle_leaves_no_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """Cleaned up or not: `kill -9` lets nobody clean up, so here nothing is deleted either."""
    root = tmp_path / "datasets"
    left = writes

    def killed(*_: object, **__: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    # Four parts, the manifest and the folder are synced, in this order; the move comes after.
    monkeypatch.setattr("trueup.datasets.storage.os.fsync", killed)
    monkeypatch.setattr("trueup.datasets.storage.shutil.rmtree", lambda *_, **__: None)
    with pytest.raises(Killed):
        kept(root)
    nothing_to_load(root)
    monkeypatch.undo()
    assert problems(kept(root).folder) == ()


def test_a_move_that_fails_leaves_no_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "datasets"

    def killed(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(Path, "rename", killed)
    monkeypatch.setattr("trueup.datasets.storage.shutil.rmtree", lambda *_, **__: None)
    with pytest.raises(Killed):
        kept(root)
    nothing_to_load(root)
    # Whole as it is, it was never in its place.
    (unfinished,) = root.glob(".building-*")
    assert (unfinished / MANIFEST_FILE).exists()
    with pytest.raises(DatasetError, match="a build that did not finish"):
        open_snapshot(str(unfinished), root)


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.trueup.datasets.examples import kept
Path.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
kept(Path(sys.argv[1]))
"""


def test_a_kill_in_the_middle_of_a_build_leaves_no_snapshot(tmp_path: Path) -> None:
    words = [sys.executable, "-c", KILLED, str(tmp_path / "datasets")]
    done = subprocess.run(words, cwd=Path(__file__).parents[3], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    nothing_to_load(tmp_path / "datasets")
    assert problems(kept(tmp_path / "datasets").folder) == ()


def nothing_to_load(root: Path) -> None:
    assert [folder for folder in root.glob("*/*") if not folder.parent.name.startswith(".")] == []
    for folder in root.iterdir():
        with pytest.raises(DatasetError):
            open_snapshot(str(folder), root).load()


def test_an_error_leaves_nothing_at_all(tmp_path: Path) -> None:
    data = training_set()
    prices = data.rows.append_column("price", pa.nulls(data.rows.num_rows, pa.decimal128(9, 2)))
    with pytest.raises(DatasetError, match="column 'price' is decimal128"):
        kept(tmp_path, type(data)(prices, data.features, data.label, data.counts))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"snapshot folder .*/file cannot be written: .*--out"):
        kept(tmp_path / "file")


def test_a_snapshot_is_found_by_folder_manifest_id_and_first_digits(snapshot: Snapshot, tmp_path: Path) -> None:
    root = tmp_path / "datasets"
    manifest = str(snapshot.folder / MANIFEST_FILE)
    for ref in (str(snapshot.folder), manifest, snapshot.id, snapshot.id[:4], str(snapshot.manifest), "buyers"):
        assert find_snapshot(ref, root) == snapshot.folder


def test_what_is_no_snapshot_is_told_with_what_there_is(snapshot: Snapshot, tmp_path: Path) -> None:
    root = tmp_path / "datasets"
    for ref in ("0000", "none", snapshot.id[:3], f"others@{snapshot.id}"):
        with pytest.raises(DatasetError, match=rf"'{ref}' is neither .* has buyers@{snapshot.id[:12]}.*--datasets"):
            find_snapshot(ref, root)
    with pytest.raises(DatasetError, match=r"has no manifest\.json, so it is no snapshot"):
        find_snapshot(str(root), root)
    shutil.copytree(snapshot.folder, root / "copies" / snapshot.id)
    with pytest.raises(DatasetError, match="names 2 snapshots"):
        find_snapshot(snapshot.id, root)
    kept(root, training_set(seed=1))
    with pytest.raises(DatasetError, match=r"'buyers' names 2 snapshots; .* has buyers@.*, buyers@"):
        find_snapshot("buyers", root)


def test_what_is_in_a_manifest_is_in_its_id(tmp_path: Path) -> None:
    ids = [
        kept(tmp_path).id,
        kept(tmp_path, training_set(seed=1)).id,
        kept(tmp_path, feature_service="buyers_v2").id,
        kept(tmp_path, holdout=SPEC.train).id,
    ]
    assert len(set(ids)) == len(ids)
