"""A feature's value as Feast's online stores keep it: a serialized `feast.types.Value`, both ways.

A Value is a oneof, so its bytes say which type was stored. Null is empty bytes. Byte-identical with Feast
0.67, without importing it.
"""

from __future__ import annotations

import ctypes
import json
import re
import struct
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from trueup.contracts.documents import document_text
from trueup.contracts.dtypes import document_kind
from trueup.errors import ContractError, StoreError
from trueup.instants import EPOCH, as_utc
from trueup.stores.native import fitting, integer, is_bool, unusable
from trueup.stores.protobuf import message, read_varint, read_varints, signed, varint

NULL = b""
NULL_SECONDS = -(2**63)
"""Feast's null among timestamps (pandas' NaT)."""

Decode = Callable[[bytes], Any]
Encode = Callable[[Any], bytes]


class StoredTypeError(StoreError):
    """A stored value is not of the declared type: the definition changed and nothing was written since.

    feature: `view:feature`. stored, declared: Feast type names.
    """

    def __init__(self, feature: str, stored: str, declared: str) -> None:
        super().__init__(
            f"{feature} is declared {declared}, but the online store holds a value of type {stored}.",
            hint="Its definition changed after it was written: materialize the view again, over its whole window.",
        )
        self.feature = feature
        self.stored = stored
        self.declared = declared


_SCALARS = {
    1: "Bytes",
    2: "String",
    3: "Int32",
    4: "Int64",
    5: "Float64",
    6: "Float32",
    7: "Bool",
    8: "UnixTimestamp",
    32: "Json",
    36: "Uuid",
    37: "TimeUuid",
    44: "Decimal",
}
_COLLECTIONS = {
    **{number + 10: f"Array({name})" for number, name in _SCALARS.items() if number <= 8},
    33: "Array(Json)",
    38: "Array(Uuid)",
    39: "Array(TimeUuid)",
    45: "Array(Decimal)",
    **{number + 21: f"Set({name})" for number, name in _SCALARS.items() if number <= 8},
    40: "Set(Uuid)",
    41: "Set(TimeUuid)",
    46: "Set(Decimal)",
}
_NESTED = {42: "Array(...)", 43: "Set(...)"}
_DOCUMENTS = {20: "Map", 21: "Array(Map)", 34: "Struct", 35: "Array(Struct)"}
_UNSUPPORTED = {47: "ScalarMap", 48: "ZonedTimestamp"}
_NULL_NUMBER = 19
_NOT_A_TIME = varint(8 << 3) + varint(NULL_SECONDS)
_NAMES = _SCALARS | _COLLECTIONS | _NESTED | _DOCUMENTS | _UNSUPPORTED
_NUMBERS = {name: number for number, name in (_SCALARS | _COLLECTIONS).items()} | {"PdfBytes": 1, "ImageBytes": 1}
_DOCUMENT_NUMBERS = {name: number for number, name in _DOCUMENTS.items()}
_WIRE = {"Int32": 0, "Int64": 0, "Bool": 0, "UnixTimestamp": 0, "Float64": 1, "Float32": 5}
"""Protobuf wire types; what is not here is length-delimited (2)."""
_TAGS = {name: varint(number << 3 | _WIRE.get(name, 2)) for name, number in _NUMBERS.items()}
_ITEM = re.compile(r"(Array|Set)\((.+)\)")

# The stored type on the left is exactly what writing again as the declared type would store: an int64 holds every
# int32, and older Feast versions wrote Uuids as strings. Float32 to Float64 is not here: writing 0.1 again as
# Float64 gives 0.1, and what is stored is 0.10000000149.
_SAME: frozenset[tuple[str, str]] = frozenset(
    (wrap % stored, wrap % declared)
    for wrap in ("%s", "Array(%s)", "Set(%s)")
    for stored, declared in (("Int32", "Int64"), ("String", "Uuid"), ("String", "TimeUuid"))
)


def stored_type(raw: bytes) -> str | None:
    """Feast's name of the type that was stored; None for null. Raises StoreError if the bytes are no value.

    Null is empty bytes, but Feast's materialization writes a null UnixTimestamp as pandas' NaT.
    """
    if not raw or raw == _NOT_A_TIME:
        return None
    try:
        tag, _ = read_varint(raw, 0)
    except IndexError:
        raise _not_a_value("a value", raw) from None
    if tag >> 3 == _NULL_NUMBER:
        return None
    name = _NAMES.get(tag >> 3)
    if name is None:
        raise _not_a_value("a value", raw)
    return name


def has_value(raw: bytes, dtype: str, feature: str) -> bool:
    """Whether stored bytes are a value of the declared type; False for null.

    Raises StoredTypeError when they are a value of another type, unless it is the same under the declared
    one. A value of a type that trueup does not know (ScalarMap, ZonedTimestamp) passes unchecked.
    """
    tag = _tag(dtype)
    if tag is not None and raw.startswith(tag):
        return raw != _NOT_A_TIME
    stored = stored_type(raw)
    if stored is not None and tag is not None and (stored, dtype) not in _SAME:
        raise StoredTypeError(feature, stored, dtype)
    return stored is not None


def _tag(dtype: str) -> bytes | None:
    """How the bytes of a type begin; None for a nested collection, and for a type that trueup does not know."""
    document = document_kind(dtype)
    return _TAGS.get(dtype) if document is None else varint(_DOCUMENT_NUMBERS[document] << 3 | 2)


def decoder(dtype: str, feature: str) -> Decode:
    """Bytes of a stored value to Python, for one feature. feature: `view:feature`, for messages.

    Null is None. UnixTimestamp is an aware UTC datetime (whole seconds, as Feast stores it), Json and Uuid
    are their text, arrays and sets are lists (in stored order; Feast stores a null inside a list as zero,
    False or empty, only timestamps keep it as None), maps and structs JSON text
    (`trueup.contracts.documents`). The function raises StoredTypeError when another type
    is stored (an Int32 is read as Int64, text as Uuid: nothing is lost), StoreError when the bytes are no
    value at all. Raises ContractError for a type that trueup does not know.
    """
    payload = _payload_decoder(dtype)
    tag = _tag(dtype) or varint((42 if dtype.startswith("Array") else 43) << 3 | 2)
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
            if (stored, dtype) in _SAME:
                return _payload_decoder(stored)(raw, read_varint(raw, 0)[1])
        except (IndexError, struct.error, UnicodeDecodeError, ArithmeticError):
            raise _not_a_value(feature, raw) from None
        except KeyError as inner:
            raise StoreError(f"{feature}: it holds a {inner.args[0]}, which trueup cannot read.") from None
        raise StoredTypeError(feature, stored, dtype)

    return decode


def encoder(dtype: str) -> Encode:
    """A Python value of the declared type to the bytes Feast stores. None and a NaN scalar are null, as there.
    Not of maps and structs, which have many bytes for one value.

    The function raises ValueError for a value of another type: what Feast would silently change (3.7 as
    Int64) is refused here. Raises ContractError for a type that trueup does not know.
    """
    if match := _ITEM.fullmatch(dtype):
        if dtype not in _NUMBERS:
            _payload_decoder(dtype)  # refuses what is unknown
            return lambda value: NULL if value is None else _encode_nested(match[1], value)
        number = _NUMBERS[dtype]
        kind, item = match[1], match[2]
        return lambda value: NULL if value is None else message(number, _encode_items(kind, item, value))
    if dtype not in _NUMBERS:
        raise _unknown_type(dtype)
    tag, encode = _TAGS[dtype], _SCALAR_ENCODERS[dtype]
    if dtype in _WIRE:
        return lambda value: NULL if _is_null(value) else tag + encode(value)

    def encode_text(value: Any) -> bytes:
        if _is_null(value):
            return NULL
        data = encode(value)
        return tag + varint(len(data)) + data

    return encode_text


def _is_null(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)


def _unknown_type(dtype: str) -> ContractError:
    return ContractError(f"feature type {dtype!r} is not supported; expected one of {', '.join(_NUMBERS)}.")


def _not_a_value(feature: str, raw: bytes) -> StoreError:
    return StoreError(
        f"{feature}: the online store holds bytes that are no Feast value: {raw[:32].hex()}.",
        hint="Something other than Feast wrote there; delete the key and materialize again.",
    )


# Decoding: each function reads the payload after the tag, and raises IndexError if it is not all of the rest.


def _float64(raw: bytes, at: int) -> float:
    (value,) = _DOUBLE.unpack(raw[at:])
    return float(value)


def _float32(raw: bytes, at: int) -> float:
    (value,) = _FLOAT.unpack(raw[at:])
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


_DOUBLE = struct.Struct("<d")
_FLOAT = struct.Struct("<f")
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


def _payload_decoder(dtype: str) -> Callable[[bytes, int], Any]:
    if dtype in _SCALAR_DECODERS:
        return _SCALAR_DECODERS[dtype]
    if document := document_kind(dtype):
        read = _read_maps if document in ("Array(Map)", "Array(Struct)") else _read_map
        return lambda raw, at: document_text(read(_rest(raw, at)))
    match = _ITEM.fullmatch(dtype)
    if match and dtype in _NUMBERS:
        item = match[2]
        return lambda raw, at: _read_items(item, _rest(raw, at))
    if match and _ITEM.fullmatch(match[2]) and document_kind(match[2]) is None:
        _payload_decoder(match[2])  # refuses what is unknown
        return lambda raw, at: _read_nested(_rest(raw, at))
    raise _unknown_type(dtype)


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
        elif item not in _WIRE:
            values.append(chunk.decode())
        elif item == "Float64":
            values.extend(value for (value,) in _DOUBLE.iter_unpack(chunk))
        elif item == "Float32":
            values.extend(value for (value,) in _FLOAT.iter_unpack(chunk))
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
    if stored in _UNSUPPORTED.values():
        raise KeyError(stored)
    start = read_varint(raw, 0)[1]
    if stored in _NESTED.values():
        return _read_nested(_rest(raw, start))
    if stored in _DOCUMENTS.values():
        data = _rest(raw, start)
        return _read_map(data) if stored in ("Map", "Struct") else _read_maps(data)
    value = _payload_decoder(stored)(raw, start)
    match stored:
        case "Decimal":
            return Decimal(value)
        case "Array(Decimal)" | "Set(Decimal)":
            return [Decimal(item) for item in value]
        case _:
            return value


# Encoding ------------------------------------------------------------------------------------------------------------


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
    return _DOUBLE.pack(_number(value))


def _encode_float(value: Any) -> bytes:
    # C's conversion, as protobuf does it: what is too large becomes infinite.
    return _FLOAT.pack(ctypes.c_float(_number(value)).value)


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
    if item in _WIRE:
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
