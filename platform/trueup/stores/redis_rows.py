"""A whole Redis in Feast's layout, read in bulk: one HMGET an entity for all views of its key, and SCAN for the list.

Commands are packed by hand and sent many at a time on one of redis-py's connections, and the replies are read as
columns (`redis_replies`): an object a command, or a value, is most of the time otherwise. Nothing is ever written.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa
from redis import exceptions
from typing_extensions import override

from trueup.contracts.contract import View
from trueup.errors import ContractError
from trueup.stores.key_columns import KeyColumns, ScannedKeys
from trueup.stores.online_read import OnlineRows, StoredRows, stored_rows
from trueup.stores.redis_connection import Client, describe, store_errors
from trueup.stores.redis_layout import check_collisions, scan_pattern, time_field, value_field
from trueup.stores.redis_replies import columns_of_replies
from trueup.stores.value_columns import decode_times

ENTITIES_A_SEND = 1_000
"""Commands on their way at once; the next ones are sent before these are read, so that the server never waits."""
SCAN_COUNT = 5_000
RECEIVE_BYTES = 1 << 18


@dataclass(frozen=True)
class RedisRows(OnlineRows):
    """`OnlineRows` of a Redis. applies_ttl: see there. names: feature view -> the name its rows go by (`name_vN` in a
    repository with online versioning), where that is another."""

    client: Client
    applies_ttl: bool = True
    names: Mapping[str, str] = field(default_factory=dict)
    now: datetime | None = None
    lists: bool = True
    whole_seconds: bool = False

    @property
    @override
    def describe(self) -> str:
        return f"{describe(self.client)}{'' if self.applies_ttl else ', TTLs not applied (stock Feast)'}"

    @override
    def reach(self) -> None:
        with store_errors(self.client):
            self.client.ping()

    @override
    def refuses(self, project: str, views: Sequence[View]) -> Mapping[str, str]:
        """Views whose features share a field of the hash: nothing in the store could tell one from the other."""
        refused: dict[str, str] = {}
        for number, view in enumerate(views):
            for other in views[: number + 1]:
                both = (other, view) if other is not view else (view,)
                try:
                    check_collisions((self._name(one), item.name) for one in both for item in one.features)
                except ContractError as error:
                    refused |= {one.table: str(error) for one in both}
        return refused

    @override
    def read(
        self, project: str, views: Sequence[View], rows: pa.Table, keys: Sequence[bytes], now: datetime
    ) -> list[StoredRows]:
        fields: list[bytes] = []
        for view in views:
            fields += [time_field(self._name(view)), *(value_field(self._name(view), f.name) for f in view.features)]
        suffix = project.encode()
        replies = replies_of(self.client, [key + suffix for key in keys], fields)
        with store_errors(self.client):
            columns = columns_of_replies(replies, len(keys), len(fields))
        found, at = [], 0
        for view in views:
            times = decode_times(columns[at])
            values = columns[at + 1 : at + 1 + len(view.features)]
            found.append(stored_rows(view, times, values, ttl_from=now if self.applies_ttl else None))
            at += 1 + len(view.features)
        return found

    @override
    def scan(self, project: str, views: Sequence[View]) -> Iterator[ScannedKeys]:
        layout = KeyColumns(views[0].keys)
        cursor = 0
        while True:
            with store_errors(self.client):
                found: Any = self.client.scan(cursor, match=scan_pattern(layout.prefix), count=SCAN_COUNT)
            cursor, keys = found
            if keys:
                yield layout.decode(keys, project)
            if cursor == 0:
                return

    def _name(self, view: View) -> str:
        return self.names.get(view.table, view.table)


def replies_of(client: Client, keys: Sequence[bytes], fields: Sequence[bytes]) -> bytes:
    """What each hash holds in these fields: the replies to one HMGET a key, as they came.

    Raises StoreError; replies that are errors are among the bytes.
    """
    head = b"*%d\r\n$5\r\nHMGET\r\n" % (len(fields) + 2)
    tail = b"\r\n" + b"".join(b"$%d\r\n%s\r\n" % (len(name), name) for name in fields)
    # After each send an echo of what no value holds: where it comes back, the replies end.
    mark = uuid.uuid4().bytes
    echo, echoed = b"*2\r\n$4\r\nECHO\r\n$16\r\n%b\r\n" % mark, b"$16\r\n%b\r\n" % mark
    sends = [
        b"".join([b"%b$%d\r\n%b%b" % (head, len(key), key, tail) for key in keys[start : start + ENTITIES_A_SEND]])
        for start in range(0, len(keys), ENTITIES_A_SEND)
    ]
    with store_errors(client):
        connection: Any = client.connection_pool.get_connection()
        received = _Received(connection, echoed)
        done = False
        try:
            for number, send in enumerate(sends):
                connection.send_packed_command([send, echo])
                if number:
                    received.take()
            if sends:
                received.take()
            done = True
        finally:
            if not done:
                connection.disconnect()  # replies that nobody reads any more must not meet the next command
            client.connection_pool.release(connection)
    return b"".join(received.parts)


class _Received:
    """What comes back on a connection, up to each echo."""

    def __init__(self, connection: Any, echoed: bytes) -> None:
        self.parts: list[bytes] = []
        self._connection, self._echoed = connection, echoed
        self._buffer = bytearray()

    def take(self) -> None:
        """The replies up to the next echo. Raises redis-py's errors."""
        searched = 0
        while (end := self._buffer.find(self._echoed, searched)) < 0:
            searched = max(0, len(self._buffer) - len(self._echoed))
            try:
                # redis-py reads one reply at a time, or nothing: its socket is the only way to the bytes themselves.
                more = self._connection._sock.recv(RECEIVE_BYTES)
            except TimeoutError as error:
                raise exceptions.TimeoutError("timeout while reading from the socket") from error
            except OSError as error:
                raise exceptions.ConnectionError(f"error while reading: {error.strerror or error}") from error
            if not more:
                raise exceptions.ConnectionError("the server closed the connection")
            self._buffer += more
        self.parts.append(bytes(self._buffer[:end]))
        del self._buffer[: end + len(self._echoed)]
