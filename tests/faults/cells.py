"""Cells by the bench's own reckoning: what two tables of served rows disagree on. Shares no code with trueup.

A table holds served rows in the log's own columns: `view__feature`, `view__feature__status`. A cell has changed when
its status differs, or both are PRESENT and the values differ; NaN equals NaN, -0.0 equals 0.0, a set has no order, and
documents, JSON and decimals are what they say.
A row that has expired and one that is not there any more are no change: neither has a value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from tests.faults import documents

PRESENT, NULL, MISSING, EXPIRED = 1, 2, 3, 4

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Patch:
    """What a column's cells at `rows` are: values as Python has them, and statuses."""

    rows: Ints
    values: list[Any]
    statuses: list[int]


@dataclass
class Truth:
    """One side of all cells: a table of served rows, and the cells in which the side is another than it says."""

    table: pa.Table
    patches: dict[str, Patch] = field(default_factory=dict)

    def set(self, column: str, rows: Ints, values: list[Any], statuses: list[int] | None = None) -> None:
        """Later patches of a column are added to earlier ones, and win over them."""
        states = statuses or [NULL if value is None else PRESENT for value in values]
        before = self.patches.get(column)
        if before is not None:
            rows = np.concatenate([before.rows, rows])
            values, states = before.values + values, before.statuses + states
        self.patches[column] = Patch(rows, values, states)

    def cells(self, column: str) -> tuple[list[Any], npt.NDArray[np.int64]]:
        values = self.table.column(column).to_pylist()
        statuses = np.asarray(self.table.column(f"{column}__status").to_numpy()).astype(np.int64)
        if column in self.patches:
            statuses = statuses.copy()
            patch = self.patches[column]
            for row, value, status in zip(patch.rows.tolist(), patch.values, patch.statuses, strict=True):
                values[row] = value
                statuses[row] = status
        return values, statuses


def changed(one: Truth, other: Truth, columns: Mapping[str, str]) -> dict[str, Mask]:
    """Column -> rows whose cell differs between the two. columns: name -> Feast type. Columns without any are left
    out."""
    found = {}
    for column, dtype in columns.items():
        untouched = column not in one.patches and column not in other.patches
        if untouched and _same_arrow(one.table, other.table, column):
            continue
        left, left_status = one.cells(column)
        right, right_status = other.cells(column)
        gone = {EXPIRED, MISSING}
        mask = np.fromiter(
            (
                (s != t and {s, t} != gone) or (s == t == PRESENT and a != b and not alike(dtype, a, b))
                for a, b, s, t in zip(left, right, left_status.tolist(), right_status.tolist(), strict=True)
            ),
            np.bool_,
            len(left),
        )
        if mask.any():
            found[column] = mask
    return found


def alike(dtype: str, left: Any, right: Any) -> bool:
    """Whether two values of a Feast type say the same."""
    return same(_comparable(dtype, left), _comparable(dtype, right))


def same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return left == right or (math.isnan(left) and math.isnan(right))
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    return bool(left == right)


def _comparable(dtype: str, value: Any) -> Any:
    if value is None:
        return None
    if documents.is_document(dtype):
        return documents.comparable(value)
    kind, _, item = dtype.rstrip(")").partition("(")
    if kind == "Set":
        return sorted({tuple(each) if isinstance(each, list) else _comparable(item, each) for each in value})
    if kind == "Array":
        return [_comparable(item, each) for each in value] if item in ("Json", "Decimal") else value
    if dtype == "Decimal":
        return Decimal(value) if value else value  # Feast stores a null within a list as no digits
    return ("json", json.loads(value)) if dtype == "Json" else value  # JSON's null is a value


def _same_arrow(one: pa.Table, other: pa.Table, column: str) -> bool:
    """Quick and one-sided: Arrow's equality takes NaN for unequal, and then the cells are looked at one by one."""
    return bool(
        one.column(column).equals(other.column(column))
        and one.column(f"{column}__status").equals(other.column(f"{column}__status"))
    )
