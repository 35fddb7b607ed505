"""What the online store should hold of many views at one instant, entity by entity: streamed, in bounded memory.

An as-of read (`trueup.stores.asof`) of every entity at one and the same instant needs no step function: of the rows
that had landed by then, the greatest (event time, created) wins. The rows come from the same SQL (`asof_sql.Rows`) and
land by the same rule (`trueup.stores.landing`), so the two agree; a property test holds them to it.

Each view's source is read once, into tables that DuckDB keeps on disk past `memory_limit`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.contracts.contract import JoinKey, View
from trueup.errors import SourceError
from trueup.frame import EVENT_TIME, STATUS, FeatureFrame, Status
from trueup.stores.asof_sql import Rows, column, identifier, is_key_type, key, literal
from trueup.stores.duckdb_tables import connect, describe, first_line, require_columns, source_relation
from trueup.stores.entity_key import DUMMY_KEY
from trueup.stores.key_columns import KeyColumns
from trueup.stores.landing import landings, micros
from trueup.stores.ledger import Run
from trueup.stores.typed import as_timestamps, declared_or_plain_column, feature_column

MEMORY_LIMIT = "1GB"
"""Of DuckDB; what does not fit goes to a temporary folder."""
CLOCKS_A_BATCH = 1_000_000


@dataclass(frozen=True)
class Expected:
    """One view's part of a batch. frame: under the view's own name. listed: entities that its source knows."""

    frame: FeatureFrame
    listed: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Batch:
    """Entities in key order. rows: their key columns, under the join keys' names. views: view -> its part."""

    rows: pa.Table
    views: Mapping[str, Expected]


@contextmanager
def snapshot(keys: Sequence[JoinKey], *, now: datetime, memory_limit: str = MEMORY_LIMIT) -> Iterator[Snapshot]:
    """keys: of all the views that will be read into it. now: the instant of the read."""
    with tempfile.TemporaryDirectory(prefix="trueup-") as folder, connect(memory_limit=memory_limit) as connection:
        connection.execute(f"SET temp_directory = {literal(folder)}")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("CREATE SCHEMA trueup")
        yield Snapshot(connection, tuple(keys), now)


class Snapshot:
    """Views read so far (`add`), entities that the store holds (`add_stored`), and all of them as batches."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, keys: tuple[JoinKey, ...], now: datetime) -> None:
        self._connection = connection
        self._keys = keys
        self._now = now
        self._views: list[View] = []
        self._stored = False
        self.tied: dict[str, int] = {}
        self._names = [f"k{i}" for i in range(len(keys))]

    def add(self, view: View, *, runs: Sequence[Run], base_dir: Path) -> int:
        """Reads the view's source; the number of entities that it knew by now. `runs`, `base_dir`: as in `read_view`.

        Of rows that cannot be told apart (one entity, both clocks equal) the first in the order of their values counts,
        and `tied` says how many entities rest on such. Raises SourceError.
        """
        what = f"feature view {view.table}"
        table = f"trueup.v{len(self._views)}"
        source = view.source
        relation = source_relation(self._connection, source, base_dir, what=what)
        types = describe(self._connection, relation, what=what)
        for item in view.keys:
            if not is_key_type(item.dtype):
                raise SourceError(f"{what}: join key {item.name} is {item.dtype}, which cannot be a key.")
        clocks = [source.timestamp_field, *([source.created_column] if source.created_column is not None else [])]
        own = {item.name: item for item in view.keys}
        columns = [source.column(name) for name in (*own, *(item.name for item in view.features))]
        require_columns(types, [*columns, *clocks], clocks, what=what)
        rows = Rows(
            relation=relation,
            # In the order of the snapshot's keys: views of the same keys may name them in another one.
            keys=tuple(
                key(source.column(item.name), types[source.column(item.name)], own[item.name].dtype)
                for item in self._keys
            ),
            event=source.timestamp_field,
            event_type=types[source.timestamp_field],
            created=source.created_column,
            features=tuple(column(source.column(item.name)) for item in view.features),
        )
        try:
            at = micros(self._now)
            self._connection.execute(
                f"CREATE OR REPLACE TABLE trueup.history AS SELECT * FROM ({rows.select(start=None, end=at)}) "
                f"WHERE c <= {at}"
            )
            self._write_landed(view, runs)
            self._connection.execute(f"CREATE OR REPLACE TABLE trueup.won AS {_winners(rows)}")
            self.tied[view.table] = self._settle_ties(rows)
            self._connection.execute(f"CREATE TABLE {table} AS {_judged(rows, view.ttl, at)}")
            self._connection.execute("DROP TABLE trueup.history; DROP TABLE trueup.landed; DROP TABLE trueup.won")
        except duckdb.Error as error:
            raise SourceError(
                f"{what}: its source cannot be read: {first_line(error)}",
                hint="Mend the source's query or data, or the declared types.",
            ) from error
        self._views.append(view)
        return self._count(table)

    def add_stored(self, batches: Iterable[pa.Table]) -> int:
        """Entities that the online store holds, as key columns; the number of different ones."""
        schema = KeyColumns(self._keys).schema
        columns = ", ".join(f"{identifier(name)} AS k{i}" for i, name in enumerate(schema.names))
        self._register("trueup_stored", schema.empty_table())
        self._connection.execute(f"CREATE OR REPLACE TABLE trueup.scanned AS SELECT {columns} FROM trueup_stored")
        for batch in batches:
            self._register("trueup_stored", batch)
            self._connection.execute(f"INSERT INTO trueup.scanned SELECT {columns} FROM trueup_stored")
        self._connection.unregister("trueup_stored")
        self._connection.execute("CREATE OR REPLACE TABLE trueup.stored AS SELECT DISTINCT * FROM trueup.scanned")
        self._connection.execute("DROP TABLE trueup.scanned")
        self._stored = True
        return self._count("trueup.stored")

    def list_all(self) -> int:
        """Settles which entities `batches` gives: those of any view's source or of the store. Their number."""
        names = ", ".join(self._names)
        if not self._names:
            parts = [f"SELECT 0 FROM trueup.v{i}" for i in range(len(self._views))]
            parts += ["SELECT 0 FROM trueup.stored"] if self._stored else []
            self._connection.execute(f"CREATE OR REPLACE TABLE trueup.entities AS {' UNION '.join(parts)}")
        else:
            parts = [f"SELECT {names} FROM trueup.v{i}" for i in range(len(self._views))]
            parts += [f"SELECT {names} FROM trueup.stored"] if self._stored else []
            self._connection.execute(
                f"CREATE OR REPLACE TABLE trueup.entities AS SELECT * FROM ({' UNION '.join(parts)}) ORDER BY {names}"
            )
        return self._count("trueup.entities")

    def batches(self, size: int) -> Iterator[Batch]:
        """All of `list_all`, in key order, `size` at a time."""
        columns = [f"a.{name}" for name in self._names]
        joins = []
        for i, view in enumerate(self._views):
            columns += [f"v{i}.status AS v{i}s", f"v{i}.e AS v{i}e"]
            columns += [f"v{i}.f{j} AS v{i}f{j}" for j in range(len(view.features))]
            on = " AND ".join(f"a.{name} = v{i}.{name}" for name in self._names) or "true"
            joins.append(f"LEFT JOIN trueup.v{i} AS v{i} ON {on}")
        order = f"ORDER BY {', '.join(f'a.{name}' for name in self._names)}" if self._names else ""
        query = f"SELECT {', '.join(columns)} FROM trueup.entities AS a {' '.join(joins)} {order}"
        try:
            reader = self._connection.sql(query).to_arrow_reader(size)
            for batch in reader:
                yield self._batch(pa.Table.from_batches([batch]))
        except duckdb.Error as error:
            raise SourceError(f"the entities cannot be listed: {first_line(error)}") from error

    def _batch(self, table: pa.Table) -> Batch:
        rows = {
            item.name: feature_column(table[f"k{i}"], item.dtype, what=f"join key {item.name}")
            if item.dtype != "UnixTimestamp"
            else table[f"k{i}"].combine_chunks().cast(EVENT_TIME)
            for i, item in enumerate(self._keys)
        }
        if not rows:
            rows = {DUMMY_KEY[0]: pa.array([""] * table.num_rows, pa.string())}
        views = {view.table: _expected(view, i, table) for i, view in enumerate(self._views)}
        return Batch(pa.table(rows), views)

    def _write_landed(self, view: View, runs: Sequence[Run]) -> None:
        """Table `trueup.landed`: the pairs of clocks that had landed by now."""
        self._connection.execute("CREATE OR REPLACE TABLE trueup.landed (e BIGINT, c BIGINT)")
        at = micros(self._now)
        reader = (
            self._connection.cursor().sql("SELECT DISTINCT e, c FROM trueup.history").to_arrow_reader(CLOCKS_A_BATCH)
        )
        for batch in reader:
            event, created = (np.asarray(batch.column(i)).astype(np.int64) for i in (0, 1))
            landed = landings(event, created, view.schedule, runs) <= at
            self._register("trueup_landed", pa.table({"e": event[landed], "c": created[landed]}))
            self._connection.execute("INSERT INTO trueup.landed FROM trueup_landed")
            self._connection.unregister("trueup_landed")

    def _settle_ties(self, rows: Rows) -> int:
        """Leaves one row an entity in `trueup.won`; how many had several of other values (rows not landed aside)."""
        groups = ", ".join(rows.key_names) or "true"
        several = f"SELECT {groups} FROM trueup.won GROUP BY {groups} HAVING count(*) > 1"
        if not self._count(f"({several})"):
            return 0
        values = f"row({', '.join(rows.feature_names)})" if rows.feature_names else "0"
        tied = self._count(
            f"(SELECT {groups} FROM trueup.won WHERE there GROUP BY {groups} HAVING count(DISTINCT {values}) > 1)"
        )
        order = ", ".join((*rows.feature_names, "place"))
        self._connection.execute(
            "CREATE OR REPLACE TABLE trueup.won AS SELECT * FROM trueup.won "
            f"QUALIFY row_number() OVER (PARTITION BY {groups} ORDER BY {order}) = 1"
        )
        return tied

    def _register(self, name: str, table: pa.Table) -> None:
        self._connection.register(name, table)

    def _count(self, table: str) -> int:
        ((number,),) = self._connection.execute(f"SELECT count(*) FROM {table}").fetchall()
        return int(number)


def _winners(rows: Rows) -> str:
    """The rows of an entity that win; where none of its rows has landed, the newest. Several where they are tied."""
    partition = f"PARTITION BY {', '.join(rows.key_names)} " if rows.keys else ""
    return f"""
SELECT h.*, h.rowid AS place, landed.e IS NOT NULL AS there
FROM trueup.history AS h LEFT JOIN trueup.landed AS landed ON h.e = landed.e AND h.c = landed.c
QUALIFY rank() OVER ({partition}ORDER BY there DESC, h.e DESC, h.c DESC) = 1
"""


def _judged(rows: Rows, ttl: timedelta | None, at: int) -> str:
    """Each row that won with its status; status 3 alone where it has not landed."""
    expired = f"WHEN e < {at - ttl // timedelta(microseconds=1)} THEN 4 " if ttl is not None else ""
    keys = "".join(f"{name}, " for name in rows.key_names)
    features = "".join(f", CASE WHEN status = 1 THEN {name} END AS {name}" for name in rows.feature_names)
    return f"""
WITH judged AS (
    SELECT *, CAST(CASE WHEN NOT there THEN 3 {expired}ELSE 1 END AS TINYINT) AS status FROM trueup.won
)
SELECT {keys}status, CASE WHEN there THEN e END AS e{features} FROM judged
"""


def _expected(view: View, number: int, table: pa.Table) -> Expected:
    base = table[f"v{number}s"].combine_chunks()
    listed = np.asarray(base.is_valid())
    base = pc.fill_null(base, pa.scalar(int(Status.MISSING), STATUS))
    values: dict[str, pa.Array] = {}
    statuses: dict[str, pa.Array] = {}
    for i, item in enumerate(view.features):
        what = f"feature view {view.table}: feature {item.name}"
        read = declared_or_plain_column(table[f"v{number}f{i}"], item.dtype, what=what)
        null = pc.and_(pc.equal(base, int(Status.PRESENT)), pc.is_null(read))
        values[view.column(item.name)] = read
        statuses[view.column(item.name)] = pc.if_else(null, pa.scalar(int(Status.NULL), STATUS), base)
    times = as_timestamps(table[f"v{number}e"].combine_chunks())
    return Expected(FeatureFrame(pa.table(values), pa.table(statuses), pa.table({view.name: times})), listed)
