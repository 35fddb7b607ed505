"""Equality of numbers by exact value, across integers, floats and decimals, and how far apart they may be. Pure.

Integers among themselves and floats among themselves are compared in bulk. Numbers of different kinds are equal
when they are the same real number: 2^53 + 1 is not 2.0^53, the decimal 0.1 is not the float 0.1 (which is a little
more), 0.5 is 0.50. A tolerance between different kinds is reckoned in rationals, which do not round.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.errors import InputError

Mask = npt.NDArray[np.bool_]

_BITS: dict[np.dtype[Any], type[np.signedinteger[Any]]] = {
    np.dtype(np.float16): np.int16,
    np.dtype(np.float32): np.int32,
    np.dtype(np.float64): np.int64,
}


@dataclass(frozen=True)
class Tolerance:
    """How far apart two numbers may be and still count as equal. Any one of the three suffices; 0 is exact.

    absolute: of the difference. relative: of the difference, as a share of the recomputed magnitude.
    ulps: floats that lie between the two, counted in the wider of the two widths; of floats alone. Infinities and
    NaN are always exact.
    """

    absolute: float = 0.0
    relative: float = 0.0
    ulps: int = 0

    def __post_init__(self) -> None:
        for name, value in (("absolute", self.absolute), ("relative", self.relative), ("ulps", self.ulps)):
            if not 0 <= value < float("inf"):
                raise InputError(f"tolerance.{name}", f"tolerance: {name} is {value}; expected 0 or a positive number.")

    def __bool__(self) -> bool:
        return bool(self.absolute or self.relative or self.ulps)


EXACT = Tolerance()


def same_numbers(left: pa.Array, right: pa.Array, tolerance: Tolerance) -> tuple[Mask, Mask]:
    """Per element of two arrays of numbers without nulls: equal exactly, and equal within the tolerance."""
    kinds = {_kind(left.type), _kind(right.type)}
    if kinds == {"float"}:
        return same_floats(_numpy(left), _numpy(right), tolerance)
    if kinds == {"integer"} and "uint64" not in {str(left.type), str(right.type)}:
        return same_integers(_numpy(left).astype(np.int64), _numpy(right).astype(np.int64), tolerance)
    exact = _exact_integer_and_float(left, right) if kinds == {"integer", "float"} else _exact(left, right)
    return exact, _near(left, right, exact, tolerance)


def same_floats(left: npt.NDArray[Any], right: npt.NDArray[Any], tolerance: Tolerance) -> tuple[Mask, Mask]:
    """NaN is NaN, -0.0 is 0.0; floats of different widths are compared in the wider, which loses nothing."""
    wide = np.promote_types(left.dtype, right.dtype)
    left, right = left.astype(wide, copy=False), right.astype(wide, copy=False)
    exact = left == right
    if not exact.all():
        exact |= np.isnan(left) & np.isnan(right)
    if not tolerance:
        return exact, exact
    finite = np.isfinite(left) & np.isfinite(right) & ~exact
    one, other = left[finite].astype(np.float64), right[finite].astype(np.float64)
    with np.errstate(over="ignore"):  # two finite numbers can be further apart than the largest float
        near = np.abs(one - other) <= np.maximum(tolerance.absolute, tolerance.relative * np.abs(other))
    if tolerance.ulps:
        near |= _ulps_apart(left[finite], right[finite]) <= np.uint64(tolerance.ulps)
    close = exact.copy()
    close[finite] = near
    return exact, close


def same_integers(left: npt.NDArray[np.int64], right: npt.NDArray[np.int64], tolerance: Tolerance) -> tuple[Mask, Mask]:
    exact: Mask = left == right
    if not tolerance:
        return exact, exact
    magnitude = np.abs(right.astype(np.float64))
    allowed = np.maximum(tolerance.absolute, tolerance.relative * magnitude)
    return exact, exact | (_distance(left, right).astype(np.float64) <= allowed)


def _kind(type_: pa.DataType) -> str:
    if pa.types.is_floating(type_):
        return "float"
    return "integer" if pa.types.is_integer(type_) else "decimal"


def _numpy(array: pa.Array) -> npt.NDArray[Any]:
    return np.asarray(array.to_numpy(zero_copy_only=False))


def _exact_integer_and_float(left: pa.Array, right: pa.Array) -> Mask:
    integers, floats = (left, right) if pa.types.is_integer(left.type) else (right, left)
    whole, real = _numpy(integers), _numpy(floats).astype(np.float64)
    limits = np.iinfo(whole.dtype)
    # The float above the largest integer is exact; the largest integer itself may not be a float.
    fits = (real >= float(limits.min)) & (real < float(2 ** (whole.dtype.itemsize * 8 - (limits.min < 0))))
    fits &= np.trunc(np.where(fits, real, 0.0)) == real
    equal: Mask = fits & (np.where(fits, real, 0.0).astype(whole.dtype) == whole)
    return equal


def _exact(left: pa.Array, right: pa.Array) -> Mask:
    if left.type == right.type:
        return np.asarray(pc.equal(left, right).to_numpy(zero_copy_only=False), np.bool_)
    # Python compares numbers of any two types by their exact values.
    return np.fromiter((a == b for a, b in zip(left.to_pylist(), right.to_pylist(), strict=True)), np.bool_, len(left))


def _near(left: pa.Array, right: pa.Array, exact: Mask, tolerance: Tolerance) -> Mask:
    if not (tolerance.absolute or tolerance.relative):
        return exact
    rows = np.flatnonzero(~exact)
    absolute, relative = Fraction(tolerance.absolute), Fraction(tolerance.relative)
    close = exact.copy()
    chosen = pa.array(rows)
    pairs = zip(rows.tolist(), left.take(chosen).to_pylist(), right.take(chosen).to_pylist(), strict=True)
    for row, one, other in pairs:
        if _is_finite(one) and _is_finite(other):
            close[row] = abs(Fraction(one) - Fraction(other)) <= max(absolute, relative * abs(Fraction(other)))
    return close


def _is_finite(number: float | int | Decimal) -> bool:
    return not isinstance(number, float) or math.isfinite(number)


def _ulps_apart(left: npt.NDArray[Any], right: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """Steps from one float to the other. The bits of floats, read as integers, keep the floats' order once
    those of negative numbers are turned round (so that -0.0 and 0.0 meet)."""
    signed = _BITS[left.dtype]
    lowest = int(np.iinfo(signed).min)

    def order(numbers: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        bits: npt.NDArray[np.int64] = np.ascontiguousarray(numbers).view(signed).astype(np.int64)
        return np.where(bits < 0, lowest - bits, bits)

    return _distance(order(left), order(right))


def _distance(left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """|left - right| without overflow: modulo 2^64 the difference of the larger and the smaller is exact."""
    high, low = np.maximum(left, right), np.minimum(left, right)
    return high.view(np.uint64) - low.view(np.uint64)
