"""Laws of a part: what is written comes back to the last bit, and the bytes are a function of the content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup.datasets.content import is_storable, table_digest
from trueup.datasets.parquet_bytes import read_part, write_part
from trueup.errors import DatasetError

UTC_MICROS = pa.timestamp("us", tz="UTC")
INTEGERS = {type_: (type_.bit_width, str(type_)[0] == "i") for type_ in (
    pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()
)}  # fmt: skip
INSTANTS = (
    pa.timestamp("ms"), pa.timestamp("us"), UTC_MICROS, pa.timestamp("ns", tz="Europe/Warsaw"),
    pa.duration("s"), pa.duration("ms"), pa.duration("us"), pa.duration("ns"),
)  # fmt: skip
BITS = {pa.float16(): np.uint16, pa.float32(): np.uint32, pa.float64(): np.uint64}
DAY = 86_400_000


def _from_bits(type_: pa.DataType) -> st.SearchStrategy[Any]:
    """Floats of any bits: infinities, -0.0, subnormals, NaNs with any payload."""
    unsigned = BITS[type_]
    return st.integers(0, np.iinfo(unsigned).max).map(
        lambda bits: np.array([bits], unsigned).view(type_.to_pandas_dtype())[0]
    )


def _values() -> dict[pa.DataType, st.SearchStrategy[Any]]:
    found: dict[pa.DataType, st.SearchStrategy[Any]] = {
        type_: st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else st.integers(0, 2**bits - 1)
        for type_, (bits, signed) in INTEGERS.items()
    }
    found |= {type_: _from_bits(type_) for type_ in BITS}
    found |= {type_: st.integers(-(2**62), 2**62) for type_ in INSTANTS}
    found |= {type_: st.text(st.characters(codec="utf-8"), max_size=6) for type_ in (pa.string(), pa.large_string())}
    found |= {type_: st.binary(max_size=6) for type_ in (pa.binary(), pa.large_binary())}
    found |= {pa.time32("ms"): st.integers(0, DAY - 1), pa.time64("us"): st.integers(0, DAY * 1000 - 1)}
    found |= {pa.time64("ns"): st.integers(0, DAY * 1_000_000 - 1), pa.date32(): st.integers(-(2**31), 2**31 - 1)}
    return {**found, pa.bool_(): st.booleans()}


VALUES = _values()


@st.composite
def columns(draw: st.DrawFn, rows: int) -> pa.Array:
    type_ = draw(st.sampled_from(sorted(VALUES, key=str)))
    values: st.SearchStrategy[Any] = st.none() | VALUES[type_]
    depth = draw(st.integers(0, 2))
    for level in range(depth):
        values = st.none() | st.lists(values, max_size=3)
        large, name = draw(st.booleans()), ("item", "l", "element")[level]
        type_ = pa.large_list(pa.field(name, type_)) if large else pa.list_(pa.field(name, type_))
    return pa.array(draw(st.lists(values, min_size=rows, max_size=rows)), type_)


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    rows = draw(st.integers(0, 12))
    found = draw(st.lists(columns(rows), max_size=5))
    return pa.table({f"c{number}.{'ż' * number}": column for number, column in enumerate(found)})


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parts") / "x.parquet"


def written(table: pa.Table, part: Path) -> bytes:
    write_part(table, part)
    return part.read_bytes()


@given(table=tables())
def test_any_table_of_storable_types_comes_back_equal_with_the_same_digest(part: Path, table: pa.Table) -> None:
    content = written(table, part)
    back = read_part(content)
    assert back.schema.equals(table.schema, check_metadata=True)
    assert [str(type_) for type_ in back.schema.types] == [str(type_) for type_ in table.schema.types]
    assert table_digest(back) == table_digest(table)
    assert written(back, part) == content


@given(table=tables(), data=st.data())
def test_how_a_table_lies_in_memory_does_not_show_in_its_bytes(
    part: Path, table: pa.Table, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, table.num_rows))
    pieces = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
    offset = pa.concat_tables([table, table]).combine_chunks().slice(table.num_rows)
    named = table.replace_schema_metadata({"pandas": "someone was here"})
    assert {written(other, part) for other in (pieces, offset, named)} == {written(table, part)}


def test_more_rows_than_a_row_group_have_the_same_bytes_in_any_chunks(part: Path) -> None:
    random = np.random.default_rng(0)
    rows = 150_000
    table = pa.table(
        {
            "real": pa.array(random.normal(size=rows), mask=random.random(rows) < 0.2),
            "text": [None if number % 7 == 0 else str(number % 40_000) for number in range(rows)],
            "tags": [[number, None] if number % 3 else None for number in range(rows)],
        }
    )
    pieces = pa.concat_tables([table.slice(0, 777), table.slice(777, 70_000), table.slice(70_777)])
    content = written(table, part)
    assert written(pieces, part) == content
    assert table_digest(read_part(content)) == table_digest(table)


@pytest.mark.parametrize(
    "type_",
    [pa.decimal128(9, 2), pa.timestamp("s"), pa.date64(), pa.struct([("x", pa.int8())]), pa.list_(pa.null())],
    ids=str,
)
def test_a_type_that_would_not_come_back_is_refused(part: Path, type_: pa.DataType) -> None:
    assert not is_storable(type_)
    with pytest.raises(DatasetError, match=r"column 'x' is .*, which a snapshot cannot hold; expected .* Cast it"):
        write_part(pa.table({"x": pa.nulls(2, type_)}), part)
