"""`parity online` on repositories that know nothing of trueup: Feast's template and stores, Feast's materialization."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
from feast import FeatureStore
from feast.data_source import PushMode
from feast.protos.feast.types.Value_pb2 import Value
from tests.benches.online_check import bench
from tests.trueup.parity.stock import NOW, configure, documents, mixed, quiet, redis_over_tcp, template
from typer.testing import CliRunner

from trueup.cli import app
from trueup.cli.parity.online import check_online_store, open_online
from trueup.cli.parity.place import Place
from trueup.contracts.stored import stored_views
from trueup.errors import InputError, StoreError, TrueupError
from trueup.instants import parse_instant, utc_now
from trueup.parity.checks.online import NEVER_MATERIALIZED, ONLY_ONLINE, OTHER_TYPES, OTHER_VIEWS
from trueup.parity.evidence.online import NOT_SAMPLED, ONE_DIRECTION
from trueup.parity.report import Report
from trueup.parity.results import Result
from trueup.parity.runs.online import run_online
from trueup.stores.feast_rows import FeastRows, online_rows_of
from trueup.stores.key_columns import OTHER_PROJECT, UNDECODABLE
from trueup.stores.redis_layout import value_field
from trueup.stores.registry_ledger import RegistryLedger

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning:feast", "ignore::RuntimeWarning:feast", "ignore::FutureWarning"
)
SQLITE = {"type": "sqlite", "path": "data/online_store.db"}
DRIVERS = ["driver_hourly_stats", "driver_hourly_stats_fresh"]


@pytest.fixture(scope="module")
def redis_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with redis_over_tcp(tmp_path_factory.mktemp("redis")) as port:
        yield port


@pytest.fixture
def client(redis_port: int) -> Iterator[redis.Redis]:
    with redis.Redis(port=redis_port) as client:
        client.flushall()
        yield client


def redis_config(client: redis.Redis) -> dict[str, Any]:
    return {"type": "redis", "connection_string": f"localhost:{client.get_connection_kwargs()['port']}"}


def checked(
    store: FeatureStore,
    service: str | None = None,
    *,
    views: list[str] | None = None,
    sample: float = 1.0,
    now: str | None = None,
) -> Report:
    place = Place(repo=Path(store.repo_path))
    stored, rows = open_online(place, service, views)
    at = rows.now or utc_now() if now is None else parse_instant(now)
    return check_online_store(place, stored, rows, now=at, sample=sample, progress=lambda _now: None)


def check(store: FeatureStore, service: str | None = None, **options: Any) -> dict[str, Result]:
    report = checked(store, service, **options)
    assert Report.from_json(report.to_json()) == report
    return {result.subject: result for result in report.cells}


def verdicts(found: dict[str, Result]) -> dict[str, str]:
    return {name: result.verdict for name, result in found.items()}


@pytest.mark.parametrize("offline", ["dask", "duckdb"])
@pytest.mark.parametrize("online", ["sqlite", "redis"])
def test_a_repository_as_feast_left_it_passes(tmp_path: Path, client: redis.Redis, offline: str, online: str) -> None:
    config = SQLITE if online == "sqlite" else redis_config(client)
    drivers = check(template(tmp_path, offline=offline, online=config))
    assert verdicts(drivers) == dict.fromkeys(DRIVERS, "pass")
    for result in drivers.values():
        assert (result.rows, result.compared, result.counts.stale_equal) == (5, 30, 0)
        assert not any(feature.counts.uncompared for feature in result.features.values())
        assert {"Map", "Json"} <= {feature.dtype for feature in result.features.values()}
    found = check(mixed(tmp_path, offline=offline, online=config))
    assert set(verdicts(found).values()) == {"pass"}
    assert {name: result.rows for name, result in found.items() if name != "nobody"} == dict.fromkeys(
        ["by_big", "by_name", "by_raw", "by_small", "pair", "pushed"], 6
    )
    assert offline == "duckdb" or found["nobody"].rows == 1
    assert [result.counts.stale_equal for result in found.values()] == [0] * len(found)


@pytest.mark.parametrize("offline", ["dask", "duckdb"])
@pytest.mark.parametrize("online", ["sqlite", "redis"])
def test_maps_structs_and_decimals_that_feast_materialized_are_the_sources(
    tmp_path: Path, client: redis.Redis, offline: str, online: str
) -> None:
    store = documents(tmp_path, offline=offline, online=SQLITE if online == "sqlite" else redis_config(client))
    (result,) = check(store).values()
    assert (result.verdict, result.rows, result.compared, result.mismatched) == ("pass", 3, 21, 0)
    if online == "redis":
        changed = Value()
        changed.struct_val.val["n"].double_val = 8
        changed.struct_val.val["label"].string_val = "x"
        place = value_field("docs", "pair")
        client.hset(_key(store, [("big", Value(int64_val=1))]), place, changed.SerializeToString())
        (result,) = check(store).values()
        assert (result.compared, result.mismatched, result.unexplained) == (21, 1, 1)
        (sample,) = result.samples
        assert (sample.feature, sample.served.value, sample.recomputed.value) == (
            "docs__pair",
            '{"label":"x","n":8.0}',
            '{"label":"x","n":7}',
        )


def test_sqlite_event_times_mean_what_feast_means_in_the_machines_own_time_zone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as zone:
        zone.setenv("TZ", "America/New_York")
        time.tzset()
        found = check(mixed(tmp_path, offline="dask", online=SQLITE))
    time.tzset()
    assert set(verdicts(found).values()) == {"pass"}
    assert [result.counts.stale_equal for result in found.values()] == [0] * len(found)


def test_a_feature_service_and_a_view_narrow_what_is_checked(tmp_path: Path) -> None:
    store = template(tmp_path, offline="dask", online=SQLITE)
    found = check(store, "driver_activity_v1")
    assert {name: list(result.features) for name, result in found.items()} == {
        "driver_hourly_stats": [
            f"driver_hourly_stats__{name}"
            for name in (
                "conv_rate",
                "acc_rate",
                "avg_daily_trips",
                "driver_metadata",
                "driver_config",
                "driver_profile",
            )
        ]
    }
    assert list(check(store, views=["driver_hourly_stats_fresh"])) == ["driver_hourly_stats_fresh"]
    report = checked(store)
    assert report.facts["not stored: on-demand views"].split(", ") == [
        "transformed_conv_rate",
        "transformed_conv_rate_fresh",
    ]
    assert report.facts["not stored: label views"] == "driver_quality_labels"


def test_an_overwritten_value_a_lost_row_and_one_too_many_are_found_in_redis(
    tmp_path: Path, client: redis.Redis
) -> None:
    store = mixed(tmp_path, offline="dask", online=redis_config(client))
    before = {key: client.hgetall(key) for key in client.scan_iter()}
    assert set(verdicts(check(store)).values()) == {"pass"}
    assert {key: client.hgetall(key) for key in client.scan_iter()} == before
    client.hset(
        _key(store, [("name", Value(string_val="n3"))]),
        value_field("by_name", "i64"),
        Value(int64_val=7).SerializeToString(),
    )
    lost = _key(store, [("big", Value(int64_val=2))])
    client.delete(lost)
    row = client.hgetall(_key(store, [("big", Value(int64_val=1))]))
    more = _key(store, [("big", Value(int64_val=99))])
    client.hset(more, mapping=row)
    client.hset(more[: -len("mixed")] + b"notmixed", mapping=row)
    client.hset(more[:-6], mapping=row)
    found = check(store)
    assert found["by_name"].mismatched == 1
    assert found["by_name"].features["by_name__i64"].counts.value == 1
    for name, features in (("by_big", 8), ("pushed", 1)):
        assert found[name].mismatched == 2 * features
        assert found[name].by_cause["missing_online"] == features
        assert sum(found[name].by_cause.values()) == 2 * features
        assert found[name].notes == {ONLY_ONLINE: "1", OTHER_PROJECT: "1", UNDECODABLE: "1"}
    assert {sample.keys["big"] for sample in found["by_big"].samples} == {"2", "99"}


def test_the_rows_of_other_views_under_a_key_are_not_this_views(tmp_path: Path, client: redis.Redis) -> None:
    store = mixed(tmp_path, offline="dask", online=redis_config(client))
    key = _key(store, [("big", Value(int64_val=50))])
    client.hset(key, mapping={b"_ts:elsewhere": b"\x08\x01", b"x": b""})
    found = check(store, views=["pushed"])["pushed"]
    assert (found.verdict, found.rows, found.notes) == ("pass", 6, {OTHER_VIEWS: "1"})


def test_an_overwritten_value_a_lost_row_and_one_too_many_are_found_in_sqlite(tmp_path: Path) -> None:
    store = template(tmp_path, offline="dask", online=SQLITE)
    path = Path(store.repo_path) / "data" / "online_store.db"
    table = "drivers_driver_hourly_stats"
    with closing(sqlite3.connect(path)) as connection, connection:
        keys = [key for (key,) in connection.execute(f"SELECT DISTINCT entity_key FROM {table} ORDER BY 1")]
        connection.execute(
            f"UPDATE {table} SET value = ? WHERE entity_key = ? AND feature_name = 'acc_rate'",
            (Value(float_val=2.0).SerializeToString(), keys[0]),
        )
        connection.execute(f"DELETE FROM {table} WHERE entity_key = ?", (keys[1],))
        more = keys[2][:-8] + (4242).to_bytes(8, "little")
        connection.execute(
            f"INSERT INTO {table} (entity_key, feature_name, value, event_ts) "
            f"SELECT ?, feature_name, value, event_ts FROM {table} WHERE entity_key = ?",
            (more, keys[2]),
        )
    before = path.read_bytes()
    found = check(store)
    assert path.read_bytes() == before
    stats = found["driver_hourly_stats"]
    assert stats.features["driver_hourly_stats__acc_rate"].counts.mismatched == 3
    assert stats.features["driver_hourly_stats__conv_rate"].counts.mismatched == 2
    assert (stats.notes[ONLY_ONLINE], stats.rows) == ("1", 6)
    assert found["driver_hourly_stats_fresh"].verdict == "pass"


def test_what_the_store_serves_past_the_ttl_is_a_finding_where_its_read_applies_none(tmp_path: Path) -> None:
    store = template(tmp_path, offline="dask", online=SQLITE)
    later = (NOW + timedelta(days=3)).isoformat()
    found = check(store, views=["driver_hourly_stats"], now=later)["driver_hourly_stats"]
    assert (found.mismatched, found.by_cause) == (30, {"ttl_not_enforced": 30})


def test_the_same_bytes_are_expired_to_a_store_that_applies_the_ttl(tmp_path: Path, client: redis.Redis) -> None:
    online = {**redis_config(client), "type": "trueup.stores.redis_online.RedisOnlineStore"}
    store = mixed(tmp_path, offline="dask", online=online)
    later = (NOW + timedelta(days=60)).isoformat()
    pushed = check(store, views=["pushed"], now=later)["pushed"]
    assert (pushed.verdict, pushed.counts.served.expired, pushed.counts.recomputed.expired) == ("pass", 6, 6)
    configure(Path(store.repo_path), project="mixed", offline="dask", online=redis_config(client))
    assert check(store, views=["pushed"], now=later)["pushed"].by_cause == {"ttl_not_enforced": 6}


def test_a_row_without_a_readable_event_time_is_counted_and_is_no_pass(tmp_path: Path, client: redis.Redis) -> None:
    store = mixed(tmp_path, offline="dask", online=redis_config(client))
    client.hset(_key(store, [("big", Value(int64_val=1))]), "_ts:pushed", b"junk")
    found = check(store, views=["pushed"])["pushed"]
    assert (found.verdict, found.compared, found.notes[OTHER_TYPES]) == (
        "could not run",
        5,
        "pushed__i64 is Int64, stored as a row whose event time cannot be read (1 cells)",
    )


def test_a_view_that_was_never_materialized_is_counted_and_is_no_pass(tmp_path: Path) -> None:
    store = template(tmp_path, offline="dask", online=SQLITE, materialize=False)
    for result in check(store).values():
        assert (result.verdict, result.rows, result.uncompared) == ("could not run", 0, {NEVER_MATERIALIZED: 5})


def test_what_no_materialized_window_holds_is_not_expected_online(tmp_path: Path) -> None:
    store = template(tmp_path, offline="dask", online=SQLITE, materialize=False)
    with quiet():
        store.materialize(NOW - timedelta(days=10), NOW - timedelta(days=5))
    found = check(store, now=(NOW - timedelta(days=5)).isoformat())
    # The registry learned of it only later: as of five days ago, nothing had landed.
    assert {result.verdict for result in found.values()} == {"fail"}
    for result in check(store).values():
        assert set(result.by_cause) == {"ttl_not_enforced"}  # the newest row that was written is five days old


def test_what_was_pushed_past_the_materialization_is_named_so(tmp_path: Path) -> None:
    store = mixed(tmp_path, offline="dask", online=SQLITE)
    at = pd.Timestamp(NOW)
    row = {"big": [1], "i64": [77], "event_timestamp": [at], "created": [at]}
    with quiet():
        store.push("push", pd.DataFrame(row), to=PushMode.ONLINE)
    pushed = check(store)["pushed"]
    assert pushed.mismatched == 1  # a value that no source has
    _rewrite(store, lambda table: _with_row(table, big=1, i64=77, event_timestamp=NOW, created=datetime.now(UTC)))
    assert check(store)["pushed"].by_cause == {"ahead_of_ledger": 1}


def _with_row(table: pa.Table, **values: Any) -> pa.Table:
    """One more row, null where nothing is said."""
    return pa.concat_tables([table, pa.Table.from_pylist([values], table.schema)])


def test_a_sample_is_the_same_share_each_time_and_says_what_it_left_out(tmp_path: Path) -> None:
    store = mixed(tmp_path, offline="dask", online=SQLITE)
    whole, half = check(store)["by_big"], check(store, sample=0.5)["by_big"]
    assert half.rows + half.uncompared[NOT_SAMPLED] == whole.rows
    assert half == check(store, sample=0.5)["by_big"]
    with pytest.raises(InputError, match="share of the entities"):
        check(store, sample=0.0)


@pytest.mark.parametrize("online", ["sqlite", "redis"])
def test_feasts_own_api_finds_what_the_fast_way_finds(tmp_path: Path, client: redis.Redis, online: str) -> None:
    store = mixed(tmp_path, offline="dask", online=SQLITE if online == "sqlite" else redis_config(client))
    _rewrite(
        store, lambda table: table.slice(0, 5)
    )  # and the source forgets an entity, which only a listing store tells
    stored = stored_views(store)
    rows = FeastRows(store, "to compare")
    results = {}
    for name, reader in (("fast", online_rows_of(store)), ("api", rows)):
        report = run_online(
            Path(store.repo_path),
            stored.contract,
            reader,
            now=datetime.now(UTC) + timedelta(minutes=5),  # after the run, by the clock that the registry keeps
            ledger=RegistryLedger.of(store),
            clock=lambda: NOW,
        )
        results[name] = {result.subject: result for result in report.cells}
    for name, api in results["api"].items():
        fast = results["fast"][name]
        assert ONE_DIRECTION in api.notes
        assert api.verdict == "pass"
        assert fast.verdict == ("pass" if name == "nobody" else "fail")
        assert (fast.notes.get(ONLY_ONLINE), fast.compared - fast.mismatched) == (
            None if name == "nobody" else "1",
            api.compared,
        )


def test_a_value_stored_under_another_type_is_no_pass(tmp_path: Path, client: redis.Redis) -> None:
    store = mixed(tmp_path, offline="dask", online=redis_config(client))
    key = _key(store, [("big", Value(int64_val=1))])
    client.hset(key, value_field("pushed", "i64"), Value(double_val=1.5).SerializeToString())
    found = check(store, views=["pushed"])["pushed"]
    assert (found.verdict, found.compared) == ("could not run", 5)
    assert found.notes[OTHER_TYPES] == "pushed__i64 is Int64, stored as Float64 (1 cells)"


def test_a_source_that_cannot_be_read_leaves_the_other_views_alone(tmp_path: Path) -> None:
    from feast import Entity, FeatureView, Field
    from feast.infra.offline_stores.bigquery_source import BigQuerySource
    from feast.types import Float64

    store = template(tmp_path, offline="dask", online=SQLITE)
    view = FeatureView(
        name="far",
        entities=[Entity(name="driver", join_keys=["driver_id"])],
        schema=[Field(name="x", dtype=Float64)],
        source=BigQuerySource(name="far", table="a.b.c", timestamp_field="t"),
    )
    view.entity_columns = store.get_feature_view("driver_hourly_stats").entity_columns
    store.registry.apply_feature_view(view, store.project)
    found = check(store)
    assert verdicts(found) == {**dict.fromkeys(DRIVERS, "pass"), "far": "could not run"}
    assert "BigQuerySource" in str(found["far"].problem)


def test_a_truncated_source_is_one_views_problem_and_exit_code_2(tmp_path: Path) -> None:
    store = mixed(tmp_path, offline="dask", online=SQLITE)
    path = Path(store.repo_path) / "data" / "rows.parquet"
    path.write_bytes(path.read_bytes()[:-30])
    report = checked(store)
    assert report.exit_code == 2
    assert all("rows.parquet" in str(result.problem) for result in report.cells)


def test_the_command_exits_0_1_and_2_and_prints_json(tmp_path: Path, client: redis.Redis) -> None:
    store = template(tmp_path, offline="dask", online=redis_config(client))

    def run(*more: str) -> tuple[int, dict[str, Any]]:
        result = CliRunner().invoke(app, ["parity", "online", "--repo", str(store.repo_path), "--json", *more])
        return result.exit_code, json.loads(result.stdout)

    code, report = run()
    assert (code, report["summary"]["online"]["compared"]) == (0, 60)
    assert "Feast's registry" in report["facts"]["ledger"]
    code, report = run("--now", (NOW + timedelta(days=3)).isoformat(), "--view", DRIVERS[0])
    assert (code, report["summary"]["online"]["by_cause"]) == (1, {"ttl_not_enforced": 30})
    client.flushall()
    code, report = run("--now", (NOW - timedelta(days=30)).isoformat())
    assert (code, report["summary"]["online"]["compared"]) == (2, 0)


def refusal(*arguments: str) -> str:
    """What the command line says; it must be an error of ours, never a traceback."""
    result = CliRunner().invoke(app, ["parity", "online", *arguments])
    assert isinstance(result.exception, TrueupError), result.output
    message = str(result.exception)
    assert "\n" not in message
    return message


def test_wrong_input_is_one_clear_line(tmp_path: Path, redis_port: int) -> None:
    assert "no feature_store.yaml" in refusal("--repo", str(tmp_path / "nowhere"))
    (tmp_path / "bare" / "data").mkdir(parents=True)
    configure(tmp_path / "bare", project="bare", offline="dask", online=SQLITE)
    assert "feast apply" in refusal("--repo", str(tmp_path / "bare"))
    (tmp_path / "bare" / "feature_store.yaml").write_text("project: [")
    assert "feature_store.yaml" in refusal("--repo", str(tmp_path / "bare"))
    store = template(tmp_path, offline="dask", online=SQLITE)
    repo = Path(store.repo_path)
    assert "'nope'" in refusal("nope", "--repo", str(repo))
    assert "'nope'" in refusal("--view", "nope", "--repo", str(repo))
    assert "sample" in refusal("--sample", "2", "--repo", str(repo))
    assert "not an instant" in refusal("--now", "yesterday", "--repo", str(repo))
    (repo / "data" / "online_store.db").write_bytes(b"no SQLite at all, but long enough to be taken for one" * 40)
    assert "cannot be read" in refusal("--repo", str(repo))
    (repo / "data" / "online_store.db").unlink()
    assert "there is no SQLite online store" in refusal("--repo", str(repo))
    configure(repo, project="drivers", offline="dask", online={"type": "redis", "connection_string": "localhost:1"})
    assert "cannot be reached" in refusal("--repo", str(repo))


def test_a_wrong_password_is_one_clear_line_that_does_not_show_it(tmp_path: Path) -> None:
    with redis_over_tcp(tmp_path, password="right") as port:
        online = {"type": "redis", "connection_string": f"localhost:{port},password=right"}
        store = template(tmp_path, offline="dask", online=online)
        assert verdicts(check(store)) == dict.fromkeys(DRIVERS, "pass")
        wrong = {"type": "redis", "connection_string": f"localhost:{port},password=wrong"}
        configure(Path(store.repo_path), project="drivers", offline="dask", online=wrong)
        message = refusal("--repo", str(store.repo_path))
    assert "refused the user or password" in message
    assert "wrong" not in message


def test_a_redis_cluster_is_read_through_feast(tmp_path: Path) -> None:
    store = template(tmp_path, offline="dask", online=SQLITE)
    cluster = {"type": "redis", "redis_type": "redis_cluster", "connection_string": "localhost:1"}
    configure(Path(store.repo_path), project="drivers", offline="dask", online=cluster)
    rows = online_rows_of(FeatureStore(repo_path=store.repo_path))
    assert isinstance(rows, FeastRows)
    assert "redis_cluster has no fast path" in rows.describe
    (view, *_) = stored_views(store).contract.views
    with pytest.raises(StoreError, match="cannot be read through Feast"):
        rows.read("drivers", [view], pa.table({"driver_id": [1001]}), [b""], NOW)


def _key(store: FeatureStore, parts: list[tuple[str, Value]]) -> bytes:
    from feast.infra.online_stores.helpers import _redis_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey

    names, values = zip(*parts, strict=True)
    key: bytes = _redis_key(store.project, EntityKey(join_keys=names, entity_values=values))
    return key


def _rewrite(store: FeatureStore, change: Any) -> None:
    path = Path(store.repo_path) / "data" / "rows.parquet"
    pq.write_table(change(pq.read_table(path)), path)


def test_the_bench_measures_what_it_says_on_a_small_repository(tmp_path: Path) -> None:
    (row,) = bench(0.005, tmp_path)
    assert row["equal"]
    assert row["context"]["entities"] == 500
    assert min(row["ratio_to_feast"], row["ratio_to_floor"]) > 0
