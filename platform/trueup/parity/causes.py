"""The causes a mismatch can have. Pure.

A cause is the smallest change of rule that reproduces the served cell exactly: value, status and event time.
There are three kinds, by what is changed:

- `Toggle`: how the source is read. The row is recomputed under the changed `Reading`.
- `Distortion`: what happened to the value on its way. The recomputed cell is changed as the fault would.
- `Pattern`: which of the two sides had a row at all.

`CAUSES` is the one list of them. Its order is the order they are tried in, and so which one is named when
two would do: first how the source is read, then the value, then the states, from the specific to the general.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trueup.frame import Status
from trueup.instants import AsOfRule
from trueup.parity.compare import NO_TIME, Cells, Mask

UNEXPLAINED = "unexplained"
"""Counted where no cause was found. It is no cause, and it is the only mystery."""


@dataclass(frozen=True)
class Reading:
    """How a row is recomputed: the rule a model carries, and what a toggle can change about the read.

    ttl: False reads as if no view had a TTL. under_way: a materialization run that was under way at the row's
    own instant counts as landed (its values may have been there already).
    """

    rule: AsOfRule
    ttl: bool = True
    under_way: bool = False


@dataclass(frozen=True)
class Cause:
    """name: as it is counted. meaning: one line. advice: what to do next, in plain words."""

    name: str
    meaning: str
    advice: str


@dataclass(frozen=True)
class Toggle(Cause):
    """change: the reading one step on, or None where the step does not apply to a reading.

    concerns: cells before the step that it could change at all; None: any. It only saves reading them again.
    """

    change: Callable[[Reading], Reading | None]
    concerns: Callable[[Cells], Mask] | None = None


@dataclass(frozen=True)
class Distortion(Cause):
    """distort: what the cells would be if this had happened to them; None for a type it cannot happen to."""

    distort: Callable[[Cells], Cells | None]


@dataclass(frozen=True)
class Pattern(Cause):
    """reading: what to recompute for it, from the model's own reading. fits: (served, recomputed) -> which rows."""

    reading: Callable[[Reading], Reading]
    fits: Callable[[Cells, Cells], Mask]


def with_known_at(before: str, after: str) -> Callable[[Reading], Reading | None]:
    """A toggle from one `known_at` to another."""

    def change(reading: Reading) -> Reading | None:
        if reading.rule.known_at != before:
            return None
        return replace(reading, rule=AsOfRule.from_json({**reading.rule.to_json(), "known_at": after}))

    return change


def without_ttl(reading: Reading) -> Reading | None:
    return replace(reading, ttl=False) if reading.ttl else None


def is_expired(cells: Cells) -> Mask:
    expired: Mask = cells.statuses == Status.EXPIRED
    return expired


def narrowed(cells: Cells) -> Cells | None:
    """Float64 through Float32 and back."""
    wide = _with_leaf(cells.values.type, pa.float64(), pa.float32())
    return None if wide is None else _recast(cells, wide)


def through_float(cells: Cells) -> Cells | None:
    """Int64 through Float64 and back: beyond 2^53 it comes out rounded to an even number."""
    if not pa.types.is_int64(cells.values.type):
        return None
    valid = cells.values.is_valid()
    numbers = np.asarray(pc.fill_null(cells.values, 0).to_numpy(zero_copy_only=False)).astype(np.float64)
    # The largest floats below 2^63 are integers; 2^63 itself is none any more, and a cast of it is undefined.
    largest = np.iinfo(np.int64).max
    rounded = np.where(numbers >= 2.0**63, largest, np.where(numbers >= 2.0**63, 0.0, numbers).astype(np.int64))
    return replace(cells, values=pc.if_else(valid, pa.array(rounded), pa.scalar(None, pa.int64())))


def ledger_reading(reading: Reading) -> Reading:
    """What the ledger says the online store held."""
    return replace(reading, rule=AsOfRule("served", reading.rule.pinned))


def widest_reading(reading: Reading) -> Reading:
    """Whatever the source has for the row's instant, known or not, however old."""
    return replace(reading, rule=AsOfRule("unbounded", reading.rule.pinned), ttl=False)


def served_as_expired(served: Cells, recomputed: Cells) -> Mask:
    """The served read had the very row that is recomputed and took it for too old."""
    same_row = (
        np.ones(len(served), np.bool_)
        if served.times is None or recomputed.times is None
        else (served.times == recomputed.times) & (served.times != NO_TIME)
    )
    usable = (recomputed.statuses == Status.PRESENT) | (recomputed.statuses == Status.NULL)
    fits: Mask = (served.statuses == Status.EXPIRED) & usable & same_row
    return fits


def only_offline(served: Cells, recomputed: Cells) -> Mask:
    fits: Mask = (served.statuses == Status.MISSING) & (recomputed.statuses != Status.MISSING)
    return fits


def only_online(served: Cells, recomputed: Cells) -> Mask:
    fits: Mask = (served.statuses != Status.MISSING) & (recomputed.statuses == Status.MISSING)
    return fits


CAUSES: tuple[Cause, ...] = (
    Toggle(
        "late_arrival",
        "The value learned from was not known yet when the row was served.",
        "Train with known_at = served (or label): the training set learned from rows that no server could have "
        "had. Until then the model's offline score promises what it cannot hold online.",
        with_known_at("unbounded", "label"),
    ),
    Toggle(
        "lag",
        "The value was known, but the online store did not hold it yet.",
        "Materialize more often, or train with known_at = served so that the model learns from values as old as "
        "those it will be served.",
        with_known_at("label", "served"),
    ),
    Toggle(
        "ahead_of_ledger",
        "The online store held a value that no run in the ledger had landed yet.",
        "Something writes to the online store past the ledger: a push, another batch engine, a run that never "
        "finished, or a declared cadence slower than the real one. Send it through `trueup materialize`, or mend the "
        "view's trueup.cadence and trueup.delay tags.",
        with_known_at("served", "label"),
    ),
    Toggle(
        "ttl_not_enforced",
        "The served value is older than the view's TTL, so training takes it for expired.",
        "The online read does not apply the TTL (stock Feast does not). Read through trueup's online store, or "
        "set a TTL that both sides can keep.",
        without_ttl,
        is_expired,
    ),
    Distortion(
        "dtype_narrowing",
        "A Float64 was rounded to Float32 on its way to the model.",
        "Declare the feature Float64 on every side, or round it in the source's query so that training sees the "
        "rounded value too.",
        narrowed,
    ),
    Distortion(
        "int_precision",
        "An Int64 beyond 2^53 went through a float and lost its last digits.",
        "Some step holds the column as a float (a pandas column with nulls does). Keep it as an Arrow or nullable "
        "integer; if it is an identifier, make it a String.",
        through_float,
    ),
    Pattern(
        "expired",
        "The served read took the very row that is recomputed for expired.",
        "The server applied a shorter TTL, or a later clock, than the model was trained with. Compare the two with "
        "`trueup contract diff`, and check the server's clock.",
        ledger_reading,
        served_as_expired,
    ),
    Pattern(
        "missing_online",
        "The online store had no row for an entity that should have been there.",
        "The row was never written, or it was evicted or deleted. Materialize the view again over the row's event "
        "time, and check the store's memory policy (it must not evict).",
        ledger_reading,
        only_offline,
    ),
    Pattern(
        "missing_offline",
        "The online store had a row for an entity that the source does not know.",
        "The source lost the row (a deletion, a cut-off, a rewritten table) or it was pushed online only. "
        "Delete it online as well, or bring the source's history back.",
        widest_reading,
        only_online,
    ),
)

BY_NAME = {cause.name: cause for cause in CAUSES}
assert len(BY_NAME) == len(CAUSES) <= 64, "one bit each"
BIT = {cause.name: np.uint64(1 << index) for index, cause in enumerate(CAUSES)}
"""The bit a cause is noted by in a cell's set of causes."""


def _with_leaf(kind: pa.DataType, leaf: pa.DataType, instead: pa.DataType) -> pa.DataType | None:
    """The type with its innermost type replaced, or None when that is another one."""
    if pa.types.is_list(kind):
        inner = _with_leaf(kind.value_type, leaf, instead)
        return None if inner is None else pa.list_(inner)
    return instead if kind == leaf else None


def _recast(cells: Cells, through: pa.DataType) -> Cells:
    return replace(cells, values=cells.values.cast(through, safe=False).cast(cells.values.type))
