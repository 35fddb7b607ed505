"""The on-demand functions: by hand on known rows, and row by row whatever stands beside a row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup.contracts.contract import FeatureContract
from trueup.features.on_demand import evaluate

Row = Mapping[str, Any]

DEPARTED = "plane_last_flight__departed_unix"
DIRECTION, SPEED = "weather__wind_dir", "weather__wind_speed"
SCHEDULED = "sched_dep_unix"

seconds = st.none() | st.integers(0, 4_000_000_000)
ROWS = st.fixed_dictionaries(
    {
        SCHEDULED: seconds,
        DEPARTED: seconds,
        DIRECTION: st.none() | st.integers(0, 360),
        SPEED: st.none() | st.floats(0, 1_100),
    }
)


def computed(contract: FeatureContract, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Every on-demand feature of each row; a column that a row leaves out is None."""
    columns = {name: [row.get(name) for row in rows] for name in (SCHEDULED, DEPARTED, DIRECTION, SPEED)}
    outputs: dict[str, list[Any]] = {}
    for view in contract.on_demand:
        for name, values in evaluate(view, columns, columns, len(rows)).items():
            outputs[name] = values.to_pylist()
    return [{name: values[index] for name, values in outputs.items()} for index in range(len(rows))]


def unix(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


@pytest.mark.parametrize(
    ("scheduled", "hour", "weekday"),
    [
        ("2013-01-01T10:15:00Z", 5, 1),  # a Tuesday, standard time
        ("2013-07-04T03:59:00Z", 23, 2),  # still Wednesday in New York
        ("2013-07-04T04:00:00Z", 0, 3),
        ("2013-03-10T06:59:00Z", 1, 6),  # the clock goes from 01:59 to 03:00
        ("2013-03-10T07:00:00Z", 3, 6),
        ("2013-11-03T05:30:00Z", 1, 6),  # 01:30 comes twice
        ("2013-11-03T06:30:00Z", 1, 6),
        ("2013-11-03T07:30:00Z", 2, 6),
    ],
)
def test_the_clock_is_new_yorks(contract: FeatureContract, scheduled: str, hour: int, weekday: int) -> None:
    (row,) = computed(contract, [{SCHEDULED: unix(scheduled)}])

    assert (row["local_hour"], row["local_weekday"]) == (hour, weekday)


@pytest.mark.parametrize(
    ("direction", "crosswind", "headwind"),
    [
        (30, 0.0, 10.0),  # down runway 04
        (210, 0.0, -10.0),  # down runway 22
        (120, 10.0, 0.0),  # from the right
        (300, 10.0, 0.0),  # from the left
        (75, 10 / math.sqrt(2), 10 / math.sqrt(2)),
        (345, 10 / math.sqrt(2), 10 / math.sqrt(2)),
        (90, 10 * math.sqrt(3) / 2, 5.0),
        (360, 5.0, 10 * math.sqrt(3) / 2),
        (0, 5.0, 10 * math.sqrt(3) / 2),
    ],
)
def test_wind_is_split_across_and_along_runway_04(
    contract: FeatureContract, direction: int, crosswind: float, headwind: float
) -> None:
    (row,) = computed(contract, [{DIRECTION: direction, SPEED: 10.0}])

    assert row["crosswind"] == pytest.approx(crosswind, abs=1e-12)
    assert row["headwind"] == pytest.approx(headwind, abs=1e-12)


def test_calm_air_is_no_wind_and_wind_of_no_known_direction_is_null(contract: FeatureContract) -> None:
    calm, variable = computed(contract, [{DIRECTION: 0, SPEED: 0.0}, {DIRECTION: None, SPEED: 4.6}])

    assert (calm["crosswind"], calm["headwind"]) == (0.0, 0.0)
    assert (variable["crosswind"], variable["headwind"]) == (None, None)


@pytest.mark.parametrize(
    ("departed", "scheduled", "minutes"),
    [
        ("2013-06-01T12:00:00Z", "2013-06-01T18:30:00Z", 390),
        ("2013-06-01T12:00:00Z", "2013-06-01T12:00:59Z", 0),
        ("2013-06-01T12:00:00Z", "2013-06-01T11:59:59Z", -1),
        ("2013-03-10T06:30:00Z", "2013-03-10T07:30:00Z", 60),  # two hours apart on the wall
    ],
)
def test_turnaround_counts_whole_minutes_since_the_plane_left(
    contract: FeatureContract, departed: str, scheduled: str, minutes: int
) -> None:
    (row,) = computed(contract, [{DEPARTED: unix(departed), SCHEDULED: unix(scheduled)}])

    assert row["minutes_since_departure"] == minutes


def test_without_inputs_every_output_is_null(contract: FeatureContract) -> None:
    (row,) = computed(contract, [{}])

    assert set(row.values()) == {None}


def test_a_nan_from_pandas_is_a_null(contract: FeatureContract) -> None:
    nan = float("nan")

    assert computed(contract, [{SCHEDULED: nan, DEPARTED: nan, DIRECTION: nan, SPEED: nan}]) == computed(contract, [{}])


def test_integers_that_pandas_made_floats_give_the_same(contract: FeatureContract) -> None:
    row = {SCHEDULED: 1_388_447_940, DEPARTED: 1_388_369_520, DIRECTION: 320, SPEED: 13.80936}

    assert computed(contract, [{name: float(value) for name, value in row.items()}]) == computed(contract, [row])


@given(rows=st.lists(ROWS, min_size=1, max_size=20), data=st.data())
def test_a_row_gives_the_same_alone_in_a_batch_and_in_any_order(
    contract: FeatureContract, rows: list[Row], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(rows))))
    alone = [computed(contract, [row])[0] for row in rows]

    assert computed(contract, rows) == alone
    assert computed(contract, [rows[index] for index in order]) == [alone[index] for index in order]
