"""`FeatureFrame`: what every read returns, online or offline: values, event times and statuses.

Null, missing and expired are three things, and a frame never confuses them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import pyarrow as pa


class Status(IntEnum):
    """State of one feature of one row. The numbers are Feast's `FieldStatus`."""

    PRESENT = 1
    """A value, not older than the view's TTL."""
    NULL = 2
    """The entity has a row in the view, not older than the TTL, and the value in it is null."""
    MISSING = 3
    """The view has no row for the entity (or a key of the entity is null)."""
    EXPIRED = 4
    """The newest row of the entity is older than the view's TTL: it exists, and must not be used."""


EVENT_TIME = pa.timestamp("us", tz="UTC")
STATUS = pa.int8()


@dataclass(frozen=True)
class FeatureFrame:
    """Features of `num_rows` entity rows, one row in, one row out, in the order they were asked for.

    values: one column per feature, named `view__feature`, in the contract's order, of the contract's
        Arrow type. Null unless the status is PRESENT.
    statuses: int8 `Status` numbers under the same column names.
    event_timestamps: one column per feature view (timestamp[us, UTC]): the event time of the row the
        values came from. Set for PRESENT, NULL and EXPIRED; null for MISSING. On-demand views have none.
    """

    values: pa.Table
    statuses: pa.Table
    event_timestamps: pa.Table

    def __post_init__(self) -> None:
        if self.values.column_names != self.statuses.column_names:
            raise ValueError(
                f"values and statuses disagree on columns: {self.values.column_names} != {self.statuses.column_names}"
            )
        rows = {table.num_rows for table in (self.values, self.statuses) if table.num_columns}
        if len(rows) > 1:
            raise ValueError(f"values have {self.values.num_rows} rows, statuses {self.statuses.num_rows}")

    @cached_property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.values.column_names)

    @property
    def num_rows(self) -> int:
        return int(self.values.num_rows)

    def select(self, columns: Sequence[str]) -> FeatureFrame:
        """These features, in this order; event times are kept whole."""
        return FeatureFrame(self.values.select(columns), self.statuses.select(columns), self.event_timestamps)

    def slice(self, offset: int, length: int | None = None) -> FeatureFrame:
        """A run of rows, without copying."""
        return FeatureFrame(
            self.values.slice(offset, length),
            self.statuses.slice(offset, length),
            self.event_timestamps.slice(offset, length),
        )
