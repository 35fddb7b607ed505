"""A recipe's plain values as the TOML file they came from, for a training that takes a file. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


def to_toml(recipe: Mapping[str, Any]) -> str:
    """`Recipe.to_json()` as TOML text. None is left out, as in the file."""
    return "\n".join(_lines(recipe, ())) + "\n"


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    if path:
        yield f"[{'.'.join(map(_text, path))}]"
    for key, value in table.items():
        if value is not None and not isinstance(value, Mapping):
            yield f"{_text(key)} = {_value(value)}"
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _lines(value, (*path, key))


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return _text(value) if isinstance(value, str) else repr(value)


def _text(value: str) -> str:
    # JSON's escapes are TOML's; of the characters TOML wants escaped, JSON leaves one.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
