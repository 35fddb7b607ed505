"""Two Parquet tables compared: pairing and cells against slow oracles, files nobody here wrote, and bad input."""

from __future__ import annotations

import json
import math
import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.oracles import compare as oracle
from tests.oracles import tables as pairing
from tests.trueup.parity.test_compare import array, float_code, meaning, raws, tolerances, type_pairs
from typer.testing import CliRunner

from trueup.cli import app
from trueup.errors import InputError
from trueup.parity.compare import Tolerance
from trueup.parity.kinds import has_numbers
from trueup.parity.tables.columns import Column, compare_column
from trueup.parity.tables.files import open_table
from trueup.parity.tables.keys import match_rows
from trueup.parity.tables.matching import REASONS
from trueup.parity.tables.result import TableComparison
from trueup.parity.tables.run import SMALLEST_MEMORY, compare_tables

LARGE = 1 << 30
KEYS: dict[pa.DataType, list[Any]] = {
    pa.int64(): [None, 0, 1, 2, 3, 2**62],
    pa.int32(): [None, 0, 1, 2, -3],
    pa.float64(): [None, 0.0, 1.0, 2.0, math.nan],
    pa.string(): [None, "", "a", "b", "é"],
    pa.timestamp("us", "UTC"): [None, 0, 1, 10**6],
    pa.bool_(): [None, True, False],
}
INTEGERS = (pa.int64(), pa.int32(), pa.float64())


def write(folder: Path, name: str, table: pa.Table, files: int = 1, group: int = 1000) -> str:
    """A directory of some files of nearly as many rows each."""
    (folder / name).mkdir()
    edges = [table.num_rows * index // files for index in range(files + 1)]
    for index in range(files):
        part = table.slice(edges[index], edges[index + 1] - edges[index])
        pq.write_table(part, folder / name / f"{index:03}.parquet", row_group_size=group)
    return str(folder / name)


@st.composite
def keyed(draw: st.DrawFn) -> tuple[list[tuple[pa.DataType, pa.DataType]], list[list[tuple[Any, ...]]]]:
    """Types of the key columns on both sides, and keys of both sides."""
    first = draw(st.sampled_from(list(KEYS)))
    second = draw(st.sampled_from(INTEGERS)) if first in INTEGERS else first
    types = [(first, second)] + ([(pa.string(), pa.string())] if draw(st.booleans()) else [])
    rows = [
        draw(st.lists(st.tuples(*(st.sampled_from(KEYS[pair[side]]) for pair in types)), max_size=7)) for side in (0, 1)
    ]
    if draw(st.booleans()) and first == second:
        rows[1] = list(rows[0])
    return types, rows


def key_table(types: list[pa.DataType], rows: list[tuple[Any, ...]]) -> pa.Table:
    names = [f"key{index}" for index in range(len(types))]
    return pa.table([pa.array([row[i] for row in rows], types[i]) for i in range(len(types))], names=names)


@given(keyed(), st.integers(1, 3))
@settings(max_examples=30)
def test_rows_are_paired_as_the_slow_oracle_says_whichever_way(drawn: Any, files: int) -> None:
    types, rows = drawn
    plain = [[tuple(None if k != k else k for k in key) for key in side] for side in rows]
    expected, alone_left, alone_right = pairing.pairs(*plain)
    with tempfile.TemporaryDirectory() as folder:
        left, right = (
            open_table(write(Path(folder), str(side), key_table([pair[side] for pair in types], rows[side]), files, 2))
            for side in (0, 1)
        )
        for memory in (LARGE, 1 << 12, 0):  # a table of positions, too wide a range for one, no room for the keys
            found = match_rows(left, right, left.schema.names, memory=memory, threads=2)
            assert {row: int(to) for row, to in enumerate(found.partner) if to >= 0} == expected
            for side, wanted in (("left", alone_left), ("right", alone_right)):
                states = found.alone(side)
                assert {why: n for code, why in REASONS.items() if (n := int((states == code).sum()))} == wanted
            assert found.aligned == (
                len(expected) == left.rows == right.rows and all(row == to for row, to in expected.items())
            )


@st.composite
def columns(draw: st.DrawFn) -> tuple[str | None, tuple[pa.DataType, list[Any]], tuple[pa.DataType, list[Any]]]:
    types = draw(type_pairs(1))
    assume(not any("dictionary<values=double" in str(t) for t in types))  # Parquet has none
    rows = draw(st.integers(1, 8))
    one, other = ([draw(st.none() | raws(type_)) for _ in range(rows)] for type_ in types)
    # Arrow writes a null among fixed-size lists to Parquet and cannot read it back.
    assume(not any("fixed_size" in str(t) and None in side for t, side in zip(types, (one, other), strict=True)))
    assume(not any("fixed_size" in str(t) and not pa.types.is_fixed_size_list(t) for t in types))
    same = draw(st.lists(st.booleans(), min_size=rows, max_size=rows)) if types[0] == types[1] else [False] * rows
    other = [a if keep else b for a, b, keep in zip(one, other, same, strict=True)]
    dtype = "Set(Any)" if all("list" in str(t) for t in types) and draw(st.booleans()) else None
    return dtype, (types[0], one), (types[1], other)


def class_of(left: Any, right: Any, allowed: oracle.Allowed) -> str:
    if left is None and right is None:
        return "both null"
    for one, other, nan, null in ((left, right, "nan_left", "null_right"), (right, left, "nan_right", "null_left")):
        if other is None:
            return nan if isinstance(one, float) and math.isnan(one) else null
    found = oracle.likeness(left, right, allowed)
    return {"SAME": "same", "CLOSE": "close", "NORMAL_FORM": "normal_form", "VALUE": "value", "TYPE": "type"}[found]


@given(columns(), tolerances, st.integers(1, 3), st.randoms(use_true_random=False))
@settings(max_examples=80)
def test_every_cell_is_classified_as_the_slow_oracle_says(
    drawn: Any, tolerance: Tolerance, files: int, random: Any
) -> None:
    dtype, (left_type, ones), (right_type, others) = drawn
    tolerance = tolerance if has_numbers(right_type) else Tolerance()
    allowed = oracle.Allowed(
        tolerance.absolute, tolerance.relative, tolerance.ulps, code=float_code(left_type, right_type)
    )
    expected = Counter(
        class_of(meaning(left_type, a, dtype), meaning(right_type, b, dtype), allowed)
        for a, b in zip(ones, others, strict=True)
    )
    order = list(range(len(others)))
    random.shuffle(order)
    with tempfile.TemporaryDirectory() as folder:
        tables = [
            pa.table({"k": pa.array(range(len(ones)), pa.int64()), "f": array(left_type, ones)}),
            pa.table({"k": pa.array(range(len(others)), pa.int64()), "f": array(right_type, others)}),
        ]
        left, aligned = (write(Path(folder), name, table, files, 3) for name, table in zip("la", tables, strict=True))
        shuffled = pa.table({"k": pa.array(order, pa.int64()), "f": array(right_type, [others[row] for row in order])})
        keyed = write(Path(folder), "s", shuffled, files + 1, 2)
        for right, part in ((aligned, LARGE), (keyed, LARGE), (keyed, 1)):
            pair = open_table(left), open_table(right)
            matching = match_rows(*pair, ["k"], memory=LARGE, threads=1)
            found = compare_column(*pair, matching, Column("f", tolerance, dtype), part)
            classes = {**found.by_class, "close": found.within_tolerance, "both null": found.both_null}
            classes["same"] = found.equal - found.within_tolerance - found.both_null
            assert Counter({name: count for name, count in classes.items() if count}) == expected
            nulls = sum(value is None for value in ones), sum(value is None for value in others)
            assert (found.nulls["left"], found.nulls["right"]) == nulls


def same_but(path: str | Path, other: str | Path, **options: Any) -> TableComparison:
    return compare_tables(str(path), str(other), **{"keys": ["k"], **options})


@pytest.fixture
def table() -> pa.Table:
    return pa.table({"k": [1, 2, 3, 4], "x": [0.0, 1.0, math.nan, 0.5], "s": ["a", "b", None, "é"]})


@pytest.mark.parametrize("writer", ["pyarrow", "polars"])
def test_nans_that_statistics_leave_out_are_found(writer: str, tmp_path: Path) -> None:
    left = pa.table({"k": [1, 2, 3], "x": [0.0, 1.0, math.nan]})
    right = pa.table({"k": [3, 1, 2], "x": [math.nan, 5.0, None]})
    for name, one in (("l", left), ("r", right)):
        if writer == "polars":
            pl.from_arrow(one).write_parquet(tmp_path / name)
        else:
            pq.write_table(one, tmp_path / name)
    found = same_but(tmp_path / "l", tmp_path / "r").features["x"]
    assert (found.by_class, found.nans, found.equal) == ({"value": 1, "null_right": 1}, {"left": 1, "right": 1}, 1)


def test_the_result_depends_neither_on_threads_nor_on_memory(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rows = 300_000
    left = pa.table(
        {
            "k": pa.array([f"user {n}" for n in range(rows)]),
            "x": rng.normal(size=rows),
            "s": [f"text {n}" for n in range(rows)],
        }
    )
    x = left["x"].to_numpy().copy()
    x[::1000] += 1
    right = left.set_column(1, "x", pa.array(x)).take(pa.array(rng.permutation(rows)))
    paths = [write(tmp_path, name, one, 3, 50_000) for name, one in (("l", left), ("r", right))]
    found = [
        same_but(*paths, memory_limit=memory, threads=threads).to_json()
        for memory, threads in ((LARGE, 1), (SMALLEST_MEMORY, 4))
    ]
    assert found[0] == found[1]
    assert found[0]["features"]["x"]["by_class"] == {"value": 300}
    assert [sample["row"] for sample in found[0]["features"]["x"]["samples"]] == [0, 1000, 2000]
    assert found[0]["features"]["x"]["samples"][1]["key"] == ("user 1000",)


def test_rows_without_a_partner_are_counted_by_reason_with_examples(tmp_path: Path) -> None:
    pq.write_table(pa.table({"k": [1, 2, 2, None, 5], "x": [1, 2, 3, 4, 5]}), tmp_path / "l")
    pq.write_table(pa.table({"k": [9, 1, 2], "x": [0, 1, 2], "y": [0, 0, 0]}), tmp_path / "r")
    found = same_but(tmp_path / "l", tmp_path / "r")
    assert found.left.alone == {"only here": 1, "null key": 1, "duplicate key": 2}
    assert found.right.alone == {"only here": 1, "key duplicated on the other side": 1}
    assert found.left.examples["only here"] == (("5",),)
    assert found.right.only_features == ("y",)
    assert (found.rows, found.mismatched, found.verdict, found.exit_code) == (1, 0, "fail", 1)


def test_json_sets_and_tolerances_are_told_by_options(tmp_path: Path) -> None:
    pq.write_table(pa.table({"k": [1], "j": ['{"a": 1}'], "s": [[1, 2]], "x": [1.0]}), tmp_path / "l")
    pq.write_table(pa.table({"k": [1], "j": ['{"a":1.0}'], "s": [[2, 1, 1]], "x": [1.5]}), tmp_path / "r")
    assert same_but(tmp_path / "l", tmp_path / "r").mismatched == 3
    dtypes, tolerances = {"j": "Json", "s": "Set(Int64)"}, {"x": Tolerance(absolute=0.5)}
    found = same_but(tmp_path / "l", tmp_path / "r", dtypes=dtypes, tolerances=tolerances)
    assert (found.verdict, found.features["x"].within_tolerance) == ("pass", 1)


def test_instants_too_late_for_python_are_shown_and_not_a_crash(tmp_path: Path) -> None:
    for name, value in (("l", 2**62), ("r", 2**62 + 1)):
        pq.write_table(pa.table({"k": [1], "t": pa.array([value], pa.timestamp("us"))}), tmp_path / name)
    assert same_but(tmp_path / "l", tmp_path / "r").features["t"].samples[0].left.count(str(2**62)) == 1


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["parity", "tables", *map(str, arguments)])


def test_the_command_exits_0_when_the_tables_are_the_same_and_1_when_not(tmp_path: Path, table: pa.Table) -> None:
    pq.write_table(table, tmp_path / "l.parquet")
    pq.write_table(table.take(pa.array([3, 1, 0, 2])), tmp_path / "r.parquet")
    pq.write_table(table.set_column(1, "x", pa.array([0.0, 1.0, None, 0.7])), tmp_path / "d.parquet")
    assert run(tmp_path / "l.parquet", tmp_path / "r.parquet", "--key", "k").exit_code == 0
    told = run(tmp_path / "l.parquet", tmp_path / "d.parquet", "--key", "k")
    assert (told.exit_code, "nan_left 1" in told.output) == (1, True)
    data = json.loads(run(tmp_path / "l.parquet", tmp_path / "d.parquet", "--key", "k", "--json").stdout)
    assert data["summary"]["by_class"] == {"value": 1, "nan_left": 1}
    tolerant = run(
        tmp_path / "l.parquet", tmp_path / "d.parquet", "--key", "k", "--tolerance", "x:abs=1,ulps=2", "--json"
    )
    assert json.loads(tolerant.stdout)["summary"]["by_class"] == {"nan_left": 1}


def test_nothing_compared_is_not_a_pass(tmp_path: Path, table: pa.Table) -> None:
    pq.write_table(table, tmp_path / "l.parquet")
    pq.write_table(table.slice(0, 0), tmp_path / "empty.parquet")
    pq.write_table(table.select(["k"]), tmp_path / "bare.parquet")
    for other in ("empty.parquet", "bare.parquet"):
        assert run(tmp_path / "l.parquet", tmp_path / other, "--key", "k").exit_code == 2
    assert run(tmp_path / "empty.parquet", tmp_path / "empty.parquet", "--key", "k").exit_code == 2


def test_bad_input_is_named_with_what_to_do(tmp_path: Path, table: pa.Table) -> None:
    good = tmp_path / "good.parquet"
    pq.write_table(table, good)
    (tmp_path / "text.parquet").write_text("no table")
    truncated = tmp_path / "cut.parquet"
    truncated.write_bytes(good.read_bytes()[:-20])
    pq.write_table(pa.table({"k": [1.5], "x": [0.0]}), tmp_path / "half.parquet")
    pq.write_table(pa.table({"k": ["1"], "x": [0.0]}), tmp_path / "texts.parquet")
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    pq.write_table(table, mixed / "a.parquet")
    pq.write_table(table.drop_columns(["s"]), mixed / "b.parquet")
    for other, options, message in (
        (tmp_path / "nowhere-*.parquet", {}, "no Parquet file there"),
        (tmp_path / "text.parquet", {}, "cannot be read as Parquet"),
        (truncated, {}, "cannot be read as Parquet"),
        (mixed, {}, "s is missing"),
        (tmp_path / "half.parquet", {}, "key 'k' of"),
        (tmp_path / "texts.parquet", {}, "it is int64 in"),
        (good, {"keys": []}, "expected one column or more"),
        (good, {"keys": ["nope"]}, "not a column of"),
        (good, {"features": ["nope"]}, "no such column"),
        (good, {"tolerances": {"s": Tolerance(ulps=1)}}, "only numbers have a tolerance"),
        (good, {"tolerances": {"nope": Tolerance(ulps=1)}}, "no such feature"),
        (good, {"memory_limit": 1}, "expected 67108864 at least"),
    ):
        with pytest.raises(InputError, match=message):
            same_but(good, other, **options)


def test_a_file_that_breaks_off_in_its_data_is_named(tmp_path: Path, table: pa.Table) -> None:
    good, bad = tmp_path / "good.parquet", tmp_path / "bad.parquet"
    pq.write_table(table, good)
    data = bytearray(good.read_bytes())
    data[4:60] = b"\xff" * 56
    bad.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"bad\.parquet cannot be read as Parquet"):
        same_but(good, bad)


@pytest.mark.parametrize("option", ["--tolerance=x", "--tolerance=x:abs=a", "--type=x=Int", "--memory=3x"])
def test_an_option_that_says_nothing_is_refused(option: str, tmp_path: Path, table: pa.Table) -> None:
    pq.write_table(table, tmp_path / "t.parquet")
    told = run(tmp_path / "t.parquet", tmp_path / "t.parquet", "--key", "k", option)
    assert isinstance(told.exception, InputError)


def test_instants_of_other_units_and_zones_are_one_key(tmp_path: Path) -> None:
    noon = datetime(2013, 11, 1, 12, tzinfo=UTC)
    pq.write_table(pa.table({"k": pa.array([noon], pa.timestamp("ms", "UTC")), "x": [1]}), tmp_path / "l")
    pq.write_table(pa.table({"k": pa.array([noon], pa.timestamp("us", "Asia/Tokyo")), "x": [1]}), tmp_path / "r")
    assert same_but(tmp_path / "l", tmp_path / "r").verdict == "pass"
