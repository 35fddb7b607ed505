"""Which rows of an import say something that is not kept already. Pure.

So an export that grows and is imported every day is kept once, not once a day.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trueup.eventlog.outcomes.kept import SCHEMA
from trueup.eventlog.outcomes.keys import codes

_KEY = ("request_id", "row", "keys", "at", "within")


def unseen(table: pa.Table, kept: pa.Table, *, dated: bool) -> pa.Table:
    """The rows of `table` that are new; both have the columns of `SCHEMA`.

    dated: the source says when its values became known: a row is seen if it is kept in all it says. Else a row is of
    the import's own instant, and seen if its value is the one that was known last.
    """
    if not kept.num_rows or not table.num_rows:
        return table
    names = SCHEMA.names if dated else _KEY
    mine, theirs = codes(_columns(table, names), _columns(kept, names))
    if dated:
        return table.filter(pa.array(~np.isin(mine, theirs)))
    known_at = np.asarray(kept.column("known_at").cast(pa.int64()).to_numpy())
    # The last of each key; a later one of two that became known at once stands for both.
    order = np.lexsort((known_at, theirs))
    key = theirs[order]
    last = order[np.append(key[1:] != key[:-1], True)]
    known, values = theirs[last], np.asarray(kept.column("value").to_numpy())[last]
    place = np.minimum(np.searchsorted(known, mine), len(known) - 1)
    same = (known[place] == mine) & (values[place] == np.asarray(table.column("value").to_numpy()))
    return table.filter(pa.array(~same))


def _columns(table: pa.Table, names: tuple[str, ...] | list[str]) -> list[pa.ChunkedArray]:
    """Without nulls, which are a part of what a row says here: as text they are none that could come."""
    return [_text(table.column(name)) for name in names]


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_floating(column.type):
        return column
    plain = column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
    return pc.fill_null(plain.cast(pa.string()), "\0")
