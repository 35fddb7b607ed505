"""Comparison of two cells, one at a time, in plain Python. Shares no code with `trueup.parity`.

A value is None, a bool, a number (int, float, Decimal), a str, bytes, an `Instant`, a `TimeOfDay`,
a `Duration`, a list, a dict (a struct), a `Json`, a `Set` or a `Map`.
"""

from __future__ import annotations

import json
import math
import struct
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

PRESENT, NULL, MISSING, EXPIRED = 1, 2, 3, 4
ORDER = ("SAME", "CLOSE", "NORMAL_FORM", "VALUE", "TYPE")


@dataclass(frozen=True)
class Instant:
    nanoseconds: int


@dataclass(frozen=True)
class TimeOfDay:
    nanoseconds: int


@dataclass(frozen=True)
class Duration:
    nanoseconds: int


@dataclass(frozen=True)
class Json:
    text: str


@dataclass(frozen=True)
class Set:
    items: tuple[Any, ...]


@dataclass(frozen=True)
class Map:
    entries: tuple[tuple[Any, Any], ...]


@dataclass(frozen=True)
class Allowed:
    """A tolerance. code: of the floats whose steps are ulps, as `struct` has it: e, f or d."""

    absolute: float = 0.0
    relative: float = 0.0
    ulps: int = 0
    code: str = field(default="d", kw_only=True)


def outcome(
    served: tuple[Any, int, datetime | None],
    recomputed: tuple[Any, int, datetime | None],
    allowed: Allowed,
) -> str:
    """Each side: value, status, event time."""
    (left, left_status, left_time), (right, right_status, right_time) = served, recomputed
    if left_status == 0 or right_status == 0:
        return "NOT_COMPARED"
    if left_status == MISSING and right_status == EXPIRED:
        return "FORGOTTEN"
    if left_status != right_status:
        for status, value, other in ((left_status, left, right_status), (right_status, right, left_status)):
            if status == PRESENT and other == NULL and isinstance(value, float) and math.isnan(value):
                return "NAN_NULL"
        return "STATUS"
    found = likeness(left, right, allowed) if left_status == PRESENT else "SAME"
    if found not in ("SAME", "CLOSE"):
        return found
    if left_time != right_time:
        return "STALE_EQUAL"
    return "EQUAL" if found == "SAME" else "WITHIN_TOLERANCE"


def likeness(left: Any, right: Any, allowed: Allowed) -> str:
    if left is None or right is None:
        return "SAME" if left is right else "VALUE"
    if kind(left) != kind(right):
        return "TYPE"
    if same(left, right):
        return "SAME"
    if isinstance(left, list):
        if len(left) != len(right):
            return "VALUE"
        return worst(likeness(a, b, allowed) for a, b in zip(left, right, strict=True))
    if isinstance(left, dict):
        return worst(likeness(left.get(name), right.get(name), allowed) for name in left.keys() | right.keys())
    if isinstance(left, Set):
        return sets(left, right, allowed)
    if isinstance(left, Map):
        return maps(left, right, allowed)
    if close(left, right, allowed):
        return "CLOSE"
    return "NORMAL_FORM" if same(composed(left), composed(right)) else "VALUE"


def sets(left: Set, right: Set, allowed: Allowed) -> str:
    def covered(ones: Any, others: Any, *, flip: bool) -> bool:
        return all(
            any(likeness(*((b, a) if flip else (a, b)), allowed) in ("SAME", "CLOSE") for b in others) for a in ones
        )

    if covered(left.items, right.items, flip=False) and covered(right.items, left.items, flip=True):
        return "CLOSE"
    if same(composed(left), composed(right)):
        return "NORMAL_FORM"
    kinds = [{kind(item) for item in side.items if item is not None} for side in (left, right)]
    return "TYPE" if kinds[0] and kinds[1] and kinds[0] != kinds[1] else "VALUE"


def maps(left: Map, right: Map, allowed: Allowed) -> str:
    if same(composed(left), composed(right)):
        return "NORMAL_FORM"
    for at_best, meaning in (("SAME", lambda key: key), ("NORMAL_FORM", composed)):
        ones, others = ([(meaning(key), value) for key, value in side.entries] for side in (left, right))
        pairs = [(a, b) for key, a in ones for other, b in others if same(key, other)]
        if len(pairs) == len(ones) == len(others):
            return worst([at_best, *(likeness(a, b, allowed) for a, b in pairs)])
    kinds = [{kind(key) for key, _ in side.entries} for side in (left, right)]
    return "TYPE" if kinds[0] and kinds[1] and kinds[0] != kinds[1] else "VALUE"


def worst(found: Any) -> str:
    return max(found, key=ORDER.index, default="SAME")


def kind(value: Any) -> str:
    for name, types in (("bool", bool), ("number", (int, float, Decimal)), ("text", (str, Json))):
        if isinstance(value, types):
            return name
    return type(value).__name__


def same(left: Any, right: Any) -> bool:
    if left is None or right is None:
        return left is right
    if kind(left) != kind(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return all(same(left.get(name), right.get(name)) for name in left.keys() | right.keys())
    if isinstance(left, Set):
        return all(any(same(a, b) for b in right.items) for a in left.items) and all(
            any(same(a, b) for a in left.items) for b in right.items
        )
    if isinstance(left, Map):
        return same_bags(list(left.entries), list(right.entries))
    if isinstance(left, Json):
        one, other = parsed(left.text), parsed(right.text)
        return left == right if one is None and other is None else one == other
    if kind(left) == "number":
        return same_number(left, right)
    return bool(left == right)


def same_bags(left: list[Any], right: list[Any]) -> bool:
    rest = list(right)
    for key, value in left:
        found = next((i for i, (k, v) in enumerate(rest) if same(key, k) and same(value, v)), None)
        if found is None:
            return False
        del rest[found]
    return not rest


def same_number(left: Any, right: Any) -> bool:
    if not (math.isfinite(left) and math.isfinite(right)):
        return str(float(left)) == str(float(right))
    return Fraction(left) == Fraction(right)


def parsed(text: str) -> Any:
    """What it says, numbers exact; None for what is no JSON."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return ("object", frozenset((name, plain(item)) for name, item in value.items()))
        if isinstance(value, list):
            return ("list", *map(plain, value))
        return (type(value).__name__, value)

    try:
        return plain(json.loads(text, parse_int=Fraction, parse_float=Fraction, parse_constant=refuse))
    except ValueError:
        return None


def composed(value: Any) -> Any:
    """With every string in it in normal form C."""
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, Json):
        return Json(unicodedata.normalize("NFC", value.text))
    if isinstance(value, list):
        return [composed(item) for item in value]
    if isinstance(value, dict):
        return {name: composed(item) for name, item in value.items()}
    if isinstance(value, Set):
        return Set(tuple(composed(item) for item in value.items))
    if isinstance(value, Map):
        return Map(tuple((composed(key), composed(item)) for key, item in value.entries))
    return value


def close(left: Any, right: Any, allowed: Allowed) -> bool:
    if kind(left) != "number" or not (math.isfinite(left) and math.isfinite(right)):
        return False
    if isinstance(left, float) and isinstance(right, float):
        if abs(left - right) <= max(allowed.absolute, allowed.relative * abs(right)):
            return True
        return abs(place(left, allowed.code) - place(right, allowed.code)) <= allowed.ulps
    distance = abs(Fraction(left) - Fraction(right))
    return distance <= max(Fraction(allowed.absolute), Fraction(allowed.relative) * abs(Fraction(right)))


def place(number: float, code: str) -> int:
    """Which float it is, counted from zero."""
    magnitude = int.from_bytes(struct.pack(f">{code}", abs(number)), "big")
    return -magnitude if math.copysign(1.0, number) < 0 else magnitude
