"""Python values to the bytes that Feast stores for them. Pure."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from trueup.instants import as_utc
from trueup.stores.native import fitting, integer, is_bool, unusable
from trueup.stores.protobuf import message, varint
from trueup.stores.value_decoder import payload_decoder
from trueup.stores.value_types import DOUBLE, FLOAT, ITEM, NULL, NULL_SECONDS, NUMBERS, TAGS, WIRE, unknown_type

Encode = Callable[[Any], bytes]


def encoder(dtype: str) -> Encode:
    """A Python value of the declared type to the bytes Feast stores. None and a NaN scalar are null, as there.
    Not of maps and structs, which have many bytes for one value.

    The function raises ValueError for a value of another type: what Feast would silently change (3.7 as
    Int64) is refused here. Raises ContractError for a type that trueup does not know.
    """
    if match := ITEM.fullmatch(dtype):
        if dtype not in NUMBERS:
            payload_decoder(dtype)  # refuses what is unknown
            return lambda value: NULL if value is None else _encode_nested(match[1], value)
        number = NUMBERS[dtype]
        kind, item = match[1], match[2]
        return lambda value: NULL if value is None else message(number, _encode_items(kind, item, value))
    if dtype not in NUMBERS:
        raise unknown_type(dtype)
    tag, encode = TAGS[dtype], _SCALAR_ENCODERS[dtype]
    if dtype in WIRE:
        return lambda value: NULL if _is_null(value) else tag + encode(value)

    def encode_text(value: Any) -> bytes:
        if _is_null(value):
            return NULL
        data = encode(value)
        return tag + varint(len(data)) + data

    return encode_text


def _is_null(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)


def _encode_integer(value: Any, dtype: str = "Int64") -> bytes:
    return varint(fitting(integer(value), dtype))


def _encode_int32(value: Any) -> bytes:
    return _encode_integer(value, "Int32")


def _encode_bool(value: Any) -> bytes:
    if not is_bool(value):
        raise unusable(value, "a bool")
    return b"\x01" if value else b"\x00"


def _number(value: Any) -> float:
    # NumPy's float64 is a float, its float32 is not; both are numbers here, and a bool is none.
    if type(value).__name__ == "float32" or isinstance(value, float):
        return float(value)
    return float(integer(value, "a number"))


def _encode_double(value: Any) -> bytes:
    return DOUBLE.pack(_number(value))


def _encode_float(value: Any) -> bytes:
    # C's conversion, as protobuf does it: what is too large becomes infinite.
    return FLOAT.pack(ctypes.c_float(_number(value)).value)


def _encode_seconds(value: Any) -> bytes:
    if isinstance(value, datetime):
        # Cut off towards 1970, as Feast does.
        return varint(int(as_utc(value).timestamp()))
    return _encode_integer(value)


def _encode_text(value: Any) -> bytes:
    if not isinstance(value, str):
        raise unusable(value, "a string")
    return value.encode()


def _encode_bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise unusable(value, "bytes")
    return value


def _encode_json(value: Any) -> bytes:
    if not isinstance(value, str):
        return json.dumps(value).encode()
    try:
        json.loads(value)
    except json.JSONDecodeError:
        raise unusable(value, "JSON") from None
    return value.encode()


def _encode_decimal(value: Any) -> bytes:
    if not isinstance(value, str | Decimal):
        raise unusable(value, "a decimal or its digits")
    return str(value).encode()


def _encode_uuid(value: Any) -> bytes:
    return str(value).encode()


_SCALAR_ENCODERS: dict[str, Encode] = {
    "Bytes": _encode_bytes,
    "String": _encode_text,
    "Int32": _encode_int32,
    "Int64": _encode_integer,
    "Float64": _encode_double,
    "Float32": _encode_float,
    "Bool": _encode_bool,
    "UnixTimestamp": _encode_seconds,
    "Json": _encode_json,
    "Uuid": _encode_uuid,
    "TimeUuid": _encode_uuid,
    "Decimal": _encode_decimal,
    "PdfBytes": _encode_bytes,
    "ImageBytes": _encode_bytes,
}

_NULL_ITEMS: dict[str, Any] = {
    "Bytes": b"",
    "String": "",
    "Int32": 0,
    "Int64": 0,
    "Float64": 0.0,
    "Float32": 0.0,
    "Bool": False,
    "UnixTimestamp": NULL_SECONDS,
    "Uuid": "",
    "TimeUuid": "",
    "Decimal": "",
}
"""What Feast stores for a null inside a list: protobuf has none."""


def _encode_items(kind: str, item: str, values: Any) -> bytes:
    if kind == "Set":
        values = dict.fromkeys(values)
    encode, null = _SCALAR_ENCODERS[item], _NULL_ITEMS.get(item)
    parts = [encode(null if value is None else value) for value in values]
    if not parts:
        return b""
    if item in WIRE:
        return message(1, b"".join(parts))
    return b"".join(message(1, part) for part in parts)


def _encode_nested(kind: str, values: Any) -> bytes:
    inner = []
    for value in values:
        # NumPy's items would have no Feast type; its lists have Python's.
        items = [] if value is None else value.tolist() if hasattr(value, "tolist") else list(value)
        if not items:
            inner.append(NULL)
        elif any(isinstance(item, list | set | tuple) for item in items):
            inner.append(_encode_nested("Array", items))
        else:
            inner.append(encoder(f"Array({_type_of(items)})")(items))
    return message(42 if kind == "Array" else 43, b"".join(message(1, part) for part in inner))


def _type_of(items: Sequence[Any]) -> str:
    """The Feast type that Feast itself gives an innermost list."""
    for python, name in ((bool, "Bool"), (int, "Int64"), (float, "Float64"), (str, "String"), (bytes, "Bytes")):
        if all(type(item) is python for item in items):
            return name
    if all(isinstance(item, datetime) for item in items):
        return "UnixTimestamp"
    raise unusable(items, "a list of one type")
