"""What can happen to a value on its way: each as a function that does it to the recomputed cells. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.contracts.dtypes import document_kind
from trueup.parity.compare import Cells
from trueup.parity.kinds import item_dtype

QUARTER_HOUR = 900_000_000
"""Microseconds. UTC offsets are multiples of it, 14 hours at the most."""
MOST_SHIFT = 14 * 4 * QUARTER_HOUR

_DEFAULTS: tuple[tuple[Callable[[pa.DataType], bool], Any], ...] = (
    (pa.types.is_boolean, False),
    (pa.types.is_integer, 0),
    (pa.types.is_floating, 0.0),
    (lambda kind: _is_text(kind), ""),
    (lambda kind: pa.types.is_binary(kind) or pa.types.is_large_binary(kind), b""),
)


@dataclass(frozen=True)
class Distortion:
    """distort: (recomputed, served) -> what the recomputed cells would be if it had happened to them; None for a type
    it cannot happen to. What was served only tells which of several ways to try."""

    cause: str
    distort: Callable[[Cells, Cells], Cells | None]


def narrowed(cells: Cells, served: Cells) -> Cells | None:
    """Float64 through Float32 and back, also within lists; what is served as integers was coerced."""
    kind = _with_leaf(cells.values.type, pa.float64(), pa.float32())
    if kind is None or not pa.types.is_floating(_leaf(served.values.type)):
        return None
    return replace(cells, values=cells.values.cast(kind, safe=False).cast(cells.values.type))


def through_float(cells: Cells) -> Cells | None:
    """Int64 through Float64 and back: beyond 2^53 it comes out rounded to an even number."""
    return _leaves(cells, pa.types.is_int64, _rounded)


def whole_seconds(cells: Cells) -> Cells | None:
    """Timestamps cut off below the second, towards 1970, as Feast's `int(value.timestamp())`."""
    return _leaves(cells, pa.types.is_timestamp, lambda array: _cut(array, 1_000_000))


def whole_milliseconds(cells: Cells) -> Cells | None:
    """Timestamps cut off below the millisecond."""
    return _leaves(cells, pa.types.is_timestamp, lambda array: _cut(array, 1_000))


def shifted(cells: Cells, served: Cells) -> Cells | None:
    """Timestamps as served where those are a whole number of quarter hours away, as a time zone is."""
    if not pa.types.is_timestamp(cells.values.type) or not pa.types.is_timestamp(served.values.type):
        return None
    mine, theirs = (_micros(array) for array in (cells.values, served.values))
    distance = np.abs(theirs - mine)
    zone = (distance != 0) & (distance <= MOST_SHIFT) & (distance % QUARTER_HOUR == 0)
    zone &= np.asarray(pc.and_(cells.values.is_valid(), served.values.is_valid()).to_numpy(zero_copy_only=False))
    return replace(cells, values=pc.if_else(pa.array(zone), served.values.cast(cells.values.type), cells.values))


def items_defaulted(cells: Cells, dtype: str | None = None) -> Cells | None:
    """Nulls within lists as the default of their type; in a list of Json Feast writes JSON's null."""
    kind = cells.values.type
    if not _is_list(kind):
        return None
    default = "null" if item_dtype(dtype) == "Json" else type_default(kind.value_type)
    return None if default is None else _items(cells, lambda item: default if item is None else item)


def items_dropped(cells: Cells) -> Cells | None:
    """Lists without their nulls."""
    if not _is_list(cells.values.type):
        return None
    lists = [
        None if items is None else [item for item in items if item is not None] for items in cells.values.to_pylist()
    ]
    return replace(cells, values=pa.array(lists, cells.values.type))


def coerced(cells: Cells, served: Cells) -> Cells | None:
    """Values of another type than the served ones, cast to theirs as Feast does on the way online: floats cut off to
    integers, text parsed, anything made text or truth. A value that cannot be cast stays null."""
    if cells.values.type == served.values.type or pa.types.is_nested(served.values.type):
        return None
    convert = _converter(served.values.type)
    if convert is None:
        return None
    values = [None if value is None else _converted(convert, value) for value in cells.values.to_pylist()]
    try:
        return replace(cells, values=pa.array(values, served.values.type))
    except (pa.ArrowException, OverflowError):
        return None


def type_default(kind: pa.DataType, dtype: str | None = None) -> Any:
    """What stands for nothing in a type: False, 0, "", 1970, an empty list or map; None for a type that has none.

    dtype: the Feast type, where it says more than the Arrow type.
    """
    if dtype is not None and (document := document_kind(dtype)):
        return "[]" if document.startswith("Array") else "{}"
    if dtype == "Decimal":
        return "0"
    if _is_list(kind):
        return []
    if pa.types.is_timestamp(kind):
        return pa.scalar(0, pa.int64()).cast(kind).as_py()
    return next((default for holds, default in _DEFAULTS if holds(kind)), None)


DISTORTIONS: tuple[Distortion, ...] = (
    Distortion("dtype_narrowing", narrowed),
    Distortion("int_precision", lambda cells, _: through_float(cells)),
    Distortion("ts_precision", lambda cells, _: whole_seconds(cells)),
    Distortion("ts_precision", lambda cells, _: whole_milliseconds(cells)),
    Distortion("timezone_shift", shifted),
    Distortion("list_null", lambda cells, served: items_defaulted(cells, served.dtype)),
    Distortion("list_null", lambda cells, _: items_dropped(cells)),
    Distortion("dtype_coercion", coerced),
)
"""In the order they are tried."""


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _rounded(array: pa.Array) -> pa.Array:
    numbers = np.asarray(pc.fill_null(array, 0).to_numpy(zero_copy_only=False)).astype(np.float64)
    # The largest floats below 2^63 are integers; 2^63 itself is none any more, and a cast of it is undefined.
    largest = np.iinfo(np.int64).max
    rounded = np.where(numbers >= 2.0**63, largest, np.where(numbers >= 2.0**63, 0.0, numbers).astype(np.int64))
    return pc.if_else(array.is_valid(), pa.array(rounded), pa.scalar(None, pa.int64()))


def _cut(array: pa.Array, unit: int) -> pa.Array:
    return pc.multiply(pc.divide(array.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()), unit), unit).cast(
        array.type
    )


def _micros(array: pa.Array) -> npt.NDArray[np.int64]:
    numbers = pc.fill_null(array.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()), 0)
    return np.asarray(numbers.to_numpy(zero_copy_only=False)).astype(np.int64)


def _leaves(
    cells: Cells, applies: Callable[[pa.DataType], bool], change: Callable[[pa.Array], pa.Array]
) -> Cells | None:
    """The values, or the items of lists of them, changed."""
    values = cells.values
    if applies(values.type):
        return replace(cells, values=change(values))
    if not _is_list(values.type) or not applies(values.type.value_type):
        return None
    return replace(cells, values=_with_items(values, change(values.flatten())))


def _items(cells: Cells, change: Callable[[Any], Any]) -> Cells:
    items = cells.values.flatten()
    changed = pa.array([change(item) for item in items.to_pylist()], items.type)
    return replace(cells, values=_with_items(cells.values, changed))


def _with_items(lists: pa.Array, items: pa.Array) -> pa.Array:
    """The lists with other items, as many in each."""
    lengths = np.asarray(pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)).astype(np.int64)
    large = pa.types.is_large_list(lists.type)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int64() if large else pa.int32())
    mask = lists.is_null() if lists.null_count else None
    return (pa.LargeListArray if large else pa.ListArray).from_arrays(offsets, items, mask=mask)


def _leaf(kind: pa.DataType) -> pa.DataType:
    return _leaf(kind.value_type) if _is_list(kind) else kind


def _with_leaf(kind: pa.DataType, leaf: pa.DataType, instead: pa.DataType) -> pa.DataType | None:
    """The type with its innermost type replaced, or None when that is another one."""
    if _is_list(kind):
        inner = _with_leaf(kind.value_type, leaf, instead)
        made = pa.large_list if pa.types.is_large_list(kind) else pa.list_
        return None if inner is None else made(inner)
    return instead if kind == leaf else None


def _converter(kind: pa.DataType) -> Callable[[Any], Any] | None:
    if pa.types.is_boolean(kind):
        return bool
    if pa.types.is_integer(kind):
        return int
    if pa.types.is_floating(kind):
        return float
    if _is_text(kind):
        return str
    if pa.types.is_timestamp(kind):
        return _instant
    return None


def _instant(value: Any) -> datetime:
    """Whole numbers are seconds since 1970; text is ISO 8601."""
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    if isinstance(value, int | float):
        instant: datetime = pa.scalar(int(value), pa.int64()).cast(pa.timestamp("s", tz="UTC")).as_py()
        return instant
    raise TypeError(value)


def _converted(convert: Callable[[Any], Any], value: Any) -> Any:
    try:
        return convert(value)
    except (TypeError, ValueError, OverflowError):
        return None
