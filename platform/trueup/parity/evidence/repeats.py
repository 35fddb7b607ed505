"""Rows of a log that are there more than once.

A file that was written twice, or a log that delivers at least once, holds exact copies; one is compared. Rows that call
themselves the same (request, row, model) and differ are two answers; both are compared, and counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trueup.eventlog.hash_set import Hashes, HashSet
from trueup.eventlog.logged import LoggedRows
from trueup.eventlog.records import MODEL, MODEL_VERSION, REQUEST_ID, ROW
from trueup.parity.compare import Mask
from trueup.stores.asof_sql import identifier
from trueup.stores.duckdb_tables import connect

_DAY = timedelta(days=1) // timedelta(microseconds=1)


@dataclass(frozen=True)
class Found:
    """copies: rows that are the same in everything as one before. contradicting: the same request and row, not the
    same content."""

    copies: Mask
    contradicting: Mask


class Repeats:
    """Remembers the rows of a log by two hashes of 64 bits each, day by day of their instants.

    Exact copies have the same instant, so days that no later row can be of may be forgotten. Two different rows of a
    day pass for copies with a chance of 1 in 2^64 a pair: one in a million for a day of six million rows. A row without
    a request id is no copy of any: nothing says that it is the same request.
    """

    def __init__(self) -> None:
        self._contents: dict[int, HashSet] = {}
        self._names: dict[int, HashSet] = {}

    def look(self, rows: LoggedRows, at: npt.NDArray[np.int64]) -> Found:
        """at: the instants in microseconds, of every row. The rows are remembered."""
        names, contents = _hashes(rows)
        copies, contradicting = np.zeros(len(at), np.bool_), np.zeros(len(at), np.bool_)
        named = np.asarray(rows.labels.column(REQUEST_ID).combine_chunks().is_valid().to_numpy(zero_copy_only=False))
        days = at // _DAY
        for day in np.unique(days[named]).tolist():
            mine = np.flatnonzero(named & (days == day))
            copies[mine] = self._contents.setdefault(day, HashSet()).add(contents[mine])
            contradicting[mine] = self._names.setdefault(day, HashSet()).add(names[mine]) & ~copies[mine]
        return Found(copies, contradicting)

    def forget_before(self, micros: int) -> None:
        """No row of an earlier day than the one before this instant's follows (a time zone moves at most a day)."""
        oldest = micros // _DAY - 1
        for days in (self._contents, self._names):
            for day in [day for day in days if day < oldest]:
                del days[day]


def _hashes(rows: LoggedRows) -> tuple[Hashes, Hashes]:
    """Of each row what it calls itself, and all of it."""
    frame = rows.frame
    names = [name for name in (REQUEST_ID, MODEL, MODEL_VERSION) if name in rows.labels.column_names]
    numbered = not rows.labels.column(ROW).combine_chunks().null_count
    columns = {f"l{i}": rows.labels.column(name) for i, name in enumerate(rows.labels.column_names)}
    own = [f"l{rows.labels.column_names.index(name)}" for name in [*names, *([ROW] if numbered else [])]]
    for prefix, table in (
        ("i", rows.inputs),
        ("v", frame.values),
        ("s", frame.statuses),
        ("t", frame.event_timestamps),
    ):
        columns |= {f"{prefix}{i}": column for i, column in enumerate(table.columns)}
    # A log that does not number the rows of a request tells them apart by what was asked.
    own += [] if numbered else [f"i{i}" for i in range(rows.inputs.num_columns)]
    columns["at"] = pa.chunked_array([rows.at])
    with connect() as connection:
        connection.register("trueup_rows", pa.table(columns))
        every = ", ".join(identifier(name) for name in columns)
        table = connection.sql(
            f"SELECT hash({', '.join(map(identifier, own))}) AS name, hash({every}) AS content FROM trueup_rows"
        ).to_arrow_table()
    return tuple(np.asarray(table[name].combine_chunks()).astype(np.uint64) for name in ("name", "content"))  # type: ignore[return-value]
