"""The values of outcomes as float64. Pure."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trueup.errors import InputError

_EXACT = 2**53
"""Beyond this, float64 does not have every whole number."""


def as_numbers(column: pa.ChunkedArray, name: str) -> pa.Array:
    """Booleans as 0 and 1, numbers as float64; null and NaN as null. Decimals are rounded to the nearest float64.

    Raises InputError for another type, an infinite number, and a whole number that float64 does not have.
    """
    array = column.combine_chunks()
    kind = array.type
    if pa.types.is_null(kind):
        return pa.nulls(len(array), pa.float64())
    if pa.types.is_boolean(kind):
        array = array.cast(pa.int8())
    elif pa.types.is_integer(kind):
        _refuse(_inexact(array), array, name, "exact float64")
    elif not (pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        _refuse(_no_numbers(array), array, name, "number")
        raise InputError(
            "value",
            f"value: column {name} is {kind}; an outcome is a number or a boolean.",
            hint="Write it as one, or name another column with --value.",
        )
    numbers = array.cast(pa.float64(), safe=False)
    numbers = pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)
    _refuse(pc.is_inf(numbers), array, name, "finite number")
    return pc.add(numbers, 0.0)  # one zero, not two


def _inexact(array: pa.Array) -> pa.Array:
    # A bound that a narrow type cannot hold is none that its numbers are beyond.
    wide = array if pa.types.is_uint64(array.type) else array.cast(pa.int64())
    beyond = pc.greater(wide, pa.scalar(_EXACT, wide.type))
    return beyond if pa.types.is_uint64(array.type) else pc.or_(beyond, pc.less(wide, pa.scalar(-_EXACT, wide.type)))


def _no_numbers(array: pa.Array) -> pa.Array:
    """Which texts are no numbers, so that an error can show one."""
    if not pa.types.is_string(array.type):
        return pa.array(np.zeros(len(array), np.bool_))
    return pa.array([text is not None and not _is_number(text) for text in array.to_pylist()], pa.bool_())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _refuse(wrong: pa.Array, array: pa.Array, name: str, what: str) -> None:
    if lost := int(pc.sum(wrong).as_py() or 0):
        first = pc.index(pc.fill_null(wrong, False), True).as_py()
        raise InputError(
            "value",
            f"value: {lost:,} of {len(array):,} rows have no {what} in {name}; the first is row {first + 1}: "
            f"{array[first].as_py()!r}.",
            hint="A value that is not known yet is left empty.",
        )
