"""Laws of the prover: a row-wise function is never accused, and one that looks beyond its row always is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trueup.contracts.contract import Field, OnDemand
from trueup.contracts.documents import document_value
from trueup.contracts.dtypes import arrow_type
from trueup.errors import ContractError
from trueup.features.example_rows import EXTREMES, example_rows, has_examples
from trueup.features.row_wise import Proof, prove_row_wise

FIELDS = (
    Field("stats__x", "Float64"),
    Field("stats__n", "Int64"),
    Field("stats__s", "String"),
    Field("limit", "Float64"),
)
ROWS = example_rows(FIELDS, 120, seed=4)


def view(code: str, mode: str = "python", output: str = "Float64") -> OnDemand:
    inputs = (("stats", "x"), ("stats", "n"), ("stats", "s"))
    return OnDemand("tried", mode, inputs, (Field("limit", "Float64"),), (Field("y", output),), code)


def prove(body: str, mode: str = "python", output: str = "Float64", rows: pa.Table = ROWS) -> Proof:
    return prove_row_wise(view(f"def tried(given):\n{body}", mode, output), rows, seed=1)


def kinds(proof: Proof) -> set[str]:
    return {deviation.kind for deviation in proof.deviations.values()}


ROW_WISE = {
    "share": (
        "    return {'y': [None if x is None or not n else x / n for x, n in zip(given['x'], given['limit'])]}",
        "python",
        "Float64",
    ),
    "full names": ("    return {'y': given['stats__n']}", "python", "Int64"),
    "text": ("    return {'y': [None if s is None else s.upper() for s in given['s']]}", "python", "String"),
    "constant": ("    return {'y': [1] * len(given['x'])}", "python", "Int64"),
    "pandas floats": ("    return pd.DataFrame({'y': given['x'] * 2})", "pandas", "Float64"),
    "adds a column": ("    given['y'] = given['x'] * 2\n    return given", "pandas", "Float64"),
    "changes its own copy": ("    given['x'] = given['x'][:]\n    return {'y': given['x']}", "python", "Float64"),
}

LOOKS_BEYOND = {
    "mean": "    m = sum(x for x in given['x'] if x == x and x is not None)\n    return {'y': [m] * len(given['x'])}",
    "first row": "    return {'y': [given['limit'][0]] * len(given['x'])}",
    "row number": "    return {'y': [float(i) for i, _ in enumerate(given['x'])]}",
    "how many": "    return {'y': [float(len(given['x']))] * len(given['x'])}",
    "previous row": "    return {'y': [None, *given['limit'][:-1]]}",
    "only short batches": "    return {'y': [float(len(given['x']) > 16)] * len(given['x'])}",
    "raises in a batch": "    assert len(given['x']) < 3\n    return {'y': [0.0] * len(given['x'])}",
    "one value for all": "    return {'y': [0.0]}",
}

PANDAS_BEYOND = {
    "mean": "    x = given['x'].fillna(0.0).clip(-9, 9)\n    return pd.DataFrame({'y': x - x.mean()})",
    "index": "    return pd.DataFrame({'y': given.index.astype(float)})",
}


@pytest.mark.parametrize("name", ROW_WISE)
def test_a_row_wise_function_is_never_accused(name: str) -> None:
    proof = prove(*ROW_WISE[name])
    assert proof.row_wise
    assert proof.rows - len(proof.refused) >= 60


@pytest.mark.parametrize("name", LOOKS_BEYOND)
def test_a_function_that_looks_beyond_its_row_is_found(name: str) -> None:
    proof = prove(LOOKS_BEYOND[name])
    assert not proof.row_wise
    assert kinds(proof) == {"batch"}


@pytest.mark.parametrize("name", PANDAS_BEYOND)
def test_a_pandas_function_is_tried_as_feast_calls_it_offline(name: str) -> None:
    proof = prove(PANDAS_BEYOND[name], "pandas")
    assert kinds(proof) == {"batch"}
    assert all("as Feast reads offline" in deviation.way for deviation in proof.deviations.values())


def test_an_integer_that_a_null_beside_it_makes_a_float_is_found() -> None:
    rows = pa.table(
        {
            "stats__x": pa.array([0.0, 0.0]),
            "stats__n": pa.array([2**53 + 1, None], pa.int64()),
            "stats__s": pa.array(["a", "a"]),
            "limit": pa.array([0.0, 0.0]),
        }
    )
    body = "    return pd.DataFrame({'y': given['n']})"
    found = prove(body, "pandas", "Int64", rows).deviations
    assert list(found) == [(0, "y")]
    assert found[0, "y"].value == 2**53


def test_a_function_that_never_gives_the_same_is_unstable() -> None:
    assert "unstable" in kinds(prove("    import random\n    return {'y': [random.random() for _ in given['x']]}"))


def test_a_function_that_remembers_is_unstable() -> None:
    body = (
        "    calls = tried.__dict__.setdefault('calls', [])\n    calls.append(1)\n"
        "    return {'y': [float(len(calls))] * len(given['x'])}"
    )
    assert "unstable" in kinds(prove(body))


def test_a_function_that_changes_its_inputs_is_found_where_it_changed_them() -> None:
    body = (
        "    given['limit'][:] = [0.0 if v is None else v for v in given['limit']]\n"
        "    return {'y': [1.0] * len(given['x'])}"
    )
    proof = prove(body)
    nulls = {row for row, value in enumerate(ROWS.column("limit").to_pylist()) if value is None}
    assert {row for row, _ in proof.deviations} == nulls
    assert kinds(proof) == {"inputs"}


def test_a_row_that_fails_each_time_is_refused_and_is_in_no_batch() -> None:
    proof = prove("    return {'y': [x * 2.0 for x in given['x']]}")
    nulls = {row for row, value in enumerate(ROWS.column("stats__x").to_pylist()) if value is None}
    assert proof.row_wise
    assert set(proof.refused) == nulls != set()
    assert "TypeError" in next(iter(proof.refused.values()))


@pytest.mark.parametrize(
    ("body", "mode", "output", "message"),
    [
        (
            "    return {'y': [1.5] * len(given['x'])}",
            "python",
            "Int64",
            r"declared Int64, and the function returned 1\.5",
        ),
        ("    return {'y': ['a'] * len(given['x'])}", "python", "Float64", "declared Float64"),
        ("    return {'y': 7}", "python", "Int64", "is a int; expected a list"),
        ("    return {'z': [1]}", "python", "Int64", "did not return 'y'"),
        ("    return {'y': [1.0]}", "pandas", "Float64", "returned a dict; expected a DataFrame"),
        ("    return pd.DataFrame({'z': given['x']})", "pandas", "Float64", "did not return 'y'"),
        ("    return pd.concat([given, given]).assign(y=1.0)", "pandas", "Float64", "returned 2 rows for 1"),
    ],
)
def test_what_is_not_one_value_of_the_declared_type_is_refused(body: str, mode: str, output: str, message: str) -> None:
    proof = prove(body, mode, output)
    assert len(proof.refused) == proof.rows
    assert re.search(message, proof.refused[0])


def test_a_source_that_does_not_run_is_an_error() -> None:
    with pytest.raises(ContractError, match="its source does not run"):
        prove_row_wise(view("def tried(given)\n    return 1"), ROWS)


def test_no_rows_prove_nothing_and_accuse_nobody() -> None:
    proof = prove(LOOKS_BEYOND["mean"], rows=ROWS.slice(0, 0))
    assert (proof.rows, proof.row_wise) == (0, True)


@given(
    st.lists(st.tuples(st.none() | st.floats(), st.none() | st.integers(-(2**63), 2**63 - 1)), max_size=12),
    st.integers(0, 5),
)
@settings(max_examples=40)
def test_whatever_the_rows_a_row_wise_function_passes(rows: list[tuple[Any, Any]], seed: int) -> None:
    table = pa.table(
        {
            "stats__x": pa.array([x for x, _ in rows], pa.float64()),
            "stats__n": pa.array([n for _, n in rows], pa.int64()),
            "stats__s": pa.nulls(len(rows), pa.string()),
            "limit": pa.nulls(len(rows), pa.float64()),
        }
    )
    body = "    return {'y': [None if x is None or n is None else x + n for x, n in zip(given['x'], given['n'])]}"
    proof = prove_row_wise(view(f"def tried(given):\n{body}"), table, seed=seed)
    assert proof.row_wise
    assert not proof.refused


# example rows


def test_example_rows_are_the_same_for_the_same_seed() -> None:
    def text(rows: pa.Table) -> str:  # NaN is not NaN
        return str(rows.to_pylist())

    assert text(example_rows(FIELDS, 50, seed=1)) == text(example_rows(FIELDS, 50, seed=1))
    assert text(example_rows(FIELDS, 50, seed=1)) != text(example_rows(FIELDS, 50, seed=2))


@pytest.mark.parametrize("dtype", [*EXTREMES, "Array(Float64)", "Set(Int64)", "Array(Array(String))"])
def test_example_rows_have_every_edge_of_every_type(dtype: str) -> None:
    column = example_rows((Field("v", dtype),), 800, seed=0).column("v")
    assert column.type == arrow_type(dtype)
    assert 0 < column.null_count < 200
    values = [str(value) for value in _leaves(column.to_pylist())]
    inner = dtype.replace("Array(", "").replace("Set(", "").rstrip(")")
    wanted = pa.array(EXTREMES[inner], arrow_type(inner)).to_pylist()
    assert {str(value) for value in wanted} <= set(values)


@pytest.mark.parametrize(
    "dtype",
    ["Map", "Array(Map)", "Struct({a: Int64, b: Array(String), c: Struct({d: Bytes})})", "Array(Struct({a: Decimal}))"],
)
def test_example_documents_have_the_declared_fields(dtype: str) -> None:
    column = example_rows((Field("v", dtype),), 200, seed=0).column("v")
    assert 0 < column.null_count < 60
    found = [document_value(text) for text in column.to_pylist() if text is not None]
    maps = [item for value in found for item in (value if dtype.startswith("Array") else [value])]
    assert all(isinstance(item, dict) for item in maps)
    if "Struct({a: Int64" in dtype:
        assert {tuple(sorted(item)) for item in maps} == {("a", "b", "c")}
        assert {type(item["c"]["d"]) for item in maps} == {bytes, type(None)}


DTYPES = {"stats__m": "Struct({a: Float64, b: Decimal})", "stats__d": "Decimal"}
DOCUMENT_ROWS = example_rows([Field(name, dtype) for name, dtype in DTYPES.items()], 60, seed=3)


@pytest.mark.parametrize("mode", ["python", "pandas"])
@pytest.mark.parametrize("beyond", [False, True])
def test_a_function_of_maps_and_decimals_is_proven_like_any_other(mode: str, beyond: bool) -> None:
    each = "None if m is None or m['a'] is None else m['a'] + float(d or 0)"
    body = f"    y = [{each} for m, d in zip(given['m'], given['stats__d'])]\n"
    body += "    y = [y[0]] * len(y)\n" if beyond else ""
    body += "    return {'y': y}" if mode == "python" else "    return pd.DataFrame({'y': y})"
    inputs = (("stats", "m"), ("stats", "d"))
    tried = OnDemand("tried", mode, inputs, (), (Field("y", "Float64"),), f"def tried(given):\n{body}")
    proof = prove_row_wise(tried, DOCUMENT_ROWS, dtypes=DTYPES, seed=1)
    assert not proof.refused
    assert proof.row_wise is not beyond


def test_a_function_that_changes_a_map_it_was_given_is_caught() -> None:
    body = "    for m in given['m']:\n        (m or {}).update(a=0.0)\n    return {'y': [0.0] * len(given['m'])}"
    tried = OnDemand("tried", "python", (("stats", "m"),), (), (Field("y", "Float64"),), f"def tried(given):\n{body}")
    proof = prove_row_wise(tried, DOCUMENT_ROWS, dtypes=DTYPES, seed=1)
    assert kinds(proof) == {"inputs"}


def test_ordinary_rows_have_no_null() -> None:
    rows = example_rows(FIELDS, 100, seed=0, ordinary=True)
    assert sum(column.null_count for column in rows.columns) == 0


@pytest.mark.parametrize("dtype", ["ScalarMap", "Struct({a: ZonedTimestamp})", "Set(Map)", ""])
def test_a_type_without_examples_is_named(dtype: str) -> None:
    assert not has_examples(dtype)
    with pytest.raises(ContractError, match=r"v is .*; there are no example values of that type"):
        example_rows((Field("v", dtype),), 1, seed=0)


def _leaves(values: Sequence[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        found += _leaves(value) if isinstance(value, list) else [value]
    return found
