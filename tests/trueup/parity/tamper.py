"""What a faulty server or store does to a read, as functions of the frame it returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
from tests.trueup.parity.world import at

from trueup.frame import FeatureFrame, Status

Tamper = Callable[[FeatureFrame], FeatureFrame]


def put(status: Status = Status.PRESENT, **values: Any) -> Tamper:
    """These values and one status instead of what was read, in every row."""

    def change(frame: FeatureFrame) -> FeatureFrame:
        cells, statuses = frame.values, frame.statuses
        for column, value in values.items():
            i = cells.column_names.index(column)
            kind = cells.schema.field(column).type
            cells = cells.set_column(i, column, pa.array([value] * frame.num_rows, kind))
            statuses = statuses.set_column(i, column, pa.array([int(status)] * frame.num_rows, pa.int8()))
        return FeatureFrame(cells, statuses, frame.event_timestamps)

    return change


def event(**hours: float | None) -> Tamper:
    """Other event times, view by view; None: none."""

    def change(frame: FeatureFrame) -> FeatureFrame:
        times = frame.event_timestamps
        for view, hour in hours.items():
            instant = None if hour is None else at(hour)
            column = pa.array([instant] * frame.num_rows, times.schema.field(view).type)
            times = times.set_column(times.column_names.index(view), view, column)
        return FeatureFrame(frame.values, frame.statuses, times)

    return change


def both(*changes: Tamper) -> Tamper:
    def change(frame: FeatureFrame) -> FeatureFrame:
        for one in changes:
            frame = one(frame)
        return frame

    return change
