"""Feast's Redis bytes, written by hand from what Feast stores: keys, hash fields, values. Shares no code with trueup.

Key: u32 count, then per sorted join key (u32 2, u32 length, name), then per value (u32 type, u32 length, bytes), then
the project. Field: murmur3_32 of `view:feature`, little endian. Value: a serialized `feast.types.Value`. All little
endian.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import mmh3

_KEY_TYPES = {"String": 2, "Int32": 3, "Int64": 4}
_NUMBERS = {
    "Bytes": 1,
    "String": 2,
    "Int32": 3,
    "Int64": 4,
    "Float64": 5,
    "Float32": 6,
    "Bool": 7,
    "UnixTimestamp": 8,
    "Json": 32,
    "Uuid": 36,
}
_LIST_NUMBERS = {f"Array({name})": number + 10 for name, number in _NUMBERS.items() if number <= 8}
_SET_NUMBERS = {f"Set({name})": number + 21 for name, number in _NUMBERS.items() if number <= 8}
_VARINTS = ("Int32", "Int64", "Bool", "UnixTimestamp")


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
    """A value of a Feast type; None is null. UnixTimestamp: whole seconds since 1970. Lists have no null items."""
    if value is None:
        return b""
    number = _NUMBERS.get(dtype)
    if number is not None:
        return _field(number, dtype, value)
    number = {**_LIST_NUMBERS, **_SET_NUMBERS}[dtype]
    item = dtype.partition("(")[2][:-1]
    if item in _VARINTS or item.startswith("Float"):
        packed = b"".join(_bare(item, each) for each in value)
        inner = b"\x0a" + _varint(len(packed)) + packed if value else b""
    else:
        inner = b"".join(b"\x0a" + _varint(len(_bare(item, each))) + _bare(item, each) for each in value)
    return _varint(number << 3 | 2) + _varint(len(inner)) + inner


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
    return bytes(value) if dtype == "Bytes" else str(value).encode()


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
