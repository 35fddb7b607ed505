"""Stored values to Python, one at a time (`value_columns` decodes a column at once). Pure."""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from trueup.contracts.documents import document_text
from trueup.contracts.dtypes import document_kind
from trueup.errors import StoreError
from trueup.instants import EPOCH
from trueup.stores.protobuf import read_varint, read_varints, signed, varint
from trueup.stores.value_types import (
    DOCUMENTS,
    DOUBLE,
    FLOAT,
    ITEM,
    NESTED,
    NULL_SECONDS,
    NUMBERS,
    SAME,
    UNSUPPORTED,
    WIRE,
    StoredTypeError,
    not_a_value,
    stored_type,
    tag_of,
    unknown_type,
)

Decode = Callable[[bytes], Any]


def decoder(dtype: str, feature: str) -> Decode:
    """Bytes of a stored value to Python, for one feature. feature: `view:feature`, for messages.

    Null is None. UnixTimestamp is an aware UTC datetime (whole seconds, as Feast stores it), Json and Uuid
    are their text, arrays and sets are lists (in stored order; Feast stores a null inside a list as zero,
    False or empty, only timestamps keep it as None), maps and structs JSON text
    (`trueup.contracts.documents`). The function raises StoredTypeError when another type
    is stored (an Int32 is read as Int64, text as Uuid: nothing is lost), StoreError when the bytes are no
    value at all. Raises ContractError for a type that trueup does not know.
    """
    payload = payload_decoder(dtype)
    tag = tag_of(dtype) or varint((42 if dtype.startswith("Array") else 43) << 3 | 2)
    start = len(tag)

    def decode(raw: bytes) -> Any:
        if not raw:
            return None
        try:
            if raw.startswith(tag):
                return payload(raw, start)
            stored = stored_type(raw)
            if stored is None:
                return None
            if (stored, dtype) in SAME:
                return payload_decoder(stored)(raw, read_varint(raw, 0)[1])
        except (IndexError, struct.error, UnicodeDecodeError, ArithmeticError):
            raise not_a_value(feature, raw) from None
        except KeyError as inner:
            raise StoreError(f"{feature}: it holds a {inner.args[0]}, which trueup cannot read.") from None
        raise StoredTypeError(feature, stored, dtype)

    return decode


def _float64(raw: bytes, at: int) -> float:
    (value,) = DOUBLE.unpack(raw[at:])
    return float(value)


def _float32(raw: bytes, at: int) -> float:
    (value,) = FLOAT.unpack(raw[at:])
    return float(value)


def _integer_at(raw: bytes, at: int) -> int:
    value = raw[at]
    if value < 0x80 and at + 1 == len(raw):
        return value
    value, at = read_varint(raw, at)
    if at != len(raw):
        raise IndexError
    return signed(value)


def _bool(raw: bytes, at: int) -> bool:
    return _integer_at(raw, at) != 0


def _timestamp(raw: bytes, at: int) -> datetime | None:
    return _instant(_integer_at(raw, at))


def _instant(seconds: int) -> datetime | None:
    return None if seconds == NULL_SECONDS else EPOCH + timedelta(seconds=seconds)


def _rest(raw: bytes, at: int) -> bytes:
    length, at = read_varint(raw, at)
    if at + length != len(raw):
        raise IndexError
    return raw[at:]


def _text(raw: bytes, at: int) -> str:
    return _rest(raw, at).decode()


_SCALAR_DECODERS: dict[str, Callable[[bytes, int], Any]] = {
    "Bytes": _rest,
    "String": _text,
    "Int32": _integer_at,
    "Int64": _integer_at,
    "Float64": _float64,
    "Float32": _float32,
    "Bool": _bool,
    "UnixTimestamp": _timestamp,
    "Json": _text,
    "Uuid": _text,
    "TimeUuid": _text,
    "Decimal": _text,
    "PdfBytes": _rest,
    "ImageBytes": _rest,
}


def payload_decoder(dtype: str) -> Callable[[bytes, int], Any]:
    if dtype in _SCALAR_DECODERS:
        return _SCALAR_DECODERS[dtype]
    if document := document_kind(dtype):
        read = _read_maps if document in ("Array(Map)", "Array(Struct)") else _read_map
        return lambda raw, at: document_text(read(_rest(raw, at)))
    match = ITEM.fullmatch(dtype)
    if match and dtype in NUMBERS:
        item = match[2]
        return lambda raw, at: _read_items(item, _rest(raw, at))
    if match and ITEM.fullmatch(match[2]) and document_kind(match[2]) is None:
        payload_decoder(match[2])  # refuses what is unknown
        return lambda raw, at: _read_nested(_rest(raw, at))
    raise unknown_type(dtype)


def _read_items(item: str, data: bytes) -> list[Any]:
    """A `repeated` of scalars: numbers packed (proto3's way) or one by one, the rest one by one."""
    values: list[Any] = []
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        if tag >> 3 != 1:
            raise IndexError
        if tag & 7 == 2:
            length, at = read_varint(data, at)
            end = at + length
            if end > len(data):
                raise IndexError
        else:
            end = read_varint(data, at)[1] if tag & 7 == 0 else at + (8 if tag & 7 == 1 else 4)
        chunk = data[at:end]
        at = end
        if item == "Bytes":
            values.append(chunk)
        elif item not in WIRE:
            values.append(chunk.decode())
        elif item == "Float64":
            values.extend(value for (value,) in DOUBLE.iter_unpack(chunk))
        elif item == "Float32":
            values.extend(value for (value,) in FLOAT.iter_unpack(chunk))
        else:
            numbers = read_varints(chunk)
            if item == "Bool":
                values.extend(number != 0 for number in numbers)
            elif item == "UnixTimestamp":
                values.extend(map(_instant, numbers))
            else:
                values.extend(numbers)
    return values


def _read_nested(data: bytes) -> list[Any]:
    """A list of lists. Feast types the innermost lists by their Python values, not by the declaration."""
    return [_read_any(inner) for inner in _messages(data)]


def _read_maps(data: bytes) -> list[dict[str, Any]]:
    return [_read_map(inner) for inner in _messages(data)]


def _read_map(data: bytes) -> dict[str, Any]:
    """Text -> value of whatever type it was stored as: protobuf's map, a message of key and value an entry."""
    found: dict[str, Any] = {}
    for entry in _messages(data):
        parts: dict[int, bytes] = {1: b"", 2: b""}
        at = 0
        while at < len(entry):
            tag, at = read_varint(entry, at)
            parts[tag >> 3], at = _piece(entry, at)
        found[parts[1].decode()] = _read_any(parts[2])
    return found


def _messages(data: bytes) -> list[bytes]:
    """A `repeated` of messages."""
    found = []
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        if tag != 0x0A:
            raise IndexError
        piece, at = _piece(data, at)
        found.append(piece)
    return found


def _piece(data: bytes, at: int) -> tuple[bytes, int]:
    """What follows a length, and where it ends."""
    length, at = read_varint(data, at)
    piece = data[at : at + length]
    if len(piece) != length:
        raise IndexError
    return piece, at + length


def _read_any(raw: bytes) -> Any:
    """A value of the type its bytes name; None for null, which is also what Feast makes of an empty inner list.

    Raises KeyError for a type that trueup does not know.
    """
    stored = stored_type(raw)
    if stored is None:
        return None
    if stored in UNSUPPORTED.values():
        raise KeyError(stored)
    start = read_varint(raw, 0)[1]
    if stored in NESTED.values():
        return _read_nested(_rest(raw, start))
    if stored in DOCUMENTS.values():
        data = _rest(raw, start)
        return _read_map(data) if stored in ("Map", "Struct") else _read_maps(data)
    value = payload_decoder(stored)(raw, start)
    match stored:
        case "Decimal":
            return Decimal(value)
        case "Array(Decimal)" | "Set(Decimal)":
            return [Decimal(item) for item in value]
        case _:
            return value
