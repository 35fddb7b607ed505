"""Laws of restoring: what DVC tracks comes back byte for byte from the configured remote, or it is said why not."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from tests.trueup.datasets.dvc_world import S3_KEYS, World, commit, dvc_environment, make_world, run, s3_server, use_s3

from trueup.datasets.restored import restore_snapshot
from trueup.datasets.snapshot import Snapshot, open_snapshot
from trueup.datasets.storage import problems
from trueup.errors import DatasetError


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("dvc")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in dvc_environment(folder).items():
            patch.setenv(name, value)
        return make_world(folder)


@pytest.fixture
def world(made: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A copy, to be changed."""
    for name, value in dvc_environment(tmp_path / "own").items():
        monkeypatch.setenv(name, value)
    for folder in (made.repo, made.remote):
        shutil.copytree(folder, tmp_path / folder.name)
    return World(tmp_path / "repo", tmp_path / "remote", made.older, made.newer, made.older_commit, made.newer_commit)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_is(folder: Path, snapshot: Snapshot, root: Path) -> None:
    assert folder == root / "buyers" / snapshot.id
    assert content(folder) == content(snapshot.folder)
    assert problems(folder) == ()
    assert [path.name for path in root.iterdir()] == ["buyers"]  # nothing half done beside it


def test_a_snapshot_of_an_older_commit_comes_back_from_the_remote_byte_for_byte(world: World, tmp_path: Path) -> None:
    told: list[str] = []
    root = tmp_path / "datasets"
    folder = restore_snapshot(world.older.id, root, git_repo=world.repo, progress=told.append)
    assert_is(folder, world.older, root)
    assert told == ["the working tree", f"commit {world.newer_commit[:12]}", f"commit {world.older_commit[:12]}"]


def test_the_commit_that_is_named_is_looked_at_first_and_the_working_tree_without_a_commit(
    world: World, tmp_path: Path
) -> None:
    root, told = tmp_path / "datasets", []
    restore_snapshot(world.older.id, root, git_repo=world.repo, commit=world.older_commit[:9], progress=told.append)
    restore_snapshot(world.newer.id, root, git_repo=world.repo / ".dvc", progress=told.append)
    assert told == [f"commit {world.older_commit[:12]}", "the working tree"]


def test_it_comes_from_the_cache_where_there_is_no_remote(world: World, tmp_path: Path) -> None:
    world.fetch()
    shutil.rmtree(world.remote)
    run(world.repo, "dvc", "remote", "remove", "here")
    root = tmp_path / "datasets"
    assert_is(restore_snapshot(world.older.id, root, git_repo=world.repo), world.older, root)


@pytest.mark.parametrize("ref", ["{id:.4}", "buyers@{id:.12}", "buyers@{id}"])
def test_the_first_digits_are_enough(world: World, tmp_path: Path, ref: str) -> None:
    assert world.older.id[:4] != world.newer.id[:4]
    root = tmp_path / "datasets"
    assert_is(restore_snapshot(ref.format(id=world.older.id), root, git_repo=world.repo), world.older, root)


def test_a_whole_one_stays_as_it_is_and_a_damaged_one_is_replaced(world: World, tmp_path: Path) -> None:
    root = tmp_path / "datasets"
    folder = restore_snapshot(world.older.id, root, git_repo=world.repo)
    before = folder.stat().st_ino
    assert restore_snapshot(world.older.id, root, git_repo=tmp_path / "no repository is needed") == folder
    assert folder.stat().st_ino == before
    (folder / "rows.parquet").write_bytes(b"tampered")
    assert_is(restore_snapshot(world.older.id, root, git_repo=world.repo), world.older, root)


def test_a_damaged_one_in_the_tracked_folder_itself_is_replaced_too(world: World) -> None:
    run(world.repo, "dvc", "pull", "-q")
    folder = world.repo / "kept" / "buyers" / world.newer.id
    (folder / "rows.parquet").unlink()
    (folder / "rows.parquet").write_bytes(b"tampered")
    restore_snapshot(world.newer.id, world.repo / "kept", git_repo=world.repo)
    assert content(folder) == content(world.newer.folder)
    assert "up to date" in run(world.repo, "dvc", "status")


def test_the_remote_of_today_is_asked_and_not_the_one_of_the_commits_day(world: World, tmp_path: Path) -> None:
    moved = world.remote.rename(tmp_path / "moved")
    run(world.repo, "dvc", "remote", "modify", "--local", "here", "url", str(moved))
    root = tmp_path / "datasets"
    assert_is(restore_snapshot(world.older.id, root, git_repo=world.repo), world.older, root)


def test_it_comes_from_s3_with_the_keys_of_the_environment(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**S3_KEYS, "AWS_MAX_ATTEMPTS": "1"}.items():
        monkeypatch.setenv(name, value)
    with s3_server("versions") as address:
        world.fetch()
        use_s3(world.repo, address, "versions")
        world.push()
        world.forget()
        shutil.rmtree(world.remote)
        root = tmp_path / "datasets"
        assert_is(restore_snapshot(world.older.id, root, git_repo=world.repo), world.older, root)
        assert run(world.repo, "git", "status", "--porcelain") == ""  # no key and no address is in a tracked file
        run(tmp_path, "git", "clone", "-q", str(world.repo), "clone")
        use_s3(tmp_path / "clone", address, "versions")
        run(tmp_path / "clone", "dvc", "pull", "-q")
        assert content(tmp_path / "clone" / "kept" / "buyers" / world.newer.id) == content(world.newer.folder)
    said = r"remote s3 \(s3://versions/trueup\)\. the working tree has it, but .* cannot be fetched: Could not connect"
    with pytest.raises(DatasetError, match=said):
        restore_snapshot(world.newer.id, root, git_repo=world.repo)


def test_an_unknown_one_is_said_with_where_was_looked(world: World, tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        restore_snapshot("f" * 64, tmp_path / "datasets", git_repo=world.repo, commit="0" * 40)
    said = str(caught.value)
    assert "looked at the working tree" in said
    assert world.older_commit[:12] in said
    assert f"remote here ({world.remote})" in said
    assert f"commit {'0' * 12} is not in {world.repo}" in said
    assert "dvc push" in said
    assert not (tmp_path / "datasets").exists()


@pytest.mark.parametrize("ref", ["", "abc", "flights", "../../etc", "g" * 64, "buyers@", "f" * 65])
def test_what_is_no_id_is_said_before_anything_is_looked_at(tmp_path: Path, ref: str) -> None:
    with pytest.raises(DatasetError, match=r"is no snapshot's id: expected 4 to 64 digits"):
        restore_snapshot(ref, tmp_path / "datasets", git_repo=tmp_path)


def test_a_deleted_version_is_said_with_what_could_not_be_fetched(world: World, tmp_path: Path) -> None:
    shutil.rmtree(world.remote)
    with pytest.raises(DatasetError, match=r"the list of files of kept cannot be fetched: .*--datasets"):
        restore_snapshot(world.older.id, tmp_path / "datasets", git_repo=world.repo)


def test_a_part_that_is_gone_from_the_remote_is_named_and_nothing_is_left_behind(world: World, tmp_path: Path) -> None:
    sizes = {path.stat().st_size: path for path in world.remote.rglob("*") if path.is_file()}
    part = max(world.older.manifest.parts, key=lambda part: part.bytes)
    sizes[part.bytes].unlink()
    root = tmp_path / "datasets"
    with pytest.raises(DatasetError, match=rf"has it, but {part.name} cannot be fetched"):
        restore_snapshot(world.older.id, root, git_repo=world.repo)
    assert list(root.iterdir()) == []


def test_a_tampered_remote_gives_nothing(world: World, tmp_path: Path) -> None:
    sizes = {path.stat().st_size: path for path in world.remote.rglob("*") if path.is_file()}
    part = max(world.older.manifest.parts, key=lambda part: part.bytes)
    tampered = sizes[part.bytes]
    tampered.chmod(0o644)
    tampered.write_bytes(b"\0" * part.bytes)
    root = tmp_path / "datasets"
    with pytest.raises(DatasetError, match=rf"{part.name} hashes to .* its bytes were changed"):
        restore_snapshot(world.older.id, root, git_repo=world.repo)
    assert list(root.iterdir()) == []


def test_two_that_are_meant_are_an_error(world: World, tmp_path: Path) -> None:
    for built in (world.older, world.newer):
        shutil.copytree(built.folder, world.repo / "kept" / "buyers" / built.id)
    other = world.repo / "kept" / "sellers" / world.older.id
    shutil.copytree(world.older.folder, other)
    run(world.repo, "dvc", "add", "-q", "kept")
    with pytest.raises(DatasetError, match=r"means 2 in the working tree: buyers@.*, sellers@.*Name its id"):
        restore_snapshot(world.older.id[:8], tmp_path / "datasets", git_repo=world.repo)


def test_a_commit_without_dvc_has_nothing_and_is_no_error(world: World, tmp_path: Path) -> None:
    run(world.repo, "git", "checkout", "-q", "--orphan", "bare")
    run(world.repo, "git", "rm", "-rqf", ".")
    (world.repo / "a file").write_text("no DVC", encoding="utf-8")
    bare = commit(world.repo, "no DVC")
    run(world.repo, "git", "checkout", "-qf", "main")
    root, told = tmp_path / "datasets", list[str]()
    assert_is(
        restore_snapshot(world.older.id, root, git_repo=world.repo, commit=bare, progress=told.append),
        world.older,
        root,
    )
    assert told[0] == f"commit {bare[:12]}"


def test_without_dvc_or_without_a_repository_it_is_said_what_to_do(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(DatasetError, match=r"DVC tracks nothing in .*plain.*`dvc init`"):
        restore_snapshot(world.older.id, tmp_path / "datasets", git_repo=tmp_path / "plain")
    for name in [name for name in sys.modules if name == "dvc" or name.startswith("dvc.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "dvc", None)
    with pytest.raises(DatasetError, match=r"DVC cannot be imported .* `training` extra"):
        restore_snapshot(world.older.id, tmp_path / "datasets", git_repo=world.repo)


def test_what_is_restored_can_be_learned_from(world: World, tmp_path: Path) -> None:
    root = tmp_path / "datasets"
    restore_snapshot(world.older.id, root, git_repo=world.repo)
    assert open_snapshot(world.older.id[:8], root).load().digest == world.older.load().digest
