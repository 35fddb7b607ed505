"""`ViewHistory`: a view's rows of some entities, held in DuckDB, and the one as-of read over them with its variations.

Made by `trueup.stores.asof.open_history`. Training and plain reads ask it once, by the rule; parity asks it again and
again, each time with one thing changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.contracts.contract import View
from trueup.errors import SourceError
from trueup.frame import EVENT_TIME, STATUS, Status
from trueup.instants import EPOCH, KnownAt, format_instant
from trueup.stores.asof_sql import LANDINGS_WANTED, Rows
from trueup.stores.duckdb_tables import arrow, scratch_errors
from trueup.stores.landing import NEVER, Micros, before_last_finish, landings, micros, out_of_order
from trueup.stores.ledger import Run
from trueup.stores.typed import as_timestamps, declared_or_plain_column, feature_column, plain_column

Deviation = Literal["none", "first_landed", "last_writer", "before_last_run", "tied", "shifted"]
MOST_PAIRS = 20_000_000
"""Versions times runs up to which `last_writer` is computed."""


@dataclass(frozen=True)
class Variation:
    """What an as-of read does otherwise than the rule says. The default is the rule itself.

    ttl: False: nothing expires. declared: `served` goes by the view's declared schedule alone, as without a ledger.
    under_way: a run's rows count from its start on. declared_types: False: values as the source has them; True: as
    declared, and as the source has them where they do not fit. deviation, with its `size`:

    - first_landed: of an entity's rows of one event time the one that counts first stays (Redis refuses the others).
    - last_writer: each finished run's own newest row of an entity replaces what was there, older or not.
    - before_last_run: as it stood just before the last `size` runs that had finished by the row's instant did; with
      fewer runs, as ever. The TTL still counts from the instant.
    - tied: of rows with both clocks equal the one number `size` in the order of their values (nulls last).
    - shifted: event times `size` microseconds later, as when a local time was taken for UTC: the read of the instant
      `size` earlier.
    """

    ttl: bool = True
    declared: bool = False
    under_way: bool = False
    declared_types: bool = True
    deviation: Deviation = "none"
    size: int = 0


LAW = Variation()


@dataclass(frozen=True)
class ViewRows:
    """One view's part of a frame: one row per request row, in its order.

    values, statuses: one column per feature of the view, named `view__feature`, as in `FeatureFrame`.
    event_timestamps: event time of the row that won (timestamp[us, UTC]); null where the status is MISSING.
    tied: boolean; the row that won has both clocks equal with another one, and other values.
    """

    values: pa.Table
    statuses: pa.Table
    event_timestamps: pa.Array
    tied: pa.Array


class ViewHistory:
    """Reads what it holds. Every method raises SourceError naming the view when its source is at fault."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        view: View,
        source: Rows,
        requests: pa.Table,
        runs: tuple[Run, ...],
    ) -> None:
        """requests: columns `i` (row number), `t` (instant, microseconds since 1970) and the keys `k0`, `k1`...
        runs: the view's runs in the ledger. Tables `trueup.versions` and `trueup.ties` must be there."""
        self._connection, self._view, self._source = connection, view, source
        self._requests, self._runs = requests, runs
        self._what = describe_view(view)
        self._instants: Micros = np.asarray(requests["t"].combine_chunks()).astype(np.int64)
        self._landed: set[str] = set()

    def read(
        self,
        known_at: KnownAt,
        variation: Variation = LAW,
        rows: npt.NDArray[np.int64] | None = None,
        *,
        refuse: bool = True,
    ) -> ViewRows:
        """The features as of each row's own instant, under one rule and one variation of it.

        rows: numbers of the request rows to read, in any order; all by default. refuse: whether rows with both clocks
        equal and different values are an error where they decide a result; else the first in the order of their
        values is taken, and `tied` says so. Raises SourceError for a value that does not fit its type, if refusing.
        """
        chosen = np.arange(len(self._instants)) if rows is None else rows
        shift = variation.size if variation.deviation == "shifted" else 0
        until = at = self._instants[chosen] - shift
        if variation.deviation == "before_last_run":
            at = before_last_finish(at, self._runs, variation.size)
        with scratch_errors(what=self._what):
            self._ask(chosen, {"t": until, "a": at})
            last_writer = variation.deviation == "last_writer" and self._write_runs()
            self._connection.execute(
                self._source.matched(
                    known_at=known_at,
                    ttl=self._view.ttl if variation.ttl else None,
                    landings=self._landings(variation) if known_at == "served" else "",
                    first_at_event_time=variation.deviation == "first_landed",
                    last_writer=last_writer,
                    nth=variation.size if variation.deviation == "tied" else 0,
                    shift=shift,
                )
            )
            if refuse:
                keys = [item.name for item in self._view.keys]
                refuse_ambiguous(self._connection, self._source.ambiguous_matches(), keys, what=self._what)
            table = arrow(self._connection, self._source.gathered())
        return self._rows(table, variation, refuse=refuse)

    def at_event_times(
        self, times: Micros, rows: npt.NDArray[np.int64], *, declared_types: bool = True, width: int = 1
    ) -> tuple[npt.NDArray[np.int64], ViewRows]:
        """Every row the source has of an entity at one event time, known or not, however old.

        times: one for each of `rows`; width: of microseconds from it on, for times that were cut off. Gives the
        position in `rows` of each found row, ascending, and the found rows in the order of their created times.
        """
        with scratch_errors(what=self._what):
            self._ask(rows, {"e": times})
            table = arrow(self._connection, self._source.at_event_time(width))
        found = np.asarray(table["i"].combine_chunks()).astype(np.int64)
        return found, self._rows(table, Variation(declared_types=declared_types), refuse=False)

    def event_times(self, rows: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], Micros]:
        """Event times of everything the source has of these rows' entities: positions in `rows`, and the times."""
        with scratch_errors(what=self._what):
            self._ask(rows, {})
            names = self._source.key_names
            on = f"USING ({', '.join(names)})" if names else "ON true"
            found = self._connection.execute(
                f"SELECT i, e FROM trueup.asked JOIN (SELECT DISTINCT {', '.join((*names, 'e'))} FROM trueup.versions) "
                f"{on} ORDER BY i, e"
            ).fetchnumpy()
        return np.asarray(found["i"], np.int64), np.asarray(found["e"], np.int64)

    def _ask(self, rows: npt.NDArray[np.int64], instants: dict[str, Micros]) -> None:
        """Table `trueup.asked`: the keys of these rows, `i` their position, and instants."""
        keys = self._requests.select(list(self._source.key_names)).take(pa.array(rows))
        columns = {"i": np.arange(len(rows), dtype=np.int64), **instants}
        table = pa.table({**columns, **{name: keys[name] for name in keys.column_names}})
        self._connection.register("trueup_asked", table)
        self._connection.execute("CREATE OR REPLACE TABLE trueup.asked AS FROM trueup_asked")
        self._connection.unregister("trueup_asked")

    def _landings(self, variation: Variation) -> str:
        """Name of the table that says when what landed, made at first use."""
        runs = () if variation.declared else self._runs
        name = "landings_declared" if variation.declared else "landings"
        if variation.under_way:
            runs, name = tuple(map(_landed_at_start, runs)), f"{name}_under_way"
        if name not in self._landed:
            wanted = self._connection.execute(LANDINGS_WANTED).fetchnumpy()
            event, created = (np.asarray(wanted[column], dtype=np.int64) for column in ("e", "c"))
            landed = landings(event, created, self._view.schedule, runs)
            known = landed != NEVER
            self._table(name, pa.table({"e": event[known], "c": created[known], "landed": landed[known]}))
            self._landed.add(name)
        return name

    def _write_runs(self) -> bool:
        """Table `trueup.runs`, where the order of writing can matter at all (and is not too much to compute)."""
        finished = [run for run in self._runs if run.finished_at is not None]
        if not out_of_order(finished):
            return False
        names = ", ".join(self._source.key_names)
        asked = f" SEMI JOIN trueup.asked USING ({names})" if names else ""
        ((versions,),) = self._connection.execute(f"SELECT count(*) FROM trueup.versions{asked}").fetchall()
        if versions * len(finished) > MOST_PAIRS:
            return False
        columns = {
            "finish": [micros(run.finished_at) for run in finished if run.finished_at is not None],
            "event_start": [micros(run.event_start) for run in finished],
            "event_end": [micros(run.event_end) for run in finished],
            "known_at": [micros(run.known_at) for run in finished],
            "known_after": [-NEVER if run.known_after is None else micros(run.known_after) for run in finished],
        }
        self._table("runs", pa.table({name: pa.array(values, pa.int64()) for name, values in columns.items()}))
        return True

    def _table(self, name: str, table: pa.Table) -> None:
        self._connection.register("trueup_given", table)
        self._connection.execute(f"CREATE OR REPLACE TABLE trueup.{name} AS FROM trueup_given")
        self._connection.unregister("trueup_given")

    def _rows(self, table: pa.Table, variation: Variation, *, refuse: bool) -> ViewRows:
        base = table["status"].combine_chunks()
        values: dict[str, pa.Array] = {}
        statuses: dict[str, pa.Array] = {}
        for i, item in enumerate(self._view.features):
            given, what = table[f"f{i}"], f"{self._what}: feature {item.name}"
            if not variation.declared_types:
                column = plain_column(given, item.dtype, what=what)
            elif refuse:
                column = feature_column(given, item.dtype, what=what)
            else:
                column = declared_or_plain_column(given, item.dtype, what=what)
            null = pc.and_(pc.equal(base, int(Status.PRESENT)), pc.is_null(column))
            values[self._view.column(item.name)] = column
            statuses[self._view.column(item.name)] = pc.if_else(null, pa.scalar(int(Status.NULL), STATUS), base)
        return ViewRows(
            pa.table(values),
            pa.table(statuses),
            as_timestamps(table["e"].combine_chunks()),
            table["tied"].combine_chunks(),
        )


def describe_view(view: View) -> str:
    """As errors name it."""
    return f"feature view {view.table}" if view.name == view.table else f"feature view {view.table} (as {view.name})"


def no_rows(view: View) -> ViewRows:
    """The read of no rows."""
    return ViewRows(
        pa.schema([(view.column(item.name), item.arrow) for item in view.features]).empty_table(),
        pa.schema([(view.column(item.name), STATUS) for item in view.features]).empty_table(),
        pa.array([], EVENT_TIME),
        pa.array([], pa.bool_()),
    )


def refuse_ambiguous(connection: duckdb.DuckDBPyConnection, query: str, keys: Sequence[str], *, what: str) -> None:
    """Raises SourceError if `query` (of `asof_sql`) finds an entity with two rows that cannot be told apart."""
    found = connection.execute(query).fetchone()
    if found is None:
        return
    *values, event, created = found
    entity = ", ".join(f"{name}={value!r}" for name, value in zip(keys, values, strict=True)) or "(no key)"
    raise SourceError(
        f"{what}: its source is ambiguous: entity {entity} has rows with different values at event time "
        f"{_shown(event)} and created time {_shown(created)}.",
        hint="Make the two rows one, or give the later one a later created time.",
    )


def _shown(stored: int) -> str:
    return format_instant(EPOCH + timedelta(microseconds=stored))


def _landed_at_start(run: Run) -> Run:
    """An unfinished run has landed nothing either way."""
    return run if run.finished_at is None else replace(run, finished_at=run.started_at)
