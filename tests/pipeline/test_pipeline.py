"""The committed dvc.yaml runs from nothing, runs what has changed and no more, and older versions come back."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from tests.pipeline.loop import ROOT, delay_one_flight, make_repository
from tests.trueup.datasets.dvc_world import commit, dvc_environment, run

from trueup.hashing import digest_bytes
from trueup.stores.local_redis import stop_running
from trueup.stores.redis_connection import local_directory

STAGES = ["raw", "ingest", "apply", "materialize", "snapshot@flights", "train@flights", "parity"]


@dataclass(frozen=True)
class Loop:
    """A repository with two versions: from nothing, then with one flight's delay changed.

    said: of each call, what DVC said. ids: the snapshot of each version. files: path -> its bytes in the first one.
    """

    repo: Path
    variables: Mapping[str, str]
    said: tuple[str, str, str]
    ids: tuple[str, str]
    commits: tuple[str, str]
    files: Mapping[str, bytes]

    def run(self, *command: str, code: int = 0, at: Path | None = None) -> str:
        return run(at or self.repo, *command, code=code, variables=self.variables)

    def clone(self, folder: Path) -> Path:
        self.run("git", "clone", "-q", str(self.repo), str(folder))
        return folder


def snapshot_files(repo: Path) -> dict[str, bytes]:
    root = repo / "mlruns" / "datasets"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def stages_run(said: str) -> list[str]:
    return re.findall(r"^Running stage '(.*)':$", said, flags=re.MULTILINE)


def snapshot_id(repo: Path) -> str:
    return (repo / "training" / "results" / "flights.snapshot").read_text(encoding="utf-8").strip()


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    folder = tmp_path_factory.mktemp("loop")
    repo = folder / "checkout"
    variables = {**dvc_environment(folder), "PYTHONWARNINGS": "ignore"}
    assert not {"TRUEUP_REDIS_URL", "TRUEUP_TRACKING_URI", "TRUEUP_DATASETS", "TRUEUP_REPO"} & os.environ.keys()
    make_repository(repo)
    run(repo, "git", "init", "-q", "-b", "main")
    commit(repo, "as committed, but smaller")
    try:
        first = run(repo, "dvc", "repro", variables=variables)
        second = run(repo, "dvc", "repro", variables=variables)
        older, older_id, files = commit(repo, "older data"), snapshot_id(repo), snapshot_files(repo)
        run(repo, "dvc", "push", "-q", variables=variables)
        delay_one_flight(repo / "raw" / "flights.csv", minutes=90)
        third = run(repo, "dvc", "repro", "snapshot@flights", variables=variables)
        newer = commit(repo, "newer data")
        run(repo, "dvc", "push", "-q", variables=variables)
        ids = (older_id, snapshot_id(repo))
        yield Loop(repo, variables, (first, second, third), ids, (older, newer), files)
    finally:
        stop_running(local_directory(repo / "feature_repo"))


def test_the_loop_runs_from_nothing_in_order_and_ends_with_metrics_and_a_report(loop: Loop) -> None:
    assert stages_run(loop.said[0]) == STAGES
    shown = json.loads(loop.run("dvc", "metrics", "show", "--json"))
    metrics = shown[""]["data"]["training/results/flights.metrics.json"]["data"]
    assert 0.55 < metrics["auc"] < 1
    report = json.loads((loop.repo / "build" / "parity" / "online.json").read_text(encoding="utf-8"))
    assert report["summary"]["verdict"] == "pass"
    assert report["summary"]["online"]["compared"] > 1000
    with sqlite3.connect(loop.repo / "mlruns" / "mlflow.db") as database:
        digests = database.execute("SELECT digest FROM datasets").fetchall()
    assert [digest for (digest,) in digests if loop.ids[0].startswith(digest)] == [digests[0][0]]


def test_a_second_time_nothing_is_done(loop: Loop) -> None:
    assert stages_run(loop.said[1]) == []
    assert "Data and pipelines are up to date." in loop.said[1]


def test_a_changed_raw_row_runs_what_depends_on_it_and_makes_another_snapshot_beside_the_first(loop: Loop) -> None:
    assert stages_run(loop.said[2]) == ["raw", "ingest", "apply", "snapshot@flights"]
    assert loop.ids[0] != loop.ids[1]
    assert sorted(path.name for path in (loop.repo / "mlruns" / "datasets" / "flights").iterdir()) == sorted(loop.ids)
    assert {name: snapshot_files(loop.repo)[name] for name in loop.files} == loop.files


def test_what_is_in_git_has_no_machine_in_it(loop: Loop) -> None:
    tracked = loop.run("git", "grep", "-lF", str(loop.repo.parent), loop.commits[1], code=1)
    assert tracked == ""
    assert loop.run("git", "status", "--porcelain") == ""


def test_checkout_of_the_older_version_brings_back_its_data_and_says_which_stores_are_not_of_it(
    loop: Loop, tmp_path: Path
) -> None:
    raw = loop.repo / "raw" / "flights.csv"
    newer = digest_bytes(raw.read_bytes())
    loop.run("git", "checkout", "-q", loop.commits[0])
    try:
        loop.run("dvc", "checkout", "-q")
        assert snapshot_files(loop.repo) == loop.files
        assert digest_bytes(raw.read_bytes()) != newer
        assert f"PASS  flights@{loop.ids[0][:12]}" in loop.run("trueup", "dataset", "verify", loop.ids[0])
        # The registry and what is online are of the newer data: only a stage that runs again can change that.
        assert list(json.loads(loop.run("dvc", "status", "--json"))) == ["apply", "materialize", "snapshot@flights"]
    finally:
        loop.run("git", "checkout", "-q", "main")
        loop.run("dvc", "checkout", "-q")
    assert digest_bytes(raw.read_bytes()) == newer


def test_a_fresh_clone_pulls_the_data_but_never_takes_its_empty_stores_for_filled(loop: Loop, tmp_path: Path) -> None:
    clone = loop.clone(loop.repo.parent / "beside")
    loop.run("dvc", "pull", "-q", "--run-cache", at=clone)
    assert snapshot_files(clone) == snapshot_files(loop.repo)
    status = json.loads(loop.run("dvc", "status", "--json", at=clone))
    deleted = {
        stage for stage, what in status.items() if "deleted" in str([each for each in what if "outs" in str(each)])
    }
    assert deleted == {"apply", "materialize", "train@flights", "parity"}
    shutil.rmtree(clone)


def test_without_the_data_a_clone_does_not_go_back_to_the_packages_raw_files(loop: Loop, tmp_path: Path) -> None:
    clone = loop.clone(tmp_path / "clone")
    said = loop.run("dvc", "repro", "ingest", at=clone, code=255)
    assert "raw/flights.csv: the version that dvc.lock tracks" in said
    assert "dvc pull raw/flights.csv" in said
    assert not (clone / "raw" / "flights.csv").exists()


def test_a_snapshot_that_a_clone_does_not_have_comes_back_by_its_first_digits(loop: Loop, tmp_path: Path) -> None:
    clone = loop.clone(loop.repo.parent / "empty")
    missing = loop.run("trueup", "dataset", "verify", loop.ids[0], at=clone, code=2)
    assert "trueup dataset restore" in missing
    restored = json.loads(
        loop.run("trueup", "dataset", "restore", loop.ids[0][:12], "--json", at=clone).partition("✓")[0]
    )
    assert restored["id"] == loop.ids[0]
    assert snapshot_files(clone) == loop.files
    refused = loop.run("trueup", "dataset", "restore", "f" * 12, at=clone, code=2)
    assert "is not in DVC's cache, nor in its remote" in refused
    shutil.rmtree(clone)


def test_the_committed_lock_is_of_the_committed_definitions() -> None:
    """Otherwise the data versions it names are not what the files beside it give."""
    names = run(ROOT, "git", "ls-files").splitlines()
    stages = yaml.safe_load((ROOT / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    files = {each["path"]: each["md5"] for stage in stages.values() for each in (*stage["deps"], *stage["outs"])}
    known = {name: md5 for name, md5 in files.items() if name in names}
    assert len(known) > 8
    stale = [name for name, md5 in known.items() if md5_of(ROOT / name) != md5]
    assert stale == [], "run `make pipeline` and commit dvc.lock with training/results"
    assert list(stages) == STAGES


def md5_of(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
