from __future__ import annotations

from pathlib import Path

import pytest

from trueup.errors import InputError
from trueup_demo.workspace import fresh_workspace


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "feature_repo"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "registry.db").write_text("mine")
    (folder / "feature_store.yaml").write_text("project: flights\nregistry: data/registry.db\n")
    (folder / "views.py").write_text("")
    return folder


def test_a_demo_starts_from_nothing_and_leaves_the_repositorys_data_alone(tmp_path: Path, repo: Path) -> None:
    workspace = fresh_workspace(tmp_path / "demo", repo)
    assert sorted(path.name for path in workspace.repo.iterdir()) == ["data", "feature_store.yaml", "views.py"]
    assert not list(workspace.data.iterdir())
    (workspace.data / "old").touch()
    assert not list(fresh_workspace(tmp_path / "demo", repo).data.iterdir())
    assert (repo / "data" / "registry.db").read_text() == "mine"


def test_its_project_is_its_own_so_that_it_shares_no_key_in_somebodys_redis(tmp_path: Path, repo: Path) -> None:
    workspace = fresh_workspace(tmp_path / "demo", repo)
    assert "project: flights_demo\n" in (workspace.repo / "feature_store.yaml").read_text()


def test_a_folder_that_no_demo_made_is_not_deleted(tmp_path: Path, repo: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("years of work")
    with pytest.raises(InputError, match="no demo made it"):
        fresh_workspace(tmp_path / "thesis", repo)
    assert (tmp_path / "thesis" / "chapter1.txt").read_text() == "years of work"
