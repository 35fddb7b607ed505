"""The digest of what a table says: not of how it lies in memory, nor of how a file encodes it. Pure."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trueup.errors import DatasetError


def table_digest(*tables: pa.Table) -> str:
    """SHA-256 of the content of tables, in hex: names, types, nulls, values, row order; not chunks or padding.

    Raises DatasetError for a column that `is_storable` refuses.
    """
    found = hashlib.sha256()
    for table in tables:
        check_storable(table.schema)
        for field, column in zip(table.schema, table.columns, strict=True):
            found.update(f"{field.name}\0{field.type}\0{table.num_rows}\0".encode())
            _hash_array(found, column.combine_chunks() if column.num_chunks != 1 else column.chunk(0))
    return found.hexdigest()


def is_storable(type_: pa.DataType) -> bool:
    """Whether values of the type have a digest and survive Parquet: booleans, texts, bytes, types of 8 to 64 bits that
    Parquet keeps as they are, and lists of such."""
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return is_storable(type_.value_type)
    if pa.types.is_timestamp(type_) or pa.types.is_time32(type_):
        return str(type_.unit) != "s"  # Parquet has no such unit
    return any(getattr(pa.types, f"is_{name}")(type_) for name in _STORABLE)


_STORABLE = (
    "boolean",
    "integer",
    "floating",
    "string",
    "large_string",
    "binary",
    "large_binary",
    "date32",
    "time64",
    "duration",
)


def check_storable(schema: pa.Schema) -> None:
    """Raises DatasetError that names the first column of a type a snapshot cannot hold."""
    for field in schema:
        if not is_storable(field.type):
            raise DatasetError(
                f"column {field.name!r} is {field.type}, which a snapshot cannot hold; expected a boolean, a number of "
                "at most 64 bits, text, bytes, a date, a time or a list of one of them.",
                hint="Cast it in rows.query, or in the feature's definition.",
            )


def _hash_array(found: Any, array: pa.Array) -> None:
    """What lies under a null is not content, so nulls are hashed as a mask and their values as zero."""
    found.update(np.packbits(array.is_valid().to_numpy(zero_copy_only=False)).tobytes())
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        found.update(pc.fill_null(pc.list_value_length(array), 0).cast(pa.int64()).to_numpy().tobytes())
        _hash_array(found, array.flatten())
    elif _is_bytes(array.type):
        found.update(pc.fill_null(pc.binary_length(array), 0).cast(pa.int64()).to_numpy().tobytes())
        found.update(b"".join(array.drop_null().cast(pa.large_binary()).to_pylist()))
    elif pa.types.is_boolean(array.type):
        found.update(np.packbits(pc.fill_null(array, False).to_numpy(zero_copy_only=False)).tobytes())
    else:
        width = {8: pa.int8(), 16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[array.type.bit_width]
        found.update(pc.fill_null(array.view(width), 0).to_numpy(zero_copy_only=False).tobytes())


def _is_bytes(type_: pa.DataType) -> bool:
    return any(getattr(pa.types, f"is_{name}")(type_) for name in ("string", "large_string", "binary", "large_binary"))
