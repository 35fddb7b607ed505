"""Feast's type names and the Arrow types trueup reads them as. Pure: no Feast import."""

from __future__ import annotations

import re

import pyarrow as pa

from trueup.errors import ContractError

_SCALARS: dict[str, pa.DataType] = {
    "Bytes": pa.binary(),
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
}
_LIST = re.compile(r"(?:Array|Set)\((?P<item>.+)\)")


def arrow_type(dtype: str) -> pa.DataType:
    """Arrow type of a Feast type name, such as `Int64` or `Array(Float64)`.

    `UnixTimestamp` is timestamp[us, UTC]. Raises ContractError for a type trueup does not know.
    """
    if dtype in _SCALARS:
        return _SCALARS[dtype]
    if match := _LIST.fullmatch(dtype):
        return pa.list_(arrow_type(match["item"]))
    raise ContractError(
        f"feature type {dtype!r} is not supported; expected one of {', '.join(_SCALARS)} or Array(one of them)."
    )
