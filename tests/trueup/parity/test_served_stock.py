"""`parity served` on what `feast init` leaves behind: its own template, stores and log writer, nothing of trueup."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
from feast import FeatureService, FeatureStore
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from tests.trueup.parity.log_repo import Ran, trueup
from tests.trueup.parity.stock import TIMES, documents, quiet, redis_over_tcp, template
from tests.trueup.parity.stock_log import SERVICE, changed, log, serve

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning:feast", "ignore::RuntimeWarning:feast", "ignore::FutureWarning"
)

FRESH = "driver_hourly_stats_fresh"


@pytest.fixture(scope="module")
def redis_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with redis_over_tcp(tmp_path_factory.mktemp("redis")) as port:
        yield port


@pytest.fixture(
    params=[(offline, online) for offline in ("dask", "duckdb") for online in ("sqlite", "redis")], ids="-".join
)
def store(request: pytest.FixtureRequest, tmp_path: Path, redis_port: int) -> FeatureStore:
    offline, online = request.param
    config: dict[str, Any] = {"type": "sqlite", "path": "data/online_store.db"}
    if online == "redis":
        config = {"type": "redis", "connection_string": f"localhost:{redis_port}"}
        with redis.Redis(port=redis_port) as client:
            client.flushall()
    return template(tmp_path, offline=offline, online=config)


def check(store: FeatureStore, folder: Path, *options: object) -> Ran:
    return trueup("parity", "served", "--repo", store.repo_path, "--log", folder, *options)


def test_what_feast_served_and_logged_passes_and_a_changed_value_fails(store: FeatureStore) -> None:
    """One test for each pair of stores: the template takes a second to make, and a log is one folder of it."""
    folder = log(store, serve(store, (1001, 1002, 7)))
    log(store, serve(store, (1003,), request="r2"))
    clean = check(store, folder)
    result = clean.result
    assert (clean.code, result.subject, result.known_at, result.rows) == (0, SERVICE, "label", 4)
    assert (result.compared, result.mismatched, result.counts.stale_equal) == (12, 0, 0)
    assert result.features["driver_hourly_stats__conv_rate"].counts.served.missing == 1
    assert "driver_stats.parquet" in result.notes["Parquet files that are no log of the service"]

    column = "driver_hourly_stats__conv_rate"
    log(store, changed(serve(store, (1004,), request="r3"), column, lambda value: value + 0.5))
    spoiled = check(store, folder)
    assert (spoiled.code, spoiled.result.rows, spoiled.result.failing) == (1, 5, (column,))
    (sample,) = spoiled.result.samples
    assert (dict(sample.keys), sample.request) == ({"driver_id": "1004"}, "r3")

    for file in folder.glob("*.parquet"):
        if column in pq.read_schema(file).names:
            file.unlink()
    assert check(store, folder).code == 2


def test_a_log_of_maps_structs_and_decimals_in_arrows_own_types_is_compared(tmp_path: Path) -> None:
    """Feast's log schema knows no such type (0.67): whoever logs them writes what Arrow makes of the answer."""
    store = documents(tmp_path, offline="dask", online={"type": "sqlite", "path": "data/online_store.db"})
    with quiet(), chdir(str(store.repo_path)):
        service = store.get_feature_service("docs_v1")
        answer = store.get_online_features(service, [{"big": 1}, {"big": 2}, {"big": 3}], full_feature_names=True)
    served = answer.to_dict()
    names = [name for name in served if name != "big"]
    now = datetime.now(UTC)
    columns: dict[str, Any] = {
        "big": served["big"],
        "__log_timestamp": pa.array([now] * 3, TIMES),
        "__request_id": ["a", "b", "c"],
    }
    kinds = {"docs__pdf": pa.binary(), "docs__price": pa.decimal128(9, 2)}
    folder = tmp_path / "log"
    folder.mkdir()
    for spoiled in (False, True):
        if spoiled:
            served["docs__pair"][0]["n"] += 0.5
        values = {name: pa.array(served[name], kinds.get(name)) for name in names}
        assert pa.types.is_struct(values["docs__pair"].type)
        pq.write_table(pa.table({**columns, **values}), folder / "rows.parquet")
        ran = check(store, folder, "--service", "docs_v1")
        assert (ran.code, ran.result.compared) == (int(spoiled), 21)
        assert ran.result.failing == (("docs__pair",) if spoiled else ())


def test_views_that_were_never_materialized_are_missing_and_no_fallback(tmp_path: Path) -> None:
    config = {"type": "sqlite", "path": "data/online_store.db"}
    store = template(tmp_path, offline="dask", online=config, materialize=False)
    drivers = [1001, 1002, 1003, 1004, 1005] * 4
    with quiet(), chdir(str(store.repo_path)):
        views = [store.get_feature_view(name)[["acc_rate"]] for name in ("driver_hourly_stats", FRESH)]
        store.apply([FeatureService(name="two", features=views)])
    columns = {
        "driver_id": drivers,
        "__log_timestamp": pa.array([datetime.now(UTC)] * 20, TIMES),
        "__request_id": [str(row) for row in range(20)],
    }
    for name in ("driver_hourly_stats", FRESH):
        columns[f"{name}__acc_rate"] = pa.nulls(20, pa.float32())
        columns[f"{name}__acc_rate__status"] = pa.array([FieldStatus.Value("NOT_FOUND")] * 20, pa.int32())
    folder = tmp_path / "log"
    folder.mkdir()
    pq.write_table(pa.table(columns), folder / "rows.parquet")
    ran = check(store, folder, "--service", "two")
    assert (ran.code, ran.result.by_cause) == (1, {"missing_online": 40})
