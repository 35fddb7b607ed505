from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pyarrow as pa
import pytest

from trueup.contracts.contract import FeatureContract, Field, JoinKey, OnDemand, Source, View
from trueup.errors import ContractError, InputError
from trueup.features.on_demand import evaluate, given, with_on_demand
from trueup.frame import EVENT_TIME, STATUS, FeatureFrame, Status

CODE = '''def ratio(inputs: dict[str, Any]) -> dict[str, Any]:
    """Share of x in the limit; null when either is not known."""
    return {"share": [None if x is None or not limit else x / limit for x, limit in zip(inputs["x"], inputs["limit"])]}
'''
VIEW = View(
    name="stats",
    table="stats",
    keys=(JoinKey("k", "Int64", "k"),),
    features=(Field("x", "Float64"), Field("n", "Int64")),
    ttl=None,
    source=Source("DuckDBQuerySource", "ts", "created", "SELECT 1", {}, {}),
)


def on_demand(code: str = CODE, mode: str = "python", output: str = "share") -> OnDemand:
    return OnDemand("ratio", mode, (("stats", "x"),), (Field("limit", "Float64"),), (Field(output, "Float64"),), code)


def contract(view: OnDemand) -> FeatureContract:
    return FeatureContract("p", "s", (("ratio", "share"), ("stats", "n")), (VIEW,), (view,))


def frame(xs: list[float | None]) -> FeatureFrame:
    values = pa.table({"stats__x": pa.array(xs, pa.float64()), "stats__n": pa.array(range(len(xs)), pa.int64())})
    statuses = pa.table({name: pa.array([1] * len(xs), STATUS) for name in values.column_names})
    return FeatureFrame(values, statuses, pa.table({"stats": pa.array([0] * len(xs), EVENT_TIME)}))


def test_the_frame_has_exactly_the_contracts_columns_in_its_order() -> None:
    result = with_on_demand(contract(on_demand()), frame([1.0, None]), {"limit": [4.0, 2.0], "more": [0, 0]})
    assert result.columns == ("ratio__share", "stats__n")
    assert result.values.column("ratio__share").to_pylist() == [0.25, None]
    assert result.statuses.column("ratio__share").to_pylist() == [Status.PRESENT, Status.NULL]


def test_no_rows_in_no_rows_out() -> None:
    result = with_on_demand(contract(on_demand()), frame([]), {"limit": []})
    assert result.num_rows == 0
    assert result.values.schema == contract(on_demand()).schema


def test_pandas_mode_gets_one_row_at_a_time_so_a_batch_cannot_change_an_answer() -> None:
    code = "def ratio(df):\n    return pd.DataFrame({'share': df['x'] / df['limit'] - df['x'].mean()})\n"
    view = on_demand(code, mode="pandas")
    alone = [evaluate(view, {"stats__x": [x]}, {"limit": [2.0]}, 1)["share"][0] for x in (1.0, 5.0)]
    batch = evaluate(view, {"stats__x": [1.0, 5.0]}, {"limit": [2.0, 2.0]}, 2)["share"]
    assert batch.to_pylist() == [value.as_py() for value in alone] == [-0.5, -2.5]


def test_a_function_may_change_what_it_is_given_without_changing_the_inputs() -> None:
    code = "def ratio(inputs):\n    inputs['x'].clear()\n    return {'share': [0.0] * len(inputs['limit'])}\n"
    given = {"stats__x": [1.0]}
    evaluate(on_demand(code), given, {"limit": [2.0]}, 1)
    assert given == {"stats__x": [1.0]}


def test_a_missing_request_field_is_named() -> None:
    with pytest.raises(InputError, match="limit") as error:
        with_on_demand(contract(on_demand()), frame([1.0]), {})
    assert error.value.field == "limit"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def ratio(inputs):\n    return {'share': [1.0, 2.0]}\n", "2 values for 1 rows"),
        ("def ratio(inputs):\n    return {'other': [1.0]}\n", "did not return 'share'"),
        ("def ratio(inputs):\n    return {'share': ['a']}\n", "declared Float64"),
        ("def ratio(inputs):\n    return [1.0]\n", "expected a dict"),
        ("def ratio(inputs):\n    return {'share': [math.pi]}\n", "NameError"),
        ("def ratio(inputs)\n    return 1\n", "does not run"),
    ],
)
def test_a_function_that_is_wrong_is_named_with_what_it_did(code: str, message: str) -> None:
    with pytest.raises(ContractError, match=message) as error:
        evaluate(on_demand(code), {"stats__x": [1.0]}, {"limit": [2.0]}, 1)
    assert "ratio" in str(error.value)


@pytest.mark.parametrize("mode", ["python", "pandas"])
def test_a_function_is_given_exactly_the_batches_that_are_asked_for(mode: str) -> None:
    total = "sum(inputs['x'])" if mode == "python" else "inputs['x'].sum()"
    code = f"def f(inputs):\n    return {{'y': [{total} for _ in inputs['x']]}}\n"
    if mode == "pandas":
        code = f"def f(inputs):\n    return pd.DataFrame({{'y': [{total}] * len(inputs)}})\n"
    view = OnDemand("o", mode, (("v", "x"),), (), (Field("y", "Int64"),), code)
    for batches, expected in (
        ([[0, 1, 2]], [6, 6, 6]),
        ([[0], [1], [2]], [1, 2, 3]),
        ([[2, 0], [1]], [4, 2, 4]),
    ):
        assert evaluate(view, {"v__x": [1, 2, 3]}, {}, 3, batches)["y"].to_pylist() == expected


def test_a_function_that_gives_a_batch_too_few_rows_is_named() -> None:
    view = OnDemand("o", "python", (("v", "x"),), (), (Field("y", "Int64"),), "def f(inputs):\n    return {'y': [1]}\n")
    with pytest.raises(ContractError, match="did not return 'y' for each of its rows"):
        evaluate(view, {"v__x": [1, 2]}, {}, 2, [[0, 1]])


def test_a_function_gets_dicts_and_decimals_and_may_return_them() -> None:
    code = (
        "def f(inputs):\n"
        "    price = [d if m is None else d * m['n'] for d, m in zip(inputs['price'], inputs['m'])]\n"
        "    return {'total': price, 'all': [{'n': p, 'at': m and m['at']} for p, m in zip(price, inputs['m'])]}\n"
    )
    kinds = (Field("m", "Map"), Field("price", "Decimal"))
    outputs = (Field("total", "Decimal"), Field("all", "Struct({n: Decimal})"))
    made = OnDemand("made", "python", (("stats", "m"), ("stats", "price")), (), outputs, code)
    whole = FeatureContract("p", "s", (("made", "total"), ("made", "all")), (replace(VIEW, features=kinds),), (made,))
    instant = '{"$instant":"2013-11-01T00:00:00+00:00"}'
    values = pa.table({"stats__m": [f'{{"at":{instant},"n":2}}', None], "stats__price": ["1.50", "2"]})
    statuses = pa.table({name: pa.array([1, 1], STATUS) for name in values.column_names})
    inputs = FeatureFrame(values, statuses, pa.table({"stats": pa.array([0, 0], EVENT_TIME)}))
    result = with_on_demand(whole, inputs, {})
    assert result.values.column("made__total").to_pylist() == ["3.00", "2"]
    assert result.values.column("made__all").to_pylist() == [
        f'{{"at":{instant},"n":{{"$decimal":"3.00"}}}}',
        '{"at":null,"n":{"$decimal":"2"}}',
    ]


def test_a_stored_decimal_that_is_none_is_said_and_not_given_to_a_function() -> None:
    with pytest.raises(ContractError, match="'x' is stored as a Decimal and is none"):
        given(pa.chunked_array([["x"]]), "Decimal")
    assert given(pa.chunked_array([[["1.5", ""], None]]), "Array(Decimal)") == [[Decimal("1.5"), None], None]


def test_a_function_that_returns_no_document_is_named() -> None:
    made = replace(on_demand("def f(x):\n    return {'share': [1.5]}\n"), outputs=(Field("share", "Map"),))
    with pytest.raises(ContractError, match=r"share is declared Map: 1\.5 is neither a map"):
        evaluate(made, {"stats__x": [1.0]}, {"limit": [1.0]}, 1)
