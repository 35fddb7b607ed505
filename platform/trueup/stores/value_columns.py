"""A column of stored values (`trueup.stores.value_types`) decoded at once. Pure.

The raw bytes of a column are joined and read as arrays, where all its values have the declared type; otherwise value
by value, with the same answer. What the per-value decoder refuses is no error here: a check of a whole store counts
such cells and goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trueup.contracts.dtypes import arrow_type
from trueup.errors import StoreError
from trueup.frame import Status
from trueup.instants import EPOCH
from trueup.stores.protobuf import varint
from trueup.stores.redis_layout import decode_time
from trueup.stores.value_decoder import decoder
from trueup.stores.value_types import NULL_SECONDS, StoredTypeError

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

NO_TIME = int(np.iinfo(np.int64).min)
"""Event time of a row that is not there."""
BAD_TIME = NO_TIME + 1
"""Event time of a row whose bytes are no Timestamp."""
NO_VALUE = "no Feast value"
"""Stands for the stored type of bytes that are none."""

_LEAST_SECONDS = (datetime.min.replace(tzinfo=UTC) - EPOCH) // timedelta(seconds=1)
_MOST_SECONDS = (datetime.max.replace(tzinfo=UTC) - EPOCH) // timedelta(seconds=1)
_ONE_BYTE, _TWO_BYTES = 0x80, 0x4000
_LONGEST_VARINT, _SHORT_VARINT = 10, 5
_SECONDS_TAG, _NANOS_TAG = 0x08, 0x10


@dataclass(frozen=True)
class StoredColumn:
    """One feature of some rows.

    values: of the declared Arrow type, null unless the status is PRESENT. statuses: PRESENT, NULL, MISSING (the row
    never got the feature), or 0 where the stored bytes are not of the declared type. other_types: type that is stored
    instead -> cells.
    """

    values: pa.Array
    statuses: npt.NDArray[np.int8]
    other_types: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Raws:
    """Stored bytes of a column, row by row: joined, with their lengths (0: null, or none at all).

    absent: rows that have none.
    """

    data: Bytes
    lengths: Ints
    absent: Mask

    @classmethod
    def of(cls, items: Sequence[bytes | None]) -> Raws:
        """None: there are none."""
        absent = np.fromiter((item is None for item in items), np.bool_, len(items))
        given = [item or b"" for item in items]
        lengths = np.fromiter(map(len, given), np.int64, len(given))
        return cls(np.frombuffer(b"".join(given), np.uint8), lengths, absent)

    @classmethod
    def cut(cls, data: Bytes, starts: Ints, lengths: Ints) -> Raws:
        """Out of a larger array; a negative length: there are none."""
        absent = lengths < 0
        lengths = np.where(absent, 0, lengths)
        ends = np.cumsum(lengths)
        place = np.repeat(starts - (ends - lengths), lengths) + np.arange(ends[-1] if len(ends) else 0)
        return cls(data[place], lengths, absent)

    def __len__(self) -> int:
        return len(self.lengths)

    def items(self) -> list[bytes | None]:
        """As `of` takes them."""
        whole, ends = self.data.tobytes(), np.cumsum(self.lengths)
        return [
            None if absent else whole[end - length : end]
            for absent, end, length in zip(self.absent.tolist(), ends.tolist(), self.lengths.tolist(), strict=True)
        ]


def decode_column(raws: Raws, dtype: str, feature: str) -> StoredColumn:
    """One feature's stored bytes. feature: `view:feature`.

    Raises ContractError for a type that trueup does not know.
    """
    read = _AT_ONCE.get(dtype)
    values = None if read is None else read(_Column(raws.data, raws.lengths, raws.lengths > 0))
    if values is None:
        return _one_by_one(raws, dtype, feature)
    return StoredColumn(values, _statuses(values.is_valid(), raws.absent))


def decode_times(raws: Raws) -> Ints:
    """Event times (protobuf Timestamps) in microseconds since 1970. As `decode_time`.

    NO_TIME where there is none, BAD_TIME where the bytes are no Timestamp.
    """
    there = raws.lengths > 0
    times = _timestamps_at_once(raws.data, raws.lengths[there])
    if times is None:
        return np.array([_time(raw) for raw in raws.items()], np.int64)
    found = np.zeros(len(raws), np.int64)
    found[there] = times
    found[raws.absent] = NO_TIME
    return found


def _time(raw: bytes | None) -> int:
    if raw is None:
        return NO_TIME
    try:
        return decode_time(raw)
    except StoreError:
        return BAD_TIME


def _timestamps_at_once(data: Bytes, sizes: Ints) -> Ints | None:
    """Timestamps that are seconds, or seconds and nanoseconds after them; None if one is not (before 1970, say)."""
    ends = np.cumsum(sizes)
    starts = ends - sizes
    if (data[starts] != _SECONDS_TAG).any():
        return None
    seconds = _varints_at(data, starts + 1, ends)
    if seconds is None:
        return None
    whole, at = seconds
    times = whole * 1_000_000
    more = np.flatnonzero(at < ends)
    if (data[at[more]] != _NANOS_TAG).any():
        return None
    nanos = _varints_at(data, at[more] + 1, ends[more])
    if nanos is None or (nanos[1] != ends[more]).any():
        return None
    times[more] += nanos[0] // 1000
    return times


def _varints_at(data: Bytes, starts: Ints, ends: Ints) -> tuple[Ints, Ints] | None:
    """Numbers below 2^35 that begin at `starts`, and where each ends; None if one is larger or does not end in time."""
    value, at, going = np.zeros(len(starts), np.int64), starts.copy(), np.arange(len(starts))
    for shift in range(0, 7 * _SHORT_VARINT, 7):
        if (at[going] >= ends[going]).any():
            return None
        byte = data[at[going]]
        value[going] |= (byte & 0x7F).astype(np.int64) << shift
        at[going] += 1
        going = going[byte >= _ONE_BYTE]
        if not len(going):
            return value, at
    return None


def _one_by_one(raws: Raws, dtype: str, feature: str) -> StoredColumn:
    decode = decoder(dtype, feature)
    target = arrow_type(dtype)
    values: list[Any] = []
    refused: list[int] = []
    other: dict[str, int] = {}
    for row, raw in enumerate(raws.items()):
        value = None
        try:
            value = decode(raw or b"")
            if pa.types.is_nested(target) or pa.types.is_integer(target):
                pa.scalar(value, target)  # an Int32 past its width, or a list of lists of another type
        except StoredTypeError as error:
            refused.append(row)
            other[error.stored] = other.get(error.stored, 0) + 1
        except (StoreError, pa.ArrowException, OverflowError):
            value = None
            refused.append(row)
            other[NO_VALUE] = other.get(NO_VALUE, 0) + 1
        values.append(value)
    array = pa.array(values, target)
    statuses = _statuses(array.is_valid(), raws.absent)
    statuses[refused] = 0
    return StoredColumn(array, statuses, dict(sorted(other.items())))


def _statuses(valid: pa.Array, absent: Mask) -> npt.NDArray[np.int8]:
    statuses = np.where(valid.to_numpy(zero_copy_only=False), np.int8(Status.PRESENT), np.int8(Status.NULL))
    statuses[absent] = Status.MISSING
    return statuses


@dataclass(frozen=True)
class _Column:
    """Joined values: lengths of all rows, and which of them are not empty."""

    data: Bytes
    lengths: Ints
    there: Mask

    @property
    def sizes(self) -> Ints:
        """Lengths of the values that are there."""
        return self.lengths[self.there]

    @property
    def starts(self) -> Ints:
        sizes = self.sizes
        return np.cumsum(sizes) - sizes

    def fixed(self, tag: int, width: int) -> Bytes | None:
        """Payloads of one byte width, one a row of the matrix; None if a value is not so."""
        if len(self.data) != len(self.sizes) * (width + 1) or (self.sizes != width + 1).any():
            return None
        matrix = self.data.reshape(-1, width + 1)
        return None if (matrix[:, 0] != tag).any() else np.ascontiguousarray(matrix[:, 1:])

    def varints(self, tag: int) -> Ints | None:
        """Signed 64-bit integers behind a tag of one byte; None if a value is not so."""
        starts, widths = self.starts, self.sizes - 1
        if not len(starts):
            return np.zeros(0, np.int64)
        if (self.data[starts] != tag).any() or (widths < 1).any() or (widths > _LONGEST_VARINT).any():
            return None
        value = np.zeros(len(starts), np.uint64)
        for at in range(int(widths.max())):
            rows = np.flatnonzero(widths > at)
            byte = self.data[starts[rows] + 1 + at]
            if ((byte >= _ONE_BYTE) != (at < widths[rows] - 1)).any() or (
                at == _LONGEST_VARINT - 1 and (byte > 1).any()
            ):
                return None
            value[rows] |= (byte & 0x7F).astype(np.uint64) << np.uint64(7 * at)
        return value.view(np.int64)

    def spread(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The values that are there, at their rows; zero elsewhere."""
        if len(values) == len(self.lengths):
            return values
        full = np.zeros(len(self.lengths), values.dtype)
        full[self.there] = values
        return full

    def array(self, values: npt.NDArray[Any], kind: pa.DataType) -> pa.Array:
        absent = None if self.there.all() else ~self.there
        return pa.array(self.spread(values), kind, mask=absent)

    def texts(self, tag: bytes) -> tuple[Ints, Bytes] | None:
        """Offsets (one more than rows) and data of what stands behind a tag and a length; None if a value is not so."""
        starts, sizes, first = self.starts, self.sizes, len(tag)
        payload = sizes - first - 1
        long = payload >= _ONE_BYTE
        payload = np.where(long, payload - 1, payload)
        if (payload < 0).any() or (payload >= _TWO_BYTES).any() or (long & (payload < _ONE_BYTE)).any():
            return None
        keep = np.ones(len(self.data), np.bool_)
        for at, byte in enumerate(tag):
            if (self.data[starts + at] != byte).any():
                return None
            keep[starts + at] = False
        low, high = starts + first, (starts + first + 1)[long]
        if (self.data[low] != np.where(long, payload & 0x7F | _ONE_BYTE, payload)).any():
            return None
        if (self.data[high] != payload[long] >> 7).any():
            return None
        keep[low] = keep[high] = False
        offsets = np.zeros(len(self.lengths) + 1, np.int64)
        np.cumsum(self.spread(payload), out=offsets[1:])
        return offsets, self.data[keep]


def _floats(tag: int, kind: str, arrow: pa.DataType) -> Callable[[_Column], pa.Array | None]:
    width = np.dtype(kind).itemsize

    def read(column: _Column) -> pa.Array | None:
        found = column.fixed(tag, width)
        return None if found is None else column.array(found.view(kind).reshape(-1), arrow)

    return read


def _bools(column: _Column) -> pa.Array | None:
    found = column.fixed(0x38, 1)
    if found is None or (found >= _ONE_BYTE).any():
        return None
    return column.array(found.reshape(-1) != 0, pa.bool_())


def _int64(column: _Column) -> pa.Array | None:
    found = column.varints(0x20)
    return None if found is None else column.array(found, pa.int64())


def _int32(column: _Column) -> pa.Array | None:
    found = column.varints(0x18)
    if found is None or (found != found.astype(np.int32)).any():
        return None
    return column.array(found.astype(np.int32), pa.int32())


def _timestamps(column: _Column) -> pa.Array | None:
    found = column.varints(0x40)
    if found is None:
        return None
    null = found == NULL_SECONDS
    seconds = np.where(null, 0, found)
    if ((seconds < _LEAST_SECONDS) | (seconds > _MOST_SECONDS)).any():
        return None
    absent = ~column.there
    absent[column.there] |= null
    kind = pa.timestamp("us", tz="UTC")
    return pa.array(column.spread(seconds * 1_000_000), pa.int64(), mask=absent).cast(kind)


def _texts(tag: bytes, kind: pa.DataType) -> Callable[[_Column], pa.Array | None]:
    def read(column: _Column) -> pa.Array | None:
        found = column.texts(tag)
        if found is None or len(found[1]) > np.iinfo(np.int32).max:
            return None
        offsets, data = found
        valid = None if column.there.all() else pa.array(column.there).buffers()[1]
        buffers = [valid, pa.py_buffer(offsets.astype(np.int32).tobytes()), pa.py_buffer(data.tobytes())]
        array = pa.Array.from_buffers(kind, len(column.lengths), buffers)
        try:
            array.validate(full=True)
        except pa.ArrowInvalid:  # not UTF-8
            return None
        return array

    return read


_AT_ONCE: dict[str, Callable[[_Column], pa.Array | None]] = {
    "Float64": _floats(0x29, "<f8", pa.float64()),
    "Float32": _floats(0x35, "<f4", pa.float32()),
    "Bool": _bools,
    "Int64": _int64,
    "Int32": _int32,
    "UnixTimestamp": _timestamps,
    "Bytes": _texts(varint(1 << 3 | 2), pa.binary()),
    "String": _texts(varint(2 << 3 | 2), pa.string()),
    "Json": _texts(varint(32 << 3 | 2), pa.string()),
    "Uuid": _texts(varint(36 << 3 | 2), pa.string()),
    "TimeUuid": _texts(varint(37 << 3 | 2), pa.string()),
}
"""Reads a whole column, or gives None where it has to be read value by value."""
