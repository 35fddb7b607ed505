"""Laws of the stored bytes. Feast's own encoders and protobuf messages are the oracle."""

from __future__ import annotations

import json
import math
import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from feast import ValueType
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import feast_value_type_to_python_type, python_values_to_proto_values
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import example, given
from hypothesis import strategies as st
from tests.golden.redis_bytes import (
    FIELDS,
    GOLDEN,
    KEYS,
    TIMES,
    VALUES,
    feast_field,
    feast_key,
    feast_time,
    feast_type,
    feast_value,
    generate,
)

from trueup.contracts.documents import document_text
from trueup.contracts.dtypes import arrow_type
from trueup.errors import ContractError, StoreError
from trueup.stores.entity_key import KeyLayout, KeyPartError, key_prefix, project_of
from trueup.stores.redis_layout import check_collisions, decode_time, encode_time, instant_of, time_field, value_field
from trueup.stores.value_columns import NO_VALUE, Raws, decode_column
from trueup.stores.value_decoder import decoder
from trueup.stores.value_encoder import encoder
from trueup.stores.value_types import NULL_SECONDS, StoredTypeError, has_value, stored_type

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
INSTANTS = st.datetimes(timezones=st.just(UTC))
SECONDS = INSTANTS.map(lambda instant: instant.replace(microsecond=0))
SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "Bytes": st.binary(),
    "String": st.text(),
    "Int32": INT32,
    "Int64": INT64,
    "Float32": st.floats(width=32),
    "Float64": st.floats(),
    "Bool": st.booleans(),
    "UnixTimestamp": SECONDS,
    "Json": st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5).map(json.dumps),
    "Uuid": st.uuids().map(str),
    "TimeUuid": st.uuids().map(str),
    "Decimal": st.decimals(allow_nan=False, allow_infinity=False).map(str),
}
KEY_PARTS = {name: SCALARS[name] for name in ("Bytes", "String", "Int32", "Int64", "UnixTimestamp")}


def same(left: Any, right: Any) -> bool:
    """Equal to the bit: NaN is NaN, -0.0 is not 0.0."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float) and isinstance(right, float):
        return struct.pack("<d", left) == struct.pack("<d", right) or (math.isnan(left) and math.isnan(right))
    return type(left) is type(right) and bool(left == right)


def test_golden_bytes_are_what_feast_writes_today() -> None:
    assert json.loads(GOLDEN.read_text()) == generate()


def test_golden_bytes_are_what_we_write() -> None:
    ours = {
        "keys": [
            KeyLayout(project, tuple((name, dtype) for name, dtype, _ in parts)).encode(
                [value for _, _, value in parts]
            )
            for project, parts in KEYS
        ],
        "fields": [value_field(view, feature) for view, feature in FIELDS],
        "times": [encode_time(instant) for instant in TIMES],
        "values": [encoder(dtype)(value) for dtype, value in VALUES],
    }
    assert {part: [item.hex() for item in items] for part, items in ours.items()} == json.loads(GOLDEN.read_text())


def test_a_view_without_entities_has_feasts_dummy_key() -> None:
    assert KeyLayout("p", ()).encode([]) == feast_key("p", [("__dummy_id", "String", "")])


@st.composite
def keys(draw: st.DrawFn) -> tuple[str, list[tuple[str, str, Any]]]:
    names = draw(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=3, unique=True))
    parts = []
    for name in names:
        dtype = draw(st.sampled_from(sorted(KEY_PARTS)))
        parts.append((name, dtype, draw(KEY_PARTS[dtype])))
    return draw(st.text(min_size=1, max_size=5)), parts


@given(keys())
def test_entity_keys_are_feasts_and_say_their_project(key: tuple[str, list[tuple[str, str, Any]]]) -> None:
    project, parts = key
    layout = KeyLayout(project, tuple((name, dtype) for name, dtype, _ in parts))
    ours = layout.encode([value for _, _, value in parts])
    assert ours == feast_key(project, parts)
    prefix = key_prefix(name for name, _, _ in parts)
    assert project_of(ours, prefix) == project
    assert project_of(b"x" + ours, prefix) is None
    assert project_of(prefix + b"cut off", prefix) is None


@pytest.mark.parametrize(
    ("dtype", "given_", "as_feast_reads_it"),
    [
        ("Int64", "12", 12),
        ("Int64", "-3", -3),
        ("Int32", "+4", 4),
        ("Int64", np.int32(5), 5),
        ("String", 12, "12"),
        ("UnixTimestamp", 1383456600, datetime(2013, 11, 3, 5, 30, tzinfo=UTC)),
        ("UnixTimestamp", datetime(2013, 11, 3, 5, 30), datetime(2013, 11, 3, 5, 30, tzinfo=UTC)),
    ],
)
def test_a_key_means_what_feast_takes_it_for(dtype: str, given_: Any, as_feast_reads_it: Any) -> None:
    layout = KeyLayout("p", (("k", dtype),))
    assert layout.encode([given_]) == layout.encode([as_feast_reads_it]) == feast_key("p", [("k", dtype, given_)])


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        *(
            ("Int64", value)
            for value in (True, np.True_, 1.0, "1.0", "", " 1", "1_000", b"1", 2**63, [1], float("nan"))
        ),
        *(("Int32", value) for value in (2**31, -(2**31) - 1)),
        *(("String", value) for value in (True, 1.5, b"x", "\ud800")),
        *(("Bytes", value) for value in ("x", 1)),
        *(("UnixTimestamp", value) for value in (datetime(2013, 1, 1, 0, 0, 0, 1), True, "2013-01-01", 1.5)),
    ],
)
def test_a_key_that_would_have_to_be_changed_is_refused_and_its_place_named(dtype: str, value: Any) -> None:
    with pytest.raises(KeyPartError) as caught:
        KeyLayout("p", (("z", "Int64"), ("a", dtype))).encode([1, value])
    assert caught.value.position == 1


@pytest.mark.parametrize("dtype", ["Bool", "Float64", "Uuid", "Array(Int64)", "Json"])
def test_key_types_that_feast_cannot_store_are_refused(dtype: str) -> None:
    with pytest.raises(ContractError, match="cannot store in an entity key"):
        KeyLayout("p", (("k", dtype),))
    values = {"Bool": True, "Float64": 1.5, "Uuid": "x", "Array(Int64)": [1], "Json": "{}"}
    with pytest.raises(ValueError, match="not supported"):
        feast_key("p", [("k", dtype, values[dtype])])


@given(st.text(), st.text())
def test_hash_fields_are_feasts(view: str, feature: str) -> None:
    assert value_field(view, feature) == feast_field(view, feature)
    assert time_field(view) == f"_ts:{view}".encode()


def test_features_that_would_share_a_hash_field_are_refused() -> None:
    # A pair found by search: their 32-bit hashes are equal.
    with pytest.raises(ContractError, match=r"fv:f68910 and fv:f18433"):
        check_collisions([("fv", "f18433"), ("fv", "a"), ("fv", "f68910")])
    check_collisions([("fv", "f18433"), ("fv", "f18433"), ("other", "f68910")])


@given(INSTANTS)
@example(EPOCH)
@example(EPOCH - timedelta(microseconds=1))
def test_event_times_are_protobufs_both_ways(instant: datetime) -> None:
    raw = encode_time(instant)
    assert raw == feast_time(instant)
    assert instant_of(decode_time(raw)) == instant
    assert encode_time(instant.replace(tzinfo=None)) == raw


def test_an_event_time_finer_than_a_microsecond_is_cut_off() -> None:
    assert decode_time(Timestamp(seconds=-1, nanos=999_999_999).SerializeToString()) == -1


@pytest.mark.parametrize("raw", [b"\x08", b"\x09\x00", b"\x08" + b"\xff" * 11, b"not a time"])
def test_bytes_that_are_no_event_time_are_an_error(raw: bytes) -> None:
    with pytest.raises(StoreError, match="not a protobuf Timestamp"):
        decode_time(raw)


@st.composite
def scalars(draw: st.DrawFn) -> tuple[str, Any]:
    dtype = draw(st.sampled_from(sorted(SCALARS)))
    return dtype, draw(st.none() | SCALARS[dtype])


@st.composite
def lists(draw: st.DrawFn) -> tuple[str, Any]:
    item = draw(st.sampled_from(sorted(SCALARS)))
    return f"Array({item})", draw(st.none() | st.lists(st.none() | SCALARS[item], max_size=6))


@given(scalars() | lists())
def test_values_are_feasts_bytes_and_come_back(case: tuple[str, Any]) -> None:
    dtype, value = case
    raw = encoder(dtype)(value)
    assert raw == feast_value(dtype, value)
    back = decoder(dtype, "v:f")(raw)
    stored = Value.FromString(raw)
    if dtype.rstrip(")").endswith(("Json", "Uuid", "Decimal")):  # Feast parses them; here they are their text
        field = stored.WhichOneof("val")
        inner = getattr(stored, field) if field else None
        assert back == (list(inner.val) if hasattr(inner, "val") else inner)
    else:
        assert same(back, feast_value_type_to_python_type(stored))
    assert pa.array([back], arrow_type(dtype)).type == arrow_type(dtype)


@given(st.sampled_from(sorted(set(SCALARS) - {"Json"})), st.data())
def test_sets_come_back_whole(item: str, data: st.DataObject) -> None:
    values = data.draw(st.lists(SCALARS[item].filter(lambda value: value == value), max_size=5))
    raw = encoder(f"Set({item})")(values)
    back = decoder(f"Set({item})", "v:f")(raw)
    assert set(back) == set(decoder(f"Set({item})", "v:f")(feast_value(f"Set({item})", values)))
    assert len(back) == len(set(back))


@given(
    st.sampled_from(["Int64", "Float64", "String", "Bool"]).flatmap(
        lambda item: st.tuples(st.just(item), st.lists(st.none() | st.lists(SCALARS[item], max_size=3), max_size=3))
    )
)
def test_lists_of_lists_are_feasts_bytes_and_come_back(case: tuple[str, list[list[Any] | None]]) -> None:
    item, value = case
    dtype = f"Array(Array({item}))"
    raw = encoder(dtype)(value)
    assert raw == feast_value(dtype, value)
    assert same(decoder(dtype, "v:f")(raw), [inner or None for inner in value])  # Feast stores an empty one as null


# What Feast gives a type to inside a map: it refuses an empty list, and a list of several types.
IN_A_MAP = (
    st.none()
    | st.booleans()
    | INT64
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(min_size=1)
    | SECONDS
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.lists(INT64, min_size=1, max_size=3)
    | st.lists(st.text(min_size=1), min_size=1, max_size=3)
)
MAPS = st.recursive(
    st.dictionaries(st.text(), IN_A_MAP, max_size=4),
    lambda inner: st.dictionaries(st.text(), IN_A_MAP | inner | st.lists(inner, min_size=1, max_size=2), max_size=3),
    max_leaves=4,
)
DOCUMENTS = {
    "Map": MAPS,
    "Struct({a: Int64})": MAPS,
    "Array(Map)": st.lists(MAPS, max_size=3),
    "Array(Struct({a: Int64}))": st.lists(MAPS, max_size=3),
}


@given(
    st.sampled_from(sorted(DOCUMENTS)).flatmap(lambda dtype: st.tuples(st.just(dtype), st.none() | DOCUMENTS[dtype]))
)
def test_stored_maps_and_structs_say_what_feast_reads(case: tuple[str, Any]) -> None:
    dtype, value = case
    kind = {
        "Map": ValueType.MAP,
        "Struct({a: Int64})": ValueType.STRUCT,
        "Array(Map)": ValueType.MAP_LIST,
        "Array(Struct({a: Int64}))": ValueType.STRUCT_LIST,
    }[dtype]
    stored = python_values_to_proto_values([value], kind)[0]
    raw = stored.SerializeToString()
    read = feast_value_type_to_python_type(stored)
    assert decoder(dtype, "v:f")(raw) == (None if read is None else document_text(read))
    assert has_value(raw, dtype, "v:f") == (value is not None)
    column = decode_column(Raws.of([raw, b"", None]), dtype, "v:f")
    assert column.values.to_pylist() == [None if read is None else document_text(read), None, None]
    assert column.statuses.tolist() == [1 if value is not None else 2, 2, 3]


def test_a_map_that_holds_what_trueup_does_not_know_is_no_value() -> None:
    inner = python_values_to_proto_values([{"a": 1}], ValueType.MAP)[0]
    inner.map_val.val["zone"].zoned_timestamp_val.unix_timestamp = 1
    with pytest.raises(StoreError, match="ZonedTimestamp"):
        decoder("Map", "v:f")(inner.SerializeToString())
    column = decode_column(Raws.of([inner.SerializeToString()]), "Map", "v:f")
    assert (column.statuses.tolist(), dict(column.other_types)) == ([0], {NO_VALUE: 1})


@pytest.mark.parametrize("cut", range(1, 14))
def test_a_map_whose_bytes_end_early_is_no_value(cut: int) -> None:
    raw = python_values_to_proto_values([{"ab": 1, "c": "d"}], ValueType.MAP)[0].SerializeToString()
    assert len(raw) > 14
    with pytest.raises(StoreError, match="no Feast value"):
        decoder("Map", "v:f")(raw[:-cut])


@given(st.binary(max_size=12))
def test_pdf_and_image_bytes_are_bytes(value: bytes) -> None:
    for dtype in ("PdfBytes", "ImageBytes"):
        raw = Value(bytes_val=value).SerializeToString()
        assert encoder(dtype)(value) == raw
        assert decoder(dtype, "v:f")(raw) == value
        assert has_value(raw, dtype, "v:f")


@given(st.floats(allow_nan=False))
def test_float32_narrows_as_feast_narrows(value: float) -> None:
    assert encoder("Float32")(value) == feast_value("Float32", value)


@given(INSTANTS)
def test_timestamps_below_a_second_are_cut_as_feast_cuts_them(instant: datetime) -> None:
    assert encoder("UnixTimestamp")(instant) == feast_value("UnixTimestamp", instant)


def test_a_nan_scalar_is_null_as_in_feast_and_a_stored_nan_is_not() -> None:
    assert encoder("Float64")(float("nan")) == feast_value("Float64", float("nan")) == b""
    assert math.isnan(decoder("Float64", "v:f")(Value(double_val=float("nan")).SerializeToString()))


def test_every_form_of_null_is_none() -> None:
    not_a_time = Value(unix_timestamp_val=NULL_SECONDS).SerializeToString()
    for raw in (b"", Value(null_val=0).SerializeToString(), not_a_time):
        for dtype in FEAST_NAMES:
            assert decoder(dtype, "v:f")(raw) is None
            assert not has_value(raw, dtype, "v:f")
        assert stored_type(raw) is None


@pytest.mark.parametrize("dtype", ["Int64", "Bool", "Float64", "Float32", "UnixTimestamp"])
def test_numbers_written_one_by_one_are_read_as_well(dtype: str) -> None:
    # proto3 packs them; a reader must take both.
    items = {"Int64": b"\x08\x01\x08\x02", "Bool": b"\x08\x01\x08\x00", "UnixTimestamp": b"\x08\x01\x08\x02"}
    data = items.get(dtype) or b"".join(
        (b"\x09" + struct.pack("<d", n)) if dtype == "Float64" else (b"\x0d" + struct.pack("<f", n)) for n in (1, 2)
    )
    raw = encoder(f"Array({dtype})")([])[:-1] + bytes([len(data)]) + data
    decoded = decoder(f"Array({dtype})", "v:f")(raw)
    assert same(decoded, feast_value_type_to_python_type(Value.FromString(raw)))


FEAST_NAMES = sorted([*SCALARS, *(f"Array({name})" for name in SCALARS)])
WIDER = {("Int32", "Int64"), ("String", "Uuid"), ("String", "TimeUuid")}
SAMPLES: dict[str, Any] = {
    "Bytes": b"x", "String": "x", "Int32": 7, "Int64": 7, "Float32": 0.5, "Float64": 0.5, "Bool": True,
    "UnixTimestamp": EPOCH, "Json": "{}", "Uuid": "x", "TimeUuid": "x", "Decimal": "1.50",
}  # fmt: skip


@pytest.mark.parametrize("stored", FEAST_NAMES)
@pytest.mark.parametrize("declared", FEAST_NAMES)
def test_a_value_of_another_type_is_an_error_unless_it_is_the_same_under_both(stored: str, declared: str) -> None:
    inner = stored.removeprefix("Array(").removesuffix(")")
    value = [SAMPLES[inner]] if stored.startswith("Array") else SAMPLES[inner]
    raw = encoder(stored)(value)
    assert stored_type(raw) == stored
    pairs = {(stored, declared)} & (WIDER | {(f"Array({a})", f"Array({b})") for a, b in WIDER})
    if stored == declared or pairs:
        assert has_value(raw, declared, "v:f")
        assert same(decoder(declared, "v:f")(raw), decoder(stored, "v:f")(raw))
    else:
        for read in (lambda: has_value(raw, declared, "v:f"), lambda: decoder(declared, "v:f")(raw)):
            with pytest.raises(StoredTypeError, match=r"v:f is declared .* materialize the view again") as caught:
                read()
            assert (caught.value.feature, caught.value.stored, caught.value.declared) == ("v:f", stored, declared)


@given(st.binary(min_size=1, max_size=12), st.sampled_from(FEAST_NAMES))
def test_any_bytes_are_a_value_or_an_error(raw: bytes, dtype: str) -> None:
    try:
        value = decoder(dtype, "v:f")(raw)
    except StoreError:
        return
    assert value is None or same(value, value)


@given(scalars(), st.binary(min_size=1, max_size=3))
def test_a_value_with_something_behind_it_is_an_error(case: tuple[str, Any], tail: bytes) -> None:
    dtype, value = case
    raw = encoder(dtype)(value)
    if raw:
        with pytest.raises(StoreError, match="v:f"):
            decoder(dtype, "v:f")(raw + tail)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("Int64", 3.7), ("Int64", True), ("Int64", 2**63), ("Int32", 2**31), ("Float64", "1"), ("Float64", True),
        ("Bool", 1), ("String", 1), ("Bytes", "x"), ("Json", "{"), ("UnixTimestamp", 1.5), ("Array(Int64)", [1.5]),
    ],
)  # fmt: skip
def test_a_value_that_would_have_to_be_changed_is_refused(dtype: str, value: Any) -> None:
    with pytest.raises(ValueError, match="is not"):
        encoder(dtype)(value)


@pytest.mark.parametrize("dtype", ["ScalarMap", "ZonedTimestamp", "Set(Json)", "Nonsense", "Array(Array(Map))"])
def test_types_trueup_does_not_know_are_refused(dtype: str) -> None:
    for make in (encoder, lambda name: decoder(name, "v:f")):
        with pytest.raises(ContractError, match="not supported"):
            make(dtype)
    assert has_value(Value(string_val="x").SerializeToString(), dtype, "v:f")


def test_the_numbers_of_the_types_are_feasts() -> None:
    for name in SCALARS:
        for dtype in (name, f"Array({name})", f"Set({name})"):
            if dtype == "Set(Json)":
                continue
            assert str(feast_type(dtype)) == dtype
            field = f"{feast_type(dtype).to_value_type().name.lower()}_val"
            sample = SAMPLES[name] if dtype == name else [SAMPLES[name]]
            assert Value.FromString(encoder(dtype)(sample)).WhichOneof("val") == field
