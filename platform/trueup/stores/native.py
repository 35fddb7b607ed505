"""Whether a Python or NumPy value is of a Feast type, or would have to be changed to become one. Pure."""

from __future__ import annotations

from operator import index
from typing import Any

_WIDTHS = {"Int32": 32, "Int64": 64}


def integer(value: Any, expected: str = "an integer") -> int:
    """An int or a NumPy integer as an int. Raises ValueError for anything else; a bool is none, NumPy's neither."""
    if not is_bool(value):
        try:
            return index(value)
        except TypeError:
            pass
    raise unusable(value, expected)


def fitting(value: int, dtype: str) -> int:
    half = 2 ** (_WIDTHS[dtype] - 1)
    if not -half <= value < half:
        raise unusable(value, f"an integer that fits {dtype}")
    return value


def unusable(value: Any, expected: str) -> ValueError:
    text = repr(value)
    return ValueError(f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__}) is not {expected}")


def is_bool(value: Any) -> bool:
    """A bool of Python or NumPy (whose class had another name before version 2)."""
    return type(value).__name__ in ("bool", "bool_")
