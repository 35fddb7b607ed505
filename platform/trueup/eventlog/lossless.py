"""A column read as its declared type where nothing is lost, cell by cell. Pure.

Of a float or integer the width is left as it is: a comparison takes the wider of two, and loses nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.contracts.documents import document_text
from trueup.contracts.dtypes import arrow_type, document_kind

Mask = npt.NDArray[np.bool_]


def as_declared(array: pa.Array, dtype: str) -> tuple[pa.Array, Mask]:
    """As `fitted`, by Feast type: a map or a struct fits as its JSON text, a decimal as its digits."""
    if document_kind(dtype) is not None and pa.types.is_nested(array.type):
        return _documents(array)
    if "Decimal" in dtype and not pa.types.is_null(array.type):
        return _decimals(array, arrow_type(dtype))
    return fitted(array, arrow_type(dtype))


def fitted(array: pa.Array, declared: pa.DataType) -> tuple[pa.Array, Mask]:
    """The values as `declared` (or in another width of it), and which cannot be; those are null.

    NaN in a column that is no float is null: pandas keeps integers with nulls so. An instant without a time zone is
    UTC. A cell whose value would come out as another one does not fit; what fits does not depend on the other cells,
    except in lists of another item type, which fit row by row.
    """
    if array.type == declared:
        return array, np.zeros(len(array), np.bool_)
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), declared), np.zeros(len(array), np.bool_)
    if pa.types.is_floating(array.type) and not pa.types.is_floating(declared):
        array = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
    if _same_but_width(array.type, declared):
        return array, np.zeros(len(array), np.bool_)
    if _is_list(array.type) and _is_list(declared):
        return _lists(array, declared)
    if _is_number(array.type) and _is_number(declared):
        return _numbers(array, declared)
    if (pa.types.is_timestamp(array.type) or pa.types.is_date(array.type)) and pa.types.is_timestamp(declared):
        return _instants(array, declared), np.zeros(len(array), np.bool_)
    return pa.nulls(len(array), declared), _valid(array)


def _documents(array: pa.Array) -> tuple[pa.Array, Mask]:
    texts: list[str | None] = []
    misfit = np.zeros(len(array), np.bool_)
    for row, value in enumerate(array.to_pylist(maps_as_pydicts="lossy")):
        try:
            texts.append(None if value is None else document_text(value))
        except (ValueError, OverflowError):
            texts.append(None)
            misfit[row] = True
    return pa.array(texts, pa.string()), misfit


def _decimals(array: pa.Array, declared: pa.DataType) -> tuple[pa.Array, Mask]:
    try:
        return array.cast(declared), np.zeros(len(array), np.bool_)
    except pa.ArrowException:
        return pa.nulls(len(array), declared), _valid(array)


def _same_but_width(one: pa.DataType, other: pa.DataType) -> bool:
    return bool(
        (pa.types.is_floating(one) and pa.types.is_floating(other))
        or (pa.types.is_signed_integer(one) and pa.types.is_signed_integer(other))
    )


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
    )


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _numbers(array: pa.Array, declared: pa.DataType) -> tuple[pa.Array, Mask]:
    """There and back: a value that comes back as itself fits."""
    valid = _valid(array)
    if pa.types.is_decimal(array.type) and pa.types.is_floating(declared):
        return array.cast(declared), np.zeros(len(array), np.bool_)  # a declared float may round a decimal
    if pa.types.is_decimal(array.type) or pa.types.is_decimal(declared):
        try:
            return array.cast(declared), np.zeros(len(array), np.bool_)
        except pa.ArrowException:
            return pa.nulls(len(array), declared), valid
    there, back = _cast(array, declared), array.type
    fits = np.asarray(pc.fill_null(pc.equal(_cast(there, back), array), False).to_numpy(zero_copy_only=False))
    if pa.types.is_floating(array.type) and pa.types.is_integer(declared):
        # 2^63 as a float comes back as itself from an integer that is not it.
        numbers = np.asarray(pc.fill_null(array.cast(pa.float64()), 0.0).to_numpy(zero_copy_only=False))
        fits = fits & (np.abs(numbers) < 2.0**63)
    if pa.types.is_unsigned_integer(array.type):
        negative = pc.less(_cast(there, pa.float64()), 0.0)  # from 2^63 on the bits are those of a negative number
        fits = fits & ~np.asarray(pc.fill_null(negative, False).to_numpy(zero_copy_only=False))
    misfit: Mask = valid & ~fits
    return pc.if_else(pa.array(~misfit), there, pa.scalar(None, declared)), misfit


def _lists(array: pa.Array, declared: pa.DataType) -> tuple[pa.Array, Mask]:
    rows: list[Any] = []
    misfit = np.zeros(len(array), np.bool_)
    for index, row in enumerate(array):
        items = row.values if row.is_valid else None
        if items is None:
            rows.append(None)
            continue
        if pa.types.is_floating(items.type) and pa.types.is_floating(declared.value_type):
            wide = items.cast(pa.float64())
            there = wide.cast(declared.value_type, safe=False)
            same = pc.all(pc.or_(pc.equal(there.cast(pa.float64()), wide), pc.is_nan(wide))).as_py() is not False
        else:
            there, wrong = fitted(items, declared.value_type)
            same = not wrong.any()
        misfit[index] = not same
        rows.append(there.to_pylist() if same else None)
    return pa.array(rows, declared), misfit


def _instants(array: pa.Array, declared: pa.DataType) -> pa.Array:
    """In microseconds; finer is cut off, downwards, as a source's instants are."""
    if pa.types.is_timestamp(array.type) and array.type.unit == "ns":
        array = pc.floor_temporal(array.cast(pa.timestamp("ns")), unit="microsecond").cast(pa.timestamp("us"))
    return array.cast(declared)


def _cast(array: pa.Array, kind: pa.DataType) -> pa.Array:
    return array.cast(kind, safe=False)


def _valid(array: pa.Array) -> Mask:
    return np.asarray(array.is_valid().to_numpy(zero_copy_only=False), np.bool_)
