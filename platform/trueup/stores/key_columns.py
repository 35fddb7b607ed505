"""Many entity keys at once (`trueup.stores.entity_key`): columns to bytes, bytes to columns. Pure."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import mmh3
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trueup.contracts.contract import JoinKey
from trueup.frame import EVENT_TIME
from trueup.instants import EPOCH
from trueup.stores.entity_key import DUMMY_KEY, KeyLayout, KeyPartError, key_prefix

OTHER_PROJECT = "keys of another project"
UNDECODABLE = "keys that cannot be decoded"
OTHER_KEY_TYPE = "keys whose parts have other types than declared"
SEED = 20131101
"""Of the hash that sampling goes by. Another seed is another sample."""

_CODES = {"Bytes": 1, "String": 2, "Int32": 3, "Int64": 4, "UnixTimestamp": 8}
_WIDTHS = {"Int32": 4, "Int64": 8}
_HEADER = struct.Struct("<II")


@dataclass(frozen=True)
class ScannedKeys:
    """Entities that a store holds. columns: one a join key, of its declared type. skipped: reason -> keys."""

    columns: pa.Table
    skipped: Mapping[str, int] = field(default_factory=dict)


class KeyColumns:
    """The keys of one set of join keys, in any project: bytes without the project's name, as SQLite holds them."""

    def __init__(self, keys: Sequence[JoinKey]) -> None:
        self.keys = tuple(keys)
        self._layout = KeyLayout("", tuple((item.name, item.dtype) for item in keys))
        self.prefix = key_prefix([item.name for item in keys] or [DUMMY_KEY[0]])
        self._sorted = sorted(keys, key=lambda item: item.name)

    @property
    def schema(self) -> pa.Schema:
        """Of the key columns; a view without keys has one that says nothing."""
        return pa.schema([(item.name, _arrow(item.dtype)) for item in self.keys] or [(DUMMY_KEY[0], pa.string())])

    def encode(self, rows: pa.Table) -> list[bytes | None]:
        """The key of each row; None for one that no store can hold (a null part, an instant below a second)."""
        if not self.keys:
            return [self._layout.encode(())] * rows.num_rows
        columns = [rows.column(item.name).to_pylist() for item in self.keys]
        if len(self.keys) == 1 and self.keys[0].dtype == "Int64":
            head, pack = self.prefix + _HEADER.pack(_CODES["Int64"], 8), struct.Struct("<q").pack
            return [None if value is None else head + pack(value) for value in columns[0]]
        return [self._one(values) for values in zip(*columns, strict=True)]

    def _one(self, values: Sequence[Any]) -> bytes | None:
        if any(value is None for value in values):
            return None
        try:
            return self._layout.encode(values)
        except KeyPartError:
            return None

    def decode(self, keys: Sequence[bytes], project: str) -> ScannedKeys:
        """The entities of these keys that end with `project` (empty: the store's keys do not name it)."""
        suffix = project.encode()
        keys, arrays = self._fixed(keys, suffix)
        found: list[tuple[Any, ...]] = []
        skipped: dict[str, int] = {}
        for key in keys:
            values = self._values(key, suffix)
            if isinstance(values, str):
                skipped[values] = skipped.get(values, 0) + 1
            else:
                found.append(values)
        columns = list(zip(*found, strict=True)) if found else [()] * len(self.schema)
        rest = [pa.array(list(column), item.type) for column, item in zip(columns, self.schema, strict=True)]
        parts = [pa.table(some, schema=self.schema) for some in (arrays, rest) if some]
        return ScannedKeys(pa.concat_tables(parts).combine_chunks(), skipped)

    def _fixed(self, keys: Sequence[bytes], suffix: bytes) -> tuple[Sequence[bytes], list[pa.Array]]:
        """Keys of integers alone, this project's, read as one matrix; first the keys that are still to be read."""
        if not self.keys or any(item.dtype not in _WIDTHS for item in self.keys):
            return keys, []
        pattern = [np.frombuffer(self.prefix, np.uint8)]
        places, at = {}, len(self.prefix)
        for item in self._sorted:
            width = _WIDTHS[item.dtype]
            places[item.name] = slice(at + _HEADER.size, at + _HEADER.size + width)
            pattern += [
                np.frombuffer(_HEADER.pack(_CODES[item.dtype], width), np.uint8),
                np.zeros(width, np.uint8),
            ]
            at += _HEADER.size + width
        pattern.append(np.frombuffer(suffix, np.uint8))
        whole = np.concatenate(pattern)
        free = np.zeros(len(whole), np.bool_)
        for place in places.values():
            free[place] = True
        sized = [key for key in keys if len(key) == len(whole)]
        matrix = np.frombuffer(b"".join(sized), np.uint8).reshape(-1, len(whole))
        ours = ((matrix == whole) | free).all(axis=1)
        others = [key for key, mine in zip(sized, ours, strict=True) if not mine] if not ours.all() else []
        others += [key for key in keys if len(key) != len(whole)] if len(sized) != len(keys) else []
        chosen = matrix[ours]
        arrays = [
            pa.array(np.ascontiguousarray(chosen[:, places[item.name]]).view(f"<i{_WIDTHS[item.dtype]}").reshape(-1))
            for item in self.keys
        ]
        return others, arrays

    def _values(self, key: bytes, suffix: bytes) -> tuple[Any, ...] | str:
        """The parts in the order of `keys`, or why there are none.

        Feast ends a key with the project's name and no delimiter, so the end alone does not tell `prod` from
        `myprod`: the parts are walked over, and what is left must be the name and nothing else.
        """
        if not key.startswith(self.prefix):
            return UNDECODABLE
        at = len(self.prefix)
        parts = []
        for _ in self._sorted or (None,):
            if at + _HEADER.size > len(key):
                return UNDECODABLE
            code, length = _HEADER.unpack_from(key, at)
            at += _HEADER.size
            parts.append((code, key[at : at + length]))
            at += length
            if at > len(key) or code not in _CODES.values():
                return UNDECODABLE
        if key[at:] != suffix:
            return OTHER_PROJECT if suffix else UNDECODABLE
        if not self.keys:
            return ("",)
        values = {}
        for item, (code, data) in zip(self._sorted, parts, strict=True):
            if code != _CODES[item.dtype]:
                return OTHER_KEY_TYPE
            try:
                values[item.name] = _PARTS[item.dtype](data)
            except (struct.error, UnicodeDecodeError, OverflowError):
                return UNDECODABLE
        return tuple(values[item.name] for item in self.keys)


def sample_hashes(keys: Sequence[bytes]) -> npt.NDArray[np.uint64]:
    """A stable 64-bit hash of each key (without the project): the same on every machine, in both directions."""
    return np.fromiter((mmh3.hash64(key, SEED, signed=False)[0] for key in keys), np.uint64, len(keys))


def in_sample(keys: Sequence[bytes], share: float) -> npt.NDArray[np.bool_]:
    """Which keys are in the sample of this share (0 to 1); a smaller sample is part of a larger one."""
    if share >= 1:
        return np.ones(len(keys), np.bool_)
    chosen: npt.NDArray[np.bool_] = sample_hashes(keys) < np.uint64(int(share * 2.0**64))
    return chosen


def _arrow(dtype: str) -> pa.DataType:
    kinds = {"Bytes": pa.binary(), "String": pa.string(), "Int32": pa.int32(), "Int64": pa.int64()}
    return kinds.get(dtype, EVENT_TIME)


def _integer(kind: str) -> Callable[[bytes], Any]:
    pack = struct.Struct(kind)
    return lambda data: pack.unpack(data)[0]


_PARTS: dict[str, Callable[[bytes], Any]] = {
    "Bytes": bytes,
    "String": lambda data: data.decode(),
    "Int32": _integer("<i"),
    "Int64": _integer("<q"),
    "UnixTimestamp": lambda data: EPOCH + timedelta(seconds=struct.unpack("<q", data)[0]),
}
