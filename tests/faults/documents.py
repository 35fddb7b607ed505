"""Maps, structs and lists of them by hand. Shares no code with trueup.

A source has them as Arrow's own types or as JSON text, a served log as JSON text in which an object of one name stands
for what JSON cannot say: `$instant` (ISO 8601), `$bytes` (base64), `$decimal` (digits), `$float` (`nan`, `inf`).
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIELD = re.compile(r"(\w+): (\w+(?:\(\w+\))?)")
_WORDS: Mapping[str, Callable[[str], Any]] = {
    "$instant": datetime.fromisoformat,
    "$bytes": base64.b64decode,
    "$decimal": Decimal,
    "$float": float,
}


def is_document(dtype: str) -> bool:
    return dtype.removeprefix("Array(").startswith(("Map", "Struct"))


def fields_of(dtype: str) -> dict[str, str]:
    """Feast types of a struct's fields, as its name has them."""
    return dict(_FIELD.findall(dtype))


def parsed(value: Any) -> Any:
    """A document in Python's own values: a text as what it says, anything else as it is."""
    return json.loads(value, object_hook=_worded) if isinstance(value, str) else value


def _worded(found: dict[str, Any]) -> Any:
    name = next(iter(found), "")
    return _WORDS[name](found[name]) if len(found) == 1 and name in _WORDS else found


def text(value: Any) -> str:
    """A document as a served log has it."""
    return json.dumps(_said(value), ensure_ascii=False, sort_keys=True)


def _said(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _said(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_said(item) for item in value]
    if isinstance(value, datetime):
        return {"$instant": value.isoformat()}
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, Decimal):
        return {"$decimal": str(value)}
    return {"$float": str(value)} if isinstance(value, float) and not math.isfinite(value) else value


def comparable(value: Any) -> Any:
    """Equal for documents that say the same, whichever way they came. 1 is 1.0, and true is neither."""
    return _comparable(parsed(value))


def _comparable(value: Any) -> Any:
    if isinstance(value, dict):
        # NaN is null in a map, as Feast stores it, and a null no name, as Arrow's structs have it.
        return {name: _comparable(item) for name, item in value.items() if item is not None and item == item}
    if isinstance(value, list):
        return [_comparable(item) for item in value]
    if isinstance(value, bool | Decimal):
        return type(value).__name__, value
    return "nan" if isinstance(value, float) and math.isnan(value) else value


def some(dtype: str, random: np.random.Generator) -> Any:
    """A document of a type that hardly any other is equal to. A map's values are text, as Arrow has them."""
    if dtype.startswith("Array("):
        return [some(dtype[6:-1], random) for _ in range(int(random.integers(1, 4)))]
    if dtype == "Map":
        return {f"k{n}": f"some {random.integers(2**31)}" for n in range(int(random.integers(1, 4)))}
    return {name: _some_field(kind, random) for name, kind in fields_of(dtype).items()}


def _some_field(dtype: str, random: np.random.Generator) -> Any:
    number = int(random.integers(1, 2**31))
    if dtype.startswith("Array("):
        return [_some_field(dtype[6:-1], random) for _ in range(int(random.integers(1, 4)))]
    return {
        "Int64": number,
        "Float64": float(random.normal(0, 1000)),
        "String": f"é {number}",
        "Bool": number % 2 == 0,
        "UnixTimestamp": _EPOCH + timedelta(seconds=number),
        "Bytes": number.to_bytes(4, "little"),
        "Decimal": Decimal(number).scaleb(-3),
    }[dtype]


def bit_turned(value: Any) -> Any:
    """The document with one bit of its first number or plain text turned over; None where there is no such."""
    if isinstance(value, dict | list):
        for place, item in value.items() if isinstance(value, dict) else enumerate(value):
            new = bit_turned(item)
            if new is not None:
                changed = value.copy()
                changed[place] = new
                return changed
    if isinstance(value, int) and not isinstance(value, bool):
        return value ^ 4
    if isinstance(value, str) and value and value[-1].isascii() and value[-1].isalnum():
        return value[:-1] + chr(ord(value[-1]) ^ 1)
    return None
