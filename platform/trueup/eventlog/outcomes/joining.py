"""Served rows joined with an outcome. Pure.

One outcome serves every row of its request and number: the answer's and each shadow's. Of several known values the one
that became known last counts; two that became known at once and differ leave the row without an outcome.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.eventlog.labelled import LABEL_STATES, Absent, Labelled, LabelState
from trueup.eventlog.outcomes.entities import by_request
from trueup.eventlog.outcomes.kept import Outcomes
from trueup.eventlog.outcomes.keys import codes
from trueup.eventlog.records import LOG_TIMESTAMP, REQUEST_ID, ROW
from trueup.instants import EPOCH

_MICROSECOND = timedelta(microseconds=1)
COUNTS = ("matched", "orphans", "duplicates", "restated", "ambiguous", "not yet known")
"""Of outcomes. matched: their row is there; each is used, or one of the next three. duplicates: the same value again.
restated: replaced by one that became known later. ambiguous: of a row whose last values became known at once and
differ, or of an entity with two rows at one instant. orphans: their row is not there. not yet known: known only after
`now`, and none of the others. So matched + orphans + not yet known is all of them."""


def join(served: pa.Table, outcomes: Outcomes, *, now: datetime, delay: timedelta, absent: Absent) -> Labelled:
    """served: `__request_id`, `__row`, `__log_timestamp`, and the join keys that outcomes are keyed by. One row in, one
    row out, in order. now: what becomes known later is not known. delay: a row is mature when it was served that long
    ago, to the microsecond.

    Outcomes by entity mean the last of these rows; where these are not all that were served, call `by_request` with all
    first. Raises InputError where outcomes are keyed by a column that the rows do not have.
    """
    found = by_request(known(outcomes, now), served)
    counts = {name: found.counts.get(name, 0) for name in COUNTS}
    values = _values(served, found.table, counts)
    states = _states(served, values, now, delay)
    if absent == "zero":
        missing = states == LABEL_STATES.index("missing")
        values[missing] = 0.0
        states[missing] = LABEL_STATES.index("mature")
    counts |= {f"rows {state}": int((states == at).sum()) for at, state in enumerate(LABEL_STATES)}
    return Labelled(served, outcomes.name, values, states, counts)


def known(outcomes: Outcomes, now: datetime) -> Outcomes:
    """What became known by `now`; the others are counted."""
    table = outcomes.table
    kept = table.filter(pc.less_equal(table.column("known_at"), pa.scalar(now, table.schema.field("known_at").type)))
    later = outcomes.counts.get("not yet known", 0) + table.num_rows - kept.num_rows
    return replace(outcomes, table=kept, counts={**outcomes.counts, "not yet known": later})


def _values(served: pa.Table, found: pa.Table, counts: dict[str, int]) -> npt.NDArray[np.float64]:
    """The value of each row, NaN where there is none. counts: told what became of the outcomes."""
    row, outcome = codes(
        [served.column(REQUEST_ID), pc.fill_null(served.column(ROW), 0)],
        [found.column("request_id"), pc.fill_null(found.column("row"), 0)],
    )
    known_at = np.asarray(found.column("known_at").cast(pa.int64()).to_numpy())
    order = np.lexsort((known_at, outcome))
    outcome, known_at, value = outcome[order], known_at[order], np.asarray(found.column("value").to_numpy())[order]
    # From here on one group is all outcomes of a request's row, oldest first.
    of, first, size = np.unique(outcome, return_index=True, return_counts=True)
    result = np.full(len(row), np.nan)
    if not len(of):
        return result
    group = np.repeat(np.arange(len(of)), size)
    is_last = known_at == known_at[first + size - 1][group]
    low = np.minimum.reduceat(np.where(is_last, value, np.inf), first)
    high = np.maximum.reduceat(np.where(is_last, value, -np.inf), first)
    alike = np.add.reduceat(value == low[group], first, dtype=np.int64)
    there, clear = np.isin(of, row), low == high
    counts["matched"] += int(size[there].sum())
    counts["orphans"] += int(size[~there].sum())
    counts["duplicates"] += int((alike - 1)[there & clear].sum())
    counts["restated"] += int((size - alike)[there & clear].sum())
    counts["ambiguous"] += int(size[there & ~clear].sum())
    place = np.minimum(np.searchsorted(of, row), len(of) - 1)
    has = (of[place] == row) & clear[place] & (row >= 0)
    result[has] = low[place[has]]
    return result


def _states(served: pa.Table, values: npt.NDArray[np.float64], now: datetime, delay: timedelta) -> npt.NDArray[np.int8]:
    """A row without an instant is never mature: nothing says that its delay is over."""
    last = (now - EPOCH) // _MICROSECOND - delay // _MICROSECOND
    at = np.asarray(pc.fill_null(served.column(LOG_TIMESTAMP).cast(pa.int64()), last + 1).to_numpy(), dtype=np.int64)
    over, is_known = at <= last, np.isfinite(values)

    def place(state: LabelState) -> int:
        return LABEL_STATES.index(state)

    first = np.where(over, place("mature"), place("early"))
    second = np.where(over, place("missing"), place("immature"))
    return np.where(is_known, first, second).astype(np.int8)
