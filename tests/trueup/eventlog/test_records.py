"""The served row's table: nothing of what was served is lost, and Feast finds its own columns in it."""

from __future__ import annotations

import warnings
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, FileSource, RequestSource, ValueType
from feast import Field as FeastField
from feast.feature_logging import FeatureServiceLoggingSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Float32, Float64, Int64, String, UnixTimestamp
from hypothesis import given
from hypothesis import strategies as st
from tests.trueup.eventlog.served import FLIGHTS, NOON, contract, frame, served

from trueup.contracts.extract import extract_contract
from trueup.errors import ContractError
from trueup.eventlog.records import Scores, frame_of, inputs_of, log_schema, to_table
from trueup.frame import EVENT_TIME, FeatureFrame


def test_one_log_row_for_each_row_and_model_that_scored_it() -> None:
    table = to_table(FLIGHTS, [served("a", rows=2), served("b", models=["flights"])])
    rows = [(row["__request_id"], row["__row"], row["__model"], row["__role"]) for row in table.to_pylist()]
    assert rows == [
        ("a", 0, "flights", "answer"),
        ("a", 1, "flights", "answer"),
        ("a", 0, "flights_leaky", "shadow"),
        ("a", 1, "flights_leaky", "shadow"),
        ("b", 0, "flights", "answer"),
    ]
    assert all(column.num_chunks == 1 for column in table.columns)


def test_a_row_says_who_was_served_what_by_whom_and_when() -> None:
    row = to_table(FLIGHTS, [served("a")], "5" * 64).to_pylist()[1]
    assert {name: value for name, value in row.items() if name.startswith("__")} == {
        "__log_timestamp": NOON,
        "__log_date": date(2013, 11, 1),
        "__request_id": "a",
        "__row": 0,
        "__model": "flights_leaky",
        "__model_version": "3",
        "__contract_hash": FLIGHTS.hash,
        "__variant": "flights",
        "__role": "shadow",
        "__prediction": 0.5,
        "__experiment": "ab",
        "__unit": "a-0",
        "__fallback": False,
        "__serving_version": "5" * 64,
        "__exposure": None,
        "__experiment_version": None,
        "__event_timestamp__route": NOON - timedelta(days=3),
        "__event_timestamp__plane": datetime(1969, 12, 31, 23, 59, 58, 500_000, tzinfo=UTC),
    }


def test_feasts_whole_seconds_are_rounded_down_on_both_sides_of_1970() -> None:
    row = to_table(FLIGHTS, [served()]).to_pylist()[0]
    assert row["plane__seats__timestamp"] == datetime(1969, 12, 31, 23, 59, 58, tzinfo=UTC)
    assert row["route__closed__timestamp"] == (NOON - timedelta(days=3)).replace(microsecond=0)
    assert row["times__hour__timestamp"] is None


def test_the_log_date_is_the_utc_day_whatever_offset_the_instant_came_with() -> None:
    late = datetime(2013, 11, 1, 23, 30, tzinfo=timezone(timedelta(hours=-5)))
    row = to_table(FLIGHTS, [served(instant=late)]).to_pylist()[0]
    assert row["__log_date"] == date(2013, 11, 2)
    assert row["__log_timestamp"] == late


def test_no_rows_make_an_empty_table_of_the_schema() -> None:
    assert to_table(FLIGHTS, []).schema == log_schema(FLIGHTS)
    assert to_table(FLIGHTS, []).num_rows == 0


def test_rows_of_another_contract_are_refused() -> None:
    with pytest.raises(ContractError, match="request a: served under contract"):
        to_table(FLIGHTS, [served("a", under=contract(ttl=timedelta(hours=2)))])


def test_scores_of_another_length_than_their_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="2 positions, 1 roles, 1 predictions"):
        Scores("m", "1", (0, 1), ("answer",), np.zeros(1))


_instants = st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
_values = {
    "route__closed": st.none() | st.booleans(),
    "route__delays": st.none() | st.lists(st.none() | st.floats(allow_nan=False), max_size=2),
    "times__hour": st.none() | st.floats(allow_nan=False),
    "plane__speed": st.none() | st.floats(width=32, allow_nan=False),
    "plane__seats": st.none() | st.integers(-(2**63), 2**63 - 1),
    "plane__name": st.none() | st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=4),
    "plane__built": _instants,
}


@st.composite
def _requests(draw: st.DrawFn) -> list[FeatureFrame]:
    frames = []
    for _ in range(draw(st.integers(1, 3))):
        rows = draw(st.integers(1, 3))
        values = {name: draw(st.lists(kind, min_size=rows, max_size=rows)) for name, kind in _values.items()}
        statuses = {name: draw(st.lists(st.integers(1, 4), min_size=rows, max_size=rows)) for name in _values}
        times = {
            view.name: pa.array(draw(st.lists(_instants, min_size=rows, max_size=rows)), EVENT_TIME)
            for view in FLIGHTS.views
        }
        frames.append(
            FeatureFrame(
                pa.table([pa.array(values[item.name], item.type) for item in FLIGHTS.schema], schema=FLIGHTS.schema),
                pa.table({name: pa.array(statuses[name], pa.int8()) for name in FLIGHTS.columns}),
                pa.table(times),
            )
        )
    return frames


@given(_requests())
def test_the_features_as_served_are_read_back_exactly(frames: list[FeatureFrame]) -> None:
    requests = [served(str(i), rows=item.num_rows, models=["m"], read=item) for i, item in enumerate(frames)]
    table = to_table(FLIGHTS, requests)
    back = frame_of(FLIGHTS, table)
    assert back.values.equals(pa.concat_tables([item.values for item in frames]))
    assert back.statuses.equals(pa.concat_tables([item.statuses for item in frames]))
    times = pa.concat_tables([item.event_timestamps for item in frames])
    assert back.event_timestamps.equals(times.select(back.event_timestamps.column_names))
    assert inputs_of(FLIGHTS, table).equals(pa.concat_tables([item.inputs for item in requests]))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """A registry with what the flights repository has: composite and mapped keys, request fields, on-demand."""
    repo: Path = tmp_path_factory.mktemp("repo")
    (repo / "feature_store.yaml").write_text(
        "project: test\nprovider: local\nregistry: registry.db\nentity_key_serialization_version: 3\n"
        "offline_store: {type: duckdb}\nonline_store: {type: sqlite, path: online.db}\n"
    )
    store = FeatureStore(repo_path=str(repo))
    airport = Entity(name="airport", join_keys=["airport"], value_type=ValueType.STRING)
    line = Entity(name="line", join_keys=["line"], value_type=ValueType.INT64)
    plane = Entity(name="plane", join_keys=["tailnum"], value_type=ValueType.STRING)

    def source(name: str) -> FileSource:
        return FileSource(name=name, path=f"{name}.parquet", timestamp_field="event_timestamp")

    weather = FeatureView(
        name="weather",
        entities=[airport],
        schema=[FeastField(name="wind", dtype=Float64), FeastField(name="airport", dtype=String)],
        source=source("weather"),
    )
    route = FeatureView(
        name="route",
        entities=[airport, line],
        schema=[
            FeastField(name="delays", dtype=Array(Float32)),
            FeastField(name="flights", dtype=Int64),
            FeastField(name="airport", dtype=String),
            FeastField(name="line", dtype=Int64),
        ],
        source=source("route"),
    )
    facts = FeatureView(
        name="facts",
        entities=[plane],
        schema=[FeastField(name="built", dtype=UnixTimestamp), FeastField(name="tailnum", dtype=String)],
        source=source("facts"),
    )
    asked = RequestSource(name="asked", schema=[FeastField(name="sched", dtype=Int64)])

    @on_demand_feature_view(
        sources=[asked, facts], schema=[FeastField(name="hour", dtype=Float64)], mode="python", singleton=False
    )
    def times(inputs):  # type: ignore[no-untyped-def]
        return {"hour": [float(value) for value in inputs["sched"]]}

    service = FeatureService(
        name="flights",
        features=[
            times,
            route[["flights", "delays"]],
            weather.with_name("from").with_join_key_map({"airport": "origin"}),
            weather.with_name("to").with_join_key_map({"airport": "dest"}),
        ],
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "On demand feature view is an experimental feature", RuntimeWarning)
        store.apply([airport, line, plane, weather, route, facts, times, service])
    return store


def test_the_columns_begin_with_feasts_own_log_schema(store: FeatureStore) -> None:
    service = store.get_feature_service("flights")
    expected = FeatureServiceLoggingSource(service, "test").get_schema(store.registry)
    ours = log_schema(extract_contract(store, "flights"))
    assert ours.names[: len(expected)] == expected.names
    assert [ours.field(item.name).type for item in expected] == [item.type for item in expected]


def test_the_keys_that_only_on_demand_views_need_are_logged_too(store: FeatureStore) -> None:
    assert "tailnum" in log_schema(extract_contract(store, "flights")).names


def test_a_status_is_what_feast_numbers_it() -> None:
    from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

    row = to_table(FLIGHTS, [served(read=frame(1, plane__seats=None))]).to_pylist()[0]
    assert (row["plane__seats__status"], row["plane__name__status"]) == (FieldStatus.NULL_VALUE, FieldStatus.PRESENT)
