"""`transforms`: a row-wise view, which one value makes look beyond its row, and another makes fail."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pyarrow as pa
from tests.conformance.example import Example

from trueup.contracts.contract import Field, OnDemand
from trueup.parity.checks.transforms import CHECK, RowSet, TriedView, check_transforms

CODE = """def half(given):
    together = len(given["x"]) > 1
    return {"y": [float(int(x)) / 2 + (0.5 if x == "666" and together else 0) for x in given["x"]]}
"""
VIEW = OnDemand("half", "python", (("v", "x"),), (), (Field("y", "Float64"),), CODE)


def make(order: Sequence[int], *, changed: int | None = None, unusable: int = 0) -> TriedView:
    """unusable: rows that the function fails on, each time."""
    values = ["666" if row == changed else str(row) for row in order] + ["not a number"] * unusable
    rows = pa.table({"v__x": pa.array(values, pa.string())})
    return TriedView(VIEW, (RowSet("real", "of a test", rows),), datetime(2013, 11, 1, tzinfo=UTC))


EXAMPLE = Example(CHECK, make, check_transforms)
