"""An entity's keys as text, the same whether a key came as number or as text. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.hashing import canonical_json
from trueup.instants import format_instant


def key_text(value: Any) -> str | None:
    """One key. None for null and NaN, which name no entity. A whole number is written without a fraction: where some
    are missing, pandas has made floats of them."""
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case float():
            if value != value:
                return None
            return str(int(value)) if value.is_integer() else repr(value)
        case datetime():
            return format_instant(value)
        case _:
            return str(value)


def entity_texts(columns: Mapping[str, pa.ChunkedArray]) -> pa.Array:
    """Join key -> column, to one column of canonical JSON; null where a key is."""
    texts = [column_texts(column).to_pylist() for column in columns.values()]
    return pa.array(
        [
            None if None in values else canonical_json(dict(zip(columns, values, strict=True))).decode()
            for values in zip(*texts, strict=True)
        ],
        pa.string(),
    )


def column_texts(column: pa.ChunkedArray) -> pa.Array:
    """The keys of a column as text."""
    encoded = column.combine_chunks().dictionary_encode()
    return pa.array([key_text(value) for value in encoded.dictionary.to_pylist()], pa.string()).take(encoded.indices)


def codes(
    left: Sequence[pa.ChunkedArray], right: Sequence[pa.ChunkedArray]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows of two sides that have the same columns, each row as a number: the same where all columns are. -1 where one
    is null, on the left, and -2 on the right: null is no key."""
    count = len(left[0])
    combined = np.zeros(count + len(right[0]), np.int64)
    null = np.zeros(len(combined), np.bool_)
    for one, other in zip(left, right, strict=True):
        both = pa.chunked_array([*one.chunks, *other.cast(one.type).chunks], one.type).combine_chunks()
        encoded = both.dictionary_encode()
        null |= np.asarray(both.is_null().to_numpy(zero_copy_only=False))
        mine = np.asarray(pc.fill_null(encoded.indices, 0).to_numpy(zero_copy_only=False)).astype(np.int64)
        # Made dense again column by column, so that the product never overflows.
        _, combined = np.unique(combined * max(len(encoded.dictionary), 1) + mine, return_inverse=True)
    combined = combined.astype(np.int64)
    return np.where(null[:count], -1, combined[:count]), np.where(null[count:], -2, combined[count:])


def entity_columns(texts: Sequence[str], names: Sequence[str], kinds: Mapping[str, pa.DataType]) -> list[pa.Array]:
    """Of entities as JSON, a column for each name. kinds: of the served columns; a whole number is read as one
    however its text writes it (`7.0`, `007`)."""
    keys = [json.loads(text) for text in texts]
    return [
        pa.array([_whole(row[name]) if pa.types.is_integer(kinds[name]) else row[name] for row in keys], pa.string())
        for name in names
    ]


def _whole(text: str) -> str:
    try:
        return str(int(text))
    except ValueError:
        whole, point, fraction = text.partition(".")
        return _whole(whole) if point and not fraction.strip("0") else text
