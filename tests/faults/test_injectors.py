"""The injectors share no code with the engine: what they do wrong, it cannot do wrong in the same way."""

from __future__ import annotations

import ast
import struct
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import python_values_to_proto_values
from feast.value_type import ValueType
from google.protobuf.timestamp_pb2 import Timestamp
from tests.faults import documents, wire
from tests.faults.cells import Truth, alike, changed
from tests.faults.site import replace_rows

HERE = Path(__file__).parent
FORBIDDEN = (
    "trueup.parity",
    "trueup.stores.redis",
    "trueup.stores.value_",
    "trueup.features",
    "trueup.contracts.documents",
    "tests.faults.harness",
)
NO_TRUEUP = (
    "wire.py",
    "documents.py",
    "cells.py",
    "measure.py",
    "store_faults.py",
    "source_faults.py",
    "online_truth.py",
)


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


@pytest.mark.parametrize("name", [*NO_TRUEUP, "system_faults.py", "definition_faults.py", "site.py"])
def test_an_injector_imports_nothing_of_the_engine(name: str) -> None:
    assert not [found for found in imported(HERE / name) if found.startswith(FORBIDDEN)]


@pytest.mark.parametrize("name", NO_TRUEUP)
def test_what_writes_and_counts_by_hand_imports_nothing_of_trueup_at_all(name: str) -> None:
    assert not [found for found in imported(HERE / name) if found.partition(".")[0].startswith("trueup")]


@pytest.mark.parametrize(
    ("dtype", "field", "value"),
    [
        ("Float64", "double_val", -0.1),
        ("Float32", "float_val", 0.5),
        ("Int64", "int64_val", -(2**62) - 1),
        ("Int32", "int32_val", -7),
        ("Bool", "bool_val", False),
        ("String", "string_val", "naïve ✈"),
        ("Bytes", "bytes_val", b"\x00\xff"),
        ("UnixTimestamp", "unix_timestamp_val", 1_700_000_000),
        ("Uuid", "uuid_val", "6f1b0b7e-0000-4000-8000-000000000001"),
        ("Json", "json_val", '{"a": 1}'),
        ("TimeUuid", "time_uuid_val", "6f1b0b7e-0000-1000-8000-000000000001"),
        ("Decimal", "decimal_val", "1.50"),
        ("PdfBytes", "bytes_val", b"\x00\xff"),
        ("ImageBytes", "bytes_val", b""),
    ],
)
def test_scalars_are_written_as_feast_writes_them(dtype: str, field: str, value: object) -> None:
    assert wire.encode(dtype, value) == Value(**{field: value}).SerializeToString()
    assert wire.decode(wire.encode(dtype, value)) == value


@pytest.mark.parametrize(
    ("dtype", "field", "value"),
    [
        ("Array(Float64)", "double_list_val", [1.5, -2.0]),
        ("Array(Int64)", "int64_list_val", [1, -1]),
        ("Array(String)", "string_list_val", ["a", ""]),
        ("Array(Bool)", "bool_list_val", [True, False]),
        ("Set(String)", "string_set_val", ["a", "b"]),
        ("Set(Int64)", "int64_set_val", [3, 4]),
        ("Array(Bytes)", "bytes_list_val", []),
        ("Array(Json)", "json_list_val", ["1"]),
        ("Array(Uuid)", "uuid_list_val", ["6f1b0b7e-0000-4000-8000-000000000001"]),
        ("Set(TimeUuid)", "time_uuid_set_val", ["6f1b0b7e-0000-1000-8000-000000000001"]),
        ("Array(Decimal)", "decimal_list_val", ["1.5"]),
        ("Set(Decimal)", "decimal_set_val", ["1.5", "2"]),
    ],
)
def test_lists_are_written_as_feast_writes_them(dtype: str, field: str, value: list[object]) -> None:
    expected = Value()
    getattr(expected, field).val.extend(value)
    if not value:
        getattr(expected, field).SetInParent()
    assert wire.encode(dtype, value) == expected.SerializeToString()
    assert wire.decode(wire.encode(dtype, value)) == value


INNER = {
    "n": -1,
    "x": 0.5,
    "on": True,
    "name": "é",
    "nothing": None,
    "at": datetime(2024, 3, 10, tzinfo=UTC),
    "raw": b"\xff",
    "sum": Decimal("1.50"),
    "numbers": [1, 2],
    "reals": [0.5],
    "times": [datetime(2024, 3, 10, tzinfo=UTC)],
    "inner": {"deeper": {"n": 1}},
    "rows": [{"n": 1}, {}],
}


@pytest.mark.parametrize(
    ("dtype", "kind", "value"),
    [
        ("Map", ValueType.MAP, INNER),
        ("Map", ValueType.MAP, {}),
        ("Struct({n: Int64})", ValueType.STRUCT, INNER),
        ("Array(Map)", ValueType.MAP_LIST, [INNER, {}]),
        ("Array(Struct({n: Int64}))", ValueType.STRUCT_LIST, [INNER]),
        ("Array(Array(Int64))", ValueType.VALUE_LIST, [[1, 2], [3]]),
        ("Set(Array(String))", ValueType.VALUE_SET, [["a"], ["b", "c"]]),
    ],
)
def test_what_holds_values_of_its_own_is_written_as_feast_writes_it(dtype: str, kind: ValueType, value: Any) -> None:
    (expected,) = python_values_to_proto_values([value], kind)
    assert Value.FromString(wire.encode(dtype, value)) == expected
    assert alike(dtype, wire.decode(wire.encode(dtype, value)), value)
    assert alike(dtype, wire.decode(expected.SerializeToString()), value)


def test_a_document_says_the_same_in_whatever_form() -> None:
    assert alike("Map", documents.text(INNER), INNER)
    assert alike("Array(Map)", documents.text([INNER]), [INNER])
    assert alike("Map", '{"a": 1, "b": null}', '{"a": 1.0}')
    assert alike("Map", {"a": float("nan")}, {})
    assert alike("Map", {"a": [float("inf")]}, '{"a": [{"$float": "inf"}]}')
    assert not alike("Map", '{"a": 1}', '{"a": true}')
    assert not alike("Map", '{"a": "1"}', '{"a": 1}')
    assert not alike("Array(Map)", "[{}]", "[]")
    assert alike("Decimal", "1.0", "1.00")
    assert alike("Set(Decimal)", ["1.0", "2"], ["2.0", "1"])
    assert not alike("Array(Json)", [None], ["null"])


def test_null_is_empty_bytes() -> None:
    assert wire.encode("Float64", None) == Value().SerializeToString() == b""


def test_keys_are_written_as_feast_writes_them() -> None:
    key = EntityKey(join_keys=["user_id", "item_id"], entity_values=[Value(int64_val=-5), Value(string_val="item ✈")])
    parts = [("user_id", "Int64", -5), ("item_id", "String", "item ✈")]
    assert wire.entity_key("faults", parts) == serialize_entity_key(key, 3) + b"faults"


@pytest.mark.parametrize("micros", [0, 1, 1_700_000_000_123_456])
def test_timestamps_are_written_as_feast_writes_them_and_read_back(micros: int) -> None:
    expected = Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1000).SerializeToString()
    assert wire.timestamp(micros) == expected
    assert wire.read_timestamp(expected) == micros


def test_a_cell_has_changed_when_its_value_or_its_status_has() -> None:
    def table(values: list[float | None], statuses: list[int]) -> Truth:
        return Truth(pa.table({"f": pa.array(values, pa.float64()), "f__status": pa.array(statuses, pa.int32())}))

    nan = struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000001))[0]
    before = table([1.0, 2.0, -0.0, nan, None, None, None], [1, 1, 1, 1, 2, 3, 4])
    after = table([1.5, 2.0, 0.0, nan, None, None, None], [1, 1, 1, 1, 3, 4, 3])
    assert changed(after, before, {"f": "Float64"})["f"].tolist() == [True, False, False, False, True, False, False]


def test_rows_taken_from_another_table_stand_in_their_places() -> None:
    table = pa.table({"f": pa.array([0.0, 1.0, 2.0, 3.0]), "kept": pa.array(["a", "b", "c", "d"])})
    new = pa.table({"f": pa.array([10.0, None]), "kept": pa.array(["x", "y"])})
    found = replace_rows(table, np.array([1, 3]), new, ["f"])
    assert found.to_pydict() == {"f": [0.0, 10.0, 2.0, None], "kept": ["a", "b", "c", "d"]}
