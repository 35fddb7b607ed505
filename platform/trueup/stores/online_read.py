"""What a check of a whole online store asks of it: entities in bulk, and the list of what it holds. Read only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.contracts.contract import View
from trueup.frame import EVENT_TIME, STATUS, FeatureFrame, Status
from trueup.stores.key_columns import ScannedKeys
from trueup.stores.landing import micros
from trueup.stores.value_columns import BAD_TIME, NO_TIME, Raws, StoredColumn, decode_column

NO_EVENT_TIME = "a row whose event time cannot be read"
"""Stands for the stored type of its cells."""


@dataclass(frozen=True)
class StoredRows:
    """One view's features of some entities, as an online read through the repository's own store returns them.

    frame: a cell's status is 0 where the store holds a value of another type than declared. other_types: feature ->
    stored type -> cells.
    """

    frame: FeatureFrame
    other_types: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


class OnlineRows(Protocol):
    """An online store, read in bulk.

    describe: what it is, for the report. applies_ttl: whether an online read through the repository's own store calls
    a row older than the view's TTL expired (trueup's does; stock Feast serves it for ever). lists: whether the store
    can say which entities it holds. whole_seconds: whether it cuts event times off below a second. now: an instant that
    stands in for the wall clock, where the repository sets one.
    """

    @property
    def describe(self) -> str: ...

    @property
    def applies_ttl(self) -> bool: ...

    @property
    def lists(self) -> bool: ...

    @property
    def whole_seconds(self) -> bool: ...

    @property
    def now(self) -> datetime | None: ...

    def reach(self) -> None:
        """Raises StoreError when the store cannot be read at all."""
        ...

    def refuses(self, project: str, views: Sequence[View]) -> Mapping[str, str]:
        """View -> why the store cannot be read for it, of views of the same join keys."""
        ...

    def read(
        self, project: str, views: Sequence[View], rows: pa.Table, keys: Sequence[bytes], now: datetime
    ) -> list[StoredRows]:
        """views: of the same join keys. rows: a column for each, under its own name. keys: the same as `KeyColumns`
        encodes them. One `StoredRows` a view, one row a key, in order. Raises StoreError."""
        ...

    def scan(self, project: str, views: Sequence[View]) -> Iterator[ScannedKeys]:
        """Every entity that the store holds of any of these views (perhaps of others too, perhaps more than once)."""
        ...


def stored_rows(
    view: View, times: npt.NDArray[np.int64], columns: Sequence[Raws], *, ttl_from: datetime | None
) -> StoredRows:
    """From raw bytes. times: event times, microseconds since 1970, NO_TIME where the view has no row, BAD_TIME where it
    has one whose event time cannot be read: its cells have no status. columns: one a feature. ttl_from: rows older than
    the TTL at this instant are expired; None: none is."""
    unreadable = times == BAD_TIME
    missing = (times == NO_TIME) | unreadable
    row = np.full(len(times), Status.PRESENT, np.int8)
    if ttl_from is not None and view.ttl is not None:
        age = micros(ttl_from) - np.where(missing, 0, times)
        row[age > view.ttl // _MICROSECOND] = Status.EXPIRED
    row[missing] = Status.MISSING
    row[unreadable] = 0
    gone = row != Status.PRESENT
    decoded: dict[str, StoredColumn] = {}
    for item, raws in zip(view.features, columns, strict=True):
        column = decode_column(raws, item.dtype, f"{view.table}:{item.name}")
        if gone.any():
            values = pc.if_else(pa.array(gone), pa.scalar(None, item.arrow), column.values)
            other = dict(column.other_types)
            if bad := int(unreadable.sum()):
                other[NO_EVENT_TIME] = bad
            column = StoredColumn(values, np.where(gone, row, column.statuses), other)
        decoded[view.column(item.name)] = column
    frame = FeatureFrame(
        pa.table({name: column.values for name, column in decoded.items()}),
        pa.table({name: pa.array(column.statuses, STATUS) for name, column in decoded.items()}),
        pa.table({view.name: pa.array(times, pa.int64(), mask=missing).cast(EVENT_TIME)}),
    )
    return StoredRows(frame, {name: column.other_types for name, column in decoded.items() if column.other_types})


_MICROSECOND = np.timedelta64(1, "us").item()
