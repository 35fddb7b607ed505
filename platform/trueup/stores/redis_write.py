"""Writing rows to Redis so that the newest event time wins, whoever writes in whatever order. Pure: no I/O.

A row lands if and only if its event time is not before the stored one; an equal one is a correction and
lands. The comparison and the write are one script in the server, so two writers cannot interleave.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from trueup.instants import as_utc
from trueup.stores.redis_layout import encode_time, time_field, value_field

SCRIPT = """
-- KEYS: an entity's hash. ARGV: field of the event time, the event time, seconds to keep the hash (0: for ever),
-- then field, value, field, value... Returns 1 if the row landed, 0 if a newer one was there.
-- Varints are not ordered as bytes, and a negative one is the 64-bit complement, which a Lua number cannot hold:
-- its bits are inverted on the way. (The seconds of ten thousand years are fewer than the 2^53 it holds exactly.)
local function timestamp(raw)
  local seconds, nanos, at = 0, 0, 1
  while at <= #raw do
    local tag, number, inverted, scale, count, byte = raw:byte(at), 0, 0, 1, 0, nil
    repeat
      at = at + 1
      count = count + 1
      byte = raw:byte(at)
      if not byte or count > 10 then return nil end
      if count < 10 then
        number = number + byte % 128 * scale
        inverted = inverted + (127 - byte % 128) * scale
        scale = scale * 128
      end
    until byte < 128
    at = at + 1
    if count == 10 then number = -inverted - 1 end
    if tag == 8 then seconds = number elseif tag == 16 then nanos = number else return nil end
  end
  return seconds, nanos
end
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if stored then
  local old_seconds, old_nanos = timestamp(stored)
  if not old_seconds then return redis.error_reply('the stored event time in ' .. ARGV[1] .. ' is no Timestamp') end
  local seconds, nanos = timestamp(ARGV[2])
  if seconds < old_seconds or (seconds == old_seconds and nanos < old_nanos) then return 0 end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
for first = 4, #ARGV, 1000 do
  redis.call('HSET', KEYS[1], unpack(ARGV, first, math.min(first + 999, #ARGV)))
end
if ARGV[3] ~= '0' then redis.call('EXPIRE', KEYS[1], ARGV[3]) end
return 1
"""
SCRIPT_SHA = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
LOAD = ("SCRIPT LOAD", SCRIPT)

BATCH_ROWS = 1000
"""Rows a round trip: enough to hide the trip, few enough to keep a batch of any size out of memory."""

_NEVER = datetime.min.replace(tzinfo=UTC)

Command = tuple[Any, ...]


@dataclass(frozen=True)
class Row:
    """One row of a view for the store. A naive time is UTC. created: when it became known, if that is known.

    values: feature -> serialized value (null is empty bytes).
    """

    key: bytes
    values: Mapping[str, bytes]
    event_time: datetime
    created: datetime | None = None


def newest(rows: Iterable[Row]) -> list[Row]:
    """One row for each key: the latest event time; among equals the later created, then the later given."""
    winners: dict[bytes, Row] = {}
    for row in rows:
        known = winners.get(row.key)
        if known is None or _rank(row) >= _rank(known):
            winners[row.key] = row
    return list(winners.values())


def _rank(row: Row) -> tuple[datetime, datetime]:
    return as_utc(row.event_time), _NEVER if row.created is None else as_utc(row.created)


def compare_and_set(view: str, rows: Sequence[Row], *, keep_seconds: int | None, by_hash: bool = True) -> list[Command]:
    """A command for each row, whose reply is 1 (landed) or 0.

    keep_seconds: when the hash expires, counted from a landed write. by_hash: name the script by its hash (`LOAD`
    must have been sent on the same server); a Redis cluster takes only its text in a pipeline.
    """
    script = ("EVALSHA", SCRIPT_SHA) if by_hash else ("EVAL", SCRIPT)
    fields: dict[str, bytes] = {}
    return [
        (
            *script,
            1,
            row.key,
            time_field(view),
            encode_time(row.event_time),
            keep_seconds or 0,
            *_pairs(view, row.values, fields),
        )
        for row in rows
    ]


def overwrite(view: str, rows: Sequence[Row], *, keep_seconds: int | None) -> list[Command]:
    """Commands that write without looking at what is stored (Feast's `skip_dedup`)."""
    fields: dict[str, bytes] = {}
    commands: list[Command] = []
    for row in rows:
        pairs = _pairs(view, row.values, fields)
        commands.append(("HSET", row.key, time_field(view), encode_time(row.event_time), *pairs))
        if keep_seconds:
            commands.append(("EXPIRE", row.key, keep_seconds))
    return commands


def _pairs(view: str, values: Mapping[str, bytes], fields: dict[str, bytes]) -> list[bytes]:
    pairs: list[bytes] = []
    for feature, value in values.items():
        if feature not in fields:
            fields[feature] = value_field(view, feature)
        pairs += (fields[feature], value)
    return pairs
