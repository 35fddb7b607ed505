"""Feast's type names and the Arrow types trueup reads them as. Pure: no Feast import."""

from __future__ import annotations

import re

import pyarrow as pa

from trueup.errors import ContractError

_SCALARS: dict[str, pa.DataType] = {
    "Bytes": pa.binary(),
    "PdfBytes": pa.binary(),
    "ImageBytes": pa.binary(),
    "String": pa.string(),
    "Bool": pa.bool_(),
    "Int32": pa.int32(),
    "Int64": pa.int64(),
    "Float32": pa.float32(),
    "Float64": pa.float64(),
    "UnixTimestamp": pa.timestamp("us", tz="UTC"),
    "Json": pa.string(),
    "Uuid": pa.string(),
    "TimeUuid": pa.string(),
    "Decimal": pa.string(),
}
_LIST = re.compile(r"(?:Array|Set)\((?P<item>.+)\)")
_DOCUMENT = re.compile(r"(?P<list>Array\()?(?P<kind>Map|Struct)(?:\(\{.*\}\))?(?(list)\))")


def arrow_type(dtype: str) -> pa.DataType:
    """Arrow type of a Feast type name, such as `Int64` or `Array(Float64)`.

    `UnixTimestamp` is timestamp[us, UTC], `Decimal` its digits as text, a document (`document_kind`) JSON text. Raises
    ContractError for a type trueup does not know.
    """
    if dtype in _SCALARS:
        return _SCALARS[dtype]
    if document_kind(dtype):
        return pa.string()
    if (match := _LIST.fullmatch(dtype)) and document_kind(match["item"]) is None:
        return pa.list_(arrow_type(match["item"]))
    raise ContractError(
        f"feature type {dtype!r} is not supported; expected one of {', '.join(_SCALARS)}, Map, Struct or Array(one of "
        "them)."
    )


def is_known(dtype: str) -> bool:
    """Whether `arrow_type` knows it."""
    try:
        arrow_type(dtype)
    except ContractError:
        return False
    return True


def document_kind(dtype: str) -> str | None:
    """`Map`, `Struct`, `Array(Map)` or `Array(Struct)`, whatever fields a struct declares; None for all else.

    Feast stores each of their values under the type that value has, so no Arrow type holds them: they are read as
    JSON text (`trueup.contracts.documents`).
    """
    match = _DOCUMENT.fullmatch(dtype)
    return match and (f"Array({match['kind']})" if match["list"] else match["kind"])


def is_json(dtype: str | None) -> bool:
    """Whether the text of the type is compared by what it says as JSON."""
    return dtype is not None and (dtype == "Json" or document_kind(dtype) is not None)
