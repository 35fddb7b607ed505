"""Frames of plain lists: None is null, and a `Status` stands for a row in that state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from trueup.frame import STATUS, FeatureFrame, Status
from trueup.parity.checks.distribution import Sample, Samples, check_distribution
from trueup.parity.distribution.settings import DriftSettings
from trueup.parity.results import Drift, DriftResult


def frame(columns: Mapping[str, Sequence[Any]], types: Mapping[str, pa.DataType] | None = None) -> FeatureFrame:
    values, statuses = {}, {}
    for name, rows in columns.items():
        plain = [None if isinstance(row, Status) else row for row in rows]
        values[name] = pa.array(plain, (types or {}).get(name))
        statuses[name] = pa.array(
            [row if isinstance(row, Status) else Status.NULL if row is None else Status.PRESENT for row in rows], STATUS
        )
    return FeatureFrame(pa.table(values), pa.table(statuses), pa.table({}))


def compared(
    reference: Mapping[str, Sequence[Any]],
    current: Mapping[str, Sequence[Any]],
    types: Mapping[str, pa.DataType] | None = None,
    **settings: Any,
) -> DriftResult:
    return check_distribution(
        Samples(
            "model",
            "1",
            Sample("reference", frame(reference, types)),
            Sample("current", frame(current, types)),
            DriftSettings(**settings),
        )
    )


def drift(reference: Sequence[Any], current: Sequence[Any], type_: pa.DataType | None = None, **settings: Any) -> Drift:
    types = {"v__f": type_} if type_ is not None else None
    return compared({"v__f": reference}, {"v__f": current}, types, **settings).features["v__f"]
