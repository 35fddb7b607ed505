"""Laws of the content digest: it sees what a table says, and nothing of how it lies."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from trueup.datasets.content import table_digest
from trueup.errors import DatasetError

COLUMNS = {
    "text": pa.array(["a", None, "", "é"]),
    "number": pa.array([1, None, 3, 4]),
    "real": pa.array([0.5, None, float("nan"), -0.0]),
    "flag": pa.array([True, None, False, True]),
    "at": pa.array([datetime(2024, 1, 1, tzinfo=UTC), None, None, datetime(2024, 1, 2, tzinfo=UTC)]),
    "tags": pa.array([["a", None], None, [], ["b"]]),
    "small": pa.array([1, 2, None, 4], pa.int8()),
}


def test_the_digest_of_a_table_does_not_depend_on_how_it_lies_in_memory() -> None:
    table = pa.table(COLUMNS)
    pieces = pa.concat_tables([table.slice(0, 1), table.slice(1, 2), table.slice(3, 1)])
    offset = pa.concat_tables([table, table]).combine_chunks().slice(4, 4)
    taken = pa.concat_tables([table, table]).take(pa.array([4, 5, 6, 7]))
    assert {table_digest(other) for other in (table, pieces, offset, taken)} == {table_digest(table)}


def test_what_lies_under_a_null_is_not_content() -> None:
    mask = np.array([False, True])
    one, other = (pa.table({"x": pa.array(np.array([1, hidden]), mask=mask)}) for hidden in (0, 7))
    assert table_digest(one) == table_digest(other)


@pytest.mark.parametrize("name", COLUMNS)
def test_the_digest_of_a_table_sees_each_value_null_name_type_and_the_order(name: str) -> None:
    column = COLUMNS[name]
    digest = table_digest(pa.table({name: column}))
    others = [
        pa.table({name: column.take(pa.array([1, 0, 2, 3]))}),
        pa.table({f"{name}_": column}),
        pa.table({name: column.slice(0, 3)}),
        pa.table({name: pa.concat_arrays([column.slice(0, 3), pa.nulls(1, column.type)])}),
    ]
    assert digest not in {table_digest(other) for other in others}


def test_neighbouring_texts_do_not_run_into_each_other() -> None:
    assert table_digest(pa.table({"x": ["ab", "c"]})) != table_digest(pa.table({"x": ["a", "bc"]}))
    assert table_digest(pa.table({"x": [1, 2]})) != table_digest(pa.table({"x": pa.array([1, 2], pa.int32())}))
    assert table_digest(pa.table({"x": ["", None]})) != table_digest(pa.table({"x": [None, ""]}))


def test_a_column_of_another_type_is_named_with_what_to_do() -> None:
    with pytest.raises(DatasetError, match=r"column 'price' is decimal128\(10, 2\).*Cast it in rows\.query"):
        table_digest(pa.table({"price": pa.nulls(1, pa.decimal128(10, 2))}))
