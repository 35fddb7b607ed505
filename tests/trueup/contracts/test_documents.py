"""Laws of a document's text: it says what the value says, whichever way the value was held."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup.contracts.documents import document_text, document_value
from trueup.contracts.dtypes import arrow_type, document_kind, is_json, is_known
from trueup.errors import ContractError

PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(max_size=6)
    | st.decimals(allow_nan=False)
    | st.datetimes(timezones=st.just(UTC)).map(lambda instant: instant.replace(microsecond=0))
)
ITEMS = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8
)
MAPS = st.dictionaries(st.text(), ITEMS, max_size=4)


def same(left: Any, right: Any) -> bool:
    """Equal, of the same types. (NaN does not come back from a map: it is null there.)"""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return str(left) == str(right) if isinstance(left, Decimal) else bool(left == right)


@given(MAPS | st.lists(MAPS, max_size=3))
def test_a_document_comes_back_from_its_text(value: Any) -> None:
    text = document_text(value)
    assert same(document_value(text), value)
    assert document_text(document_value(text)) == text


@given(MAPS)
def test_the_order_of_names_is_not_in_the_text(value: dict[str, Any]) -> None:
    assert document_text(dict(reversed(value.items()))) == document_text(value)


@given(MAPS)
def test_the_text_is_json_as_every_parser_reads_it(value: dict[str, Any]) -> None:
    def refuse(constant: str) -> Any:
        raise AssertionError(constant)

    json.loads(document_text(value), parse_constant=refuse)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('{"b": 1, "a": [1.0, NaN]}', '{"a":[1.0,{"$float":"nan"}],"b":1}'),
        ({"t": datetime(2013, 11, 1, 0, 0, 0, 999_999)}, '{"t":{"$instant":"2013-11-01T00:00:00+00:00"}}'),
        (
            {"t": datetime(1969, 12, 31, 23, 59, 59, 1, timezone(timedelta(0)))},
            '{"t":{"$instant":"1970-01-01T00:00:00+00:00"}}',
        ),
        ({"t": date(2013, 11, 1)}, '{"t":{"$instant":"2013-11-01T00:00:00+00:00"}}'),
        ({"id": UUID(int=1), "s": {2, 1}, "t": (1, 2)}, f'{{"id":"{UUID(int=1)}","s":[1,2],"t":[1,2]}}'),
        ([{"a": b"\xff"}, {}], '[{"a":{"$bytes":"/w=="}},{}]'),
    ],
)
def test_what_json_has_no_word_for_is_named(value: Any, text: str) -> None:
    assert document_text(value) == text


@pytest.mark.parametrize("value", ["{", "1", 1, b"{}", {1: 2}, {"a": object()}, {"a": {None: 1}}])
def test_what_is_no_document_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        document_text(value)


@pytest.mark.parametrize("text", ['{"$instant":"soon"}', '{"$decimal":"x"}', '{"$bytes":"a"}', '{"$float":"?"}'])
def test_somebodys_own_names_that_look_like_ours_stay(text: str) -> None:
    assert document_value(f'{{"a":{text}}}') == {"a": json.loads(text)}


def test_every_spelling_of_a_document_type_is_known() -> None:
    kinds = {
        "Map": "Map",
        "Array(Map)": "Array(Map)",
        "Struct": "Struct",
        "Struct({a: Int64, b: Struct({c: Array(String)})})": "Struct",
        "Array(Struct({a: Int64}))": "Array(Struct)",
    }
    for dtype, kind in kinds.items():
        assert (document_kind(dtype), str(arrow_type(dtype)), is_json(dtype)) == (kind, "string", True)
    for dtype in ("Json", "Array(Json)", "ScalarMap", "Mapping", "Set(Map)", "Struct({a: Int64}", "Array(Array(Map))"):
        assert document_kind(dtype) is None
    assert is_json("Json")
    for dtype in ("Set(Map)", "Array(Array(Map))", "ScalarMap", "ZonedTimestamp"):
        assert not is_known(dtype)
        with pytest.raises(ContractError, match="not supported"):
            arrow_type(dtype)
