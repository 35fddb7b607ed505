"""Maps, structs and lists of them as text: one JSON form, from a source's values as from stored ones. Pure.

Names are sorted. What JSON has no word for is an object with one name that says what it is: `$bytes` (base64),
`$instant` (ISO 8601, UTC, whole seconds as Feast stores them), `$decimal` (its digits), `$float` (`nan`, `inf`,
`-inf`). An integer stays one and a float too, and they are compared by value: Feast stores a struct's integers as
floats as soon as another row of their batch has none there. What is no number is null, as Feast stores it; in a list
it stays.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from trueup.instants import as_utc


def document_text(value: Any) -> str:
    """value: a dict with text as its keys, or a list of them, of plain Python values at any depth; a text is parsed as
    JSON, as Feast does it. Raises ValueError for anything else.
    """
    if isinstance(value, str):
        value = json.loads(value)
    if not isinstance(value, Mapping | list | tuple):
        raise ValueError(f"{value!r} is neither a map nor a list of maps")
    return json.dumps(_said(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def document_value(text: str) -> Any:
    """The dict or list of `document_text`, with Python's own values in it."""
    return json.loads(text, object_hook=_meant)


def _said(value: Any) -> Any:
    match value:
        case None | bool() | str() | int():
            return value
        case float():
            return value if math.isfinite(value) else {"$float": str(value)}
        case bytes():
            return {"$bytes": base64.b64encode(value).decode()}
        case datetime():
            # Cut off towards 1970, as Feast's `int(value.timestamp())`.
            seconds = int(as_utc(value).timestamp())
            return {"$instant": datetime.fromtimestamp(seconds, UTC).isoformat()}
        case date():
            return {"$instant": datetime(value.year, value.month, value.day, tzinfo=UTC).isoformat()}
        case Decimal():
            return {"$decimal": str(value)}
        case UUID():
            return str(value)
        case Mapping():
            if other := [name for name in value if not isinstance(name, str)]:
                raise ValueError(f"a map's keys are text, and one is {other[0]!r}")
            return {name: None if _is_nan(item) else _said(item) for name, item in value.items()}
        case list() | tuple():
            return [_said(item) for item in value]
        case set() | frozenset():
            return sorted((_said(item) for item in value), key=json.dumps)
        case _:
            raise ValueError(f"{value!r} is nothing a map can hold")


def _is_nan(value: Any) -> bool:
    return value.is_nan() if isinstance(value, Decimal) else isinstance(value, float) and math.isnan(value)


def _meant(value: dict[str, Any]) -> Any:
    if len(value) == 1:
        ((name, said),) = value.items()
        if name in _MEANING and isinstance(said, str):
            try:
                return _MEANING[name](said)
            except (ValueError, ArithmeticError):
                return value  # somebody's own name that looks like ours
    return value


_MEANING: Mapping[str, Any] = {
    "$bytes": base64.b64decode,
    "$instant": datetime.fromisoformat,
    "$decimal": Decimal,
    "$float": float,
}
