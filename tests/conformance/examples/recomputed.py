"""What `online` and `served` share: planes in a real source, and the same as they were served."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trueup.contracts.contract import FeatureContract, Field, JoinKey, Source, View
from trueup.frame import EVENT_TIME, FeatureFrame, Status
from trueup.instants import AsOfRule
from trueup.parity.case import Case
from trueup.parity.causes import Reading
from trueup.parity.evidence.recompute import INSTANT
from trueup.parity.evidence.recompute import Source as Recomputed

AT = 1_383_264_000_000_000
"""2013-11-01, microseconds: the event time of every plane."""
HOUR = 3_600_000_000
PLANES = 64
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


@cache
def _repository() -> TemporaryDirectory[str]:
    folder = TemporaryDirectory()
    at = pa.array([AT] * PLANES, pa.int64()).cast(EVENT_TIME)
    planes = pa.table(
        {"tailnum": range(PLANES), "speed": [400.5 + row for row in range(PLANES)], "seats": range(PLANES)}
    )
    pq.write_table(planes.append_column("at", at), Path(folder.name, "planes.parquet"), write_statistics=False)
    return folder


def repository() -> Path:
    """A folder with the planes' source, for as long as the process runs."""
    return Path(_repository().name)


def served(order: Sequence[int], *, changed: int | None = None, missing: int = 0) -> FeatureFrame:
    """As the server had them, an hour later each. missing: as many rows more that the view has nothing of."""
    states = pa.array([int(Status.PRESENT)] * len(order) + [int(Status.MISSING)] * missing, pa.int8())
    seats = [-1 if row == changed else row for row in order]
    return FeatureFrame(
        pa.table(
            {
                "plane__speed": pa.array([*(400.5 + row for row in order), *[None] * missing], pa.float64()),
                "plane__seats": pa.array([*seats, *[None] * missing], pa.int64()),
            }
        ),
        pa.table({"plane__speed": states, "plane__seats": states}),
        pa.table({"plane": pa.array([*[AT] * len(order), *[None] * missing], pa.int64()).cast(EVENT_TIME)}),
    )


def instants(order: Sequence[int], missing: int = 0) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([*(AT + HOUR * (row + 1) for row in order), *[AT] * missing], np.int64)


def keyed(order: Sequence[int], missing: int = 0) -> pa.Table:
    """Keys and instants; the keys of missing rows are of no plane."""
    at = pa.array(instants(order, missing)).cast(EVENT_TIME)
    return pa.table({"tailnum": pa.array([*order, *range(-missing, 0)], pa.int64()), INSTANT: at})


def case_of(rows: pa.Table, frame: FeatureFrame) -> Case:
    """rows: keys and instants. frame: the same rows as they were served."""
    return Case(
        contract=CONTRACT,
        reading=Reading(AsOfRule("served")),
        inputs=rows,
        served=frame,
        under_way=np.zeros(rows.num_rows, np.bool_),
        recompute=Recomputed(rows, repo=repository(), ledger=None),
    )
