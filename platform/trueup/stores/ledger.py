"""The ledger of materializations: which run wrote what to the online store, and when. One SQLite file.

A read `as served` asks it when a row became readable. Several processes may append; a run that crashed stays
unfinished, and counts for nothing. Instants are stored as whole microseconds since 1970 (UTC).
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from trueup.contracts.contract import View, view_from_json, view_to_json
from trueup.errors import StoreError
from trueup.instants import EPOCH

BEGINNING = datetime.min.replace(tzinfo=UTC)
"""Start of an event window that has none: before every event."""

_FORMAT = 1
_COLUMNS = (
    "run_id, project, view, started_at, finished_at, known_at, known_after, event_start, event_end, rows, "
    "definition_hash"
)
_DEFINITIONS = "CREATE TABLE IF NOT EXISTS definitions (hash TEXT PRIMARY KEY, definition TEXT NOT NULL) STRICT;"
"""Came later than the format's first files, which `start` adds it to; nothing else reads or needs it."""
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS runs (
    run_id INTEGER PRIMARY KEY AUTOINCREMENT,
    project TEXT NOT NULL,
    view TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    finished_at INTEGER,
    known_at INTEGER NOT NULL,
    known_after INTEGER,
    event_start INTEGER NOT NULL,
    event_end INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    definition_hash TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS runs_of_view ON runs (project, view);
{_DEFINITIONS}
PRAGMA user_version = {_FORMAT};
COMMIT;
"""


@dataclass(frozen=True)
class Run:
    """One materialization of one view.

    view: the Feast view's own name. finished_at: None while it runs, and for ever if it crashed. known_at: rows
    created later were not read. known_after: only rows with max(event time, created) after it were read; None: all.
    event_start, event_end: the event window, both ends inclusive. rows: how many were written.
    definition_hash: `View.definition_hash` of the view with all its features.
    """

    run_id: int
    project: str
    view: str
    started_at: datetime
    finished_at: datetime | None
    known_at: datetime
    known_after: datetime | None
    event_start: datetime
    event_end: datetime
    rows: int
    definition_hash: str


class Ledger:
    """The ledger in a file. The file and its folder are made by the first `start`; reading makes nothing.

    Between calls nothing is held open, unless many come in a row: within `with ledger:` they share one connection
    (use it from one thread). Every method raises StoreError when the file is not a ledger or cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept: sqlite3.Connection | None = None
        self._keep = False

    def __enter__(self) -> Ledger:
        self._keep = True
        return self

    def __exit__(self, *_: object) -> None:
        self._keep = False
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()

    def start(
        self,
        *,
        project: str,
        view: str,
        started_at: datetime,
        known_at: datetime,
        known_after: datetime | None,
        event_start: datetime,
        event_end: datetime,
        definition_hash: str,
        definition: View | None = None,
    ) -> Run:
        """Records that a run begins: before its first write, so that a crash cannot hide it.

        definition: of `definition_hash`, kept so that what the run wrote can be recomputed when it is no longer the
        view's.
        """
        run = Run(
            run_id=0,
            project=project,
            view=view,
            started_at=started_at,
            finished_at=None,
            known_at=known_at,
            known_after=known_after,
            event_start=event_start,
            event_end=event_end,
            rows=0,
            definition_hash=definition_hash,
        )
        with self._open(create=True) as connection:
            if definition is not None:
                connection.execute(_DEFINITIONS)
                connection.execute(
                    "INSERT OR IGNORE INTO definitions (hash, definition) VALUES (?, ?)",
                    (definition_hash, json.dumps(view_to_json(definition), sort_keys=True)),
                )
            cursor = connection.execute(
                f"INSERT INTO runs ({_COLUMNS}) VALUES (NULL, ?, ?, ?, NULL, ?, ?, ?, ?, 0, ?)",
                (
                    project,
                    view,
                    _stored(started_at),
                    _stored(known_at),
                    None if known_after is None else _stored(known_after),
                    _stored(event_start),
                    _stored(event_end),
                    definition_hash,
                ),
            )
            return replace(run, run_id=int(cursor.lastrowid or 0))

    def finish(self, run: Run, *, finished_at: datetime, rows: int) -> Run:
        """Records that a run ended: all its rows are readable from `finished_at` on."""
        with self._open(create=True) as connection:
            changed = connection.execute(
                "UPDATE runs SET finished_at = ?, rows = ? WHERE run_id = ? AND finished_at IS NULL",
                (_stored(finished_at), rows, run.run_id),
            ).rowcount
        if changed != 1:
            raise StoreError(
                f"ledger {self.path}: run {run.run_id} of view {run.view} is not running, so it cannot finish.",
                hint="Was the file replaced, or the run finished before?",
            )
        return replace(run, finished_at=finished_at, rows=rows)

    def runs(self, project: str, view: str) -> tuple[Run, ...]:
        """All runs of a view in the order they started, unfinished ones included."""
        rows = self._read(
            f"SELECT {_COLUMNS} FROM runs WHERE project = ? AND view = ? ORDER BY started_at, run_id", (project, view)
        )
        return tuple(_run(row) for row in rows)

    def definitions(self, project: str, view: str) -> dict[str, View]:
        """Definition hash -> definition, of the view's runs that recorded theirs, oldest run first."""
        rows = self._read(
            "SELECT hash, definition FROM definitions JOIN (SELECT definition_hash, min(run_id) AS first FROM runs "
            "WHERE project = ? AND view = ? GROUP BY definition_hash) ON hash = definition_hash ORDER BY first",
            (project, view),
            table="definitions",
        )
        return {name: view_from_json(json.loads(definition)) for name, definition in rows}

    def cursor(self, project: str, view: str, *, ttl: timedelta | None, definition_hash: str) -> datetime | None:
        """Up to where an incremental run need not look again; None: nowhere yet.

        Everything known (later of event time and created) by then, and not yet expired then, was written by finished
        runs of this very definition. A run over a window shorter than the TTL proves nothing about rows before it,
        and does not count.
        """
        reached = "min(known_at, event_end)"
        first = "?" if ttl is None else f"{reached} - ?"
        rows = self._read(
            f"SELECT max({reached}) FROM runs WHERE project = ? AND view = ? AND definition_hash = ? "
            f"AND finished_at IS NOT NULL AND event_start <= {first}",
            (project, view, definition_hash, _stored(BEGINNING) if ttl is None else ttl // timedelta(microseconds=1)),
        )
        return None if not rows or rows[0][0] is None else _instant(rows[0][0])

    def _read(self, sql: str, parameters: tuple[Any, ...], table: str = "runs") -> list[tuple[Any, ...]]:
        if not self.path.exists():
            return []
        with self._open(create=False) as connection:
            if not _has(connection, table):
                return []
            return connection.execute(sql, parameters).fetchall()

    @contextmanager
    def _open(self, *, create: bool) -> Iterator[sqlite3.Connection]:
        """A connection for one short transaction."""
        try:
            if create and not self.path.exists():
                _create(self.path)
            connection = self._kept or sqlite3.connect(self.path, timeout=60)
            self._kept = connection if self._keep else None
            with nullcontext() if self._keep else closing(connection):
                version = connection.execute("PRAGMA user_version").fetchone()[0]
                if version not in (0, _FORMAT):
                    raise StoreError(
                        f"ledger {self.path} is of format {version}; this version of trueup reads {_FORMAT}.",
                        hint="Use the version that wrote it, or begin a new ledger.",
                    )
                if create and version == 0:
                    connection.executescript(_SCHEMA)
                # A crash of the process loses nothing; one of the machine at most the last runs.
                connection.execute("PRAGMA synchronous = NORMAL")
                with connection:
                    yield connection
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                f"ledger {self.path} cannot be used: {error}.",
                hint="Restore the file, or move it away: `served` then falls back on the views' declared schedule.",
            ) from error


def _create(path: Path) -> None:
    """An empty ledger in WAL mode (readers never wait for a writer), unless another process makes it first.

    Made aside and linked into place, because SQLite cannot change the mode of a file that others have opened. Where
    there are no links, SQLite makes the file itself, in its default mode.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        aside = Path(folder) / path.name
        with closing(sqlite3.connect(aside)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)
        with suppress(OSError):
            path.hardlink_to(aside)


def _has(connection: sqlite3.Connection, table: str) -> bool:
    found = connection.execute("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?", (table,))
    return bool(found.fetchone()[0])


def _stored(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(microseconds=1)


def _instant(stored: int) -> datetime:
    return EPOCH + timedelta(microseconds=stored)


def _run(row: tuple[Any, ...]) -> Run:
    run_id, project, view, started, finished, known_at, known_after, event_start, event_end, rows, definition = row
    return Run(
        run_id=run_id,
        project=project,
        view=view,
        started_at=_instant(started),
        finished_at=None if finished is None else _instant(finished),
        known_at=_instant(known_at),
        known_after=None if known_after is None else _instant(known_after),
        event_start=_instant(event_start),
        event_end=_instant(event_end),
        rows=rows,
        definition_hash=definition,
    )
