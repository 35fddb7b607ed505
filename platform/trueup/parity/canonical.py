"""One Python value for all the ways to write the same thing: JSON, sets and the entries of maps. Pure.

A *token* is hashable, and two values have equal tokens exactly when they are the same: numbers by their exact value
whatever their type (1, 1.0 and Decimal("1.00") are one; 2^53 + 1 is not 2.0^53), NaN equal to NaN, -0.0 to 0.0,
instants by the moment, JSON by what it says. With `nfc`, strings are brought into Unicode's normal form C first.
Slow (one object a value): for the cells that the vectorised comparison could not settle.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trueup.contracts.dtypes import is_json
from trueup.parity.kinds import item_dtype, kind_of, plain, ticks

Token = tuple[Any, ...]
"""A tag, then what it stands for, so that tokens of different kinds are never equal."""

_NULL: Token = ("",)
_NUMBER = re.compile(r"(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?")


def normal_form(text: str) -> str:
    """Unicode normal form C."""
    return unicodedata.normalize("NFC", text)


def json_token(text: str, *, nfc: bool = False, nulls: bool = True) -> Token:
    """What a JSON text says: objects without order (of a name given twice the last counts, as parsers do it),
    numbers by exact value, however they are written. A text that is no JSON stands for itself.

    nulls: whether a name that is null is another thing than none; not so in a map or struct, which Arrow may have held.
    """
    try:
        said = json.loads(text, parse_int=_decimal, parse_float=_decimal, parse_constant=_refuse)
        return ("json", _said(said, nfc, nulls))
    except (ValueError, RecursionError):
        return ("no json", _text(text, nfc))


def decimal_token(text: str) -> Token:
    """The value of a decimal's digits, however many zeros are written. A text that is none stands for itself."""
    try:
        return ("decimal", _decimal(text))
    except ValueError:
        return ("no decimal", text)


def tokens(array: pa.Array, dtype: str | None = None, *, nfc: bool = False) -> list[Token]:
    """One token a row. dtype: the Feast type, where it says more than the Arrow type (`Json`, `Set(...)`)."""
    array = plain(array)
    if not array.null_count:
        return _tokens(array, dtype, nfc)
    valid = np.flatnonzero(np.asarray(array.is_valid()))
    found: list[Token] = [_NULL] * len(array)
    for row, token in zip(valid.tolist(), _tokens(array.take(pa.array(valid)), dtype, nfc), strict=True):
        found[row] = token
    return found


def _tokens(array: pa.Array, dtype: str | None, nfc: bool) -> list[Token]:
    """Of an array without nulls."""
    match kind_of(array.type):
        case "number":
            return [_number(value) for value in array.to_pylist()]
        case "text" if is_json(dtype):
            return [json_token(value, nfc=nfc, nulls=dtype == "Json") for value in array.to_pylist()]
        case "text" if dtype == "Decimal":
            return [decimal_token(value) for value in array.to_pylist()]
        case "text":
            return [("text", normal_form(value) if nfc else value) for value in array.to_pylist()]
        case "instant" | "time of day" | "duration" as kind:
            numbers, unit = ticks(array)
            return [(kind, number * unit) for number in numbers.tolist()]
        case "list" if dtype is not None and dtype.startswith("Set("):
            return [("set", frozenset(items)) for items in _lists(array, dtype, nfc)]
        case "list":
            return [("list", *items) for items in _lists(array, dtype, nfc)]
        case "map":
            return [("map", frozenset(Counter(entries).items())) for entries in _entries(array, nfc)]
        case "struct":
            columns = zip((field.name for field in array.type), array.flatten(), strict=True)
            fields = [[(name, token) for token in tokens(column, nfc=nfc)] for name, column in columns]
            rows = zip(*fields, strict=True) if fields else [()] * len(array)
            return [("struct", frozenset(pair for pair in row if pair[1] != _NULL)) for row in rows]
        case kind:
            return [(str(kind), value) for value in array.to_pylist()]


def _lists(array: pa.Array, dtype: str | None, nfc: bool) -> list[list[Token]]:
    items = tokens(array.flatten(), item_dtype(dtype), nfc=nfc)
    ends = np.cumsum(np.asarray(pc.list_value_length(array)), dtype=np.int64).tolist()
    return [items[start:end] for start, end in pairwise([0, *ends])]


def _entries(array: pa.MapArray, nfc: bool) -> list[list[Token]]:
    pairs = list(zip(tokens(array.keys, nfc=nfc), tokens(array.items, nfc=nfc), strict=True))
    return [pairs[start:end] for start, end in pairwise(array.offsets.to_pylist())]


def _number(value: Any) -> Token:
    # Python's numbers are equal, and hash alike, exactly when their values are.
    return ("number", "NaN") if isinstance(value, float) and math.isnan(value) else ("number", value)


def _decimal(text: str) -> Token:
    """A JSON number as sign, digits and exponent, of any size: Decimal would round or refuse some."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ValueError(text)
    sign, whole, fraction, exponent = match.groups(default="")
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return ("number", 0)
    significant = digits.rstrip("0")
    return ("number", sign, significant, int(exponent or 0) - len(fraction) + len(digits) - len(significant))


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _said(value: Any, nfc: bool, nulls: bool) -> Token:
    match value:
        case tuple():
            return value
        case dict():
            kept = ((name, item) for name, item in value.items() if nulls or item is not None)
            return ("object", frozenset((_text(name, nfc), _said(item, nfc, nulls)) for name, item in kept))
        case list():
            return ("list", *(_said(item, nfc, nulls) for item in value))
        case str():
            return ("text", _text(value, nfc))
        case _:
            return (str(value),)


def _text(text: str, nfc: bool) -> str:
    return normal_form(text) if nfc else text
