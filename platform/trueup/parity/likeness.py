"""How alike two columns of values are, row by row, whatever Arrow types they come in. Pure.

The value's kind decides (see `kinds`): numbers by exact value, instants by the moment, strings by code point, lists
element by element, structs field by field (a field that one side lacks is null there), maps entry by entry without
order (an entry given twice is two entries), and by the Feast type `Json`, Map and Struct (JSON text too) by what they
say, `Decimal` by its value and `Set(...)` as a set.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from enum import IntEnum
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.contracts.dtypes import is_json
from trueup.parity.canonical import Token, decimal_token, json_token, normal_form, tokens
from trueup.parity.kinds import item_dtype, kind_of, plain, ticks
from trueup.parity.numbers import EXACT, Tolerance, same_numbers

Codes = npt.NDArray[np.int8]
Rows = npt.NDArray[np.int64]


class Likeness(IntEnum):
    """From the same to having nothing in common. Of a value with parts it is the worst of its parts."""

    SAME = 0
    CLOSE = 1
    """Not the same, and within the tolerance."""
    NORMAL_FORM = 2
    """The same text in another Unicode normal form: other code points, so another category to an encoder."""
    DIFFERENT = 3
    OTHER_KIND = 4
    """Of kinds that no value is common to: a string against a number."""


def likeness(left: pa.Array, right: pa.Array, tolerance: Tolerance = EXACT, dtype: str | None = None) -> Codes:
    """One `Likeness` a row. Null is the same as null and different from anything else.

    dtype: the Feast type, where it says more than the Arrow type.
    """
    left, right = plain(left), plain(right)
    codes = np.full(len(left), Likeness.DIFFERENT, np.int8)
    valid_left, valid_right = _valid(left), _valid(right)
    codes[~valid_left & ~valid_right] = Likeness.SAME
    both = valid_left & valid_right
    if both.all():
        return _of_values(left, right, tolerance, dtype)
    rows = pa.array(np.flatnonzero(both))
    codes[both] = _of_values(left.take(rows), right.take(rows), tolerance, dtype)
    return codes


def _of_values(left: pa.Array, right: pa.Array, tolerance: Tolerance, dtype: str | None) -> Codes:
    """Of arrays without nulls."""
    kind = kind_of(left.type)
    if kind != kind_of(right.type):
        return np.full(len(left), Likeness.OTHER_KIND, np.int8)
    match kind:
        case "number":
            exact, close = same_numbers(left, right, tolerance)
            return np.where(exact, Likeness.SAME, np.where(close, Likeness.CLOSE, Likeness.DIFFERENT)).astype(np.int8)
        case "text":
            return _texts(left, right, dtype)
        case "instant" | "time of day" | "duration":
            return _different_where(~_same_ticks(*ticks(left), *ticks(right)))
        case "list":
            codes = _lists(left, right, tolerance, item_dtype(dtype))
            if dtype is not None and dtype.startswith("Set("):
                rest = np.flatnonzero(codes != Likeness.SAME)
                codes[rest] = _sets(left.take(pa.array(rest)), right.take(pa.array(rest)), tolerance, dtype)
            return codes
        case "map":
            return _maps(left, right, tolerance)
        case "struct":
            return _structs(left, right, tolerance)
        case _:
            return _different_where(~np.asarray(pc.equal(left, right).to_numpy(zero_copy_only=False), np.bool_))


def _different_where(differs: npt.NDArray[np.bool_]) -> Codes:
    return np.where(differs, Likeness.DIFFERENT, Likeness.SAME).astype(np.int8)


def _texts(left: pa.Array, right: pa.Array, dtype: str | None) -> Codes:
    codes = _different_where(~np.asarray(pc.equal(left, right).to_numpy(zero_copy_only=False), np.bool_))
    rows = np.flatnonzero(codes)
    meaning, composed = _meanings(dtype)
    if meaning is None:
        # Of two ASCII texts none has another normal form.
        chosen = pa.array(rows)
        ascii_ = [pc.string_is_ascii(side.take(chosen)).to_numpy(zero_copy_only=False) for side in (left, right)]
        rows = rows[~np.asarray(ascii_[0] & ascii_[1], np.bool_)]
    chosen = pa.array(rows)
    for row, *pair in zip(rows.tolist(), left.take(chosen).to_pylist(), right.take(chosen).to_pylist(), strict=True):
        if meaning is not None and _agree(meaning, pair):
            codes[row] = Likeness.SAME
        elif _agree(normal_form, pair) or _agree(composed, pair):
            codes[row] = Likeness.NORMAL_FORM
    return codes


def _meanings(dtype: str | None) -> tuple[Callable[[str], Any] | None, Callable[[str], Any]]:
    """What a text of the type says, exactly (None: nothing but itself) and in normal form C."""
    if is_json(dtype):
        said = partial(json_token, nulls=dtype == "Json")
        return said, partial(said, nfc=True)
    return decimal_token if dtype == "Decimal" else None, normal_form


def _agree(meaning: Callable[[str], Any], pair: Sequence[str]) -> bool:
    return bool(meaning(pair[0]) == meaning(pair[1]))


def _same_ticks(left: Rows, left_unit: int, right: Rows, right_unit: int) -> npt.NDArray[np.bool_]:
    """Without overflow: the coarser is never multiplied, the finer is divided."""
    if left_unit < right_unit:
        left, left_unit, right, right_unit = right, right_unit, left, left_unit
    ratio = left_unit // right_unit
    same: npt.NDArray[np.bool_] = left == right if ratio == 1 else (right // ratio == left) & (right % ratio == 0)
    return same


def _lists(left: pa.Array, right: pa.Array, tolerance: Tolerance, dtype: str | None) -> Codes:
    lengths = np.asarray(pc.list_value_length(left)).astype(np.int64)
    paired = lengths == np.asarray(pc.list_value_length(right))
    rows = np.flatnonzero(paired)
    chosen = pa.array(rows)
    items = likeness(left.take(chosen).flatten(), right.take(chosen).flatten(), tolerance, dtype)
    codes = _different_where(~paired)
    np.maximum.at(codes, np.repeat(rows, lengths[rows]), items)
    return codes


def _sets(left: pa.Array, right: pa.Array, tolerance: Tolerance, dtype: str | None) -> Codes:
    """Sets are the same when each has every element of the other, and close when each has one close to it."""
    codes = np.full(len(left), Likeness.DIFFERENT, np.int8)
    other_kind = kind_of(left.type.value_type) != kind_of(right.type.value_type)
    pairs = zip(tokens(left, dtype), tokens(right, dtype), strict=True)
    normal = zip(tokens(left, dtype, nfc=True), tokens(right, dtype, nfc=True), strict=True)
    for row, ((one, other), (one_nfc, other_nfc)) in enumerate(zip(pairs, normal, strict=True)):
        if one == other:
            codes[row] = Likeness.SAME
        elif tolerance and _each_has_one_close(left[row].values, right[row].values, tolerance, item_dtype(dtype)):
            codes[row] = Likeness.CLOSE
        elif one_nfc == other_nfc:
            codes[row] = Likeness.NORMAL_FORM
        elif other_kind and _has_value(left[row].values) and _has_value(right[row].values):
            codes[row] = Likeness.OTHER_KIND
    return codes


def _each_has_one_close(left: pa.Array, right: pa.Array, tolerance: Tolerance, dtype: str | None) -> bool:
    ones, others = (grid.ravel() for grid in np.mgrid[: len(left), : len(right)])
    codes = likeness(left.take(pa.array(ones)), right.take(pa.array(others)), tolerance, dtype)
    close = (codes <= Likeness.CLOSE).reshape(len(left), len(right))
    return bool(close.any(axis=1).all() and close.any(axis=0).all())


def _has_value(array: pa.Array) -> bool:
    return bool(array.null_count < len(array))


def _maps(left: pa.MapArray, right: pa.MapArray, tolerance: Tolerance) -> Codes:
    """Entry by entry as they stand; only maps that are not the same so are looked at without order."""
    starts_left, starts_right = (np.asarray(side.offsets).astype(np.int64) for side in (left, right))
    lengths = np.diff(starts_left)
    codes = _different_where(lengths != np.diff(starts_right))
    rows = np.flatnonzero(codes == Likeness.SAME)
    owners = np.repeat(rows, lengths[rows])
    within = np.arange(len(owners)) - np.repeat(np.cumsum(lengths[rows]) - lengths[rows], lengths[rows])
    ones, others = pa.array(starts_left[owners] + within), pa.array(starts_right[owners] + within)
    np.maximum.at(codes, owners, likeness(left.keys.take(ones), right.keys.take(others)))
    np.maximum.at(codes, owners, likeness(left.items.take(ones), right.items.take(others)))
    rest = np.flatnonzero(codes != Likeness.SAME)
    codes[rest] = _unordered_maps(left.take(pa.array(rest)), right.take(pa.array(rest)), tolerance)
    return codes


def _unordered_maps(left: pa.MapArray, right: pa.MapArray, tolerance: Tolerance) -> Codes:
    """Entries paired by key. Where a key is given twice, the maps are the same only with exactly the same entries."""
    codes = np.full(len(left), Likeness.DIFFERENT, np.int8)
    for row, (one, other) in enumerate(zip(tokens(left), tokens(right), strict=True)):
        if one == other:
            codes[row] = Likeness.SAME
    normal = [a == b for a, b in zip(tokens(left, nfc=True), tokens(right, nfc=True), strict=True)]
    for row in np.flatnonzero(codes != Likeness.SAME).tolist():
        # `MapScalar.values` is the list of entries, a struct of key and value.
        (left_keys, left_values), (right_keys, right_values) = (side[row].values.flatten() for side in (left, right))
        if normal[row]:
            codes[row] = Likeness.NORMAL_FORM
        elif (order := _pairing(tokens(left_keys), tokens(right_keys))) is not None:
            codes[row] = _worst(likeness(left_values, right_values.take(order), tolerance))
        elif (order := _pairing(tokens(left_keys, nfc=True), tokens(right_keys, nfc=True))) is not None:
            worst = _worst(likeness(left_values, right_values.take(order), tolerance))
            codes[row] = max(Likeness.NORMAL_FORM, worst)
        elif len(left_keys) and len(right_keys) and kind_of(left_keys.type) != kind_of(right_keys.type):
            codes[row] = Likeness.OTHER_KIND
    return codes


def _pairing(left: list[Token], right: list[Token]) -> pa.Array | None:
    """For each of the left keys the place of the same one among the right; None if they are not the same keys, or
    one of them is there twice."""
    places: dict[Token, list[int]] = defaultdict(list)
    for place, key in enumerate(right):
        places[key].append(place)
    if len(left) != len(right) or len(places) != len(right) or set(left) != set(places):
        return None
    return pa.array([places[key][0] for key in left], pa.int64())


def _worst(codes: Codes) -> int:
    return int(codes.max(initial=int(Likeness.SAME)))


def _structs(left: pa.StructArray, right: pa.StructArray, tolerance: Tolerance) -> Codes:
    sides = [dict(zip((field.name for field in side.type), side.flatten(), strict=True)) for side in (left, right)]
    codes = np.full(len(left), Likeness.SAME, np.int8)
    absent = pa.nulls(len(left))
    for name in dict.fromkeys((*sides[0], *sides[1])):
        codes = np.maximum(codes, likeness(sides[0].get(name, absent), sides[1].get(name, absent), tolerance))
    return codes


def _valid(array: pa.Array) -> npt.NDArray[np.bool_]:
    if not array.null_count:
        return np.ones(len(array), np.bool_)
    return np.asarray(array.is_valid().to_numpy(zero_copy_only=False), np.bool_)
