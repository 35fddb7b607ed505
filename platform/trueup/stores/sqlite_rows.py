"""Stock Feast's SQLite online store, read in bulk from its file. The connection is read only."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pyarrow as pa
from typing_extensions import override

from trueup.contracts.contract import View
from trueup.errors import StoreError
from trueup.instants import as_utc
from trueup.stores.asof_sql import identifier
from trueup.stores.key_columns import KeyColumns, ScannedKeys
from trueup.stores.landing import micros
from trueup.stores.online_read import OnlineRows, StoredRows, stored_rows
from trueup.stores.value_columns import NO_TIME, Raws

KEYS_A_QUERY = 500
"""SQLite takes 999 parameters where it is old."""
SCAN_ROWS = 10_000


@dataclass(frozen=True)
class SqliteRows(OnlineRows):
    """`OnlineRows` of an SQLite file. names: as in `RedisRows`; a view's table is `{project}_{name}`.

    Stock Feast applies no TTL when it reads.
    """

    path: Path
    names: Mapping[str, str] = field(default_factory=dict)
    now: datetime | None = None
    applies_ttl: bool = False
    lists: bool = True
    whole_seconds: bool = True

    @property
    @override
    def describe(self) -> str:
        zone = datetime.now().astimezone().tzname()
        return f"SQLite at {self.path}, TTLs not applied, event times taken for {zone} as stock Feast here would"

    @override
    def reach(self) -> None:
        with self._open() as connection:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()

    @override
    def refuses(self, project: str, views: Sequence[View]) -> Mapping[str, str]:
        with self._open() as connection:
            found = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        tables = {str(name) for (name,) in found}
        return {
            view.table: f"the SQLite online store {self.path} has no table {self._table(project, view)}: the view was "
            "never applied to it. Run `feast apply`."
            for view in views
            if self._table(project, view) not in tables
        }

    @override
    def read(
        self, project: str, views: Sequence[View], rows: pa.Table, keys: Sequence[bytes], now: datetime
    ) -> list[StoredRows]:
        with self._open() as connection:
            return [self._read_view(connection, project, view, keys) for view in views]

    @override
    def scan(self, project: str, views: Sequence[View]) -> Iterator[ScannedKeys]:
        layout = KeyColumns(views[0].keys)
        for view in views:
            with self._open() as connection:
                cursor = connection.execute(f"SELECT DISTINCT entity_key FROM {identifier(self._table(project, view))}")
                while found := cursor.fetchmany(SCAN_ROWS):
                    yield layout.decode([bytes(key) for (key,) in found], "")

    def _read_view(self, connection: sqlite3.Connection, project: str, view: View, keys: Sequence[bytes]) -> StoredRows:
        places = {key: place for place, key in enumerate(keys)}
        columns: dict[str, list[bytes | None]] = {item.name: [None] * len(keys) for item in view.features}
        times = np.full(len(keys), NO_TIME, np.int64)
        table = identifier(self._table(project, view))
        for start in range(0, len(keys), KEYS_A_QUERY):
            asked = keys[start : start + KEYS_A_QUERY]
            # In Feast's order: the event time of a row is that of its last feature.
            cursor = connection.execute(
                f"SELECT entity_key, feature_name, value, event_ts FROM {table} "
                f"WHERE entity_key IN ({','.join('?' * len(asked))}) ORDER BY entity_key, feature_name",
                list(asked),
            )
            for key, feature, value, event in cursor:
                place = places[key]
                times[place] = _micros(event)
                if feature in columns:
                    columns[feature][place] = value
        return stored_rows(view, times, [Raws.of(column) for column in columns.values()], ttl_from=None)

    def _table(self, project: str, view: View) -> str:
        return f"{project}_{self.names.get(view.table, view.table)}"

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        if not self.path.is_file():
            raise StoreError(
                f"there is no SQLite online store at {self.path}.", hint="Run `feast apply` and `feast materialize`."
            )
        try:
            with closing(sqlite3.connect(f"file:{quote(str(self.path))}?mode=ro", uri=True, timeout=60)) as connection:
                yield connection
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise StoreError(
                f"the SQLite online store {self.path} cannot be read: {error}.", hint="Is it Feast's own file?"
            ) from error


def _micros(stored: int | str) -> int:
    """Feast takes the UTC instant for one of the machine's own time zone, and stores whole seconds since 1970 of that.

    Reading undoes it, in the same zone: so does Feast's own read. A file that another driver wrote may hold text.
    """
    if isinstance(stored, str):
        return micros(as_utc(datetime.fromisoformat(stored)))
    return micros(datetime.fromtimestamp(stored).replace(tzinfo=UTC))  # noqa: DTZ006
