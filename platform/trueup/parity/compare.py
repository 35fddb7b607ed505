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
- Everything else is exact: float32 and float64 bit for bit (unless a `Tolerance` says otherwise), int64 beyond
  2^53 as integers, timestamps in microseconds, strings by code point, lists element by element with nulls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.errors import InputError
from trueup.frame import FeatureFrame, Status

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int8]

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


@dataclass(frozen=True)
class Tolerance:
    """How far apart two numbers may be and still count as equal. Any one of the three suffices; 0 is exact.

    absolute: of the difference. relative: of the difference, as a share of the recomputed magnitude.
    ulps: floats that lie between the two, counted in the feature's own width. Infinities and NaN are always
    exact.
    """

    absolute: float = 0.0
    relative: float = 0.0
    ulps: int = 0

    def __post_init__(self) -> None:
        for name, value in (("absolute", self.absolute), ("relative", self.relative), ("ulps", self.ulps)):
            if not 0 <= value < float("inf"):
                raise InputError(f"tolerance.{name}", f"tolerance: {name} is {value}; expected 0 or a positive number.")

    def __bool__(self) -> bool:
        return bool(self.absolute or self.relative or self.ulps)


EXACT = Tolerance()


@dataclass(frozen=True)
class Cells:
    """One feature of some rows.

    values: Arrow array. statuses: `Status` numbers, 0 where none was recorded. times: event times in
    microseconds since 1970 UTC, NO_TIME where there is none; None for a feature that has no event time of its
    own (an on-demand one).
    """

    values: pa.Array
    statuses: Codes
    times: npt.NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.statuses)

    def take(self, rows: npt.NDArray[Any]) -> Cells:
        """These rows (a boolean mask or row numbers)."""
        positions = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return Cells(
            self.values.take(pa.array(positions)),
            self.statuses[positions],
            self.times[positions] if self.times is not None else None,
        )


def cells(frame: FeatureFrame, column: str, view: str | None) -> Cells:
    """One column of a frame. view: the column of its event times; None or an absent one means it has none."""
    times = None
    if view is not None and view in frame.event_timestamps.column_names:
        instants = _flat(frame.event_timestamps.column(view)).cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
        times = _filled(instants, int(NO_TIME))
    statuses = _filled(_flat(frame.statuses.column(column)).cast(pa.int8()), 0)
    return Cells(_flat(frame.values.column(column)), statuses, times)


def outcomes(served: Cells, recomputed: Cells, tolerance: Tolerance = EXACT) -> Codes:
    """One `Outcome` per row. Both sides must have the same Arrow type (see `compare` for other types)."""
    left, right = served.statuses, recomputed.statuses
    both_present = (left == Status.PRESENT) & (right == Status.PRESENT)
    exact, close = _same(served.values, recomputed.values, tolerance)
    agree = np.where(both_present, close, left == right)

    codes = np.full(len(served), Outcome.STATUS, np.int8)
    codes[both_present] = Outcome.VALUE
    codes[_nan_null(served, recomputed) | _nan_null(recomputed, served)] = Outcome.NAN_NULL
    codes[agree] = Outcome.EQUAL
    codes[agree & both_present & ~exact] = Outcome.WITHIN_TOLERANCE
    if served.times is not None and recomputed.times is not None:
        codes[agree & (served.times != recomputed.times)] = Outcome.STALE_EQUAL
    codes[(left == Status.MISSING) & (right == Status.EXPIRED)] = Outcome.FORGOTTEN
    codes[(left == 0) | (right == 0)] = Outcome.NOT_COMPARED
    return codes


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
    """Cells of one feature. compared = equal + mismatched, and mismatched = value + nan_null + status.

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

    @property
    def mismatched(self) -> int:
        return self.value + self.nan_null + self.status

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
) -> Comparison:
    """Every feature of both frames, row by row; row i of one is row i of the other.

    views: feature -> the view whose event times are its own (on-demand features have none). tolerances:
    feature -> tolerance; exact without one. A feature that only one side has, or whose types cannot be
    compared, is counted as uncompared. Numbers of different widths are compared in the wider type, where that
    loses nothing. Raises InputError for a tolerance of a feature that is no number or is not there.
    """
    if served.num_rows != recomputed.num_rows:
        raise ValueError(f"frames of different rows: {served.num_rows} served, {recomputed.num_rows} recomputed")
    tolerances = tolerances or {}
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
        codes[column] = outcomes(*pair, tolerances.get(column, EXACT))
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
    mismatched = number[Outcome.VALUE] + number[Outcome.NAN_NULL] + number[Outcome.STATUS]
    no_status = number[Outcome.NOT_COMPARED]
    return Counts(
        compared=equal + mismatched,
        equal=equal,
        within_tolerance=number[Outcome.WITHIN_TOLERANCE],
        stale_equal=number[Outcome.STALE_EQUAL],
        forgotten=number[Outcome.FORGOTTEN],
        value=number[Outcome.VALUE],
        nan_null=number[Outcome.NAN_NULL],
        status=number[Outcome.STATUS],
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
        kind = frame.values.schema.field(column).type
        while pa.types.is_list(kind):
            kind = kind.value_type
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
            raise InputError(column, f"tolerance for {column!r}: it is {kind}; only numbers have a tolerance.")


def common_type(served: Cells, recomputed: Cells) -> tuple[Cells, Cells] | str:
    """Both sides in one type that holds every value of either, or why there is none."""
    left, right = served.values.type, recomputed.values.type
    if left == right:
        return served, recomputed
    for widths in ((pa.int8(), pa.int16(), pa.int32(), pa.int64()), (pa.float16(), pa.float32(), pa.float64())):
        if left in widths and right in widths:
            wide = max(left, right, key=widths.index)
            return (
                Cells(served.values.cast(wide), served.statuses, served.times),
                Cells(recomputed.values.cast(wide), recomputed.statuses, recomputed.times),
            )
    return f"served as {left}, recomputed as {right}"


def _nan_null(one: Cells, other: Cells) -> Mask:
    if not pa.types.is_floating(one.values.type):
        return np.zeros(len(one), np.bool_)
    nan = _filled(pc.is_nan(one.values), False)
    found: Mask = (one.statuses == Status.PRESENT) & nan & (other.statuses == Status.NULL)
    return found


def _same(left: pa.Array, right: pa.Array, tolerance: Tolerance) -> tuple[Mask, Mask]:
    """Per element: equal exactly, and equal within the tolerance. Null equals null and nothing else."""
    valid_left, valid_right = _valid(left), _valid(right)
    both = valid_left & valid_right
    kind = left.type
    if pa.types.is_null(kind):
        exact = close = both
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        exact, close = _same_lists(left, right, both, tolerance)
    elif pa.types.is_floating(kind):
        exact, close = _same_floats(_filled(left, 0.0), _filled(right, 0.0), tolerance)
    elif pa.types.is_integer(kind):
        exact, close = _same_integers(_filled(left, 0), _filled(right, 0), tolerance)
    elif pa.types.is_timestamp(kind):
        exact = close = _filled(left.cast(pa.int64()), 0) == _filled(right.cast(pa.int64()), 0)
    else:
        exact = close = _filled(pc.equal(left, right), False)
    neither = ~valid_left & ~valid_right
    return (exact & both) | neither, (close & both) | neither


def _same_lists(left: pa.Array, right: pa.Array, both: Mask, tolerance: Tolerance) -> tuple[Mask, Mask]:
    lengths = _filled(pc.list_value_length(left), -1).astype(np.int64)
    paired = both & (lengths == _filled(pc.list_value_length(right), -1))
    rows = np.flatnonzero(paired)
    chosen = pa.array(rows)
    owner = np.repeat(rows, lengths[rows])
    inner_exact, inner_close = _same(left.take(chosen).flatten(), right.take(chosen).flatten(), tolerance)
    exact, close = paired.copy(), paired.copy()
    exact[owner[~inner_exact]] = False
    close[owner[~inner_close]] = False
    return exact, close


def _same_floats(left: npt.NDArray[Any], right: npt.NDArray[Any], tolerance: Tolerance) -> tuple[Mask, Mask]:
    exact = (left == right) | (np.isnan(left) & np.isnan(right))
    if not tolerance:
        return exact, exact
    finite = np.isfinite(left) & np.isfinite(right) & ~exact
    one, other = left[finite].astype(np.float64), right[finite].astype(np.float64)
    with np.errstate(over="ignore"):  # two finite numbers can be further apart than the largest float
        near = np.abs(one - other) <= np.maximum(tolerance.absolute, tolerance.relative * np.abs(other))
    if tolerance.ulps:
        near |= _ulps_apart(left[finite], right[finite]) <= np.uint64(tolerance.ulps)
    close = exact.copy()
    close[finite] = near
    return exact, close


def _ulps_apart(left: npt.NDArray[Any], right: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """Steps from one float to the other. The bits of floats, read as integers, keep the floats' order once
    those of negative numbers are turned round (so that -0.0 and 0.0 meet)."""
    signed, lowest = (np.int32, np.iinfo(np.int32).min) if left.dtype == np.float32 else (np.int64, NO_TIME)

    def order(numbers: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        bits: npt.NDArray[np.int64] = np.ascontiguousarray(numbers).view(signed).astype(np.int64)
        return np.where(bits < 0, lowest - bits, bits)

    return _distance(order(left), order(right))


def _same_integers(left: npt.NDArray[Any], right: npt.NDArray[Any], tolerance: Tolerance) -> tuple[Mask, Mask]:
    exact: Mask = left == right
    if not tolerance:
        return exact, exact
    distance = _distance(left.astype(np.int64), right.astype(np.int64))
    magnitude = np.abs(right.astype(np.float64))
    close = exact | (distance.astype(np.float64) <= np.maximum(tolerance.absolute, tolerance.relative * magnitude))
    return exact, close


def _distance(left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """|left - right| without overflow: modulo 2^64 the difference of the larger and the smaller is exact."""
    high, low = np.maximum(left, right), np.minimum(left, right)
    return high.view(np.uint64) - low.view(np.uint64)


def _valid(array: pa.Array) -> Mask:
    return np.asarray(array.is_valid().to_numpy(zero_copy_only=False), np.bool_)


def _filled(array: pa.Array, fill: Any) -> npt.NDArray[Any]:
    """As numpy, nulls replaced: an Arrow array with nulls would become floats, and integers would be rounded."""
    if array.null_count:
        array = pc.fill_null(array, pa.scalar(fill, array.type))
    return np.asarray(array.to_numpy(zero_copy_only=False))


def _flat(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
