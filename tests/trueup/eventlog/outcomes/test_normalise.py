"""A source's columns as outcomes: what each may be, what is counted, and what is an error that says what came."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from trueup.errors import InputError
from trueup.eventlog.outcomes.kept import SCHEMA
from trueup.eventlog.outcomes.normalise import Columns, Normalised, normalise

NOW = datetime(2014, 1, 1, tzinfo=UTC)
NOON = datetime(2013, 11, 24, 12, tzinfo=UTC)


def made(columns: Columns | None = None, **source: Any) -> Normalised:
    return normalise(pa.table(source), "late", columns or Columns(), now=NOW)


def test_the_usual_names_need_not_be_said() -> None:
    found = made(request_id=["a", "b"], late=[True, False], row=[0, 1], known_at=[NOON, NOON])
    assert found.table.schema == SCHEMA
    assert found.table.select(["request_id", "row", "value"]).to_pylist() == [
        {"request_id": "a", "row": 0, "value": 1.0},
        {"request_id": "b", "row": 1, "value": 0.0},
    ]
    assert (found.by, found.dated, found.pending) == ("request id", True, 0)


def test_without_a_row_it_is_the_first_and_without_known_at_the_import() -> None:
    found = made(request_id=["a"], value=[2.5])
    assert found.table.to_pylist() == [
        {
            "request_id": "a",
            "row": 0,
            "keys": None,
            "at": None,
            "within": None,
            "value": 2.5,
            "known_at": NOW,
        }
    ]
    assert not found.dated


def test_an_entity_is_kept_by_its_keys_in_order_of_their_names() -> None:
    columns = Columns(keys={"origin": "orig", "line": "no"}, within=timedelta(minutes=30))
    found = made(columns, orig=["JFK"], no=[7.0], late=[1], event_timestamp=[NOON])
    (row,) = found.table.to_pylist()
    assert row["keys"] == '{"line":"7","origin":"JFK"}'
    assert (row["at"], row["within"], row["request_id"]) == (NOON, 1_800_000_000, None)
    assert found.by == "entity (line, origin) and time"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([True, False], [1.0, 0.0]),
        (np.array([3, 250], np.uint8), [3.0, 250.0]),
        ([2**53, -(2**53)], [2.0**53, -(2.0**53)]),
        (np.array([0.5, -1.25], np.float32), [0.5, -1.25]),
        ([Decimal("0.10"), Decimal("12.34")], [0.1, 12.34]),
    ],
)
def test_a_value_is_a_boolean_or_a_number(values: Any, expected: list[float]) -> None:
    assert made(request_id=["a", "b"], late=values).table.column("value").to_pylist() == expected


def test_a_row_without_a_value_is_left_out_and_counted_whatever_else_it_lacks() -> None:
    found = made(request_id=["a", None, "c"], late=[1.0, None, float("nan")], known_at=[NOON, None, None])
    assert found.table.column("request_id").to_pylist() == ["a"]
    assert found.pending == 2


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_there_is_one_zero(zero: float) -> None:
    assert str(made(request_id=["a"], late=[zero]).table.column("value")[0].as_py()) == "0.0"


@pytest.mark.parametrize("ids", [[12, 13], ["12", "13"], pa.array(["12", "13"], pa.large_string())])
def test_a_request_id_is_text_whatever_it_came_as(ids: Any) -> None:
    found = made(request_id=ids, late=[1, 0])
    assert found.table.column("request_id").to_pylist() == ["12", "13"]


@pytest.mark.parametrize(
    ("instants", "naive"),
    [
        ([NOON], 0),
        ([NOON.replace(tzinfo=None)], 1),
        (["2013-11-24T12:00:00Z"], 0),
        (["2013-11-24T13:00:00+01:00"], 0),
        (["2013-11-24 12:00:00"], 1),
    ],
)
def test_an_instant_without_a_zone_is_utc_and_counted(instants: list[Any], naive: int) -> None:
    found = made(request_id=["a"], late=[1], known_at=instants)
    assert found.table.column("known_at").to_pylist() == [NOON]
    assert found.naive == naive


def test_a_day_is_its_first_instant() -> None:
    found = made(request_id=["a"], late=[1], known_at=[date(2013, 11, 24)])
    assert found.table.column("known_at").to_pylist() == [datetime(2013, 11, 24, tzinfo=UTC)]


def test_numbers_are_instants_where_their_unit_is_said() -> None:
    seconds = [int(NOON.timestamp())]
    found = made(Columns(unit="s"), request_id=["a"], late=[1], known_at=seconds)
    assert found.table.column("known_at").to_pylist() == [NOON]
    with pytest.raises(InputError, match=r"nothing says what they count\. Name the unit with --unit"):
        made(request_id=["a"], late=[1], known_at=seconds)


ENTITY = Columns(keys={"origin": "orig"})


@pytest.mark.parametrize(
    ("columns", "source", "said"),
    [
        (None, {"request_id": [], "late": []}, "source: it has no rows"),
        (None, {"request_id": ["a"], "lat": [1]}, "value: the source has none of the columns late, value; it has"),
        (
            Columns(value="x"),
            {"request_id": ["a"], "late": [1]},
            "value: the source has no column 'x'; it has request_id",
        ),
        (None, {"id": ["a"], "late": [1]}, "request-id: the source has none of the columns request_id"),
        (None, {"request_id": ["a", "b"], "late": ["1", "soon"]}, "no number in late; the first is row 2: 'soon'"),
        (None, {"request_id": ["a"], "late": ["1"]}, "column late is string; an outcome is a number or a boolean"),
        (None, {"request_id": ["a"], "late": [[1]]}, "column late is list<.*>; an outcome is"),
        (None, {"request_id": ["a", "b"], "late": [0.0, float("-inf")]}, "no finite number in late; .* row 2: -inf"),
        (None, {"request_id": ["a"], "late": [2**53 + 1]}, "no exact float64 in late; .* 9007199254740993"),
        (None, {"request_id": ["a"], "late": [-(2**63)]}, "no exact float64 in late"),
        (None, {"request_id": ["a", "b"], "late": [None, None]}, "not one of 2 rows has a value in late"),
        (None, {"request_id": ["a", None], "late": [1, 1]}, "request-id: 1 of 2 rows have none in request_id"),
        (None, {"request_id": ["a", " "], "late": [1, 1]}, "request-id: 1 of 2 rows have none in request_id"),
        (None, {"request_id": [0.5], "late": [1]}, "request-id: column request_id is double; expected text"),
        (None, {"request_id": ["a"], "late": [1], "row": [0.5]}, "row: column row is double; expected whole numbers"),
        (None, {"request_id": ["a"], "late": [1], "row": [-1]}, "row: 1 of 1 rows have no whole number from 0"),
        (None, {"request_id": ["a"], "late": [1], "known_at": ["soon"]}, "known-at: 1 of 1 rows have no instant"),
        (None, {"request_id": ["a"], "late": [1], "known_at": [True]}, "known-at: known_at: the column is bool"),
        (ENTITY, {"orig": ["JFK"], "late": [1]}, "at: the source has none of the columns event_timestamp, at"),
        (ENTITY, {"late": [1], "at": [NOON]}, "key: the source has no column 'orig'"),
        (ENTITY, {"orig": [None], "late": [1], "at": [NOON]}, "key: 1 of 1 rows have none in orig"),
        (ENTITY, {"orig": [["JFK"]], "late": [1], "at": [NOON]}, "key: column orig is list<.*>; expected one value"),
    ],
)
def test_what_cannot_be_an_outcome_is_an_error_that_says_why(columns: Any, source: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        made(columns, **source)


def test_two_columns_of_one_name_are_none() -> None:
    twice = pa.Table.from_arrays([pa.array(["a"]), pa.array([1]), pa.array([0])], ["request_id", "late", "late"])
    with pytest.raises(InputError, match="value: the source has 2 columns 'late'"):
        normalise(twice, "late", Columns(), now=NOW)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"keys": {"origin": "orig"}, "request_id": "id"}, "by request id or by entity"),
        ({"keys": {"origin": "orig"}, "row": "n"}, "row: an outcome is by request id or by entity"),
        ({"at": "t"}, "at: it is the instant of an entity, and no join key is named"),
        ({"within": timedelta(hours=1)}, "within: it is the instant of an entity"),
    ],
)
def test_columns_that_say_two_things_are_an_error(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Columns(**given)
