"""Words that messages, errors and reports share. Pure."""

from __future__ import annotations

from itertools import zip_longest

LONGEST = 80
"""Characters that are shown of each side of a change at most, dots aside."""


def counted(value: int, noun: str) -> str:
    """`1 value`, `2,000 values`."""
    return f"{value:,} {noun}" if value == 1 else f"{value:,} {noun}s"


def changed(before: str, after: str) -> str:
    """`before -> after`; of long texts only the place where they begin to differ."""
    pairs = enumerate(zip_longest(before, after))
    place = next((place for place, (left, right) in pairs if left != right), 0)
    return f"{_around(before, place)} -> {_around(after, place)}"


def _around(text: str, place: int) -> str:
    if len(text) <= LONGEST:
        return text
    start = max(0, place - LONGEST // 2)
    end = start + LONGEST
    return f"{'...' if start else ''}{text[start:end]}{'...' if end < len(text) else ''}"
