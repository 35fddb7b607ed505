"""Replies to many HMGETs of the same fields, as columns. Pure.

The protocol (RESP) is read field by field, all replies of a batch at once: no object is made for a value. That every
reply begins where the one before it ends is checked, which proves the reading; what does not fit is read by hiredis.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import hiredis
import numpy as np
from redis.exceptions import ResponseError

from trueup.stores.value_columns import Bytes, Ints, Raws

_DOLLAR, _MINUS, _RETURN, _ZERO = b"$-\r0"
_LONGEST_NUMBER = 10


def columns_of_replies(replies: bytes, keys: int, fields: int) -> list[Raws]:
    """One column a field, one row a key. Raises ResponseError when a reply is an error."""
    data = np.frombuffer(replies, np.uint8)
    cut = _cut(replies, data, keys, fields)
    if cut is None:
        return _through_hiredis(replies, keys, fields)
    return [Raws.cut(data, starts, lengths) for starts, lengths in cut]


def _cut(replies: bytes, data: Bytes, keys: int, fields: int) -> list[tuple[Ints, Ints]] | None:
    """Start and length of each value, field by field; length -1: nil. None if the replies are not all alike."""
    head = b"*%d\r\n" % fields
    begins = np.array([match.start() for match in re.finditer(re.escape(head + b"$"), replies)], np.int64)
    if len(begins) != keys or not keys or not fields:
        return None
    at = begins + len(head)
    found = []
    for _ in range(fields):
        value = _length(data, at)
        if value is None:
            return None
        starts, lengths = value
        found.append((starts, lengths))
        at = starts + np.where(lengths < 0, 0, lengths + 2)
        if (at > len(data)).any():
            return None
    proven = at[:-1] == begins[1:]
    return found if begins[0] == 0 and proven.all() and at[-1] == len(data) else None


def _length(data: Bytes, at: Ints) -> tuple[Ints, Ints] | None:
    """What `$9\r\n` at each place says: where the value starts, and its length."""
    if (at + 4 > len(data)).any() or (data[at] != _DOLLAR).any():
        return None
    at = at + 1
    nil = data[at] == _MINUS
    at += nil
    length = np.zeros(len(at), np.int64)
    for _ in range(_LONGEST_NUMBER):
        digit = data[at] - np.uint8(_ZERO)  # wraps below zero, to more than nine
        more = digit <= 9
        if not more.any():
            break
        length = np.where(more, length * 10 + digit, length)
        at += more
        if (at + 2 > len(data)).any():
            return None
    if (data[at] != _RETURN).any():
        return None
    return at + 2, np.where(nil, -1, length)


def _through_hiredis(replies: bytes, keys: int, fields: int) -> list[Raws]:
    reader = hiredis.Reader()
    reader.feed(replies)
    rows: list[Sequence[bytes | None]] = []
    for _ in range(keys):
        row = reader.gets()
        if isinstance(row, hiredis.ReplyError):
            raise ResponseError(str(row))
        if not isinstance(row, list) or len(row) != fields:
            raise ResponseError(f"an answer to HMGET of {fields} fields is {str(row)[:60]}")
        rows.append(row)
    return [Raws.of(column) for column in zip(*rows, strict=True)] if rows else [Raws.of([]) for _ in range(fields)]
