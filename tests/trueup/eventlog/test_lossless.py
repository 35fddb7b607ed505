"""Logged columns as their declared types, cell by cell, against Python's own numbers."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup.eventlog.lossless import as_declared, fitted

INT64 = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats() | st.integers(-(2**70), 2**70).map(float) | st.sampled_from([2.0**63, -(2.0**63), 2.0**53])


def fit(values: Any, kind: pa.DataType, declared: pa.DataType) -> tuple[list[Any], list[bool]]:
    array, misfit = fitted(pa.array(values, kind), declared)
    return array.to_pylist(), misfit.tolist()


@given(st.lists(st.none() | FLOATS))
def test_a_float_is_an_integer_where_it_is_one_and_nan_is_null(values: list[float | None]) -> None:
    expected: list[Any] = []
    for value in values:
        if value is None or math.isnan(value):
            expected.append((None, False))
        elif math.isfinite(value) and value == int(value) and abs(value) < 2**63:
            expected.append((int(value), False))
        else:
            expected.append((None, True))
    assert list(zip(*fit(values, pa.float64(), pa.int64()), strict=True)) == expected


@given(st.lists(st.none() | INT64))
def test_an_integer_is_a_float_where_that_keeps_its_digits(values: list[int | None]) -> None:
    expected = [
        (None, value is not None) if value is None or int(float(value)) != value else (float(value), False)
        for value in values
    ]
    got = fit(values, pa.int64(), pa.float64())
    for (value, misfit), (wanted, wrong), given_value in zip(zip(*got, strict=True), expected, values, strict=True):
        if given_value is not None and abs(given_value) == 2**63:
            continue  # its float comes back as another integer on some processors: out either way
        assert (value, misfit) == (wanted, wrong)


@given(st.lists(st.none() | st.integers(0, 2**64 - 1)))
def test_an_unsigned_integer_fits_below_2_to_the_63(values: list[int | None]) -> None:
    expected = [(value, False) if value is None or value < 2**63 else (None, True) for value in values]
    assert list(zip(*fit(values, pa.uint64(), pa.int64()), strict=True)) == expected


@pytest.mark.parametrize(
    ("values", "kind", "declared", "expected", "misfit"),
    [
        ([0, 1, 2, None], pa.int64(), pa.bool_(), [False, True, None, None], [False, False, True, False]),
        ([True, None], pa.bool_(), pa.int64(), [1, None], [False, False]),
        (["1", None], pa.string(), pa.int64(), [None, None], [True, False]),
        ([1, None], pa.int64(), pa.string(), [None, None], [True, False]),
        ([None, None], pa.null(), pa.float64(), [None, None], [False, False]),
        ([0.1], pa.float64(), pa.float32(), [0.1], [False]),  # left wide: the comparison takes the wider type
        ([7], pa.int64(), pa.int32(), [7], [False]),
        ([Decimal("0.1")], pa.decimal128(5, 2), pa.float64(), [0.1], [False]),
        ([Decimal("3.00")], pa.decimal128(5, 2), pa.int64(), [3], [False]),
        ([Decimal("3.50")], pa.decimal128(5, 2), pa.int64(), [None], [True]),
        ([[1, 2], [], None], pa.list_(pa.int32()), pa.list_(pa.int64()), [[1, 2], [], None], [False] * 3),
        ([[0.5], [0.1]], pa.list_(pa.float64()), pa.list_(pa.float32()), [[0.5], None], [False, True]),
        ([[1.5, None]], pa.list_(pa.float32()), pa.list_(pa.float64()), [[1.5, None]], [False]),
        ([["a"]], pa.list_(pa.string()), pa.list_(pa.int64()), [None], [True]),
    ],
)
def test_types(values: Any, kind: pa.DataType, declared: pa.DataType, expected: list[Any], misfit: list[bool]) -> None:
    assert fit(values, kind, declared) == (expected, misfit)


def test_an_instant_without_a_zone_is_utc_and_a_day_its_midnight() -> None:
    declared = pa.timestamp("us", tz="UTC")
    noon = datetime(2013, 11, 1, 12)
    for kind in (pa.timestamp("s"), pa.timestamp("ns"), pa.timestamp("ms", tz="UTC")):
        array, misfit = fitted(pa.array([noon], kind), declared)
        assert (array.to_pylist(), misfit.any()) == ([noon.replace(tzinfo=UTC)], False)
    array, _ = fitted(pa.array([date(2013, 11, 1)]), declared)
    assert array.to_pylist() == [datetime(2013, 11, 1, tzinfo=UTC)]


STRUCT = pa.struct([("b", pa.int64()), ("a", pa.string())])


@pytest.mark.parametrize(
    ("values", "kind", "dtype", "expected", "misfit"),
    [
        ([{"b": 1, "a": None}, None], STRUCT, "Struct({a: String, b: Int64})", ['{"a":null,"b":1}', None], [False] * 2),
        ([[("b", "x"), ("a", "y")]], pa.map_(pa.string(), pa.string()), "Map", ['{"a":"y","b":"x"}'], [False]),
        ([[(1, "x")], []], pa.map_(pa.int64(), pa.string()), "Map", [None, "{}"], [True, False]),
        ([[{"b": 1, "a": "x"}], []], pa.list_(STRUCT), "Array(Map)", ['[{"a":"x","b":1}]', "[]"], [False] * 2),
        (['{"a": 1}', None], pa.string(), "Map", ['{"a": 1}', None], [False] * 2),
        ([1, None], pa.int64(), "Map", [None, None], [True, False]),
        ([Decimal("1.50"), None], pa.decimal128(9, 2), "Decimal", ["1.50", None], [False] * 2),
        ([[Decimal("1.50")], None], pa.list_(pa.decimal128(9, 2)), "Array(Decimal)", [["1.50"], None], [False] * 2),
        ([["1.5"], []], pa.list_(pa.string()), "Set(Decimal)", [["1.5"], []], [False] * 2),
        ([{"b": 1, "a": "x"}], STRUCT, "Decimal", [None], [True]),
        ([None], pa.null(), "Decimal", [None], [False]),
    ],
)
def test_documents_and_decimals_fit_as_their_text(
    values: Any, kind: pa.DataType, dtype: str, expected: list[Any], misfit: list[bool]
) -> None:
    array, wrong = as_declared(pa.array(values, kind), dtype)
    assert (array.to_pylist(), wrong.tolist()) == (expected, misfit)
