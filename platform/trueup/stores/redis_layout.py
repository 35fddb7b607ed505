"""Feast's layout of an entity's hash in Redis: fields and event times. Pure: no I/O, no Feast.

One hash per entity key, shared by every view with that key. Each view keeps two kinds of fields in it:
`_ts:{view}`, the event time of its row, and one per feature, named by a 32-bit hash of `{view}:{feature}`.
Keys are in `entity_key`, values in `value_types`. A field that is not there was never written.
Byte-identical with Feast 0.67.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache

import mmh3

from trueup.errors import ContractError, StoreError
from trueup.instants import EPOCH, as_utc
from trueup.stores.protobuf import read_varint, signed, varint


def value_field(view: str, feature: str) -> bytes:
    """Hash field of a feature. With view versioning, `view` is `name_vN` (N > 0)."""
    return struct.pack("<I", mmh3.hash(f"{view}:{feature}", signed=False))


def time_field(view: str) -> bytes:
    """Hash field of a view's event time."""
    return f"_ts:{view}".encode()


def scan_pattern(prefix: bytes) -> bytes:
    """A SCAN pattern of all keys that start with just these bytes. A coarse sieve: any project's, whatever follows."""
    special = b"*?[]\\^-"
    return b"".join(b"\\" + bytes((byte,)) if byte in special else bytes((byte,)) for byte in prefix) + b"*"


def check_collisions(features: Iterable[tuple[str, str]]) -> None:
    """Raises ContractError if two (view, feature) pairs that can share an entity key share a hash field.

    One of them would be served the other's values, and nothing in the store could tell.
    """
    seen: dict[bytes, tuple[str, str]] = {}
    for view, feature in features:
        other = seen.setdefault(value_field(view, feature), (view, feature))
        if other != (view, feature):
            raise ContractError(
                f"{view}:{feature} and {other[0]}:{other[1]} have the same 32-bit field in Redis, "
                "so one would be served the other's values.",
                hint="Rename one of them.",
            )


def encode_time(instant: datetime) -> bytes:
    """A protobuf Timestamp of an instant (a naive one is UTC). The epoch itself is empty bytes."""
    seconds, rest = divmod(as_utc(instant) - EPOCH, timedelta(seconds=1))
    nanos = rest.microseconds * 1000
    return (b"\x08" + varint(seconds) if seconds else b"") + (b"\x10" + varint(nanos) if nanos else b"")


@lru_cache(maxsize=65536)
def decode_time(raw: bytes) -> int:
    """Microseconds since 1970 (UTC) of a protobuf Timestamp; finer parts are cut off, towards the past."""
    seconds = nanos = 0
    at = 0
    try:
        while at < len(raw):
            tag = raw[at]
            number, at = read_varint(raw, at + 1)
            if tag == 0x08:
                seconds = signed(number)
            elif tag == 0x10:
                nanos = signed(number)
            else:
                raise IndexError
    except IndexError:
        raise StoreError(
            f"an event time in the online store is not a protobuf Timestamp: {raw[:32].hex()}.",
            hint="Something other than Feast wrote there; delete the key and materialize again.",
        ) from None
    return seconds * 1_000_000 + nanos // 1000


def instant_of(microseconds: int) -> datetime:
    """The aware UTC datetime of microseconds since 1970."""
    return EPOCH + timedelta(microseconds=microseconds)
