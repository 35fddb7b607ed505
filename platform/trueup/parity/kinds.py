"""Kinds of values, each with the Arrow types that hold it, and arrays brought into one plain form. Pure.

Two values can only be the same when they are of one kind. Within a kind the type does not matter: a number is
compared by its exact value in int8 as in decimal256, a string in a dictionary as in a view.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Kind = Literal["null", "bool", "number", "text", "bytes", "instant", "time of day", "duration", "list", "map", "struct"]

_NANOSECONDS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_DAY = 86_400 * _NANOSECONDS["s"]

_KINDS: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    ("null", ("null",)),
    ("bool", ("boolean",)),
    ("number", ("integer", "floating", "decimal")),
    ("text", ("string", "large_string", "string_view")),
    ("bytes", ("binary", "large_binary", "fixed_size_binary", "binary_view")),
    ("instant", ("timestamp", "date")),
    ("time of day", ("time",)),
    ("duration", ("duration",)),
    ("list", ("list", "large_list", "fixed_size_list", "list_view", "large_list_view")),
    ("map", ("map",)),
    ("struct", ("struct",)),
)


def kind_of(type_: pa.DataType) -> Kind | None:
    """None for a type that cannot be compared (a union, an interval). A dictionary is of the kind of its values, an
    extension type of the kind of its storage."""
    if isinstance(type_, pa.BaseExtensionType):
        return kind_of(type_.storage_type)
    if pa.types.is_dictionary(type_):
        return kind_of(type_.value_type)
    for kind, names in _KINDS:
        if any(getattr(pa.types, f"is_{name}")(type_) for name in names):
            return kind
    return None


def is_comparable(type_: pa.DataType) -> bool:
    """Whether the type and all types within it have a kind."""
    type_ = plain_type(type_)
    return kind_of(type_) is not None and all(is_comparable(field.type) for field in _fields(type_))


def has_numbers(type_: pa.DataType) -> bool:
    """Whether values of the type are numbers or made of some."""
    type_ = plain_type(type_)
    return kind_of(type_) == "number" or any(has_numbers(field.type) for field in _fields(type_))


def plain_type(type_: pa.DataType) -> pa.DataType:
    """The type the comparison is written for: no dictionary, view or extension, at any depth; the larger offsets."""
    if isinstance(type_, pa.BaseExtensionType):
        return plain_type(type_.storage_type)
    if pa.types.is_dictionary(type_):
        return plain_type(type_.value_type)
    match kind_of(type_):
        case "text":
            return pa.large_string()
        case "bytes":
            return pa.large_binary()
        case "list":
            return pa.large_list(plain_type(type_.value_type))
        case "map":
            return pa.map_(plain_type(type_.key_type), plain_type(type_.item_type))
        case "struct":
            return pa.struct([field.with_type(plain_type(field.type)) for field in _fields(type_)])
        case _:
            return type_


def plain(array: pa.Array) -> pa.Array:
    """The same values in their plain type."""
    target = plain_type(array.type)
    return array if array.type == target else _plain(array, target)


def _plain(array: pa.Array, target: pa.DataType) -> pa.Array:
    """Level by level: Arrow's own cast of nested types aborts on a map whose keys are a dictionary (pyarrow 25)."""
    if isinstance(array.type, pa.BaseExtensionType):
        return plain(array.storage)
    if pa.types.is_dictionary(array.type):
        return plain(array.dictionary_decode())
    mask = array.is_null() if array.null_count else None
    match kind_of(array.type):
        case "list":
            return pa.LargeListArray.from_arrays(_offsets(array, pa.int64()), plain(array.flatten()), mask=mask)
        case "map":
            entries = pa.array(_entry_places(array))
            keys, items = plain(array.keys).take(entries), plain(array.items).take(entries)
            return pa.MapArray.from_arrays(_offsets(array, pa.int32()), keys, items, mask=mask)
        case "struct":
            columns = [plain(column) for column in array.flatten()]
            return pa.StructArray.from_arrays(columns, fields=list(target), mask=mask)
        case _:
            return array.cast(target)


def _lengths(array: pa.Array) -> npt.NDArray[np.int64]:
    """Elements of each row of a list or map; a null has none."""
    if pa.types.is_map(array.type):
        lengths = np.diff(np.asarray(array.offsets).astype(np.int64))
        return np.where(np.asarray(array.is_valid()), lengths, 0)
    return np.asarray(pc.fill_null(pc.list_value_length(array), 0)).astype(np.int64)


def _offsets(array: pa.Array, type_: pa.DataType) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(_lengths(array))]), type_)


def _entry_places(array: pa.MapArray) -> npt.NDArray[np.int64]:
    """Where the entries of the maps that are not null stand among the keys."""
    lengths, starts = _lengths(array), np.asarray(array.offsets).astype(np.int64)[:-1]
    return np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())


def _fields(type_: pa.DataType) -> list[pa.Field]:
    return [type_.field(index) for index in range(type_.num_fields)]


def ticks(array: pa.Array) -> tuple[npt.NDArray[np.int64], int]:
    """Instants, times of day or durations without nulls as whole numbers, and how many nanoseconds one is.

    Instants count from 1970 UTC; one without a time zone is taken as UTC, a date as the instant its day begins.
    """
    if pa.types.is_date32(array.type):
        return array.cast(pa.int32()).to_numpy(zero_copy_only=False).astype(np.int64), _DAY
    if pa.types.is_date64(array.type):
        return array.cast(pa.int64()).to_numpy(zero_copy_only=False), _NANOSECONDS["ms"]
    storage = pa.int32() if array.type.bit_width == 32 else pa.int64()
    numbers: npt.NDArray[np.int64] = array.cast(storage).to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
    return numbers, _NANOSECONDS[array.type.unit]


def item_dtype(dtype: str | None) -> str | None:
    """The Feast type of the elements of an `Array(...)` or `Set(...)`."""
    if dtype is None or not dtype.endswith(")"):
        return None
    return dtype[dtype.index("(") + 1 : -1]
