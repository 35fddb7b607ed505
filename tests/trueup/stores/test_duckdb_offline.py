"""Laws of `DuckDBOfflineStore`, through plain Feast: one row in, one row out, in order, with the right values."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RequestSource
from feast.errors import EntityTimestampInferenceException, SavedDatasetLocationAlreadyExists
from feast.feature_logging import FeatureServiceLoggingSource, LoggingConfig
from feast.infra.offline_stores.file_source import FileLoggingDestination, SavedDatasetFileStorage
from feast.on_demand_feature_view import on_demand_feature_view
from feast.repo_config import RepoConfig
from feast.types import Float64, Int64, String
from feast.value_type import ValueType
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.oracles import asof as oracle

from trueup.errors import InputError, SourceError, StoreError
from trueup.instants import AsOfRule, Schedule
from trueup.stores.duckdb_offline import DuckDBOfflineStore, DuckDBRetrievalJob
from trueup.stores.duckdb_tables import connect
from trueup.stores.ledger import BEGINNING
from trueup.stores.ledger_engine import ledger_of
from trueup.stores.query_source import DuckDBQuerySource

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
TIMES = pa.timestamp("us", tz="UTC")


def config(repo: Path, **options: Any) -> RepoConfig:
    return RepoConfig(
        project="test",
        provider="local",
        registry=str(repo / "registry.db"),
        repo_path=repo,
        entity_key_serialization_version=3,
        offline_store={"type": "trueup.stores.duckdb_offline.DuckDBOfflineStore", **options},
        online_store={"type": "sqlite", "path": str(repo / "online.db")},
        batch_engine={"type": "trueup.stores.ledger_engine.LedgerEngine", "ledger": "ledger.sqlite"},
    )


def write(repo: Path, name: str, columns: dict[str, Any]) -> None:
    pq.write_table(pa.table(columns), repo / f"{name}.parquet", write_statistics=False)


def times(*instants: datetime | None) -> pa.Array:
    return pa.array(list(instants), TIMES)


DRIVER = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
CITY = Entity(name="city", join_keys=["city"], value_type=ValueType.STRING)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """Trips of two drivers, one restated late; and the mood of the city they drive in."""
    write(
        tmp_path,
        "trips",
        {
            "driver_id": pa.array([1, 1, 2, None], pa.int64()),
            "at": times(NOON, NOON, NOON - 3 * HOUR, NOON),
            "created": times(NOON, NOON + 2 * HOUR, NOON - 3 * HOUR, NOON),
            "trips": pa.array([10, 99, 20, 7], pa.int64()),
            "rating": pa.array([4.5, float("nan"), None, 1.0]),
        },
    )
    write(tmp_path, "moods", {"city": ["Oslo"], "at": times(NOON), "mood": ["fine"]})
    return tmp_path


def trips(**changes: Any) -> FeatureView:
    return FeatureView(
        **{
            "name": "trips",
            "entities": [DRIVER],
            "ttl": 6 * HOUR,
            "schema": [
                Field(name="driver_id", dtype=Int64),
                Field(name="trips", dtype=Int64),
                Field(name="rating", dtype=Float64),
            ],
            "source": DuckDBQuerySource(
                name="trips",
                query="SELECT * FROM driven",
                tables={"driven": "trips.parquet"},
                timestamp_field="at",
                created_timestamp_column="created",
            ),
            **changes,
        }
    )


def moods() -> FeatureView:
    return FeatureView(
        name="moods",
        entities=[CITY],
        schema=[Field(name="city", dtype=String), Field(name="mood", dtype=String)],
        source=FileSource(path="moods.parquet", timestamp_field="at"),
    )


def store(repo: Path, *views: Any, **options: Any) -> FeatureStore:
    feature_store = FeatureStore(config=config(repo, **options))
    feature_store.apply([DRIVER, CITY, *(views or (trips(), moods()))])
    return feature_store


def entity_df(*rows: tuple[Any, ...], columns: tuple[str, ...] = ("driver_id", "event_timestamp")) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns))


def history(feature_store: FeatureStore, rows: Any, *features: str, **options: Any) -> pd.DataFrame:
    frame: pd.DataFrame = feature_store.get_historical_features(
        entity_df=rows, features=list(features or ("trips:trips",)), **options
    ).to_df()
    return frame


# Rows and columns -----------------------------------------------------------------------------------------------------


def test_rows_come_back_in_order_with_their_columns_and_an_index_does_not_matter(repo: Path) -> None:
    rows = entity_df(
        (2, NOON, "b", 0.5),
        (1, NOON, None, 1.5),
        (2, NOON, "b", 0.5),
        (3, NOON, "d", 2.5),
        columns=("driver_id", "event_timestamp", "note", "label"),
    ).set_index(pd.Index([7, 7, 0, 3]))
    got = history(store(repo), rows, "trips:trips")

    pd.testing.assert_frame_equal(got[list(rows.columns)], rows.reset_index(drop=True))
    assert got["trips"].tolist()[:3] == [20, 10, 20]
    assert got["trips"].isna().tolist() == [False, False, False, True]
    assert list(got.index) == [0, 1, 2, 3]


def test_the_entity_df_is_left_as_it_was(repo: Path) -> None:
    rows = entity_df((2, NOON), (1, NOON)).set_index(pd.Index([5, 6]))
    before = rows.copy()
    history(store(repo), rows)
    pd.testing.assert_frame_equal(rows, before)


def test_features_come_in_the_order_they_are_asked_for(repo: Path) -> None:
    rows = entity_df((1, "Oslo", NOON), columns=("driver_id", "city", "event_timestamp"))
    got = history(store(repo), rows, "trips:rating", "moods:mood", "trips:trips", full_feature_names=True)
    assert list(got.columns) == ["driver_id", "city", "event_timestamp", "trips__rating", "moods__mood", "trips__trips"]
    assert got.iloc[0].tolist()[3:] == [4.5, "fine", 10]


def test_no_entity_rows_give_no_rows_with_typed_columns(repo: Path) -> None:
    rows = entity_df((1, NOON)).iloc[:0]
    table = store(repo).get_historical_features(entity_df=rows, features=["trips:trips", "trips:rating"]).to_arrow()
    assert table.num_rows == 0
    assert table.schema.field("trips").type == pa.int64()
    assert table.schema.field("rating").type == pa.float64()


def test_the_timestamp_column_may_have_another_name_and_be_naive_or_elsewhere_or_text(repo: Path) -> None:
    feature_store = store(repo)
    naive = entity_df((1, NOON.replace(tzinfo=None)), columns=("driver_id", "when"))
    tokyo = entity_df((1, pd.Timestamp(NOON).tz_convert("Asia/Tokyo")), columns=("driver_id", "when"))
    text = entity_df((1, "2024-05-01T14:00:00+02:00"))
    for rows in (naive, tokyo, text):
        assert history(feature_store, rows)["trips"].tolist() == [10]


def test_an_entity_df_without_a_single_timestamp_column_is_feasts_error(repo: Path) -> None:
    with pytest.raises(EntityTimestampInferenceException):
        history(store(repo), pd.DataFrame({"driver_id": [1]}))


def test_a_query_may_give_the_entity_rows_with_paths_relative_to_the_repository(repo: Path) -> None:
    query = (
        "SELECT driver_id, \"at\" + INTERVAL 1 HOUR AS event_timestamp FROM 'trips.parquet' ORDER BY rating NULLS FIRST"
    )
    got = history(store(repo), query)
    assert got["driver_id"].tolist()[0] == 2
    assert got["trips"].tolist()[0] == 20
    assert len(got) == 4


# What may count -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "call", "expected"),
    [
        ({}, {}, 10),  # the default is what was known at the row's own instant
        ({"known_at": "label"}, {}, 10),
        ({"known_at": "unbounded"}, {}, 99),  # as stock Feast
        ({"known_at": "unbounded"}, {"filter_by_created_timestamp": True}, 10),
        ({"known_at": "unbounded", "pinned": "2024-05-01T13:00:00Z"}, {}, 10),
    ],
)
def test_the_rule_says_whether_a_late_correction_counts(
    repo: Path, options: dict[str, Any], call: dict[str, Any], expected: int
) -> None:
    got = history(store(repo, **options), entity_df((1, NOON + HOUR)), **call)
    assert got["trips"].tolist() == [expected]


def test_served_asks_the_ledger_beside_the_repository(repo: Path) -> None:
    feature_store = store(repo, known_at="served")
    rows = entity_df(*((1, NOON + hours * HOUR) for hours in range(5)))
    assert history(feature_store, rows)["trips"].tolist() == [10, 10, 99, 99, 99]  # no ledger: at once

    ledger = ledger_of(feature_store.config)
    for started in (NOON, NOON + 3 * HOUR):
        run = ledger.start(
            project="test",
            view="trips",
            started_at=started,
            known_at=started,
            known_after=None,
            event_start=BEGINNING,
            event_end=started,
            definition_hash="",
        )
        ledger.finish(run, finished_at=started + HOUR, rows=1)
    got = history(feature_store, rows)["trips"]
    assert got.isna().tolist() == [True, False, False, False, False]
    assert got.tolist()[1:] == [10, 10, 10, 99]


def test_a_value_as_old_as_its_ttl_counts_and_an_older_one_is_null(repo: Path) -> None:
    edge = NOON + 3 * HOUR
    got = history(store(repo), entity_df((2, edge), (2, edge + timedelta(microseconds=1))))
    assert got["trips"].isna().tolist() == [False, True]


def test_null_keys_and_nan_values_are_null(repo: Path) -> None:
    rows = pd.DataFrame({"driver_id": [1.0, np.nan], "event_timestamp": [NOON + 2 * HOUR, NOON]})
    table = store(repo).get_historical_features(entity_df=rows, features=["trips:trips", "trips:rating"]).to_arrow()
    assert table["trips"].to_pylist() == [99, None]
    assert table["rating"].to_pylist() == [None, None]


def test_an_alias_with_mapped_keys_reads_the_view_under_another_name(repo: Path) -> None:
    feature_store = store(repo)
    view = feature_store.get_feature_view("moods").with_name("destination").with_join_key_map({"city": "to"})
    job = DuckDBOfflineStore.get_historical_features(
        feature_store.config,
        [view, feature_store.get_feature_view("moods")],
        ["destination:mood", "moods:mood"],
        entity_df(("Rome", "Oslo", NOON), columns=("city", "to", "event_timestamp")),
        feature_store.registry,
        "test",
        full_feature_names=True,
    )
    assert job.to_df().iloc[0].tolist()[3:] == ["fine", None]


def test_on_demand_features_see_their_inputs_and_request_columns(repo: Path) -> None:
    view = trips()

    @on_demand_feature_view(
        sources=[view, RequestSource(name="asked", schema=[Field(name="extra", dtype=Int64)])],
        schema=[Field(name="more_trips", dtype=Int64), Field(name="unasked", dtype=Int64)],
        mode="python",
    )
    def more(inputs: dict[str, Any]) -> dict[str, Any]:
        total = [(trips or 0) + extra for trips, extra in zip(inputs["trips"], inputs["extra"], strict=True)]
        return {"more_trips": total, "unasked": total}

    with pytest.warns(RuntimeWarning, match="On demand feature view"):
        feature_store = store(repo, view, more)
    rows = entity_df((1, NOON, 5), (9, NOON, 6), columns=("driver_id", "event_timestamp", "extra"))
    got = history(feature_store, rows, "more:more_trips", "trips:trips", full_feature_names=True)
    assert got["more__more_trips"].tolist() == [15, 6]
    assert "more__unasked" not in got


def test_without_entity_rows_every_entity_of_the_window_is_read_as_of_its_end(repo: Path) -> None:
    got: pd.DataFrame = (
        store(repo).get_historical_features(features=["trips:trips"], start_date=NOON - 4 * HOUR, end_date=NOON).to_df()
    )
    assert got["driver_id"].tolist() == [1, 2]
    assert got["trips"].tolist() == [10, 20]
    assert set(got["event_timestamp"]) == {pd.Timestamp(NOON)}


def test_without_entity_rows_views_of_different_keys_are_refused(repo: Path) -> None:
    with pytest.raises(InputError, match="city and driver_id"):
        store(repo).get_historical_features(
            features=["trips:trips", "moods:mood"], start_date=NOON - HOUR, end_date=NOON
        )


# What cannot be read --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "features", "message"),
    [
        (entity_df(("x", NOON)), ["trips:trips"], r"driver_id.*Int64"),
        (entity_df((1.5, NOON)), ["trips:trips"], r"driver_id.*Int64"),
        (entity_df((NOON,), columns=("event_timestamp",)), ["trips:trips"], r"trips needs column 'driver_id'"),
        (entity_df((1, NOON), (1, pd.NaT)), ["trips:trips"], r"event_timestamp: row 1 is null"),
        (entity_df((1, "soon")), ["trips:trips"], r"event_timestamp.*ISO 8601"),
        (entity_df((1, NOON, 0), columns=("driver_id", "event_timestamp", "trips")), ["trips:trips"], r"'trips' has"),
        ("SELECT nothing", ["trips:trips"], r"entity_df: the query fails"),
        (pd.DataFrame([[1, 2, NOON]], columns=["a", "a", "event_timestamp"]), ["trips:trips"], r"a column twice"),
        (
            entity_df((1, NOON, object()), columns=("driver_id", "event_timestamp", "x")),
            ["trips:trips"],
            r"column mixes types",
        ),
    ],
)
def test_entity_rows_that_cannot_be_used_name_the_column(
    repo: Path, rows: Any, features: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        history(store(repo), rows, *features)


def test_a_missing_file_or_column_names_the_view_and_what_to_do(repo: Path) -> None:
    feature_store = store(repo)
    (repo / "trips.parquet").rename(repo / "gone.parquet")
    with pytest.raises(SourceError, match=r"feature view trips: table 'driven'.*trips\.parquet"):
        history(feature_store, entity_df((1, NOON)))

    table = pq.read_table(repo / "gone.parquet").drop_columns(["rating"])
    pq.write_table(table, repo / "trips.parquet")
    with pytest.raises(SourceError, match=r"feature view trips: its source has no column 'rating'"):
        history(feature_store, entity_df((1, NOON)), "trips:rating")


def test_a_feature_that_does_not_fit_its_declared_type_is_an_error_not_a_rounding(repo: Path) -> None:
    feature_store = store(repo, trips(schema=[Field(name="driver_id", dtype=Int64), Field(name="rating", dtype=Int64)]))
    with pytest.raises(SourceError, match=r"feature rating is double.*declared type Int64"):
        history(feature_store, entity_df((1, NOON)), "trips:rating")


# The job --------------------------------------------------------------------------------------------------------------


def test_a_saved_dataset_reads_back_what_was_saved_and_is_not_overwritten_unasked(repo: Path) -> None:
    feature_store = store(repo)
    job = feature_store.get_historical_features(
        entity_df=entity_df((1, NOON), (2, NOON)), features=["trips:trips", "trips:rating"], full_feature_names=True
    )
    storage = SavedDatasetFileStorage(path="saved/set.parquet")
    with pytest.warns(RuntimeWarning, match="Saving dataset"):
        feature_store.create_saved_dataset(from_=job, name="kept", storage=storage)
    with pytest.warns(RuntimeWarning, match="Retrieving datasets"):
        again = feature_store.get_saved_dataset("kept").to_df()
    expected = job.to_df()
    pd.testing.assert_frame_equal(again[list(expected.columns)], expected, check_dtype=False)  # ns is stored as us

    with pytest.raises(SavedDatasetLocationAlreadyExists):
        job.persist(storage)
    job.persist(storage, allow_overwrite=True)


def test_a_saved_directory_is_replaced_not_added_to(repo: Path) -> None:
    job = store(repo).get_historical_features(entity_df=entity_df((1, NOON)), features=["trips:trips"])
    storage = SavedDatasetFileStorage(path="saved")
    job.persist(storage)
    job.persist(storage, allow_overwrite=True)
    assert pq.read_table(repo / "saved").num_rows == 1


def test_a_result_has_one_chunk_a_column_because_feast_reads_only_the_first() -> None:
    table = pa.concat_tables([pa.table({"a": [1]}), pa.table({"a": [2]})])
    assert len(DuckDBRetrievalJob(lambda: table, repo=Path()).to_arrow().to_batches()) == 1


def test_metadata_names_features_keys_and_the_range_of_instants(repo: Path) -> None:
    job = store(repo).get_historical_features(
        entity_df=entity_df((1, NOON), (1, NOON - HOUR)), features=["trips:trips"]
    )
    assert job.metadata is not None
    assert (job.metadata.features, job.metadata.keys) == (["trips:trips"], ["driver_id"])
    assert (job.metadata.min_event_timestamp, job.metadata.max_event_timestamp) == (NOON - HOUR, NOON)
    with pytest.raises(NotImplementedError, match="not one statement"):
        job.to_sql()


# Pulls and writes -----------------------------------------------------------------------------------------------------


def pulled(feature_store: FeatureStore, method: Callable[..., Any], **window: Any) -> list[tuple[Any, ...]]:
    table = method(
        feature_store.config,
        feature_store.get_feature_view("trips").batch_source,
        ["driver_id"],
        ["trips"],
        "at",
        "created",
        **window,
    ).to_arrow()
    assert table.column_names == ["driver_id", "trips", "at", "created"]
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def test_pull_latest_is_the_newest_row_of_each_entity_in_the_window(repo: Path) -> None:
    feature_store = store(repo)
    window = {"start_date": NOON - 3 * HOUR, "end_date": NOON}
    assert pulled(feature_store, DuckDBOfflineStore.pull_latest_from_table_or_query, **window) == [
        (1, 99, NOON, NOON + 2 * HOUR),
        (2, 20, NOON - 3 * HOUR, NOON - 3 * HOUR),
    ]
    window["start_date"] += timedelta(microseconds=1)
    assert len(pulled(feature_store, DuckDBOfflineStore.pull_latest_from_table_or_query, **window)) == 1


def test_pull_latest_refuses_two_newest_rows_with_different_values(repo: Path) -> None:
    table = pq.read_table(repo / "trips.parquet")
    pq.write_table(table.set_column(2, "created", times(NOON, NOON, NOON, NOON)), repo / "trips.parquet")
    with pytest.raises(SourceError, match=r"source trips: its source is ambiguous: entity driver_id=1"):
        pulled(
            store(repo), DuckDBOfflineStore.pull_latest_from_table_or_query, start_date=NOON - 9 * HOUR, end_date=NOON
        )


def test_pull_all_is_every_row_in_the_window(repo: Path) -> None:
    feature_store = store(repo)
    method = DuckDBOfflineStore.pull_all_from_table_or_query
    assert len(pulled(feature_store, method)) == 4
    assert sorted(row[1] for row in pulled(feature_store, method, start_date=NOON)) == [7, 10, 99]
    assert [row[1] for row in pulled(feature_store, method, end_date=NOON - HOUR)] == [20]


def test_a_pull_without_keys_brings_feasts_dummy_key(repo: Path) -> None:
    source = FileSource(path="moods.parquet", timestamp_field="at")
    job = DuckDBOfflineStore.pull_latest_from_table_or_query(
        config(repo), source, [], ["mood"], "at", None, NOON - HOUR, NOON
    )
    assert job.to_arrow().to_pylist() == [{"mood": "fine", "at": NOON, "__dummy_id": ""}]


def test_rows_are_appended_to_a_file_source_and_read_back(repo: Path) -> None:
    feature_store = store(repo)
    view = feature_store.get_feature_view("moods")
    more = pa.table({"mood": ["grim"], "city": ["Rome"], "at": times(NOON)})
    told: list[int] = []
    DuckDBOfflineStore.offline_write_batch(feature_store.config, view, more, told.append)
    got = history(
        feature_store,
        entity_df(("Rome", NOON), ("Oslo", NOON), columns=("city", "event_timestamp")),
        "moods:mood",
    )
    assert got["mood"].tolist() == ["grim", "fine"]
    assert told == [1]

    with pytest.raises(InputError, match=r"feature view moods: the rows have columns city; moods\.parquet has"):
        DuckDBOfflineStore.offline_write_batch(feature_store.config, view, more.select(["city"]), None)
    with pytest.raises(StoreError, match="cannot be written to its DuckDBQuerySource"):
        DuckDBOfflineStore.offline_write_batch(
            feature_store.config, feature_store.get_feature_view("trips"), more, None
        )


def test_feature_logs_are_appended_and_none_of_their_nans_is_lost(repo: Path) -> None:
    logs = pa.table({"value": [1.0, float("nan")], "__log_date": ["a", "b"]})
    logging = LoggingConfig(destination=FileLoggingDestination(path="logs", partition_by=["__log_date"]))
    source = FeatureServiceLoggingSource.__new__(FeatureServiceLoggingSource)
    for _ in range(2):
        DuckDBOfflineStore.write_logged_features(config(repo), logs, source, logging, None)
    with connect() as connection:
        counts = connection.execute(
            f"SELECT count(*), count(*) FILTER (WHERE isnan(value)), count(DISTINCT __log_date) "
            f"FROM read_parquet('{repo}/logs/**/*.parquet', hive_partitioning = true)"
        ).fetchone()
    assert counts == (4, 2, 2)


def test_a_delta_table_is_refused_because_its_files_alone_do_not_say_which_rows_count(repo: Path) -> None:
    (repo / "delta" / "_delta_log").mkdir(parents=True)
    source = FileSource(path="delta", timestamp_field="at")
    job = DuckDBOfflineStore.pull_all_from_table_or_query(config(repo), source, [], ["x"], "at")
    with pytest.raises(SourceError, match="Delta table"):
        job.to_arrow()


def test_a_process_that_only_reads_online_needs_no_duckdb() -> None:
    code = (
        "import sys; sys.modules['duckdb'] = None\n"
        "import trueup.stores.duckdb_offline, trueup.stores.ledger_engine, trueup.stores.query_source"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Against the oracle and against Feast ---------------------------------------------------------------------------------

A = Entity(name="a", join_keys=["a"], value_type=ValueType.INT64)
B = Entity(name="b", join_keys=["b"], value_type=ValueType.STRING)
VIEWS: dict[str, tuple[list[Entity], tuple[str, ...]]] = {
    "one": ([A], ("a",)),
    "both": ([A, B], ("a", "b")),
    "nobody": ([], ()),
}
SCHEMA = {"a": Int64, "b": String}
VALUES = {"one": "value_y", "both": "select", "nobody": "order by"}
POOL = {"a": [1, 11, None], "b": ["1", "", None]}
instants = st.integers(0, 8).map(lambda step: NOON + step * HOUR)


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    feature_store = FeatureStore(config=config(tmp_path_factory.mktemp("repo")))
    feature_store.apply([A, B])
    return feature_store


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_views_and_any_entity_rows_give_what_the_rules_say(empty_store: FeatureStore, data: st.DataObject) -> None:
    repo = Path(empty_store.config.repo_path)
    names = data.draw(st.lists(st.sampled_from(sorted(VIEWS)), unique=True))
    ttl = data.draw(st.sampled_from([None, 2 * HOUR]))
    filtered = data.draw(st.booleans())
    full = data.draw(st.booleans())
    rows: dict[str, list[oracle.Row]] = {}
    views = []
    for name in names:
        entities, keys = VIEWS[name]
        row = st.builds(
            oracle.Row,
            keys=st.tuples(*(st.sampled_from(POOL[key]) for key in keys)),
            event=instants,
            created=instants,
            values=st.tuples(st.integers(0, 3) | st.none()),
        )
        unique = data.draw(st.lists(row, max_size=12, unique_by=lambda item: (item.keys, item.event, item.created)))
        rows[name] = unique
        columns: dict[str, Any] = {
            key: pa.array([item.keys[i] for item in unique], (SCHEMA[key] is Int64 and pa.int64()) or pa.string())
            for i, key in enumerate(keys)
        }
        columns |= {
            "at": times(*(item.event for item in unique)),
            "created": times(*(item.created for item in unique)),
            VALUES[name]: pa.array([item.values[0] for item in unique], pa.int64()),
        }
        write(repo, name, columns)
        views.append(
            FeatureView(
                name=name,
                entities=entities,
                ttl=ttl,
                schema=[*(Field(name=key, dtype=SCHEMA[key]) for key in keys), Field(name=VALUES[name], dtype=Int64)],
                source=FileSource(
                    name=name, path=f"{name}.parquet", timestamp_field="at", created_timestamp_column="created"
                ),
            )
        )
    asked = data.draw(
        st.lists(st.tuples(st.sampled_from(POOL["a"]), st.sampled_from(POOL["b"]), instants), max_size=10)
    )
    frame = pd.DataFrame(
        {
            "b": pd.Series([b for _, b, _ in asked], dtype=object),
            "event_timestamp": pd.Series([at for *_, at in asked], dtype="datetime64[us, UTC]"),
            "a": pd.array([a for a, *_ in asked], dtype="Int64"),
        }
    ).set_index(pd.Index(data.draw(st.permutations(range(len(asked))))))
    table = DuckDBOfflineStore.get_historical_features(
        empty_store.config,
        views,
        [f"{name}:{VALUES[name]}" for name in names],
        frame,
        empty_store.registry,
        "test",
        full_feature_names=full,
        filter_by_created_timestamp=filtered,
    ).to_arrow()

    assert table.column_names == [
        "b",
        "event_timestamp",
        "a",
        *(f"{name}__{VALUES[name]}" if full else VALUES[name] for name in names),
    ]
    assert table["a"].to_pylist() == [a for a, *_ in asked]
    for position, name in enumerate(names):
        expected = [
            oracle.read(
                rows[name],
                tuple({"a": a, "b": b}[key] for key in VIEWS[name][1]),
                at,
                features=1,
                ttl=ttl,
                rule=AsOfRule("label"),
                schedule=Schedule(),
            ).values[0]
            for a, b, at in asked
        ]
        assert table.column(3 + position).to_pylist() == expected


@pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")  # ibis, which stock Feast reads through
@pytest.mark.parametrize(("known_at", "filtered"), [("unbounded", False), ("label", True)])
def test_where_stock_feast_is_right_the_answer_is_the_same(repo: Path, known_at: str, filtered: bool) -> None:
    """Stock: its DuckDB store, one integer key, no ties, no entity row twice."""
    from feast.infra.offline_stores import duckdb as stock

    random.seed(7)
    minutes = random.sample(range(600), 300)
    write(
        repo,
        "trips",
        {
            "driver_id": pa.array([random.randrange(8) for _ in minutes], pa.int64()),
            "at": times(*(NOON + timedelta(minutes=minute) for minute in minutes)),
            "created": times(*(NOON + timedelta(minutes=minute + random.choice([0, 5, 90])) for minute in minutes)),
            "trips": pa.array(range(300), pa.int64()),
            "rating": pa.array([float(i) for i in range(300)]),
        },
    )
    source = FileSource(
        path=str(repo / "trips.parquet"), timestamp_field="at", created_timestamp_column="created", name="trips"
    )
    feature_store = store(repo, trips(source=source, ttl=timedelta(minutes=45)), known_at=known_at)
    rows = entity_df(
        *{(random.randrange(9), NOON + timedelta(minutes=random.randrange(700))): None for _ in range(200)}
    )
    ours = history(feature_store, rows.copy(), filter_by_created_timestamp=filtered)

    stock_config = RepoConfig(
        project="test",
        provider="local",
        registry=str(repo / "registry.db"),
        repo_path=repo,
        entity_key_serialization_version=3,
        offline_store={"type": "duckdb"},
    )
    theirs = stock.DuckDBOfflineStore.get_historical_features(
        stock_config,
        [feature_store.get_feature_view("trips")],
        ["trips:trips"],
        rows.copy(),
        feature_store.registry,
        "test",
        filter_by_created_timestamp=filtered,
    ).to_df()
    by = ["driver_id", "event_timestamp"]
    expected = rows.merge(theirs, on=by, how="left", validate="one_to_one")
    assert ours["trips"].notna().sum() > 50
    pd.testing.assert_series_equal(ours["trips"], expected["trips"], check_dtype=False)
