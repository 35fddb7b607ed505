"""Comparison against the slow oracle, on every type, and the edges by name."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.oracles import compare as oracle

from trueup.contracts.dtypes import arrow_type
from trueup.errors import InputError
from trueup.frame import EVENT_TIME, STATUS, FeatureFrame
from trueup.parity.compare import Comparison, Counts, Outcome, States, Tolerance, compare
from trueup.parity.kinds import has_numbers

NOON = datetime(2013, 11, 1, 12, tzinfo=UTC)
TINY = timedelta(microseconds=1)

DAY = 86_400_000_000_000
UNITS = {"s": 10**9, "ms": 10**6, "us": 1000, "ns": 1}

FLOATS = [0.0, -0.0, 1.0, 0.1, math.nextafter(0.1, 1), -0.1, math.inf, -math.inf, math.nan, 5e-324, 1.7e308, -1.7e308]
FLOATS += [2.0**53, 2.0**63, -(2.0**63), 0.5]
NARROW = [float(np.float32(value)) for value in (0.0, -0.0, 1.0, 0.1, -0.1, np.inf, -np.inf, np.nan, 1e-45, 3.4e38)]
NARROW.append(float(np.nextafter(np.float32(0.1), np.float32(1))))
HALF = [0.0, -0.0, 1.0, float(np.float16(0.1)), float(np.nextafter(np.float16(0.1), np.float16(1))), math.inf, math.nan]
INTS = [0, 1, -1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)]
TEXTS = ["", "a", "é", "e\u0301", "\x00", "<script>", "\u212a", "K"]
BYTES = [b"", b"\x00", b"a"]
JSONS = ["{}", "{ }", '{"a":1,"b":[2]}', '{"b":[2.0],"a":1e0}', '{"a":1,"a":2}', '{"a": 2}', "9007199254740993"]
JSONS += ["9007199254740992", "9007199254740992.0", "[1,2]", "[2,1]", "{", "{ ", "NaN", "null", '"é"', '"e\u0301"']

# Arrow type -> raw values as `pa.array` takes them; instants as whole numbers of the type's unit.
NUMBERS: dict[pa.DataType, list[Any]] = {
    pa.float64(): FLOATS,
    pa.float32(): NARROW,
    pa.float16(): HALF,
    pa.int64(): INTS,
    pa.int32(): [0, 1, -1, 2**31 - 1, -(2**31)],
    pa.int8(): [0, 1, -1, 127],
    pa.uint64(): [0, 1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1],
    pa.decimal128(5, 1): [Decimal("0.0"), Decimal("1.0"), Decimal("0.5"), Decimal("-0.1"), Decimal("0.1")],
    pa.decimal128(38, 3): [Decimal("0.000"), Decimal("1.000"), Decimal("0.500"), Decimal("0.100"), Decimal(2**53 + 1)],
    pa.decimal256(76, 20): [Decimal(0), Decimal("0.1"), Decimal("0.10000000000000000555"), Decimal(2**64 - 1)],
}
NUMBERS[pa.dictionary(pa.int8(), pa.float64())] = FLOATS
STRINGS = dict.fromkeys(
    (pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())), TEXTS
)
BINARIES: dict[pa.DataType, list[Any]] = dict.fromkeys((pa.binary(), pa.large_binary(), pa.binary_view()), BYTES)
BINARIES[pa.binary(1)] = [b"\x00", b"a"]
INSTANTS: dict[pa.DataType, list[Any]] = {
    pa.timestamp("us", "UTC"): [0, 1, -1, 86_400_000_000, 1_500_000, 2**62],
    pa.timestamp("ns", "Asia/Tokyo"): [0, 1000, 1001, -1000, DAY, 1_500_000_000],
    pa.timestamp("ms"): [0, 1500, -1, 86_400_000],
    pa.timestamp("s", "America/New_York"): [0, 1, 86_400, 2**50],
    pa.date32(): [0, 1, -1],
    pa.date64(): [0, 86_400_000],
}
TIMES: dict[pa.DataType, list[Any]] = {pa.time32("s"): [0, 1], pa.time64("ns"): [0, 1, 10**9]}
DURATIONS: dict[pa.DataType, list[Any]] = {pa.duration("s"): [0, 1, -1], pa.duration("us"): [0, 1, 10**6, -(10**6)]}
FAMILIES: list[dict[pa.DataType, list[Any]]] = [NUMBERS, STRINGS, BINARIES, INSTANTS, TIMES, DURATIONS]
FAMILIES.append({pa.bool_(): [True, False]})
INT_MAP = pa.map_(pa.string(), pa.int64())
EVERY = {type_: pool for family in FAMILIES for type_, pool in family.items()}

statuses = st.sampled_from([0, 1, 1, 1, 1, 2, 3, 4])
times = st.sampled_from([None, NOON, NOON + TINY])
tolerances = st.sampled_from(
    [Tolerance(), Tolerance(ulps=1), Tolerance(absolute=1.0), Tolerance(relative=1e-12), Tolerance(0.5, 0.1, 3)]
)

Cell = tuple[Any, int, datetime | None]
Sides = tuple[str | None, tuple[pa.DataType, list[Cell]], tuple[pa.DataType, list[Cell]]]
"""The Feast type, where it matters, and for each side its Arrow type and cells."""


@st.composite
def type_pairs(draw: st.DrawFn, depth: int = 2) -> tuple[pa.DataType, pa.DataType]:
    """Types of the two sides: mostly of one family, sometimes of any two."""
    shapes = ["leaf", "leaf", "leaf", "any"] + (["list", "map", "struct"] if depth else [])
    match draw(st.sampled_from(shapes)):
        case "leaf":
            family = sorted(draw(st.sampled_from(FAMILIES)), key=str)
            return draw(st.sampled_from(family)), draw(st.sampled_from(family))
        case "any":
            return draw(st.sampled_from(sorted(EVERY, key=str))), draw(st.sampled_from(sorted(EVERY, key=str)))
        case "list":
            left, right = draw(type_pairs(depth - 1))
            kinds = st.sampled_from([pa.list_, pa.large_list, lambda item: pa.list_(item, 2)])
            return draw(kinds)(left), draw(kinds)(right)
        case "map":
            keys, values = draw(type_pairs(0)), draw(type_pairs(depth - 1))
            left, right = (pa.map_(key, value) for key, value in zip(keys, values, strict=True))
            return left, right
        case _:
            one, two = draw(type_pairs(depth - 1)), draw(type_pairs(0))
            return (
                pa.struct([("a", one[0]), ("b", two[0])]),
                pa.struct([("b", two[1]), ("a", one[1])]) if draw(st.booleans()) else pa.struct([("a", one[1])]),
            )


def raws(type_: pa.DataType) -> st.SearchStrategy[Any]:
    """Values without null at the top, as `pa.array` takes them."""
    if pa.types.is_fixed_size_list(type_):
        return st.lists(st.none() | raws(type_.value_type), min_size=2, max_size=2)
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return st.lists(st.none() | raws(type_.value_type), max_size=3)
    if pa.types.is_map(type_):
        return st.lists(st.tuples(raws(type_.key_type), st.none() | raws(type_.item_type)), max_size=3)
    if pa.types.is_struct(type_):
        return st.fixed_dictionaries({field.name: st.none() | raws(field.type) for field in type_})
    return st.sampled_from(EVERY[type_])


def meaning(type_: pa.DataType, raw: Any, dtype: str | None = None) -> Any:
    """What the oracle compares."""
    if raw is None:
        return None
    if dtype == "Json":
        return oracle.Json(raw)
    if pa.types.is_map(type_):
        return oracle.Map(tuple((meaning(type_.key_type, k), meaning(type_.item_type, v)) for k, v in raw))
    if pa.types.is_struct(type_):
        return {field.name: meaning(field.type, raw[field.name]) for field in type_}
    if isinstance(raw, list):
        items = [meaning(type_.value_type, item) for item in raw]
        return oracle.Set(tuple(items)) if dtype is not None and dtype.startswith("Set(") else items
    if pa.types.is_date(type_):
        return oracle.Instant(raw * (DAY if pa.types.is_date32(type_) else UNITS["ms"]))
    for is_, kind in (("timestamp", oracle.Instant), ("time", oracle.TimeOfDay), ("duration", oracle.Duration)):
        if getattr(pa.types, f"is_{is_}")(type_):
            return kind(raw * UNITS[type_.unit])
    return raw


@st.composite
def sides(draw: st.DrawFn) -> Sides:
    dtype = draw(st.sampled_from([None, None, None, "Json", "Set(Any)"]))
    if dtype == "Json":
        types = (pa.string(), pa.large_string())
    elif dtype is not None:
        items = draw(type_pairs(0))
        types = (pa.list_(items[0]), pa.large_list(items[1]))
    else:
        types = draw(type_pairs())

    def cell(type_: pa.DataType) -> Cell:
        status = draw(statuses)
        value = draw(st.sampled_from(JSONS) if dtype == "Json" else raws(type_)) if status == 1 else None
        return value, status, draw(times)

    rows = draw(st.integers(0, 6))
    left, right = ((type_, [cell(type_) for _ in range(rows)]) for type_ in types)
    return dtype, left, right


def array(type_: pa.DataType, raw: list[Any]) -> pa.Array:
    """A dictionary array and a view are cast: pyarrow does not build them from Python values of every type."""
    if pa.types.is_dictionary(type_):
        return pa.array(raw, type_.value_type).dictionary_encode().cast(type_)
    return pa.array(raw, type_)


def frame(dtype: str | pa.DataType, rows: list[Cell], name: str = "v__f") -> FeatureFrame:
    type_ = arrow_type(dtype) if isinstance(dtype, str) else dtype
    return FeatureFrame(
        pa.table({name: array(type_, [row[0] for row in rows])}),
        pa.table({name: pa.array([row[1] for row in rows], STATUS)}),
        pa.table({"v": pa.array([row[2] for row in rows], EVENT_TIME)}),
    )


def of(dtype: str | pa.DataType, left: list[Any], right: list[Any], tolerance: Tolerance | None = None) -> Comparison:
    return of_types(None, (dtype, left), (dtype, right), tolerance)


def of_types(
    dtype: str | None,
    left: tuple[str | pa.DataType, list[Any]],
    right: tuple[str | pa.DataType, list[Any]],
    tolerance: Tolerance | None = None,
) -> Comparison:
    return compare(
        frame(*left),
        frame(*right),
        views={"v__f": "v"},
        tolerances={"v__f": tolerance} if tolerance else {},
        dtypes={"v__f": dtype} if dtype else {},
    )


def names(comparison: Comparison) -> list[str]:
    return [Outcome(code).name for code in comparison.codes["v__f"]]


def float_code(*types: pa.DataType) -> str:
    """Of the widest float within the types."""
    text = " ".join(map(str, types))
    return "d" if "double" in text else "f" if "float" in text.replace("halffloat", "") else "e"


@given(sides(), tolerances)
@example((None, (pa.float64(), [(-0.0, 1, NOON)]), (pa.float64(), [(0.0, 1, NOON)])), Tolerance())
@example(
    (
        None,
        (pa.list_(pa.float64()), [([None, math.nan], 1, NOON)]),
        (pa.list_(pa.float64()), [([math.nan, None], 1, NOON)]),
    ),
    Tolerance(ulps=9),
)
@settings(max_examples=250)
def test_every_cell_is_as_the_slow_oracle_says(sides: Sides, tolerance: Tolerance) -> None:
    dtype, left, right = sides
    if dtype == "Json" or not has_numbers(right[0]):
        tolerance = Tolerance()
    allowed = oracle.Allowed(tolerance.absolute, tolerance.relative, tolerance.ulps, code=float_code(left[0], right[0]))
    expected = [
        oracle.outcome((meaning(left[0], a[0], dtype), *a[1:]), (meaning(right[0], b[0], dtype), *b[1:]), allowed)
        for a, b in zip(left[1], right[1], strict=True)
    ]
    assert names(of_types(dtype, left, right, tolerance)) == expected


@given(sides())
def test_every_cell_is_counted_once(sides: Sides) -> None:
    _, (_, left), (_, right) = sides
    counts = of_types(*sides).counts["v__f"]
    assert counts.compared + sum(counts.uncompared.values()) == len(left)
    assert counts.compared == counts.equal + counts.mismatched
    for side, cells in ((counts.served, left), (counts.recomputed, right)):
        assert side == States(*(sum(cell[1] == status for cell in cells) for status in (2, 3, 4)))


@given(sides())
def test_a_frame_equals_itself(sides: Sides) -> None:
    dtype, left, _ = sides
    assert of_types(dtype, left, left).counts["v__f"].mismatched == 0


@given(sides(), st.integers(0, 6))
def test_the_counts_of_the_parts_add_up_to_the_counts_of_the_whole(sides: Sides, cut: int) -> None:
    dtype, (left_type, left), (right_type, right) = sides
    parts = [
        of_types(dtype, (left_type, left[part]), (right_type, right[part])).counts["v__f"]
        for part in (slice(cut), slice(cut, None))
    ]
    assert sum(parts, Counts()) == of_types(*sides).counts["v__f"]


@given(sides(), st.integers(0, 3), st.integers(0, 6))
def test_slices_and_chunks_of_a_table_compare_as_the_table_itself(sides: Sides, chunk: int, offset: int) -> None:
    dtype, (left_type, left), right = sides
    whole = of_types(*sides).codes["v__f"]
    pieces = [frame(left_type, left[:chunk]), frame(left_type, left[chunk:])]
    chunked = FeatureFrame(
        pa.concat_tables(piece.values for piece in pieces),
        pa.concat_tables(piece.statuses for piece in pieces),
        pa.concat_tables(piece.event_timestamps for piece in pieces),
    )
    dtypes = {"v__f": dtype} if dtype else {}
    codes = compare(chunked.slice(offset), frame(*right).slice(offset), views={"v__f": "v"}, dtypes=dtypes).codes[
        "v__f"
    ]
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


def test_the_same_text_in_another_unicode_normal_form_is_a_mismatch_of_its_own() -> None:
    counts = of("String", present("é", "é", "\u212a"), present("e\u0301", "e", "K")).counts["v__f"]
    assert (counts.normal_form, counts.value, counts.mismatched) == (2, 1, 3)


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


def test_a_string_against_a_number_is_a_mismatch_of_the_type() -> None:
    comparison = of_types(None, ("String", [*present("1"), (None, 2, NOON)]), ("Int64", [*present(1), (None, 2, NOON)]))
    assert names(comparison) == ["TYPE", "EQUAL"]
    assert comparison.counts["v__f"].type == 1
    assert comparison.mismatches()["v__f"].tolist() == [True, False]


@pytest.mark.parametrize(
    ("dtype", "left", "right", "expected"),
    [
        ("Map", '{"a":1,"b":[1.0,null]}', '{"b":[1,null],"a":1.0}', "EQUAL"),
        ("Map", '{"a":1}', '{"a":1,"b":null}', "EQUAL"),
        ("Struct({a: Map})", '{"a":{}}', '{"a":{"b":null}}', "EQUAL"),
        ("Struct({a: Map})", '{"a":{}}', '{"a":null}', "VALUE"),
        ("Json", '{"a":1}', '{"a":1,"b":null}', "VALUE"),
        ("Map", '{"a":9007199254740993}', '{"a":9007199254740992.0}', "VALUE"),
        ("Struct({a: String})", '{"a":"e\u0301"}', '{"a":"\u00e9"}', "NORMAL_FORM"),
        ("Struct({a: Float64})", '{"a":{"$float":"nan"}}', '{"a":null}', "VALUE"),
        ("Array(Map)", "[null]", "[]", "VALUE"),
        ("Array(Struct({a: Int64}))", '[{"a":1},{}]', '[{"a":1.0},{}]', "EQUAL"),
        ("Array(Map)", '[{"a":1},{}]', '[{},{"a":1}]', "VALUE"),
        ("Decimal", "1.50", "1.5", "EQUAL"),
        ("Decimal", "1E+2", "100", "EQUAL"),
        ("Decimal", "0.1", "0.10000000000000000555", "VALUE"),
        ("Decimal", "abc", "abc", "EQUAL"),
        ("Decimal", "abc", "", "VALUE"),
        ("String", "1.50", "1.5", "VALUE"),
        ("String", '{"a":1}', '{"a":1.0}', "VALUE"),
    ],
)
def test_documents_and_decimals_are_compared_by_what_their_text_says(
    dtype: str, left: str, right: str, expected: str
) -> None:
    assert names(of_types(dtype, (dtype, present(left)), (dtype, present(right)))) == [expected]


def test_decimals_in_lists_and_sets_are_compared_by_value() -> None:
    def one(dtype: str, left: list[str], right: list[str]) -> list[str]:
        return names(of_types(dtype, (dtype, present(left)), (dtype, present(right))))

    assert one("Array(Decimal)", ["1.0", "2"], ["1", "2.00"]) == ["EQUAL"]
    assert one("Array(Decimal)", ["1.0", "2"], ["2", "1"]) == ["VALUE"]
    assert one("Set(Decimal)", ["1.0", "2"], ["2.0", "1"]) == ["EQUAL"]
    assert one("Set(Decimal)", ["1.0", "2"], ["2.0", "3"]) == ["VALUE"]


def test_types_that_have_no_comparison_are_counted_with_their_name() -> None:
    interval = pa.month_day_nano_interval()
    counts = of(interval, present(None, None), present(None, None)).counts["v__f"]
    assert (counts.compared, counts.uncompared) == (0, {"served as month_day_nano_interval": 2})


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ((pa.int64(), 2**53 + 1), (pa.float64(), 2.0**53), "VALUE"),
        ((pa.int64(), 2**53), (pa.float64(), 2.0**53), "EQUAL"),
        ((pa.int64(), 2**63 - 1), (pa.float64(), 2.0**63), "VALUE"),
        ((pa.uint64(), 2**63), (pa.int64(), -(2**63)), "VALUE"),
        ((pa.uint64(), 2**63), (pa.float64(), 2.0**63), "EQUAL"),
        ((pa.decimal128(10, 1), Decimal("0.5")), (pa.decimal128(20, 5), Decimal("0.50000")), "EQUAL"),
        ((pa.decimal128(10, 1), Decimal("0.1")), (pa.float64(), 0.1), "VALUE"),
        ((pa.decimal128(10, 1), Decimal("0.5")), (pa.float32(), 0.5), "EQUAL"),
        ((pa.decimal256(76, 0), Decimal(2**64)), (pa.uint64(), 2**64 - 1), "VALUE"),
        ((pa.timestamp("s"), 1), (pa.timestamp("ns", "Asia/Tokyo"), 10**9), "EQUAL"),
        ((pa.timestamp("s"), 1), (pa.timestamp("ns"), 10**9 + 1), "VALUE"),
        ((pa.date32(), 1), (pa.timestamp("us", "UTC"), 86_400_000_000), "EQUAL"),
        ((pa.bool_(), True), (pa.int64(), 1), "TYPE"),
        ((pa.binary(), b"a"), (pa.string(), "a"), "TYPE"),
        ((pa.list_(pa.string()), ["1"]), (pa.list_(pa.int64()), [1]), "TYPE"),
        ((pa.list_(pa.string()), []), (pa.list_(pa.int64()), []), "EQUAL"),
        (
            (pa.map_(pa.string(), pa.int64()), [("a", 1), ("b", 2)]),
            (pa.map_(pa.string(), pa.float64()), [("b", 2.0), ("a", 1.0)]),
            "EQUAL",
        ),
        (
            (pa.map_(pa.string(), pa.int64()), [("a", 1), ("a", 1)]),
            (pa.map_(pa.string(), pa.int64()), [("a", 1)]),
            "VALUE",
        ),
    ],
)
def test_values_are_compared_by_what_they_are_and_not_by_their_type(
    left: tuple[pa.DataType, Any], right: tuple[pa.DataType, Any], expected: str
) -> None:
    assert names(of_types(None, (left[0], present(left[1])), (right[0], present(right[1])))) == [expected]


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ('{"a": 1, "b": [true, null]}', '{"b":[true,null],"a":1.0}', "EQUAL"),
        ("9007199254740993", "9007199254740992", "VALUE"),
        ("0.1", "0.1000000000000000000001", "VALUE"),
        ("1e400", "1E+400", "EQUAL"),
        ("-0.0", "0", "EQUAL"),
        ("[1, 2]", "[2, 1]", "VALUE"),
        ('"\\u00e9"', '"é"', "EQUAL"),
        ('"e\\u0301"', '"é"', "NORMAL_FORM"),
        ('{"e\u0301": 1, "b": 2}', '{"b": 2, "é": 1}', "NORMAL_FORM"),
        ("{", "{ ", "VALUE"),
        ("[" * 100_000, "[" * 100_000 + " ", "VALUE"),
        ("1", "true", "VALUE"),
    ],
)
def test_json_is_compared_by_what_it_says(left: str, right: str, expected: str) -> None:
    assert names(of_types("Json", ("String", present(left)), ("String", present(right)))) == [expected]
    assert names(of_types(None, ("String", present(left)), ("String", present(right)))) != ["EQUAL"]


def test_a_set_has_neither_order_nor_duplicates_and_an_array_has_both() -> None:
    left, right = ("Array(Int64)", present([1, 2, 2], [1])), ("Array(Int64)", present([2, 1], [2]))
    assert names(of_types("Set(Int64)", left, right)) == ["EQUAL", "VALUE"]
    assert names(of_types("Array(Int64)", left, right)) == ["VALUE", "VALUE"]
    assert names(of_types("Set(Int64)", left, right, Tolerance(absolute=1))) == ["EQUAL", "WITHIN_TOLERANCE"]


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
