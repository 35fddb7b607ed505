"""Typed comparison of two frames of the same rows: one outcome per cell, counted per feature. Pure.

A cell is a feature of a row: a value, a status and the event time of the row the value came from.

- Two cells *mismatch* when their value or their status differs. A model sees values; a status says why there
  is none.
- Equal value and status from rows of different event times is `STALE_EQUAL`: no mismatch, since no model can
  tell the two apart, but counted, because the next change of the value would have been served late.
- Recomputed EXPIRED against served MISSING is `FORGOTTEN`: no mismatch, but counted. What has expired need not be
  kept online (a materialization leaves it out, a store's own expiry removes it), and neither side has a value.
  The reverse, an expired row that the source does not know, is a mismatch.
- Values are looked at only where both sides are PRESENT; elsewhere the status is the whole answer.
- NaN equals NaN. NaN against null is a mismatch with an outcome of its own (`NAN_NULL`): a pandas hop turns
  the one into the other, and models treat them alike, so whoever reads the report wants them apart.
- -0.0 equals 0.0, as IEEE 754 says: they sort, hash and split alike, and Arrow, DuckDB and Feast's bytes may
  each normalise the sign, so telling them apart would report stores and not features.
- Everything else is exact, and by value, not by type (unless a `Tolerance` says otherwise): numbers as numbers, in
  whatever width, scale or kind; instants as instants, in whatever unit or zone; lists element by element with nulls;
  maps without order; a Feast `Json` by what it says, a `Set` as a set (see `likeness`).
- Two mismatches have an outcome of their own because their remedy is another one: the same text in another Unicode
  normal form (`NORMAL_FORM`), and types that no value is common to (`TYPE`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.errors import InputError
from trueup.frame import FeatureFrame, Status
from trueup.parity.kinds import has_numbers, is_comparable, plain
from trueup.parity.likeness import Codes, Likeness, likeness
from trueup.parity.numbers import EXACT, Mask, Tolerance

__all__ = [
    "EXACT",
    "MISMATCHES",
    "NO_TIME",
    "Cells",
    "Codes",
    "Comparison",
    "Counts",
    "Mask",
    "Outcome",
    "States",
    "Tolerance",
    "add_counts",
    "cells",
    "common_type",
    "compare",
    "count",
    "outcomes",
]

NO_TIME = np.iinfo(np.int64).min
"""The event time of a cell that has none."""


class Outcome(IntEnum):
    """What comparing one cell gave. From VALUE on it is a mismatch."""

    NOT_COMPARED = 0
    EQUAL = 1
    WITHIN_TOLERANCE = 2
    STALE_EQUAL = 3
    """Same value (exactly or within tolerance) and status, other event time."""
    FORGOTTEN = 4
    """Recomputed EXPIRED, served MISSING: an expired row that the online store does not hold any more."""
    VALUE = 5
    """Both PRESENT, values differ."""
    NAN_NULL = 6
    """NaN on one side, null on the other."""
    STATUS = 7
    """The statuses differ in any other way."""
    NORMAL_FORM = 8
    """Both PRESENT, the same text in another Unicode normal form: an encoder sees two categories."""
    TYPE = 9
    """Both PRESENT, of types that no value is common to: a string against a number."""


MISMATCHES: Mapping[Outcome, str] = {
    Outcome.VALUE: "value",
    Outcome.NAN_NULL: "nan_null",
    Outcome.STATUS: "status",
    Outcome.NORMAL_FORM: "normal_form",
    Outcome.TYPE: "type",
}
"""Each outcome that is a mismatch, and the field of `Counts` it is counted in."""


@dataclass(frozen=True)
class Cells:
    """One feature of some rows.

    values: Arrow array, in the plain form of its type (see `kinds`). statuses: `Status` numbers, 0 where none was
    recorded. times: event times in microseconds since 1970 UTC, NO_TIME where there is none; None for a feature that
    has no event time of its own (an on-demand one). dtype: Feast type, where it says more than the Arrow type: `Json`
    is compared by what it says, `Set(...)` as a set.
    """

    values: pa.Array
    statuses: Codes
    times: npt.NDArray[np.int64] | None
    dtype: str | None = None

    def __len__(self) -> int:
        return len(self.statuses)

    def take(self, rows: npt.NDArray[Any]) -> Cells:
        """These rows (a boolean mask or row numbers)."""
        positions = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return Cells(
            self.values.take(pa.array(positions)),
            self.statuses[positions],
            self.times[positions] if self.times is not None else None,
            self.dtype,
        )


def cells(frame: FeatureFrame, column: str, view: str | None, dtype: str | None = None) -> Cells:
    """One column of a frame. view: the column of its event times; None or an absent one means it has none."""
    times = None
    if view is not None and view in frame.event_timestamps.column_names:
        instants = _flat(frame.event_timestamps.column(view)).cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
        times = _filled(instants, int(NO_TIME))
    statuses = _filled(_flat(frame.statuses.column(column)).cast(pa.int8()), 0)
    return Cells(plain(_flat(frame.values.column(column))), statuses, times, dtype)


def outcomes(served: Cells, recomputed: Cells, tolerance: Tolerance = EXACT, dtype: str | None = None) -> Codes:
    """One `Outcome` per row. dtype: the Feast type; by default the served cells'."""
    left, right = served.statuses, recomputed.statuses
    both_present = (left == Status.PRESENT) & (right == Status.PRESENT)
    alike = likeness(served.values, recomputed.values, tolerance, dtype or served.dtype)
    agree = np.where(both_present, alike <= Likeness.CLOSE, left == right)

    codes = np.full(len(served), Outcome.STATUS, np.int8)
    codes[both_present] = _OF_VALUES[alike[both_present]]
    codes[_nan_null(served, recomputed) | _nan_null(recomputed, served)] = Outcome.NAN_NULL
    codes[agree & ~both_present] = Outcome.EQUAL
    if served.times is not None and recomputed.times is not None:
        codes[agree & (served.times != recomputed.times)] = Outcome.STALE_EQUAL
    codes[(left == Status.MISSING) & (right == Status.EXPIRED)] = Outcome.FORGOTTEN
    codes[(left == 0) | (right == 0)] = Outcome.NOT_COMPARED
    return codes


_OF_VALUES = np.zeros(len(Likeness), np.int8)
"""Likeness of two values -> outcome."""
_OF_VALUES[Likeness.SAME] = Outcome.EQUAL
_OF_VALUES[Likeness.CLOSE] = Outcome.WITHIN_TOLERANCE
_OF_VALUES[Likeness.NORMAL_FORM] = Outcome.NORMAL_FORM
_OF_VALUES[Likeness.DIFFERENT] = Outcome.VALUE
_OF_VALUES[Likeness.OTHER_KIND] = Outcome.TYPE


@dataclass(frozen=True)
class States:
    """How many cells of one side are not PRESENT, by state."""

    null: int = 0
    missing: int = 0
    expired: int = 0

    def __add__(self, other: States) -> States:
        return States(self.null + other.null, self.missing + other.missing, self.expired + other.expired)


@dataclass(frozen=True)
class Counts:
    """Cells of one feature. compared = equal + mismatched, and mismatched is the sum of value, nan_null, status,
    normal_form and type.

    equal includes within_tolerance, stale_equal and forgotten. served, recomputed: states of each side, over all cells.
    uncompared: reason -> cells that could not be compared.
    """

    compared: int = 0
    equal: int = 0
    within_tolerance: int = 0
    stale_equal: int = 0
    forgotten: int = 0
    value: int = 0
    nan_null: int = 0
    status: int = 0
    served: States = field(default_factory=States)
    recomputed: States = field(default_factory=States)
    uncompared: Mapping[str, int] = field(default_factory=dict)
    normal_form: int = 0
    type: int = 0

    @property
    def mismatched(self) -> int:
        return sum(getattr(self, name) for name in MISMATCHES.values())

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            compared=self.compared + other.compared,
            equal=self.equal + other.equal,
            within_tolerance=self.within_tolerance + other.within_tolerance,
            stale_equal=self.stale_equal + other.stale_equal,
            forgotten=self.forgotten + other.forgotten,
            value=self.value + other.value,
            nan_null=self.nan_null + other.nan_null,
            status=self.status + other.status,
            served=self.served + other.served,
            recomputed=self.recomputed + other.recomputed,
            uncompared=add_counts(self.uncompared, other.uncompared),
            normal_form=self.normal_form + other.normal_form,
            type=self.type + other.type,
        )


@dataclass(frozen=True)
class Comparison:
    """codes: feature -> `Outcome` per row. counts: feature -> their totals. In the recomputed frame's order."""

    codes: Mapping[str, Codes]
    counts: Mapping[str, Counts]

    def mismatches(self) -> dict[str, Mask]:
        """Feature -> which rows mismatch, for the features that have any."""
        return {name: codes >= Outcome.VALUE for name, codes in self.codes.items() if self.counts[name].mismatched}


def compare(
    served: FeatureFrame,
    recomputed: FeatureFrame,
    *,
    views: Mapping[str, str],
    tolerances: Mapping[str, Tolerance] | None = None,
    dtypes: Mapping[str, str] | None = None,
) -> Comparison:
    """Every feature of both frames, row by row; row i of one is row i of the other.

    views: feature -> the view whose event times are its own (on-demand features have none). tolerances:
    feature -> tolerance; exact without one. dtypes: feature -> Feast type, for those where it says more than the
    Arrow type (`Json`, `Set(...)`). A feature that only one side has, or of a type that has no comparison, is counted
    as uncompared. Raises InputError for a tolerance of a feature that holds no numbers or is not there.
    """
    if served.num_rows != recomputed.num_rows:
        raise ValueError(f"frames of different rows: {served.num_rows} served, {recomputed.num_rows} recomputed")
    tolerances, dtypes = tolerances or {}, dtypes or {}
    _check_tolerances(tolerances, recomputed)
    codes: dict[str, Codes] = {}
    counts: dict[str, Counts] = {}
    for column in dict.fromkeys((*recomputed.columns, *served.columns)):
        rows = recomputed.num_rows
        only = "served" if column not in recomputed.columns else "recomputed" if column not in served.columns else None
        if only is not None:
            codes[column] = np.zeros(rows, np.int8)
            counts[column] = Counts(uncompared={f"only {only}": rows} if rows else {})
            continue
        view = views.get(column)
        pair = common_type(cells(served, column, view), cells(recomputed, column, view))
        if isinstance(pair, str):
            codes[column] = np.zeros(rows, np.int8)
            counts[column] = Counts(uncompared={pair: rows} if rows else {})
            continue
        codes[column] = outcomes(*pair, tolerances.get(column, EXACT), dtypes.get(column))
        counts[column] = count(codes[column], *pair)
    return Comparison(codes, counts)


def add_counts(left: Mapping[str, int], right: Mapping[str, int]) -> dict[str, int]:
    """Sums by name; the order is the first's, then the second's."""
    total = dict(left)
    for name, count in right.items():
        total[name] = total.get(name, 0) + count
    return total


def count(codes: Codes, served: Cells, recomputed: Cells) -> Counts:
    number = [int(count) for count in np.bincount(codes, minlength=len(Outcome))]
    equal = sum(number[Outcome.EQUAL : Outcome.VALUE])
    no_status = number[Outcome.NOT_COMPARED]
    return Counts(
        compared=equal + sum(number[outcome] for outcome in MISMATCHES),
        equal=equal,
        within_tolerance=number[Outcome.WITHIN_TOLERANCE],
        stale_equal=number[Outcome.STALE_EQUAL],
        forgotten=number[Outcome.FORGOTTEN],
        **{name: number[outcome] for outcome, name in MISMATCHES.items()},
        served=_states(served),
        recomputed=_states(recomputed),
        uncompared={"no status": no_status} if no_status else {},
    )


def _states(side: Cells) -> States:
    number = np.bincount(np.clip(side.statuses, 0, None), minlength=len(Status) + 1)
    return States(int(number[Status.NULL]), int(number[Status.MISSING]), int(number[Status.EXPIRED]))


def _check_tolerances(tolerances: Mapping[str, Tolerance], frame: FeatureFrame) -> None:
    for column in tolerances:
        if column not in frame.columns:
            raise InputError(
                column, f"tolerance for {column!r}: no such feature; there are {', '.join(frame.columns)}."
            )
        type_ = frame.values.schema.field(column).type
        if not has_numbers(type_):
            raise InputError(column, f"tolerance for {column!r}: it is {type_}; only numbers have a tolerance.")


def common_type(served: Cells, recomputed: Cells) -> tuple[Cells, Cells] | str:
    """Both sides in one type that holds every value of either, if there is one, else as they are; or why their
    values cannot be compared at all. Of types that no value is common to, every pair of values is `Outcome.TYPE`."""
    left, right = served.values.type, recomputed.values.type
    if left == right and is_comparable(left):
        return served, recomputed
    for side, type_ in (("served", left), ("recomputed", right)):
        if not is_comparable(type_):
            return f"{side} as {type_}"
    for widths in ((pa.int8(), pa.int16(), pa.int32(), pa.int64()), (pa.float16(), pa.float32(), pa.float64())):
        if left in widths and right in widths:
            wide = max(left, right, key=widths.index)
            return (
                replace(served, values=served.values.cast(wide)),
                replace(recomputed, values=recomputed.values.cast(wide)),
            )
    return served, recomputed


def _nan_null(one: Cells, other: Cells) -> Mask:
    if not pa.types.is_floating(one.values.type):
        return np.zeros(len(one), np.bool_)
    found: Mask = (one.statuses == Status.PRESENT) & (other.statuses == Status.NULL)
    if found.any():
        found[found] = np.isnan(_filled(one.values.filter(pa.array(found)), 0.0))
    return found


def _filled(array: pa.Array, fill: Any) -> npt.NDArray[Any]:
    """As numpy, nulls replaced: an Arrow array with nulls would become floats, and integers would be rounded."""
    if array.null_count:
        array = pc.fill_null(array, pa.scalar(fill, array.type))
    return np.asarray(array.to_numpy(zero_copy_only=False))


def _flat(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
