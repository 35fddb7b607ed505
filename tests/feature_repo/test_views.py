"""Laws of the batch views: their rows, their clocks, their types, and what the windows count."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from feast import FeatureStore
from tests.feature_repo.oracle import Tally, tally

from trueup.contracts.contract import View
from trueup.instants import Schedule, parse_duration

VIEWS = ("origin_departures", "carrier_origin", "plane_last_flight", "route_history", "weather", "plane_facts")
STATISTICS = ("departed", "waiting", "mean_delay", "late_share", "cancelled_share")
HOURLY = {"origin_departures": ("origin",), "carrier_origin": ("carrier", "origin")}
HOUR, DAY = pd.Timedelta(hours=1), pd.Timedelta(days=1)

Rows = Callable[..., pa.Table]


def test_these_are_all_the_views(views: dict[str, View]) -> None:
    assert sorted(views) == sorted(VIEWS)


@pytest.mark.parametrize("name", VIEWS)
def test_no_two_rows_of_a_key_have_both_clocks_equal(name: str, views: dict[str, View], rows: Rows) -> None:
    identity = [*(key.name for key in views[name].keys), "event_timestamp", "created"]
    table = rows(name).select(identity)

    assert table.num_rows > 0
    assert table.group_by(identity).aggregate([]).num_rows == table.num_rows
    assert all(column.null_count == 0 for column in table.columns)


@pytest.mark.parametrize("name", VIEWS)
def test_no_row_is_known_before_the_event_it_tells_of(name: str, rows: Rows) -> None:
    table = rows(name)

    assert pc.all(pc.greater_equal(table["created"], table["event_timestamp"])).as_py()


@pytest.mark.parametrize("name", VIEWS)
def test_declared_types_are_the_types_of_the_query(name: str, views: dict[str, View], rows: Rows) -> None:
    schema = rows(name, "false").schema
    view = views[name]

    assert {item.name: schema.field(view.source.column(item.name)).type for item in view.features} == {
        item.name: item.arrow for item in view.features
    }
    assert all(schema.field(key.name).type == pa.string() for key in view.keys)
    assert len(schema) == len(view.features) + len(view.keys) + 2


@pytest.mark.parametrize("name", VIEWS)
def test_a_filter_on_the_event_time_changes_no_row_that_passes_it(name: str, rows: Rows) -> None:
    """Feast filters from outside; windows must not lose what lies outside of the filter."""
    narrow = rows(name, "event_timestamp BETWEEN TIMESTAMPTZ '2013-11-03 04:30Z' AND TIMESTAMPTZ '2013-11-04 00:00Z'")
    table = rows(name)
    start, end = pd.Timestamp("2013-11-03 04:30Z"), pd.Timestamp("2013-11-04 00:00Z")
    inside = pc.and_(
        pc.greater_equal(table["event_timestamp"], pa.scalar(start, pa.timestamp("us", tz="UTC"))),
        pc.less_equal(table["event_timestamp"], pa.scalar(end, pa.timestamp("us", tz="UTC"))),
    )

    assert narrow.equals(table.filter(inside))


@pytest.mark.parametrize("name", VIEWS)
def test_rows_do_not_depend_on_the_number_of_threads(name: str, rows: Rows) -> None:
    assert rows(name, threads=1).equals(rows(name, threads=4))


@pytest.mark.parametrize("name", HOURLY)
@pytest.mark.parametrize("hours", [1, 3])
def test_the_last_version_of_an_hour_is_the_plain_group_by(
    name: str, hours: int, rows: Rows, departures: pd.DataFrame
) -> None:
    keys = HOURLY[name]
    versions = rows(name).to_pandas()
    last = versions.groupby([*keys, "event_timestamp"], sort=False).tail(1)

    for row in _sample(last, 40):
        key = {column: getattr(row, column) for column in keys}
        start = row.event_timestamp - (hours - 1) * HOUR
        expected = tally(departures, key, start, row.event_timestamp + HOUR)
        assert _statistics(row, hours) == _expected(expected), row


@pytest.mark.parametrize("name", HOURLY)
@pytest.mark.parametrize("hours", [1, 3])
def test_a_version_of_an_hour_is_the_group_by_of_the_flights_known_until_the_next(
    name: str, hours: int, rows: Rows, departures: pd.DataFrame
) -> None:
    keys = HOURLY[name]
    versions = rows(name).to_pandas()
    versions["replaced"] = versions.groupby([*keys, "event_timestamp"]).created.shift(-1)

    for row in _sample(versions, 40):
        key = {column: getattr(row, column) for column in keys}
        start, end = row.event_timestamp - (hours - 1) * HOUR, row.event_timestamp + HOUR
        known = [row.created] if pd.isna(row.replaced) else [row.created, row.replaced - pd.Timedelta(microseconds=1)]
        for known_at in known:
            assert _statistics(row, hours) == _expected(tally(departures, key, start, end, known_at)), (row, known_at)


@pytest.mark.parametrize("name", HOURLY)
def test_every_flight_counts_in_one_hour_and_none_waits_in_the_end(
    name: str, rows: Rows, departures: pd.DataFrame
) -> None:
    versions = rows(name).to_pandas()
    last = versions.groupby([*HOURLY[name], "event_timestamp"], sort=False).tail(1)

    assert last.departed_1h.sum() == (~departures.cancelled).sum()
    assert (last[["waiting_1h", "waiting_3h"]] == 0).all(axis=None)


def test_flights_that_leave_in_one_minute_are_one_version_of_the_hour(rows: Rows, departures: pd.DataFrame) -> None:
    """Else two versions of one hour would be known at the same instant, and no one could tell which is right."""
    together = departures.groupby(["origin", "sched_hour", "created"]).size()
    origin, hour, created = together.idxmax()
    version = rows(
        "origin_departures",
        f"origin = '{origin}' AND event_timestamp = TIMESTAMPTZ '{hour}' AND created = TIMESTAMPTZ '{created}'",
    )

    assert together.max() > 1
    assert version.num_rows == 1


@pytest.mark.parametrize("restated", [False, True])
def test_route_history_is_the_group_by_of_28_days(restated: bool, rows: Rows, departures: pd.DataFrame) -> None:
    versions = rows("route_history").to_pandas()
    versions["version"] = versions.groupby(["origin", "dest", "event_timestamp"]).cumcount()

    for row in _sample(versions[(versions.version > 0) == restated], 40):
        key = {"origin": row.origin, "dest": row.dest}
        expected = tally(departures, key, row.event_timestamp - 28 * DAY, row.event_timestamp, row.created)
        assert (row.flights_28d, _none(row.mean_delay_28d), row.late_share_28d, row.cancelled_share_28d) == (
            expected.told,
            expected.mean_delay,
            expected.late_share,
            expected.cancelled_share,
        ), row


def test_a_planes_flight_is_told_on_departure_and_again_on_arrival(rows: Rows, departures: pd.DataFrame) -> None:
    versions = rows("plane_last_flight").to_pandas()
    flights = departures[departures.tailnum.notna() & ~departures.cancelled]
    gone, landed = versions[~versions.landed], versions[versions.landed]

    assert len(gone) == len(flights)
    assert (gone.created == gone.event_timestamp).all()
    assert gone.arrival_delay.isna().all()
    assert len(landed) == flights.arr.notna().sum()
    assert sorted(landed.created) == sorted(flights.arr.dropna())
    assert landed.arrival_delay.sum() == flights.arr_delay[flights.arr.notna()].sum()
    assert (versions.departed_unix == versions.event_timestamp.astype("int64") // 1_000_000).all()


def test_low_visibility_is_null_only_where_visibility_is(rows: Rows) -> None:
    table = rows("weather")

    assert table["low_visibility"].null_count == table["visib"].null_count
    assert pc.sum(table["low_visibility"]).as_py() > 0


def test_facts_of_planes_are_known_before_the_first_flight(rows: Rows, departures: pd.DataFrame) -> None:
    known = rows("plane_facts")["created"]

    assert pc.max(known).as_py() < departures.sched_dep.min()


def test_every_view_declares_how_it_reaches_the_online_store(views: dict[str, View], repo: Path) -> None:
    tags = {view.name: view.tags for view in FeatureStore(repo_path=str(repo)).list_feature_views()}

    for name, view in views.items():
        declared = Schedule(
            parse_duration(tags[name]["trueup.cadence"]),
            parse_duration(tags[name]["trueup.delay"]),
        )
        assert view.schedule == declared
        assert view.schedule.cadence > view.schedule.delay > pd.Timedelta(0)
        assert view.ttl is None or view.ttl > view.schedule.cadence + view.schedule.delay


def _sample(frame: pd.DataFrame, size: int) -> list[Any]:
    chosen = np.sort(np.random.default_rng(2013).choice(len(frame), size=size, replace=False))
    return list(frame.iloc[chosen].itertuples(index=False))


def _statistics(row: Any, hours: int) -> tuple[float | None, ...]:
    return tuple(_none(getattr(row, f"{name}_{hours}h")) for name in STATISTICS)


def _expected(of: Tally) -> tuple[float | None, ...]:
    return tuple(getattr(of, name) for name in STATISTICS)


def _none(value: float) -> float | None:
    return None if pd.isna(value) else value
