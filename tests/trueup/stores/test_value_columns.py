"""A column of stored values decoded at once says what the per-value decoder says of each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.trueup.stores.test_redis_bytes import SCALARS

from trueup.contracts.dtypes import arrow_type
from trueup.errors import StoreError
from trueup.frame import Status
from trueup.stores.protobuf import varint
from trueup.stores.redis_layout import decode_time, encode_time
from trueup.stores.value_columns import BAD_TIME, NO_TIME, NO_VALUE, Raws, decode_column, decode_times
from trueup.stores.value_decoder import decoder
from trueup.stores.value_encoder import encoder
from trueup.stores.value_types import NULL_SECONDS, StoredTypeError

DTYPES = [*SCALARS, *(f"Array({name})" for name in SCALARS), "Set(Int64)", "Array(Array(Int64))"]
LONG_TEXT = st.sampled_from([127, 128, 129, 16383, 16384]).map(lambda size: "é" * (size // 2) + "x" * (size % 2))


def of_type(dtype: str) -> st.SearchStrategy[Any]:
    if dtype == "Array(Array(Int64))":
        return st.lists(st.lists(SCALARS["Int64"], max_size=3), max_size=3)
    if dtype.startswith(("Array(", "Set(")):
        item = dtype[dtype.index("(") + 1 : -1]
        return st.lists(SCALARS[item], max_size=4)
    return SCALARS[dtype] | LONG_TEXT if dtype == "String" else SCALARS[dtype]


@st.composite
def columns(draw: st.DrawFn) -> tuple[str, list[bytes | None]]:
    """Values of one type, nulls and rows without the feature; sometimes a value of another type, or junk."""
    dtype = draw(st.sampled_from(DTYPES))
    value = (st.none() | of_type(dtype)).map(encoder(dtype))
    other = st.sampled_from(["Int64", "Float64", "String", "Array(Int64)"]).flatmap(
        lambda kind: of_type(kind).map(encoder(kind))
    )
    kinds = [value] * 6 + [st.none()]
    if draw(st.booleans()):
        kinds += [other, st.binary(max_size=12)]
    return dtype, draw(st.lists(st.one_of(kinds), max_size=8))


def one_by_one(raws: list[bytes | None], dtype: str) -> tuple[list[Any], list[int], dict[str, int]]:
    """The oracle: the per-value decoder, and what it refuses counted."""
    decode, target = decoder(dtype, "v:f"), arrow_type(dtype)
    values: list[Any] = []
    statuses: list[int] = []
    other: dict[str, int] = {}
    for raw in raws:
        if raw is None:
            values.append(None)
            statuses.append(int(Status.MISSING))
            continue
        try:
            value = decode(raw)
            pa.array([value], target)
        except StoredTypeError as error:
            value, refused = None, error.stored
        except (StoreError, pa.ArrowException, OverflowError):
            value, refused = None, NO_VALUE
        else:
            refused = ""
        if refused:
            other[refused] = other.get(refused, 0) + 1
        values.append(value)
        statuses.append(0 if refused else int(Status.NULL) if value is None else int(Status.PRESENT))
    return values, statuses, other


@settings(max_examples=300)
@given(columns())
@example(("UnixTimestamp", [b"\x40" + varint(NULL_SECONDS), b"\x40\x05"]))
@example(("UnixTimestamp", [b"\x40" + varint(2**62)]))
@example(("Int32", [b"\x18" + varint(2**40), b"\x18\x01"]))
@example(("Int64", [b"\x20" + b"\x80" * 9 + b"\x7f"]))
@example(("Int64", [b"\x20\x80", b"\x20\x01\x01"]))
@example(("Int64", [b"\x20\x81\x00"]))
@example(("Bool", [b"\x38\x01", b"\x38\x80", b"\x38\x81\x00"]))
@example(("String", [b"\x12\x02\xff\xfe", b"\x12\x01a"]))
@example(("String", [b"\x12\x81\x00a", b"\x12\x05a"]))
@example(("Float64", [b"\x29" + b"\0" * 8, b"\x29", b"\x35" + b"\0" * 8]))
@example(("Json", [b"\x82\x02\x02{}", b"\x82", b"\x82\x02"]))
def test_a_column_decodes_to_what_each_of_its_values_decodes_to(column: tuple[str, list[bytes | None]]) -> None:
    dtype, raws = column
    values, statuses, other = one_by_one(raws, dtype)
    got = decode_column(Raws.of(raws), dtype, "v:f")
    assert got.values.type == arrow_type(dtype)
    got.values.validate(full=True)
    assert str(got.values.to_pylist()) == str(pa.array(values, arrow_type(dtype)).to_pylist())
    assert got.statuses.tolist() == statuses
    assert dict(got.other_types) == other


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_column_of_no_rows_and_one_of_nothing_but_nulls_keep_their_type(dtype: str) -> None:
    for raws, statuses in (([], []), ([b"", None], [Status.NULL, Status.MISSING])):
        got = decode_column(Raws.of(raws), dtype, "v:f")
        assert (got.values.type, got.values.null_count) == (arrow_type(dtype), len(raws))
        assert got.statuses.tolist() == statuses


INSTANTS = st.datetimes(timezones=st.just(UTC)) | st.datetimes(
    datetime(2010, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)
)
STAMPS = INSTANTS.map(encode_time) | INSTANTS.map(lambda instant: encode_time(instant.replace(microsecond=0)))


@settings(max_examples=300)
@given(st.lists(st.none() | STAMPS, max_size=8), st.none() | st.binary(max_size=6))
@example([b"", b"\x08\x01", None], None)
@example([b"\x08\x80"], None)
@example([b"\x10\x01", b"\x08\x01\x10"], None)
@example([b"\x08\x01\x08\x02"], None)
def test_event_times_decode_to_what_each_of_them_decodes_to(raws: list[bytes | None], junk: bytes | None) -> None:
    given_ = raws if junk is None else [*raws, junk]
    expected = [NO_TIME if raw is None else decode_time(raw) if is_time(raw) else BAD_TIME for raw in given_]
    assert decode_times(Raws.of(given_)).tolist() == expected


def is_time(raw: bytes) -> bool:
    try:
        decode_time(raw)
    except StoreError:
        return False
    return True
