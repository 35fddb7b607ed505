"""Feast's Redis bytes, written by hand from what Feast stores: keys, hash fields, values. Shares no code with trueup.

Key: u32 count, then per sorted join key (u32 2, u32 length, name), then per value (u32 type, u32 length, bytes), then
the project. Field: murmur3_32 of `view:feature`, little endian. Value: a serialized `feast.types.Value`. All little
endian. A map is a message of entries, in no order; each value in it is a Value of whatever type it has.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import mmh3
from tests.faults import documents

_KEY_TYPES = {"String": 2, "Int32": 3, "Int64": 4}
_NUMBERS = {
    "Bytes": 1,
    "PdfBytes": 1,
    "ImageBytes": 1,
    "String": 2,
    "Int32": 3,
    "Int64": 4,
    "Float64": 5,
    "Float32": 6,
    "Bool": 7,
    "UnixTimestamp": 8,
    "Json": 32,
    "Uuid": 36,
    "TimeUuid": 37,
    "Decimal": 44,
}
_LIST_NUMBERS = {f"Array({name})": number + 10 for name, number in _NUMBERS.items() if number <= 8} | {
    "Array(Json)": 33,
    "Array(Uuid)": 38,
    "Array(TimeUuid)": 39,
    "Array(Decimal)": 45,
}
_SET_NUMBERS = {f"Set({name})": number + 21 for name, number in _NUMBERS.items() if number <= 8} | {
    "Set(Uuid)": 40,
    "Set(TimeUuid)": 41,
    "Set(Decimal)": 46,
}
_MAP, _MAPS, _STRUCT, _STRUCTS, _NESTED_LIST, _NESTED_SET = 20, 21, 34, 35, 42, 43
_VARINTS = ("Int32", "Int64", "Bool", "UnixTimestamp")
_SCALAR_NAMES = {number: name for name, number in _NUMBERS.items()}
_ITEM_NAMES = {number: name.partition("(")[2][:-1] for name, number in (_LIST_NUMBERS | _SET_NUMBERS).items()}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def entity_key(project: str, parts: Sequence[tuple[str, str, Any]]) -> bytes:
    """parts: (join key, Feast type, value), in any order."""
    ordered = sorted(parts)
    out = struct.pack("<I", len(ordered))
    for name, _, _ in ordered:
        out += struct.pack("<II", 2, len(name.encode())) + name.encode()
    for _, dtype, value in ordered:
        data = {
            "String": lambda v: str(v).encode(),
            "Int32": lambda v: struct.pack("<i", v),
            "Int64": lambda v: struct.pack("<q", v),
        }[dtype](value)
        out += struct.pack("<II", _KEY_TYPES[dtype], len(data)) + data
    return out + project.encode()


def value_field(view: str, feature: str) -> bytes:
    return struct.pack("<I", mmh3.hash(f"{view}:{feature}", signed=False))


def time_field(view: str) -> bytes:
    return f"_ts:{view}".encode()


def timestamp(micros: int) -> bytes:
    """A protobuf Timestamp: field 1 seconds, field 2 nanoseconds; a zero field is left out."""
    seconds, rest = divmod(micros, 1_000_000)
    out = b"\x08" + _varint(seconds) if seconds else b""
    return out + (b"\x10" + _varint(rest * 1000) if rest else b"")


def read_timestamp(data: bytes) -> int:
    """Microseconds since 1970."""
    fields = {1: 0, 2: 0}
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        fields[tag >> 3], at = _read_varint(data, at)
    seconds = fields[1] - (1 << 64) if fields[1] >= 1 << 63 else fields[1]
    return seconds * 1_000_000 + fields[2] // 1000


def encode(dtype: str, value: Any) -> bytes:
    """A value of a Feast type; None is null. UnixTimestamp: whole seconds since 1970. Lists have no null items.
    Documents as `documents.parsed` takes them."""
    if value is None:
        return b""
    number = _NUMBERS.get(dtype)
    if number is not None:
        return _field(number, dtype, value)
    if documents.is_document(dtype):
        value = documents.parsed(value)
        if dtype.startswith("Array("):
            return _message(_MAPS if dtype == "Array(Map)" else _STRUCTS, b"".join(_message(1, _map(m)) for m in value))
        return _message(_MAP if dtype == "Map" else _STRUCT, _map(value))
    item = dtype.partition("(")[2][:-1]
    if "(" in item:
        inner_type = f"Array({item.partition('(')[2][:-1]})"
        inner = b"".join(_message(1, encode(inner_type, each) if each else b"") for each in value)
        return _message(_NESTED_LIST if dtype.startswith("Array") else _NESTED_SET, inner)
    number = {**_LIST_NUMBERS, **_SET_NUMBERS}[dtype]
    if item in _VARINTS or item.startswith("Float"):
        packed = b"".join(_bare(item, each) for each in value)
        inner = b"\x0a" + _varint(len(packed)) + packed if value else b""
    else:
        inner = b"".join(b"\x0a" + _varint(len(_bare(item, each))) + _bare(item, each) for each in value)
    return _message(number, inner)


def _map(value: Mapping[str, Any]) -> bytes:
    return b"".join(
        _message(1, _message(1, name.encode()) + _message(2, encode(*_typed(item)))) for name, item in value.items()
    )


def _typed(value: Any) -> tuple[str, Any]:
    """The type Feast gives a value within a map, by looking at it, and the value as `encode` takes it."""
    if isinstance(value, dict):
        return "Map", value
    if isinstance(value, list):
        if isinstance(value[0], dict):
            return "Array(Map)", value
        return f"Array({_typed(value[0])[0]})", [_typed(item)[1] for item in value]
    if isinstance(value, datetime):
        return "UnixTimestamp", (value - _EPOCH) // timedelta(seconds=1)
    if isinstance(value, float) and value != value:
        return "Float64", None
    names = {bool: "Bool", int: "Int64", float: "Float64", str: "String", bytes: "Bytes", Decimal: "Decimal"}
    return names.get(type(value), "String"), value


def _message(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def decode(raw: bytes) -> Any:
    """Bytes of a stored Value to Python, by the type they name; instants are seconds, but aware in a map."""
    return _decode(raw, in_map=False)


def _decode(raw: bytes, *, in_map: bool) -> Any:
    fields = list(_read_fields(raw))
    if not fields:
        return None
    ((number, data),) = fields
    if number in (_MAP, _STRUCT):
        return _read_map(data)
    if number in (_MAPS, _STRUCTS):
        return [_read_map(item) for _, item in _read_fields(data)]
    if number in (_NESTED_LIST, _NESTED_SET):
        return [_decode(item, in_map=in_map) for _, item in _read_fields(data)]
    if number in _SCALAR_NAMES:
        return _plain(_SCALAR_NAMES[number], data, in_map=in_map)
    item = _ITEM_NAMES[number]
    found: list[Any] = []
    for _, chunk in _read_fields(data):
        if not isinstance(chunk, bytes) or item not in (*_VARINTS, "Float64", "Float32"):
            found.append(_plain(item, chunk, in_map=in_map))
        elif item in _VARINTS:
            at = 0
            while at < len(chunk):
                value, at = _read_varint(chunk, at)
                found.append(_plain(item, value, in_map=in_map))
        else:
            size = 8 if item == "Float64" else 4
            found += [_plain(item, chunk[at : at + size], in_map=in_map) for at in range(0, len(chunk), size)]
    return found


def _read_map(data: bytes) -> dict[str, Any]:
    entries = (dict(_read_fields(entry)) for _, entry in _read_fields(data))
    return {entry.get(1, b"").decode(): _decode(entry.get(2, b""), in_map=True) for entry in entries}


def _plain(dtype: str, data: Any, *, in_map: bool) -> Any:
    if dtype in _VARINTS:
        number = data - (1 << 64) if data >= 1 << 63 else data
        if dtype == "Bool":
            return bool(number)
        return _EPOCH + timedelta(seconds=number) if dtype == "UnixTimestamp" and in_map else number
    if dtype in ("Float64", "Float32"):
        return struct.unpack("<d" if dtype == "Float64" else "<f", data)[0]
    if dtype.endswith("Bytes"):
        return data
    return Decimal(data.decode()) if dtype == "Decimal" and in_map else data.decode()


def _read_fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Field number, and its bytes or its varint."""
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        if tag & 7 == 0:
            value, at = _read_varint(data, at)
            yield tag >> 3, value
            continue
        if tag & 7 == 2:
            size, at = _read_varint(data, at)
        else:
            size = 8 if tag & 7 == 1 else 4
        yield tag >> 3, data[at : at + size]
        at += size


def _field(number: int, dtype: str, value: Any) -> bytes:
    wire = 0 if dtype in _VARINTS else {"Float64": 1, "Float32": 5}.get(dtype, 2)
    data = _bare(dtype, value)
    return _varint(number << 3 | wire) + (_varint(len(data)) if wire == 2 else b"") + data


def _bare(dtype: str, value: Any) -> bytes:
    if dtype in _VARINTS:
        return _varint(int(value))
    if dtype == "Float64":
        return struct.pack("<d", value)
    if dtype == "Float32":
        return struct.pack("<f", value)
    return bytes(value) if dtype.endswith("Bytes") else str(value).encode()


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, at
