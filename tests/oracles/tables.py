"""Rows of two tables paired by key, one at a time, in plain Python. Shares no code with `trueup.parity`."""

from __future__ import annotations

from collections import Counter
from typing import Any

Key = tuple[Any, ...]


def pairs(left: list[Key], right: list[Key]) -> tuple[dict[int, int], dict[str, int], dict[str, int]]:
    """Left row -> right row, and for each side reason -> rows without a partner."""
    counts = [Counter(key for key in side if None not in key) for side in (left, right)]

    def reason(key: Key, here: Counter[Key], there: Counter[Key]) -> str | None:
        if None in key:
            return "null key"
        if here[key] > 1:
            return "duplicate key"
        if there[key] > 1:
            return "key duplicated on the other side"
        return "only here" if not there[key] else None

    alone = [
        dict(Counter(why for key in side if (why := reason(key, here, there)) is not None))
        for side, here, there in ((left, *counts), (right, counts[1], counts[0]))
    ]
    paired = {row: right.index(key) for row, key in enumerate(left) if reason(key, counts[0], counts[1]) is None}
    return paired, alone[0], alone[1]
