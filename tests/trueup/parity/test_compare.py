"""Comparison against the slow oracle, on every type, and the edges by name."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.oracles import compare as oracle

from trueup.contracts.dtypes import arrow_type
from trueup.errors import InputError
from trueup.frame import EVENT_TIME, STATUS, FeatureFrame
from trueup.parity.compare import Comparison, Counts, Outcome, States, Tolerance, compare

NOON = datetime(2013, 11, 1, 12, tzinfo=UTC)
TINY = timedelta(microseconds=1)

FLOATS = [0.0, -0.0, 1.0, 0.1, math.nextafter(0.1, 1), -0.1, math.inf, -math.inf, math.nan, 5e-324, 1.7e308, -1.7e308]
NARROW = [float(np.float32(value)) for value in (0.0, -0.0, 1.0, 0.1, -0.1, np.inf, -np.inf, np.nan, 1e-45, 3.4e38)]
NARROW.append(float(np.nextafter(np.float32(0.1), np.float32(1))))
INTS = [0, 1, -1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)]
POOLS: dict[str, list[Any]] = {
    "Float64": FLOATS,
    "Float32": NARROW,
    "Int64": INTS,
    "Int32": [0, 1, -1, 2**31 - 1, -(2**31)],
    "Bool": [True, False],
    "String": ["", "a", "é", "e\u0301", "\x00", "<script>"],
    "Bytes": [b"", b"\x00", b"a"],
    "UnixTimestamp": [NOON, NOON + TINY, NOON - TINY, datetime(1969, 12, 31, tzinfo=UTC)],
    "Json": ["{}", "{ }"],
    "Uuid": ["0", "1"],
}
LISTS = ("Float64", "Float32", "Int64", "Bool", "String", "UnixTimestamp")

statuses = st.sampled_from([0, 1, 1, 1, 1, 2, 3, 4])
times = st.sampled_from([None, NOON, NOON + TINY])
tolerances = st.sampled_from(
    [Tolerance(), Tolerance(ulps=1), Tolerance(absolute=1.0), Tolerance(relative=1e-12), Tolerance(0.5, 0.1, 3)]
)


def values(dtype: str) -> st.SearchStrategy[Any]:
    if dtype.startswith("Array("):
        item = dtype.removeprefix("Array(").removesuffix(")")
        return st.lists(st.none() | values(item), max_size=3)
    return st.sampled_from(POOLS[dtype])


@st.composite
def sides(draw: st.DrawFn) -> tuple[str, list[Any], list[Any]]:
    dtype = draw(st.sampled_from([*POOLS, *(f"Array({item})" for item in LISTS), "Array(Array(Int64))"]))

    def cell() -> tuple[Any, int, datetime | None]:
        status = draw(statuses)
        return (draw(values(dtype)) if status == 1 else None), status, draw(times)

    rows = draw(st.integers(0, 6))
    return dtype, [cell() for _ in range(rows)], [cell() for _ in range(rows)]


def frame(dtype: str | pa.DataType, rows: list[tuple[Any, int, datetime | None]], name: str = "v__f") -> FeatureFrame:
    kind = arrow_type(dtype) if isinstance(dtype, str) else dtype
    return FeatureFrame(
        pa.table({name: pa.array([row[0] for row in rows], kind)}),
        pa.table({name: pa.array([row[1] for row in rows], STATUS)}),
        pa.table({"v": pa.array([row[2] for row in rows], EVENT_TIME)}),
    )


def of(dtype: str | pa.DataType, left: list[Any], right: list[Any], tolerance: Tolerance | None = None) -> Comparison:
    tolerances = {} if tolerance is None else {"v__f": tolerance}
    return compare(frame(dtype, left), frame(dtype, right), views={"v__f": "v"}, tolerances=tolerances)


def names(comparison: Comparison) -> list[str]:
    return [Outcome(code).name for code in comparison.codes["v__f"]]


@given(sides(), tolerances)
@example(("Float64", [(-0.0, 1, NOON)], [(0.0, 1, NOON)]), Tolerance())
@example(("Array(Float64)", [([None, math.nan], 1, NOON)], [([math.nan, None], 1, NOON)]), Tolerance(ulps=9))
def test_every_cell_is_as_the_slow_oracle_says(sides: tuple[str, list[Any], list[Any]], tolerance: Tolerance) -> None:
    dtype, left, right = sides
    if not any(kind in dtype for kind in ("Float", "Int")):
        tolerance = Tolerance()
    comparison = of(dtype, left, right, tolerance or None)
    expected = [
        oracle.outcome(
            a,
            b,
            absolute=tolerance.absolute,
            relative=tolerance.relative,
            ulps=tolerance.ulps,
            narrow="Float32" in dtype,
        )
        for a, b in zip(left, right, strict=True)
    ]
    assert names(comparison) == expected


@given(sides())
def test_every_cell_is_counted_once(sides: tuple[str, list[Any], list[Any]]) -> None:
    dtype, left, right = sides
    counts = of(dtype, left, right).counts["v__f"]
    assert counts.compared + sum(counts.uncompared.values()) == len(left)
    assert counts.compared == counts.equal + counts.mismatched
    for side, cells in ((counts.served, left), (counts.recomputed, right)):
        assert side == States(*(sum(cell[1] == status for cell in cells) for status in (2, 3, 4)))


@given(sides())
def test_a_frame_equals_itself(sides: tuple[str, list[Any], list[Any]]) -> None:
    dtype, left, _ = sides
    assert of(dtype, left, left).counts["v__f"].mismatched == 0


@given(sides(), st.integers(0, 6))
def test_the_counts_of_the_parts_add_up_to_the_counts_of_the_whole(
    sides: tuple[str, list[Any], list[Any]], cut: int
) -> None:
    dtype, left, right = sides
    parts = [of(dtype, left[part], right[part]).counts["v__f"] for part in (slice(cut), slice(cut, None))]
    assert sum(parts, Counts()) == of(dtype, left, right).counts["v__f"]


@given(sides(), st.integers(0, 3), st.integers(0, 6))
def test_slices_and_chunks_of_a_table_compare_as_the_table_itself(
    sides: tuple[str, list[Any], list[Any]], chunk: int, offset: int
) -> None:
    dtype, left, right = sides
    whole = of(dtype, left, right).codes["v__f"]
    pieces = [frame(dtype, left[:chunk]), frame(dtype, left[chunk:])]
    chunked = FeatureFrame(
        pa.concat_tables(piece.values for piece in pieces),
        pa.concat_tables(piece.statuses for piece in pieces),
        pa.concat_tables(piece.event_timestamps for piece in pieces),
    )
    other = frame(dtype, right)
    codes = compare(chunked.slice(offset), other.slice(offset), views={"v__f": "v"}).codes["v__f"]
    assert codes.tolist() == whole[offset:].tolist()


def present(*cells: Any) -> list[Any]:
    return [(cell, 1, NOON) for cell in cells]


def test_integers_beyond_2_to_the_53_are_not_compared_as_floats() -> None:
    assert names(of("Int64", present(2**53), present(2**53 + 1))) == ["VALUE"]


def test_the_distance_of_the_outermost_integers_does_not_overflow() -> None:
    low, high = -(2**63), 2**63 - 1
    assert names(of("Int64", present(low), present(high), Tolerance(absolute=2.0))) == ["VALUE"]
    assert names(of("Int64", present(low), present(high), Tolerance(absolute=2.0**64))) == ["WITHIN_TOLERANCE"]


def test_the_largest_float_is_never_within_ulps_of_infinity() -> None:
    largest = 1.7976931348623157e308
    assert names(of("Float64", present(largest), present(math.inf), Tolerance(ulps=1))) == ["VALUE"]


def test_nan_against_null_is_its_own_class_either_way() -> None:
    counts = of("Float64", [(math.nan, 1, NOON), (None, 2, NOON)], [(None, 2, NOON), (math.nan, 1, NOON)]).counts
    assert counts["v__f"].nan_null == 2


def test_strings_in_other_unicode_normal_forms_differ() -> None:
    assert names(of("String", present("é"), present("e\u0301"))) == ["VALUE"]


def test_what_expired_and_is_no_longer_online_is_counted_and_no_mismatch_but_not_the_reverse() -> None:
    assert names(of("Int64", [(None, 3, None), (None, 4, NOON)], [(None, 4, NOON), (None, 3, None)])) == [
        "FORGOTTEN",
        "STATUS",
    ]


def test_a_feature_of_one_side_only_is_counted_as_uncompared() -> None:
    left, right = frame("Int64", present(1, 2), "v__a"), frame("Int64", present(1, 2), "v__b")
    counts = compare(left, right, views={}).counts
    assert counts["v__a"].uncompared == {"only served": 2}
    assert counts["v__b"].uncompared == {"only recomputed": 2}


def test_types_that_cannot_be_compared_are_counted_with_both_names() -> None:
    counts = compare(frame("String", present("1")), frame("Int64", present(1)), views={}).counts["v__f"]
    assert (counts.compared, counts.uncompared) == (0, {"served as string, recomputed as int64": 1})


@pytest.mark.parametrize(("narrow", "wide"), [("Int32", "Int64"), ("Float32", "Float64")])
def test_numbers_of_other_widths_are_compared_in_the_wider_type(narrow: str, wide: str) -> None:
    value = 3 if "Int" in wide else 0.5
    comparison = compare(frame(narrow, present(value)), frame(wide, present(value)), views={})
    assert names(comparison) == ["EQUAL"]


def test_a_float32_of_a_tenth_is_not_the_float64_of_a_tenth() -> None:
    assert names(compare(frame("Float32", present(0.1)), frame("Float64", present(0.1)), views={})) == ["VALUE"]


@pytest.mark.parametrize("bad", [{"absolute": -1.0}, {"relative": math.nan}, {"absolute": math.inf}, {"ulps": -1}])
def test_a_tolerance_that_is_no_distance_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="expected 0 or a positive number"):
        Tolerance(**bad)


def test_a_tolerance_for_what_is_no_number_or_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="only numbers have a tolerance"):
        of("String", present("a"), present("a"), Tolerance(ulps=1))
    with pytest.raises(InputError, match="no such feature"):
        compare(frame("Int64", []), frame("Int64", []), views={}, tolerances={"v__g": Tolerance(ulps=1)})


def test_frames_of_different_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="1 served, 0 recomputed"):
        compare(frame("Int64", present(1)), frame("Int64", []), views={})
