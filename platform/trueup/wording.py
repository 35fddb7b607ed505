"""Words that messages, errors and reports share. Pure."""

from __future__ import annotations


def counted(value: int, noun: str) -> str:
    """`1 value`, `2,000 values`."""
    return f"{value:,} {noun}" if value == 1 else f"{value:,} {noun}s"
