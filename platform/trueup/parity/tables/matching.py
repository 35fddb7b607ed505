"""Which row of one table is which row of the other, as data. Every row that has no partner has a reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Positions = npt.NDArray[Any]
"""int32 where the rows allow it, int64 beyond."""


class Alone(IntEnum):
    """Why a row has no partner, in place of the partner's row number."""

    ONLY_HERE = -1
    NULL_KEY = -2
    DUPLICATE = -3
    """Another row of its own side has the same key."""
    DUPLICATE_THERE = -4
    """More than one row of the other side has its key."""


REASONS: Mapping[Alone, str] = {
    Alone.ONLY_HERE: "only here",
    Alone.NULL_KEY: "null key",
    Alone.DUPLICATE: "duplicate key",
    Alone.DUPLICATE_THERE: "key duplicated on the other side",
}


@dataclass(frozen=True)
class Matching:
    """partner: for each left row its right row, or an `Alone`. right: for each right row an `Alone`, or 0 where it has
    a partner; None when all have. aligned: row i of one is row i of the other, all the way."""

    partner: Positions
    right: npt.NDArray[np.int8] | None
    aligned: bool

    @cached_property
    def paired(self) -> int:
        return int(np.count_nonzero(self.partner >= 0))

    def alone(self, side: str) -> npt.NDArray[Any]:
        """An `Alone` or something above it for each row of a side; empty when all right rows have a partner."""
        if side == "left":
            return self.partner
        return np.zeros(0, np.int8) if self.right is None else self.right


def width(rows: int) -> type[np.signedinteger[Any]]:
    """Of numbers of that many rows."""
    return np.int32 if rows < 2**31 else np.int64


def aligned(rows: int) -> Matching:
    return Matching(np.arange(rows, dtype=width(rows)), None, aligned=True)
