"""Laws of the suite: it holds on what it was made from, seldom alarms on more of the same, and has the same bytes."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from trueup.contracts.contract import FeatureContract, Field, JoinKey, Source, View
from trueup.errors import ModelError
from trueup.frame import FeatureFrame
from trueup.parity.margins import (
    WINDOW_ROWS,
    Share,
    _beta_binomial_quantile,
    _variance_bound,
    block_numbers,
    blocks_of,
    share_of,
)
from trueup.parity.pairs import frame_of_columns
from trueup.parity.suite import for_rows, read_suite, suite, suite_bytes

FIELDS = (
    Field("x", "Float64"),
    Field("n", "Int64"),
    Field("s", "String"),
    Field("b", "Bool"),
    Field("l", "Array(Int64)"),
)
CONTRACT = FeatureContract(
    "p",
    "s",
    tuple(("v", item.name) for item in FIELDS),
    (
        View(
            "v", "v", (JoinKey("k", "Int64", "k"),), FIELDS, None, Source("DuckDBQuerySource", "ts", None, None, {}, {})
        ),
    ),
)


def drawn(rows: int, seed: int = 0, *, uneven: float = 0.0) -> FeatureFrame:
    """Rows of one process. uneven: how much its level and null rate wander from one thousand rows to the next."""
    random = np.random.default_rng(seed)
    level = np.repeat(random.normal(0, uneven, rows // 500 + 1), 500)[:rows]
    null = random.random(rows) < 1 / (1 + np.exp(3 - level))
    x = random.normal(level, 1)
    return frame_of_columns(
        {
            "v__x": pa.array(x, mask=null),
            "v__n": pa.array(random.poisson(5, rows), pa.int64()),
            "v__s": pa.array([f"c{value}" for value in random.geometric(0.3, rows)]),
            "v__b": pa.array(random.random(rows) < 0.5),
            "v__l": pa.array([[1, None]] * rows, pa.list_(pa.int64())),
        }
    )


def items(made: Any, kind: str) -> dict[str, Any]:
    return {item["kwargs"]["column"][3:]: item for item in made["expectations"] if item["type"].endswith(kind)}


def alarms(made: Any, frame: FeatureFrame) -> list[str]:
    """The slow, obvious reading of a suite: which of its margins a frame breaks."""
    found = []
    for item in made["expectations"]:
        kwargs = item["kwargs"]
        if "mostly" not in kwargs:
            continue
        values = frame.values.column(kwargs["column"]).to_pylist()
        present = [v for v in values if v is not None and v == v]
        if item["type"].endswith("not_be_null"):
            met, among = len(present), len(values)
        elif "value_set" in kwargs:
            met, among = sum(v in kwargs["value_set"] for v in present), len(present)
        else:
            met, among = sum(kwargs["min_value"] <= v <= kwargs["max_value"] for v in present), len(present)
        if among and met / among < kwargs["mostly"]:
            found.append(f"{item['type']} {kwargs['column']}")
    return found


def test_a_suite_has_types_nullability_ranges_and_category_sets() -> None:
    made = suite(CONTRACT, drawn(4000), model="m")
    assert made["name"] == f"m on s@{CONTRACT.hash[:12]}"
    assert made["expectations"][0]["kwargs"]["column_list"] == list(CONTRACT.columns)
    assert {name: item["kwargs"]["type_"] for name, item in items(made, "of_type").items()} == {
        "x": "float64",
        "n": "int64",
        "s": "str",
        "b": "bool",
        "l": "list",
    }
    assert list(items(made, "not_be_null")) == ["x", "n", "s", "b", "l"]
    assert list(items(made, "be_between")) == ["x", "n"]
    assert "c1" in items(made, "in_set")["s"]["kwargs"]["value_set"]


def test_the_same_training_set_gives_the_same_bytes_and_another_gives_another_id() -> None:
    assert suite_bytes(CONTRACT, drawn(500), model="m") == suite_bytes(CONTRACT, drawn(500), model="m")
    first, second = (suite(CONTRACT, drawn(500, seed), model="m") for seed in (1, 2))
    assert first["id"] != second["id"]
    identities = [item["id"] for item in first["expectations"]]
    assert len(set(identities)) == len(identities)


@given(st.integers(0, 3000), st.integers(0, 5), st.sampled_from([0.0, 2.0]))
@settings(max_examples=25)
def test_a_suite_holds_on_its_own_training_set(rows: int, seed: int, uneven: float) -> None:
    made = suite(CONTRACT, drawn(rows, seed, uneven=uneven), model="m")
    assert alarms(made, drawn(rows, seed, uneven=uneven)) == []


@pytest.mark.parametrize("uneven", [0.0, 1.0])
def test_a_suite_seldom_alarms_on_more_of_the_same(uneven: float) -> None:
    """The stated rate is 1 % of windows; of 200, more than 6 would come by chance once in 200."""
    made = suite(CONTRACT, drawn(30_000, 1, uneven=uneven), model="m")
    windows = [drawn(rows, 100 + seed, uneven=uneven) for seed, rows in enumerate([40, 200, 1000, 3000] * 50)]
    assert sum(bool(alarms(for_rows(made, window.num_rows), window)) for window in windows) <= 6


def test_a_suite_alarms_when_a_rate_a_range_or_a_category_changes() -> None:
    made = suite(CONTRACT, drawn(30_000), model="m")
    clean = drawn(2000, 9)

    def with_column(name: str, values: pa.Array) -> FeatureFrame:
        index = clean.values.column_names.index(name)
        return replace(clean, values=clean.values.set_column(index, name, values))

    assert alarms(made, clean) == []
    assert alarms(made, with_column("v__x", pa.array([None] * 400 + [0.0] * 1600, pa.float64()))) == [
        "expect_column_values_to_not_be_null v__x"
    ]
    assert alarms(made, with_column("v__n", pa.array([5] * 1900 + [-1] * 100))) == [
        "expect_column_values_to_be_between v__n"
    ]
    assert alarms(made, with_column("v__s", pa.array(["c1"] * 1900 + ["new"] * 100))) == [
        "expect_column_values_to_be_in_set v__s"
    ]


def test_a_feature_that_only_grows_is_not_bounded_and_it_is_said() -> None:
    growing = frame_of_columns({name: drawn(5000).values.column(name) for name in CONTRACT.columns})
    index = growing.values.column_names.index("v__n")
    growing = replace(growing, values=growing.values.set_column(index, "v__n", pa.array(range(5000))))
    made = suite(CONTRACT, growing, model="m")
    assert "n" not in items(made, "be_between")
    assert [(item["type"], item["column"]) for item in made["meta"]["trueup"]["left_out"]] == [
        ("expect_column_values_to_be_between", "v__n")
    ]


def test_nan_infinity_and_integers_beyond_2_53_have_a_place() -> None:
    values = {name: drawn(3000).values.column(name) for name in CONTRACT.columns}
    values["v__x"] = pa.array([math.nan, math.inf, -math.inf, *([1.5] * 297)] * 10)
    values["v__n"] = pa.array([2**63 - 1, -(2**63), *([0] * 298)] * 10)
    frame = frame_of_columns(values)
    made = suite(CONTRACT, frame, model="m")
    json.dumps(made, allow_nan=False)
    assert alarms(made, frame) == []
    between = items(made, "be_between")
    assert between["x"]["kwargs"]["min_value"] == between["x"]["kwargs"]["max_value"] == 1.5
    assert between["n"]["kwargs"]["max_value"] >= 2.0**63


def test_a_column_of_nulls_and_a_set_of_no_rows_expect_only_types() -> None:
    for rows in (0, 300):
        empty = {name: pa.nulls(rows, CONTRACT.schema.field(name).type) for name in CONTRACT.columns}
        made = suite(CONTRACT, frame_of_columns(empty), model="m")
        assert {item["type"] for item in made["expectations"]} <= {
            "expect_table_columns_to_match_ordered_list",
            "expect_column_values_to_be_of_type",
            "expect_column_values_to_not_be_null",
        }
        assert alarms(made, frame_of_columns(empty)) == []


def test_a_string_with_very_many_values_is_no_category() -> None:
    values = {name: drawn(3000).values.column(name) for name in CONTRACT.columns}
    values["v__s"] = pa.array([f"id{row}" for row in range(3000)])
    assert items(suite(CONTRACT, frame_of_columns(values), model="m"), "in_set") == {}


def test_fewer_rows_have_wider_margins_and_enough_have_the_kept_ones() -> None:
    made = suite(CONTRACT, drawn(30_000), model="m")
    assert for_rows(made, WINDOW_ROWS) == made
    few = for_rows(made, 20)
    before, after = items(made, "not_be_null")["x"]["kwargs"], items(few, "not_be_null")["x"]["kwargs"]
    assert 0 < after["mostly"] < before["mostly"] < 1


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"meta": {"trueup": {"format": 9}}, "expectations": []}'])
def test_what_is_no_suite_is_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match=r"expectations\.json"):
        read_suite(content)


def test_a_suite_comes_back_from_its_bytes() -> None:
    assert read_suite(suite_bytes(CONTRACT, drawn(300), model="m")) == suite(CONTRACT, drawn(300), model="m")


# margins


@given(st.integers(1, 300), st.floats(1e-6, 0.999), st.floats(1e-4, 0.9), st.floats(1e-6, 0.2), st.booleans())
@settings(max_examples=60)
def test_the_quantile_is_scipys(rows: int, share: float, correlation: float, tail: float, even: bool) -> None:
    scale = (1 - correlation) / correlation
    known = stats.binom(rows, share) if even else stats.betabinom(rows, share * scale, (1 - share) * scale)
    found = _beta_binomial_quantile(rows, share, 0.0 if even else correlation, tail)
    assert known.sf(found) <= tail * (1 + 1e-6)
    assert found == 0 or known.sf(found - 1) > tail * (1 - 1e-6)


@pytest.mark.parametrize("freedom", [4, 19, 199])
def test_the_variance_bound_is_the_chi_squares(freedom: int) -> None:
    assert _variance_bound(freedom) == pytest.approx(freedom / stats.chi2.ppf(0.05, freedom), rel=0.05)


def test_blocks_cut_rows_into_equal_runs() -> None:
    for rows in (1, 2, 39, 40, 5000, 10**6):
        block = block_numbers(rows)
        sizes = np.bincount(block)
        assert (np.diff(block) >= 0).all()
        assert len(sizes) == blocks_of(rows)
        assert sizes.max() - sizes.min() <= 1


def test_what_comes_in_runs_is_allowed_more_than_what_comes_evenly() -> None:
    block = block_numbers(20_000)
    every = np.ones(20_000, np.bool_)
    even = share_of(np.arange(20_000) % 10 == 0, every, block)
    runs = share_of(np.arange(20_000) < 2000, every, block)
    assert even.count == runs.count == 2000
    assert 0.1 < even.allowed(1000, 1e-3) < 0.2 < runs.allowed(1000, 1e-3)


@given(st.integers(0, 50), st.integers(50, 500), st.floats(0, 0.9), st.integers(0, 400))
@settings(max_examples=60)
def test_what_the_training_set_itself_did_is_always_allowed(
    count: int, rows: int, correlation: float, window: int
) -> None:
    assert count / rows <= Share(count, rows, correlation).allowed(window, 0.001) <= 1
