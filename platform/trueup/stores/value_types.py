"""A feature's value as Feast's online stores keep it: a serialized `feast.types.Value`.

A Value is a oneof, so its bytes say which type was stored. Null is empty bytes. Byte-identical with Feast
0.67, without importing it.
"""

from __future__ import annotations

import re
import struct

from trueup.contracts.dtypes import document_kind
from trueup.errors import ContractError, StoreError
from trueup.stores.protobuf import read_varint, varint

NULL = b""
NULL_SECONDS = -(2**63)
"""Feast's null among timestamps (pandas' NaT)."""


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
NESTED = {42: "Array(...)", 43: "Set(...)"}
DOCUMENTS = {20: "Map", 21: "Array(Map)", 34: "Struct", 35: "Array(Struct)"}
UNSUPPORTED = {47: "ScalarMap", 48: "ZonedTimestamp"}
_NULL_NUMBER = 19
_NOT_A_TIME = varint(8 << 3) + varint(NULL_SECONDS)
_NAMES = _SCALARS | _COLLECTIONS | NESTED | DOCUMENTS | UNSUPPORTED
NUMBERS = {name: number for number, name in (_SCALARS | _COLLECTIONS).items()} | {"PdfBytes": 1, "ImageBytes": 1}
_DOCUMENT_NUMBERS = {name: number for number, name in DOCUMENTS.items()}
WIRE = {"Int32": 0, "Int64": 0, "Bool": 0, "UnixTimestamp": 0, "Float64": 1, "Float32": 5}
"""Protobuf wire types; what is not here is length-delimited (2)."""
TAGS = {name: varint(number << 3 | WIRE.get(name, 2)) for name, number in NUMBERS.items()}
ITEM = re.compile(r"(Array|Set)\((.+)\)")
DOUBLE = struct.Struct("<d")
FLOAT = struct.Struct("<f")

# The stored type on the left is exactly what writing again as the declared type would store: an int64 holds every
# int32, and older Feast versions wrote Uuids as strings. Float32 to Float64 is not here: writing 0.1 again as
# Float64 gives 0.1, and what is stored is 0.10000000149.
SAME: frozenset[tuple[str, str]] = frozenset(
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
        raise not_a_value("a value", raw) from None
    if tag >> 3 == _NULL_NUMBER:
        return None
    name = _NAMES.get(tag >> 3)
    if name is None:
        raise not_a_value("a value", raw)
    return name


def has_value(raw: bytes, dtype: str, feature: str) -> bool:
    """Whether stored bytes are a value of the declared type; False for null.

    Raises StoredTypeError when they are a value of another type, unless it is the same under the declared
    one. A value of a type that trueup does not know (ScalarMap, ZonedTimestamp) passes unchecked.
    """
    tag = tag_of(dtype)
    if tag is not None and raw.startswith(tag):
        return raw != _NOT_A_TIME
    stored = stored_type(raw)
    if stored is not None and tag is not None and (stored, dtype) not in SAME:
        raise StoredTypeError(feature, stored, dtype)
    return stored is not None


def tag_of(dtype: str) -> bytes | None:
    """How the bytes of a type begin; None for a nested collection, and for a type that trueup does not know."""
    document = document_kind(dtype)
    return TAGS.get(dtype) if document is None else varint(_DOCUMENT_NUMBERS[document] << 3 | 2)


def unknown_type(dtype: str) -> ContractError:
    return ContractError(f"feature type {dtype!r} is not supported; expected one of {', '.join(NUMBERS)}.")


def not_a_value(feature: str, raw: bytes) -> StoreError:
    return StoreError(
        f"{feature}: the online store holds bytes that are no Feast value: {raw[:32].hex()}.",
        hint="Something other than Feast wrote there; delete the key and materialize again.",
    )
