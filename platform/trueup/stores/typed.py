"""Arrow columns as their declared Feast types: exactly, or an error. Pure.

A declared type is what the online store holds, so history is read as the same: a declared float may round (it is
what the declaration says), nothing else may lose a digit. NaN is null, and a `UnixTimestamp` has whole seconds, as
in Feast's online bytes. Maps and structs are JSON text (`trueup.contracts.documents`).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trueup.contracts.documents import document_text
from trueup.contracts.dtypes import arrow_type, document_kind
from trueup.errors import InputError, SourceError

_MICROS = pa.timestamp("us", tz="UTC")


def feature_column(column: pa.ChunkedArray, dtype: str, *, what: str) -> pa.Array:
    """A source's column as Feast type `dtype`. Raises SourceError naming `what` if a value does not fit."""
    try:
        return _fit(_one(column), dtype, seconds=True)
    except pa.ArrowException as error:
        raise SourceError(
            f"{what} is {column.type} in the source and does not fit its declared type {dtype}: {_text(error)}",
            hint="Cast it in the source's query, or declare its real type in the feature view.",
        ) from error


def declared_or_plain_column(column: pa.ChunkedArray, dtype: str, *, what: str) -> pa.Array:
    """As `feature_column`, and where a value does not fit, as `plain_column`: for those who look for just that."""
    try:
        return feature_column(column, dtype, what=what)
    except SourceError:
        return plain_column(column, dtype, what=what)


def plain_column(column: pa.ChunkedArray, dtype: str, *, what: str) -> pa.Array:
    """A source's column as it is, whatever was declared: decoded, NaN as null, timestamps in microseconds UTC.

    Of documents and decimals the text is as they are, wherever there is one. Raises SourceError naming `what` for what
    cannot be held so.
    """
    try:
        array = _one(column)
        if document_kind(dtype) is not None or "Decimal" in dtype:
            try:
                return _fit(array, dtype, seconds=False)
            except pa.ArrowException:
                pass  # what stands there is no such value, and is compared as what it is
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        kind = array.type
        return _cast(array, _MICROS if pa.types.is_timestamp(kind) or pa.types.is_date(kind) else kind, seconds=False)
    except pa.ArrowException as error:
        raise SourceError(f"{what}: {_text(error)}", hint="Cast it in the source's query.") from error


def key_column(column: pa.ChunkedArray, dtype: str, *, field: str) -> pa.Array:
    """A request's key column as its declared join-key type. Raises InputError if a value does not fit."""
    try:
        return _cast(_one(column), arrow_type(dtype), seconds=False)
    except pa.ArrowException as error:
        raise InputError(
            field, f"{field}: {column.type} values do not fit the join key's type {dtype}: {_text(error)}"
        ) from error


def instants(column: pa.ChunkedArray, *, field: str) -> pa.Array:
    """A timestamp column as int64 microseconds since 1970; without a time zone it is UTC. Nulls are an error."""
    array = _one(column)
    if not (pa.types.is_timestamp(array.type) or pa.types.is_date(array.type)):
        raise InputError(field, f"{field}: {array.type} is not a timestamp.", hint="Parse it as timestamps, in UTC.")
    if array.null_count:
        row = int(np.argmax(pc.is_null(array).to_numpy(zero_copy_only=False)))
        raise InputError(field, f"{field}: row {row} is null, and a read needs its instant.")
    try:
        return _timestamps(array).cast(pa.int64())
    except pa.ArrowException as error:
        raise InputError(field, f"{field}: {_text(error)}") from error


def as_timestamps(micros: pa.Array) -> pa.Array:
    """int64 microseconds since 1970 as timestamp[us, UTC]."""
    return micros.cast(_MICROS)


def _fit(array: pa.Array, dtype: str, *, seconds: bool) -> pa.Array:
    return _cast(array, arrow_type(dtype), seconds=seconds) if document_kind(dtype) is None else _documents(array)


def _documents(array: pa.Array) -> pa.Array:
    texts: list[str | None] = []
    for row, value in enumerate(_decoded(array).to_pylist(maps_as_pydicts="strict")):
        try:
            texts.append(None if value is None else document_text(value))
        except (ValueError, OverflowError) as error:
            raise pa.ArrowInvalid(f"row {row}: {error}") from error
    return pa.array(texts, pa.string())


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _decoded(array: pa.Array) -> pa.Array:
    if isinstance(array, pa.ChunkedArray):  # a column of more than 2 GB of text stays in pieces
        raise pa.ArrowCapacityError("more than 2 GB in one column")
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return array.storage if isinstance(array.type, pa.ExtensionType) else array


def _cast(array: pa.Array, target: pa.DataType, *, seconds: bool) -> pa.Array:
    array = _decoded(array)
    if pa.types.is_floating(array.type):
        array = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
    if pa.types.is_list(target) and _is_list(array.type) and target.value_type == _MICROS:
        return _cast_items(array, target, seconds=seconds)
    if target == _MICROS:
        micros = _timestamps(array)
        return _whole_seconds(micros) if seconds else micros
    if array.type == target:
        return array
    return array.cast(options=pc.CastOptions(target, allow_float_truncate=pa.types.is_floating(target)))


def _cast_items(array: pa.Array, target: pa.DataType, *, seconds: bool) -> pa.Array:
    items = _cast(array.values, target.value_type, seconds=seconds)
    return pa.ListArray.from_arrays(array.offsets, items, mask=pc.is_null(array) if array.null_count else None)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _timestamps(array: pa.Array) -> pa.Array:
    """Finer than a microsecond is cut off, downwards."""
    if pa.types.is_timestamp(array.type) and array.type.unit == "ns":
        array = pc.floor_temporal(array.cast(pa.timestamp("ns")), unit="microsecond")
        return array.cast(pa.timestamp("us")).cast(_MICROS)
    return array.cast(_MICROS)


def _whole_seconds(array: pa.Array) -> pa.Array:
    """Towards 1970, as Feast's `int(value.timestamp())`."""
    micros = array.cast(pa.int64())
    second = 1_000_000
    return pc.multiply(pc.divide(micros, second), second).cast(_MICROS)


def _text(error: Exception) -> str:
    return f"{str(error).strip().rstrip('.')}."
