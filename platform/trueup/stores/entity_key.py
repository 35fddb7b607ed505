"""Feast's entity keys: who a Redis hash belongs to. Pure: no I/O, no Feast.

A key is the number of join keys, their names in order, their values in the same order, each with its type
and length, and then the project. Byte-identical with Feast 0.67, key format 3.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from trueup.errors import ContractError
from trueup.instants import EPOCH, as_utc
from trueup.stores.native import fitting, integer, unusable

KEY_FORMAT = 3
"""Feast's `entity_key_serialization_version`; Feast 0.67 writes no other without a warning."""

DUMMY_KEY = ("__dummy_id", "String")
"""The join key of a view without entities. Its one value is the empty string."""

_KEY_CODES = {"Bytes": 1, "String": 2, "Int32": 3, "Int64": 4, "UnixTimestamp": 8}
_INTEGER = re.compile(r"[+-]?[0-9]+")
_HEADER = struct.Struct("<II")
_COUNT = struct.Struct("<I")


@dataclass(frozen=True)
class KeyLayout:
    """How the entity keys of one project and one set of join keys are laid out.

    join_keys: (name, Feast type) pairs in the caller's order, in which values are given too; none for a
    view without entities. Raises ContractError for a type Feast cannot put in a key.
    """

    project: str
    join_keys: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        for name, dtype in self.join_keys:
            if dtype not in _KEY_CODES:
                raise ContractError(
                    f"join key {name!r} is {dtype}, which Feast cannot store in an entity key; "
                    f"expected one of {', '.join(_KEY_CODES)}."
                )

    @cached_property
    def _prefix(self) -> bytes:
        return key_prefix(name for name, _ in self.join_keys or (DUMMY_KEY,))

    @cached_property
    def _order(self) -> tuple[tuple[int, Callable[[Any], bytes]], ...]:
        ordered = sorted(enumerate(self.join_keys), key=lambda item: item[1][0])
        return tuple((position, _KEY_PARTS[dtype]) for position, (_, dtype) in ordered)

    @cached_property
    def _suffix(self) -> bytes:
        return self.project.encode()

    def encode(self, values: Sequence[Any]) -> bytes:
        """The Redis key of one entity; values in the order of `join_keys`, none of them None.

        Accepts what Feast accepts, where it means the same: integers also as decimal text, strings also as
        integers. Raises KeyPartError, with the position of the value that cannot be used.
        """
        if not self.join_keys:
            return self._prefix + _key_part("String", b"") + self._suffix
        parts = [self._prefix]
        for position, encode in self._order:
            try:
                parts.append(encode(values[position]))
            except ValueError as error:
                raise KeyPartError(position, str(error)) from None
        parts.append(self._suffix)
        return b"".join(parts)


class KeyPartError(ValueError):
    """A value that cannot be a part of an entity key. position: its place among the values."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(reason)
        self.position = position


def key_prefix(join_keys: Iterable[str]) -> bytes:
    """What every key of these join keys starts with, in any project. No other join keys start so."""
    names = [name.encode() for name in sorted(join_keys)]
    return _COUNT.pack(len(names)) + b"".join(_HEADER.pack(_KEY_CODES["String"], len(name)) + name for name in names)


def project_of(key: bytes, prefix: bytes) -> str | None:
    """Whose key it is: what follows the values. None if it is not an entity key with this prefix.

    Feast ends a key with the project's name and no delimiter, so looking at the end of a key does not tell
    `prod` from `myprod`: the values have to be walked over.
    """
    if not key.startswith(prefix):
        return None
    (count,) = _COUNT.unpack_from(prefix)
    at = len(prefix)
    for _ in range(count):
        if at + _HEADER.size > len(key):
            return None
        code, length = _HEADER.unpack_from(key, at)
        at += _HEADER.size + length
        if code not in _KEY_CODES.values() or at > len(key):
            return None
    return key[at:].decode(errors="surrogateescape")


def _key_part(dtype: str, data: bytes) -> bytes:
    return _HEADER.pack(_KEY_CODES[dtype], len(data)) + data


def _key_bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise unusable(value, "bytes")
    return _key_part("Bytes", value)


def _key_string(value: Any) -> bytes:
    if isinstance(value, str):
        try:
            return _key_part("String", value.encode())
        except UnicodeEncodeError:
            raise unusable(value, "text that UTF-8 can hold") from None
    return _key_part("String", str(integer(value, "a string")).encode())


def _key_int32(value: Any) -> bytes:
    return struct.pack("<IIi", 3, 4, fitting(_whole(value), "Int32"))


def _key_int64(value: Any) -> bytes:
    return struct.pack("<IIq", 4, 8, fitting(_whole(value), "Int64"))


def _key_timestamp(value: Any) -> bytes:
    if isinstance(value, datetime):
        seconds, rest = divmod(as_utc(value) - EPOCH, timedelta(seconds=1))
        if rest:
            # Feast would cut it off, and two entities would become one.
            raise unusable(value, "whole seconds")
    else:
        seconds = integer(value, "a datetime or the seconds since 1970")
    return struct.pack("<IIq", 8, 8, fitting(seconds, "Int64"))


_KEY_PARTS: dict[str, Callable[[Any], bytes]] = {
    "Bytes": _key_bytes,
    "String": _key_string,
    "Int32": _key_int32,
    "Int64": _key_int64,
    "UnixTimestamp": _key_timestamp,
}


def _whole(value: Any) -> int:
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    return integer(value)
