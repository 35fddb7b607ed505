"""The repository under plain Feast: its own commands and its own calls, nothing of trueup's."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from feast import FeatureStore

from trueup.contracts.contract import FeatureContract
from trueup.contracts.extract import extract_contract
from trueup.features.historical import read_as_of
from trueup.frame import Status
from trueup.instants import AsOfRule
from trueup.stores.local_redis import LocalRedis

END = pd.Timestamp("2013-12-31T00:00:00Z")
"""What feature_store.yaml gives as `now`: reads apply TTLs as of then."""

Feast = Callable[..., str]
NewRepo = Callable[[], Path]


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with LocalRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture(scope="module")
def store(repo: Path, feast: Feast, redis_url: str) -> Iterator[FeatureStore]:
    """The repository after `feast materialize` of the whole year."""
    feast(
        repo,
        "materialize",
        "2013-01-01T00:00:00",
        END.strftime("%Y-%m-%dT%H:%M:%S"),
        env={"TRUEUP_REDIS_URL": redis_url},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUEUP_REDIS_URL", redis_url)
        yield FeatureStore(repo_path=str(repo))


@pytest.fixture(scope="module")
def flights(data: Path) -> pd.DataFrame:
    """The last flights asked about, as of the end of the year, and one whose every key is unknown."""
    columns = ["origin", "dest", "carrier", "tailnum", "sched_dep_unix"]
    flights = pd.read_parquet(data / "outcomes.parquet")
    last = flights[flights.event_timestamp < END].tail(200)[columns]
    unknown = pd.DataFrame([{**dict.fromkeys(columns[:4], "?"), "sched_dep_unix": 0}])
    return pd.concat([last, unknown], ignore_index=True).assign(event_timestamp=END)


@pytest.mark.slow
def test_a_second_apply_reports_no_change(new_repo: NewRepo, feast: Feast) -> None:
    """Feast 0.67 says so on `apply` only for its SQLite store; for others, `plan` says it and `apply` lists nothing."""
    repo = new_repo()
    first = feast(repo, "apply")
    planned = feast(repo, "plan")
    second = feast(repo, "apply")

    assert "Deploying infrastructure for origin_departures" in first
    assert "No changes to registry" in planned
    assert "No changes to infrastructure" in planned
    assert "Created" not in second
    assert "Updated" not in second


def test_the_contract_is_the_same_from_another_process_with_another_hash_seed(
    contract: FeatureContract, new_repo: NewRepo, feast: Feast
) -> None:
    repo = new_repo()
    feast(repo, "apply", env={"PYTHONHASHSEED": "4242"})
    other = extract_contract(FeatureStore(repo_path=str(repo)), "flights_v1")

    assert contract.diff(other) == ()
    assert contract.hash == other.hash
    assert contract.columns == other.columns


def test_names_of_the_service_are_unique_without_their_views(contract: FeatureContract) -> None:
    """Feast leaves out the view's name by default, and refuses an answer with one name twice."""
    names = [name for _, name in contract.features]

    assert len(set(names)) == len(names)


def test_the_service_has_every_scalar_type_of_the_demo(contract: FeatureContract) -> None:
    declared = {item.dtype for view in contract.views for item in view.features}

    assert declared == {"Int64", "Float64", "String", "Bool"}


def test_online_features_are_what_history_knows_at_the_same_instant(
    store: FeatureStore, contract: FeatureContract, repo: Path, flights: pd.DataFrame
) -> None:
    """Materialized long after the year, so all that was ever known counts: the unbounded rule."""
    service = store.get_feature_service("flights_v1")
    keys = flights.drop(columns="event_timestamp").to_dict("records")
    online = store.get_online_features(features=service, entity_rows=keys).to_dict()
    frame = read_as_of(contract, pa.Table.from_pandas(flights), AsOfRule("unbounded"), repo=repo, ledger=None)

    for (_, name), column in zip(contract.features, contract.columns, strict=True):
        assert online[name] == frame.values.column(column).to_pylist(), column
    statuses = pc.unique(pc.cast(frame.statuses.column("plane_facts__seats"), "int64")).to_pylist()
    assert {Status.PRESENT, Status.MISSING} <= set(statuses)


def test_historical_features_keep_every_row_in_order(
    store: FeatureStore, contract: FeatureContract, repo: Path, flights: pd.DataFrame
) -> None:
    service = store.get_feature_service("flights_v1")
    shuffled = flights.sample(frac=1, random_state=2013).reset_index(drop=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=RuntimeWarning)
        history = store.get_historical_features(
            entity_df=shuffled, features=service, full_feature_names=True
        ).to_arrow()
    frame = read_as_of(contract, pa.Table.from_pandas(shuffled), AsOfRule("label"), repo=repo, ledger=None)

    assert history.column("tailnum").to_pylist() == shuffled.tailnum.tolist()
    for column in contract.columns:
        assert history.column(column).to_pylist() == frame.values.column(column).to_pylist(), column
