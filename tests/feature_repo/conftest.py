"""The real flights, ingested once, and a copy of the feature repository that plain Feast has applied once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from feast import FeatureStore
from feature_repo.ingest import IngestSummary, ingest

from trueup.contracts.contract import FeatureContract, View
from trueup.contracts.extract import extract_contract, view_from_feast
from trueup.stores.duckdb_tables import arrow, connect, source_relation

REPO = Path(__file__).parents[2] / "feature_repo"

Feast = Callable[..., str]


@pytest.fixture(scope="session")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, IngestSummary]:
    """The data directory, and what was written there."""
    data = tmp_path_factory.mktemp("flights")
    return data, ingest(data)


@pytest.fixture(scope="session")
def data(ingested: tuple[Path, IngestSummary]) -> Path:
    return ingested[0]


@pytest.fixture(scope="session")
def departures(data: Path) -> pd.DataFrame:
    return pd.read_parquet(data / "departures.parquet")


@pytest.fixture(scope="session")
def feast() -> Feast:
    """Runs the `feast` command in a repository, in a process of its own, and returns what it printed."""

    def run(repo: Path, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        result = subprocess.run(
            [str(Path(sys.executable).with_name("feast")), *arguments],
            cwd=repo,
            env={**os.environ, "FEAST_USAGE": "False", **(env or {})},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    return run


@pytest.fixture(scope="session")
def new_repo(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Makes copies of the feature repository, each with data of its own and nothing applied."""

    def make() -> Path:
        repo = tmp_path_factory.mktemp("repo") / "feature_repo"
        shutil.copytree(REPO, repo, ignore=shutil.ignore_patterns("data", "__pycache__"))
        shutil.copytree(data, repo / "data")
        return repo

    return make


@pytest.fixture(scope="session")
def repo(new_repo: Callable[[], Path], feast: Feast) -> Path:
    """A copy that was applied once, by `feast apply`."""
    made = new_repo()
    feast(made, "apply", env={"PYTHONHASHSEED": "0"})
    return made


@pytest.fixture(scope="session")
def contract(repo: Path) -> FeatureContract:
    return extract_contract(FeatureStore(repo_path=str(repo)), "flights_v1")


@pytest.fixture(scope="session")
def views(repo: Path) -> dict[str, View]:
    """Every batch view, whole."""
    return {view.name: view_from_feast(view) for view in FeatureStore(repo_path=str(repo)).list_feature_views()}


@pytest.fixture(scope="session")
def rows(views: dict[str, View], repo: Path) -> Callable[..., pa.Table]:
    """The rows of a view's source, under the source's own column names, by key and both clocks."""

    def read(name: str, where: str = "true", *, threads: int | None = None) -> pa.Table:
        view = views[name]
        keys = ", ".join(key.name for key in view.keys)
        with connect(threads=threads) as connection:
            relation = source_relation(connection, view.source, repo, what=name)
            return arrow(connection, f"FROM {relation} WHERE {where} ORDER BY {keys}, event_timestamp, created")

    return read
