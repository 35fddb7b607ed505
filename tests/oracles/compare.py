"""Comparison of two cells, one at a time, in plain Python. Shares no code with `trueup.parity.compare`."""

from __future__ import annotations

import math
import struct
from datetime import datetime
from typing import Any

PRESENT, NULL, MISSING, EXPIRED = 1, 2, 3, 4


def outcome(
    served: tuple[Any, int, datetime | None],
    recomputed: tuple[Any, int, datetime | None],
    *,
    absolute: float = 0.0,
    relative: float = 0.0,
    ulps: int = 0,
    narrow: bool = False,
) -> str:
    """Each side: value, status, event time. narrow: the numbers are Float32."""
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
    exactly = closely = True
    if left_status == PRESENT:
        exactly = same(left, right)
        closely = exactly or close(left, right, absolute, relative, ulps, narrow)
    if not closely:
        return "VALUE"
    if left_time != right_time:
        return "STALE_EQUAL"
    return "EQUAL" if exactly else "WITHIN_TOLERANCE"


def same(left: Any, right: Any) -> bool:
    if left is None or right is None:
        return left is right
    if isinstance(left, list):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, float) and math.isnan(left):
        return math.isnan(right)
    return bool(left == right)


def close(left: Any, right: Any, absolute: float, relative: float, ulps: int, narrow: bool) -> bool:
    if same(left, right):
        return True
    if left is None or right is None:
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(
            close(a, b, absolute, relative, ulps, narrow) for a, b in zip(left, right, strict=True)
        )
    if isinstance(left, bool) or not isinstance(left, (int, float)):
        return False
    if isinstance(left, int):
        return abs(left - right) <= max(absolute, relative * abs(float(right)))
    if not (math.isfinite(left) and math.isfinite(right)):
        return False
    if abs(left - right) <= max(absolute, relative * abs(right)):
        return True
    return abs(place(left, narrow) - place(right, narrow)) <= ulps


def place(number: float, narrow: bool) -> int:
    """Which float it is, counted from zero."""
    code, size = ("f", 4) if narrow else ("d", 8)
    magnitude = int.from_bytes(struct.pack(f">{code}", abs(number)), "big")
    assert magnitude < 1 << (8 * size - 1)
    return -magnitude if math.copysign(1.0, number) < 0 else magnitude
