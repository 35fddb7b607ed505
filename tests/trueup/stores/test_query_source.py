"""Laws of `DuckDBQuerySource`: Feast stores it, finds no change where there is none, and names what is wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field
from feast.data_source import DataSource
from feast.diff.registry_diff import diff_registry_objects
from feast.infra.registry.registry import FeastObjectType
from feast.repo_config import RepoConfig
from feast.types import Float64, Int64
from feast.value_type import ValueType

from trueup.contracts.extract import source_from_feast
from trueup.errors import SourceError
from trueup.stores.query_source import DuckDBQuerySource, feast_value_type

EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
QUERY = """
SELECT airport, event_time, created, count(*) AS flights, avg(delay) AS delay
FROM departures GROUP BY ALL -- one row a flight hour"""


def source(**changes: Any) -> DuckDBQuerySource:
    return DuckDBQuerySource(
        **{
            "name": "departures_hourly",
            "query": QUERY,
            "tables": {"departures": "data/departures.parquet"},
            "timestamp_field": "event_time",
            "created_timestamp_column": "created",
            "field_mapping": {"delay": "mean_delay"},
            "description": "hourly departures",
            "tags": {"team": "flights"},
            "owner": "ops",
            **changes,
        }
    )


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    table = pa.table(
        {
            "airport": ["JFK", "LGA"],
            "event_time": pa.array([EPOCH, EPOCH + timedelta(hours=1)], pa.timestamp("us", tz="UTC")),
            "created": pa.array([EPOCH, EPOCH + timedelta(hours=2)], pa.timestamp("us", tz="UTC")),
            "delay": [1.5, 2.5],
        }
    )
    pq.write_table(table, tmp_path / "data" / "departures.parquet", write_statistics=False)
    return tmp_path


def config(repo: Path) -> Any:
    return SimpleNamespace(repo_path=repo)


def test_a_source_survives_the_registry_whole() -> None:
    original = source()
    read = DataSource.from_proto(original.to_proto())

    assert isinstance(read, DuckDBQuerySource)
    assert read == original
    assert (read.query, read.tables) == (original.query, original.tables)
    assert (read.description, read.tags, read.owner) == ("hourly departures", {"team": "flights"}, "ops")
    assert source_from_feast("view", read) == source_from_feast("view", original)


def test_a_source_without_created_column_or_mapping_survives_the_registry() -> None:
    original = source(created_timestamp_column=None, field_mapping=None, tags=None, owner="", description="")
    assert DataSource.from_proto(original.to_proto()) == original
    assert source_from_feast("view", original).created_column is None


def test_the_order_in_which_tables_are_named_does_not_change_the_bytes() -> None:
    one = source(tables={"a": "a.parquet", "b": "b.parquet"})
    two = source(tables={"b": "b.parquet", "a": "a.parquet"})
    assert one == two
    assert one._to_proto_impl().SerializeToString(deterministic=True) == two._to_proto_impl().SerializeToString(
        deterministic=True
    )


@pytest.mark.parametrize(
    "change",
    [
        {"query": "SELECT 1"},
        {"tables": {"departures": "elsewhere.parquet"}},
        {"timestamp_field": "other"},
        {"created_timestamp_column": "other"},
        {"field_mapping": {}},
    ],
)
def test_every_edit_is_a_change_that_feast_sees(change: dict[str, Any]) -> None:
    before, after = source(), source(**change)
    assert before != after
    diff = diff_registry_objects(before, after, FeastObjectType.DATA_SOURCE)
    assert diff.feast_object_property_diffs


def test_two_sources_of_the_same_definition_are_equal_and_hash_alike() -> None:
    assert source() == source()
    assert hash(source()) == hash(source())
    assert source() != object()


def feature_store(repo: Path) -> FeatureStore:
    return FeatureStore(
        config=RepoConfig(
            project="flights",
            provider="local",
            registry=str(repo / "registry.db"),
            repo_path=repo,
            entity_key_serialization_version=3,
            online_store=None,
        )
    )


def test_a_second_apply_reports_no_change_and_an_edited_query_reports_the_view(repo: Path) -> None:
    from feast.repo_contents import RepoContents

    airport = Entity(name="airport", value_type=ValueType.STRING)

    def contents(**changes: Any) -> RepoContents:
        view = FeatureView(
            name="departures",
            entities=[airport],
            schema=[Field(name="flights", dtype=Int64), Field(name="mean_delay", dtype=Float64)],
            source=(data_source := source(**changes)),
        )
        return RepoContents(
            projects=[],
            data_sources=[data_source],
            entities=[airport],
            feature_views=[view],
            on_demand_feature_views=[],
            stream_feature_views=[],
            label_views=[],
            feature_services=[],
            permissions=[],
        )

    def changed(desired: RepoContents) -> list[str]:
        store = feature_store(repo)
        diff = store.plan(desired)[0].to_string()
        return [line.strip() for line in diff.splitlines() if "departures" in line]

    first = contents()
    feature_store(repo).apply([airport, *first.feature_views])
    assert changed(contents()) == []
    assert changed(contents(query=QUERY.replace("avg", "max"))) != []


def test_a_view_without_schema_gets_the_types_of_the_query(repo: Path) -> None:
    store = feature_store(repo)
    airport = Entity(name="airport", value_type=ValueType.STRING)
    store.apply([airport, FeatureView(name="departures", entities=[airport], source=source())])

    fields = {field.name: str(field.dtype) for field in store.get_feature_view("departures").features}
    assert fields == {"flights": "Int64", "mean_delay": "Float64"}


def test_column_types_are_those_of_the_querys_result(repo: Path) -> None:
    assert dict(source().get_table_column_names_and_types(config(repo))) == {
        "airport": "VARCHAR",
        "event_time": "TIMESTAMP WITH TIME ZONE",
        "created": "TIMESTAMP WITH TIME ZONE",
        "flights": "BIGINT",
        "delay": "DOUBLE",
    }


def test_a_source_that_can_be_read_is_valid(repo: Path) -> None:
    source().validate(config(repo))
    source(query=f"{QUERY}\n;").validate(config(repo))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tables": {"departures": "data/absent.parquet"}}, r"departures_hourly.*'departures'.*data/absent\.parquet"),
        ({"query": "SELECT nothing FROM departures"}, r"departures_hourly: its query fails.*nothing"),
        ({"query": "SELECT FROM WHERE"}, r"departures_hourly: its query fails"),
        ({"timestamp_field": "absent"}, r"no column 'absent'; it gives airport, event_time"),
        ({"timestamp_field": "delay", "field_mapping": {}}, r"'delay' is DOUBLE, expected a TIMESTAMP"),
        ({"created_timestamp_column": "airport"}, r"'airport' is VARCHAR, expected a TIMESTAMP"),
    ],
)
def test_a_source_that_cannot_be_read_says_why(repo: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        source(**change).validate(config(repo))


@pytest.mark.parametrize("change", [{"query": " \n"}, {"timestamp_field": ""}])
def test_a_source_without_query_or_timestamp_is_refused_at_once(change: dict[str, Any]) -> None:
    with pytest.raises(SourceError, match="departures_hourly"):
        source(**change)


@pytest.mark.parametrize(
    ("duckdb_type", "expected"),
    [
        ("BIGINT", ValueType.INT64),
        ("DECIMAL(18,3)", ValueType.DOUBLE),
        ("TIMESTAMP", ValueType.UNIX_TIMESTAMP),
        ("TIMESTAMPTZ_NS", ValueType.UNIX_TIMESTAMP),
        ("TIMESTAMP WITH TIME ZONE", ValueType.UNIX_TIMESTAMP),
        ("DOUBLE[]", ValueType.DOUBLE_LIST),
        ("VARCHAR[]", ValueType.STRING_LIST),
    ],
)
def test_duckdb_types_have_feast_types(duckdb_type: str, expected: ValueType) -> None:
    assert feast_value_type(duckdb_type) is expected


@pytest.mark.parametrize("duckdb_type", ["TIME", "INTERVAL", "STRUCT(a INTEGER)", "DOUBLE[][]"])
def test_a_type_feast_does_not_have_is_an_error_that_names_it(duckdb_type: str) -> None:
    with pytest.raises(SourceError, match="has no Feast type"):
        feast_value_type(duckdb_type)
