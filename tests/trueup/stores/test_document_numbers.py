"""What is no number, and decimals in lists, within maps: a source's text is what is read back of Feast's own bytes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from feast.type_map import python_values_to_proto_values
from feast.types import Map

from trueup.contracts.documents import document_text, document_value
from trueup.errors import StoreError
from trueup.stores.value_decoder import decoder

NAN = float("nan")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"x": NAN}, '{"x":null}'),
        ({"x": Decimal("NaN")}, '{"x":null}'),
        ({"x": {"y": NAN}}, '{"x":{"y":null}}'),
        ({"x": [{"y": NAN}]}, '{"x":[{"y":null}]}'),
        ({"x": [NAN, 1.0]}, '{"x":[{"$float":"nan"},1.0]}'),
        ({"x": float("inf")}, '{"x":{"$float":"inf"}}'),
        ({"x": [Decimal("1.50")]}, '{"x":[{"$decimal":"1.50"}]}'),
    ],
)
def test_a_source_reads_as_what_feast_stores_of_it(value: Any, text: str) -> None:
    assert document_text(value) == text
    for given in (value, document_value(text)):
        (stored,) = python_values_to_proto_values([given], Map.to_value_type())
        assert decoder("Map", "v:f")(stored.SerializeToString()) == text


def test_a_decimal_in_a_map_that_is_none_is_an_error_that_names_the_feature() -> None:
    (stored,) = python_values_to_proto_values([{"x": Decimal(1)}], Map.to_value_type())
    stored.map_val.val["x"].decimal_val = "one"
    with pytest.raises(StoreError, match="v:f"):
        decoder("Map", "v:f")(stored.SerializeToString())
