"""What `online` and `served` share: one view whose rows are recomputed from a table instead of from a source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from trueup.contracts.contract import FeatureContract, Field, JoinKey, Source, View
from trueup.frame import FeatureFrame, Status
from trueup.instants import AsOfRule
from trueup.parity.causes import Reading
from trueup.parity.explain import Case, Rows, take

AT = 1_383_264_000_000_000
"""2013-11-01, microseconds."""
CONTRACT = FeatureContract(
    "p",
    "s",
    (("plane", "speed"), ("plane", "seats")),
    (
        View(
            "plane",
            "plane",
            (JoinKey("tailnum", "Int64", "tailnum"),),
            (Field("speed", "Float64"), Field("seats", "Int64")),
            None,
            Source("FileSource", "at", None, None, {"source": "planes.parquet"}, {}),
        ),
    ),
)


@dataclass(frozen=True)
class Table:
    """Recomputes rows by looking them up: every reading finds the same. Compares as the frame it holds."""

    frame: FeatureFrame

    def __call__(self, contract: FeatureContract, _reading: Reading, rows: Rows) -> FeatureFrame:
        return take(self.frame.select(contract.columns), rows)


def planes(order: Sequence[int], *, changed: int | None = None, missing: int = 0) -> FeatureFrame:
    """missing: as many rows more that the view has nothing of."""
    states = pa.array([int(Status.PRESENT)] * len(order) + [int(Status.MISSING)] * missing, pa.int8())
    return FeatureFrame(
        pa.table(
            {
                "plane__speed": pa.array([*(400.5 + row for row in order), *[None] * missing], pa.float64()),
                "plane__seats": pa.array(
                    [*(-1 if row == changed else row for row in order), *[None] * missing], pa.int64()
                ),
            }
        ),
        pa.table({"plane__speed": states, "plane__seats": states}),
        pa.table(
            {"plane": pa.array([*[AT] * len(order), *[None] * missing], pa.int64()).cast(pa.timestamp("us", tz="UTC"))}
        ),
    )


def case(order: Sequence[int], *, changed: int | None, missing: int = 0) -> Case:
    rows = len(order) + missing
    return Case(
        contract=CONTRACT,
        reading=Reading(AsOfRule("served")),
        inputs=pa.table({"tailnum": pa.array([*order, *range(-missing, 0)], pa.int64())}),
        served=planes(order, changed=changed, missing=missing),
        under_way=np.zeros(rows, np.bool_),
        recompute=Table(planes(order, missing=missing)),
    )
