"""SQL text of an as-of read. Pure: no connection, no data, nothing but strings.

Inside, columns have names of our own (`k0`, `k1`... the entity key, `e` the event time, `c` the created time, `f0`,
`f1`... the features), so that no name of a source can collide with one; a source's names stand, quoted, in
one place only (`Rows.select`). Clocks are BIGINT microseconds since 1970 (UTC). Our tables live in the schema
`trueup`, a source's in the temporary one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from trueup.instants import KnownAt

_TIMESTAMP = re.compile(r"DATE|TIMESTAMP(TZ)?(_S|_MS|_NS)?( WITH TIME ZONE)?")
_INEXACT = re.compile(r"FLOAT|DOUBLE|DECIMAL\(\d+,\d+\)")
_KEY_TYPES = {
    "Bytes": "BLOB",
    "String": "VARCHAR",
    "Bool": "BOOLEAN",
    "Int32": "INTEGER",
    "Int64": "BIGINT",
    "Float32": "FLOAT",
    "Float64": "DOUBLE",
    "UnixTimestamp": "TIMESTAMP WITH TIME ZONE",
    "Uuid": "VARCHAR",
    "TimeUuid": "VARCHAR",
}


_MAKE_INSTANT = {"TIMESTAMP": "make_timestamp", "TIMESTAMP WITH TIME ZONE": "make_timestamptz"}
"""Types of event time that hold microseconds, and so compare exactly without a cast."""


def identifier(name: str) -> str:
    """A quoted SQL identifier, whatever the name holds."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A quoted SQL string."""
    return "'" + text.replace("'", "''") + "'"


def subquery(query: str) -> str:
    """A SELECT as a parenthesised table; line breaks keep a comment in its last line from eating the bracket."""
    return f"(\n{query.strip().rstrip(';')}\n)"


def is_timestamp(duckdb_type: str) -> bool:
    """Whether a column of this type can be a clock. One without a time zone is UTC, a date its midnight."""
    return _TIMESTAMP.fullmatch(duckdb_type) is not None


def is_key_type(dtype: str) -> bool:
    """Whether a Feast type can be part of an entity key."""
    return dtype in _KEY_TYPES


def column(name: str) -> str:
    """A column of the source, and never one of ours that has its name."""
    return f"source.{identifier(name)}"


def clock(name: str) -> str:
    """Microseconds since 1970 of a timestamp column; null for null and for an infinite one."""
    return f"epoch_us(CAST({column(name)} AS TIMESTAMPTZ))"


def key(key_name: str, duckdb_type: str, dtype: str) -> str:
    """A key column as its declared Feast type. NaN is null; a fraction that is declared whole is an error."""
    name, target = column(key_name), _KEY_TYPES[dtype]
    if duckdb_type == target:
        return f"CASE WHEN isnan({name}) THEN NULL ELSE {name} END" if target in ("FLOAT", "DOUBLE") else name
    if not _INEXACT.fullmatch(duckdb_type):
        return f"CAST({name} AS {target})"
    value = f"CASE WHEN isnan(CAST({name} AS DOUBLE)) THEN NULL ELSE {name} END"
    if target not in ("INTEGER", "BIGINT"):
        return f"CAST({value} AS {target})"
    whole = f"error(concat('key ', {literal(key_name)}, ' is ', {name}, ', which is not a whole number'))"
    return f"CAST(CASE WHEN {value} <> trunc({value}) THEN {whole} ELSE {value} END AS {target})"


@dataclass(frozen=True)
class Rows:
    """The rows of a source, as SQL expressions over its columns (as `column`, `key` and `clock` name them).

    relation: a table or parenthesised query. event_type: DuckDB type of the event time. created None: the source has
    no such column, and a row is known at its event time; so is a row whose created is null.
    """

    relation: str
    keys: tuple[str, ...]
    event: str
    event_type: str
    created: str | None
    features: tuple[str, ...]

    @property
    def key_names(self) -> tuple[str, ...]:
        return tuple(f"k{i}" for i in range(len(self.keys)))

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(f"f{i}" for i in range(len(self.features)))

    def select(self, *, start: int | None, end: int) -> str:
        """The rows with start <= event time <= end under our names; start None: from the beginning.

        A row without event time or with a null key never counts, and is left out.
        """
        columns = [
            *(f"{expression} AS {name}" for expression, name in zip(self.keys, self.key_names, strict=True)),
            f"{clock(self.event)} AS e",
            f"{self._created()} AS c",
            *(f"{expression} AS {name}" for expression, name in zip(self.features, self.feature_names, strict=True)),
        ]
        counts = [*(f"{name} IS NOT NULL" for name in (*self.key_names, "c")), f"e <= {end}"]
        if start is not None:
            counts.append(f"e >= {start}")
        return (
            f"SELECT * FROM (SELECT {', '.join(columns)} FROM {self.relation} AS source{self._window(start, end)}) "
            f"WHERE {' AND '.join(counts)}"
        )

    def _window(self, start: int | None, end: int) -> str:
        """The event window once more, on the bare column: this is what DuckDB can push down into the source."""
        make = _MAKE_INSTANT.get(self.event_type)
        if make is None:
            return ""
        event = column(self.event)
        after = f" AND {event} >= {make}({start})" if start is not None else ""
        return f" WHERE {event} <= {make}({end}){after}"

    def _created(self) -> str:
        if self.created is None:
            return clock(self.event)
        return f"CASE WHEN {column(self.created)} IS NULL THEN {clock(self.event)} ELSE {clock(self.created)} END"

    def history(self, *, until: int, known_until: int | None) -> str:
        """Table `trueup.history`: what may count for one of the requests.

        Rows older than a TTL stay: they are what tells an expired entity from a missing one.
        """
        rows = f"({self.select(start=None, end=until)}) AS rows"
        asked = f" SEMI JOIN trueup.requests USING ({', '.join(self.key_names)})" if self.keys else ""
        known = f" WHERE c <= {known_until}" if known_until is not None else ""
        return f"CREATE OR REPLACE TABLE trueup.history AS SELECT * FROM {rows}{asked}{known}"

    def matched(self, *, known_at: KnownAt, ttl: timedelta | None) -> str:
        """Table `trueup.matched`: for each request `i` the row that wins, and its status (1, 3 or 4).

        A version is the rows of one key with both clocks equal. At its effective instant `t` it starts to count;
        it wins from then on if its (e, c) is the greatest so far, which the running maximum of its rank tells.
        What remains is one step function per key, and a request takes the last step not after its instant.
        """
        keys = self.key_names
        each, groups = _list(keys), ", ".join((*keys, "e", "c"))
        partition = f"PARTITION BY {', '.join(keys)}" if keys else ""
        on = " AND ".join([*(f"request.{name} = step.{name}" for name in keys), "request.t >= step.t"])
        expired = f"WHEN step.e < request.t - {ttl // timedelta(microseconds=1)} THEN 4 " if ttl is not None else ""
        return f"""
CREATE OR REPLACE TABLE trueup.matched AS
WITH version AS (
    SELECT {groups}, min(rowid) AS row, count(*) AS n FROM trueup.history GROUP BY {groups}
), effective AS (
    {_EFFECTIVE[known_at]}
), ranked AS (
    SELECT *, row_number() OVER ({partition} ORDER BY e, c) AS rank FROM effective
), running AS (
    SELECT *, max(rank) OVER ({partition} ORDER BY t, rank ROWS UNBOUNDED PRECEDING) AS best FROM ranked
), step AS (
    SELECT {each}t, e, row, n FROM running WHERE rank = best
    QUALIFY row_number() OVER (PARTITION BY {each}t ORDER BY rank DESC) = 1
)
SELECT request.i, step.row, step.e, step.n,
    CAST(CASE WHEN step.row IS NULL THEN 3 {expired}ELSE 1 END AS TINYINT) AS status
FROM trueup.requests AS request ASOF LEFT JOIN step ON {on}
"""

    def gathered(self) -> str:
        """The features of the matched rows, in request order; null unless the status is 1."""
        columns = _list(f"CASE WHEN m.status = 1 THEN h.{name} END AS {name}" for name in self.feature_names)
        return (
            f"SELECT {columns}m.e AS e, m.status AS status FROM trueup.matched AS m "
            "LEFT JOIN trueup.history AS h ON h.rowid = m.row ORDER BY m.i"
        )

    def ambiguous_matches(self) -> str:
        """Key, event time and created time of one version that decides a result and has two values."""
        same = " AND ".join(f"h.{name} = w.{name}" for name in (*self.key_names, "e", "c"))
        winners = "SELECT DISTINCT row FROM trueup.matched WHERE n > 1 AND status = 1"
        return self._ambiguous(
            f"(SELECT h.* FROM trueup.history AS h JOIN trueup.history AS w ON {same} WHERE w.rowid IN ({winners}))"
        )

    def entities(self, *, start: int | None, end: int) -> str:
        """Each entity key that has a row in the event window, in key order."""
        if not self.keys:
            return "SELECT 0 AS nobody"
        names = ", ".join(self.key_names)
        return f"SELECT DISTINCT {names} FROM ({self.select(start=start, end=end)}) ORDER BY {names}"

    def latest(self, *, start: int | None, end: int, known_at: int | None, known_after: int | None) -> str:
        """Table `trueup.latest`: of each key the rows with the greatest (event, created); both may be equal."""
        bounds = ["true"] if known_at is None else [f"c <= {known_at}"]
        if known_after is not None:
            bounds.append(f"greatest(e, c) > {known_after}")
        partition = f"PARTITION BY {', '.join(self.key_names)}" if self.keys else ""
        return (
            f"CREATE OR REPLACE TABLE trueup.latest AS SELECT * FROM ({self.select(start=start, end=end)}) "
            f"WHERE {' AND '.join(bounds)} "
            f"QUALIFY rank() OVER ({partition} ORDER BY e DESC, c DESC) = 1"
        )

    def latest_rows(self) -> str:
        """One row a key of `trueup.latest`, in key order."""
        groups = ", ".join((*self.key_names, "e", "c"))
        columns = ", ".join((*self.key_names, "e", "c", *self.feature_names))
        return (
            f"SELECT {columns} FROM trueup.latest "
            f"WHERE rowid IN (SELECT min(rowid) FROM trueup.latest GROUP BY {groups}) ORDER BY {groups}"
        )

    def ambiguous_latest(self) -> str:
        """Key, event time and created time of one key of `trueup.latest` that has two values."""
        return self._ambiguous("trueup.latest")

    def _ambiguous(self, rows: str) -> str:
        groups = ", ".join((*self.key_names, "e", "c"))
        values = f"row({', '.join(self.feature_names)})" if self.features else "0"
        return (
            f"SELECT {groups} FROM {rows} GROUP BY {groups} "
            f"HAVING count(DISTINCT {values}) > 1 ORDER BY {groups} LIMIT 1"
        )


LANDINGS_WANTED = "SELECT DISTINCT e, c FROM trueup.history"
"""The pairs of clocks whose landing (`trueup.stores.landing`) a served read must know: table `trueup.landings`."""

_EFFECTIVE: dict[KnownAt, str] = {
    "unbounded": "SELECT *, e AS t FROM version",
    "label": "SELECT *, greatest(e, c) AS t FROM version",
    "served": (
        "SELECT version.*, greatest(version.e, landing.landed) AS t "
        "FROM version JOIN trueup.landings AS landing ON version.e = landing.e AND version.c = landing.c"
    ),
}


def _list(items: Iterable[str]) -> str:
    """Items as the beginning of a select list."""
    return "".join(f"{item}, " for item in items)
