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

    def select(self, *, start: int | None, end: int | None) -> str:
        """The rows with start <= event time <= end under our names; None: no bound.

        A row without event time or with a null key never counts, and is left out.
        """
        columns = [
            *(f"{expression} AS {name}" for expression, name in zip(self.keys, self.key_names, strict=True)),
            f"{clock(self.event)} AS e",
            f"{self._created()} AS c",
            *(f"{expression} AS {name}" for expression, name in zip(self.features, self.feature_names, strict=True)),
        ]
        counts = [f"{name} IS NOT NULL" for name in (*self.key_names, "c", "e")]
        if end is not None:
            counts.append(f"e <= {end}")
        if start is not None:
            counts.append(f"e >= {start}")
        return (
            f"SELECT * FROM (SELECT {', '.join(columns)} FROM {self.relation} AS source{self._window(start, end)}) "
            f"WHERE {' AND '.join(counts)}"
        )

    def _window(self, start: int | None, end: int | None) -> str:
        """The event window once more, on the bare column: this is what DuckDB can push down into the source."""
        make = _MAKE_INSTANT.get(self.event_type)
        if make is None:
            return ""
        event = column(self.event)
        bounds = [f"{event} >= {make}({start})"] if start is not None else []
        bounds += [f"{event} <= {make}({end})"] if end is not None else []
        return f" WHERE {' AND '.join(bounds)}" if bounds else ""

    def _created(self) -> str:
        if self.created is None:
            return clock(self.event)
        return f"CASE WHEN {column(self.created)} IS NULL THEN {clock(self.event)} ELSE {clock(self.created)} END"

    def history(self, *, until: int | None, known_until: int | None) -> str:
        """Table `trueup.history`: what may count for one of the requests. None: no bound.

        Rows older than a TTL stay: they are what tells an expired entity from a missing one.
        """
        rows = f"({self.select(start=None, end=until)}) AS rows"
        asked = f" SEMI JOIN trueup.requests USING ({', '.join(self.key_names)})" if self.keys else ""
        known = f" WHERE c <= {known_until}" if known_until is not None else ""
        return f"CREATE OR REPLACE TABLE trueup.history AS SELECT * FROM {rows}{asked}{known}"

    def versions(self) -> str:
        """Table `trueup.versions`: the rows of one key with both clocks equal, as one; `row` is the first of them."""
        groups = ", ".join((*self.key_names, "e", "c"))
        return (
            "CREATE OR REPLACE TABLE trueup.versions AS "
            f"SELECT {groups}, min(rowid) AS row, count(*) AS n FROM trueup.history GROUP BY {groups}"
        )

    def ties(self) -> str:
        """Table `trueup.ties`: of each version `first` that has several values, the row `pick` of the `nth`, in order
        of the values (nulls last), and the number `last` of the greatest."""
        groups = ", ".join((*self.key_names, "e", "c"))
        values = _list(f"h.{name}" for name in self.feature_names)
        order = ", ".join(f"h.{name}" for name in self.feature_names) or "1"
        return (
            "CREATE OR REPLACE TABLE trueup.ties AS SELECT *, max(nth) OVER (PARTITION BY first) AS last FROM ("
            "SELECT v.row AS first, min(h.rowid) AS pick, "
            f"CAST(row_number() OVER (PARTITION BY v.row ORDER BY {order}) - 1 AS BIGINT) AS nth "
            f"FROM trueup.history AS h JOIN (SELECT * FROM trueup.versions WHERE n > 1) AS v USING ({groups}) "
            f"GROUP BY {values}v.row) QUALIFY last > 0"
        )

    def matched(
        self,
        *,
        known_at: KnownAt,
        ttl: timedelta | None,
        landings: str = "landings",
        first_at_event_time: bool = False,
        last_writer: bool = False,
        nth: int = 0,
        shift: int = 0,
    ) -> str:
        """Table `trueup.matched`: for each row `i` of `trueup.asked` the row that wins, and its status (1, 3 or 4).

        At its effective instant `t` a version starts to count; it wins from then on if its (e, c) is the greatest so
        far, which the running maximum of its rank tells. What remains is one step function per key, and a request
        takes the last step not after the instant `a` it asks the store at. `tied`: the winner has several values.

        landings: table of what landed when, for `served`. The rest are variations of the rule, as
        `trueup.stores.asof.Variation` has them: of one event time the version that counted first stays;
        what the last run wrote stays (table `trueup.runs`); the `nth` of tied values; event times `shift` later.
        """
        keys = self.key_names
        each = _list(keys)
        partition = f"PARTITION BY {', '.join(keys)}" if keys else ""
        asked = f" SEMI JOIN trueup.asked USING ({', '.join(keys)})" if keys else ""
        on = " AND ".join([*(f"request.{name} = step.{name}" for name in keys), "request.a >= step.t"])
        expired = f"WHEN step.e < request.t - {ttl // timedelta(microseconds=1)} THEN 4 " if ttl is not None else ""
        first = (
            f" QUALIFY row_number() OVER (PARTITION BY {each}e ORDER BY t, c DESC) = 1" if first_at_event_time else ""
        )
        return f"""
CREATE OR REPLACE TABLE trueup.matched AS
WITH version AS (
    SELECT * FROM trueup.versions{asked}
), effective AS (
    SELECT * FROM ({_EFFECTIVE[known_at].format(landings=landings)}){first}
), ranked AS (
    SELECT *, row_number() OVER ({partition} ORDER BY e, c) AS rank FROM effective
), running AS (
    SELECT *, max(rank) OVER ({partition} ORDER BY t, rank ROWS UNBOUNDED PRECEDING) AS best FROM ranked
), best AS (
    SELECT {each}t, e, row FROM running WHERE rank = best
    QUALIFY row_number() OVER (PARTITION BY {each}t ORDER BY rank DESC) = 1
), step AS (
    {self._written_last() if last_writer else "FROM best"}
)
SELECT request.i, coalesce(tie.pick, step.row) AS row, step.e + {shift} AS e, tie.pick IS NOT NULL AS tied,
    CAST(CASE WHEN step.row IS NULL THEN 3 {expired}ELSE 1 END AS TINYINT) AS status
FROM trueup.asked AS request ASOF LEFT JOIN step ON {on}
LEFT JOIN trueup.ties AS tie ON tie.first = step.row AND tie.nth = least({nth}, tie.last)
"""

    def _written_last(self) -> str:
        """Steps where each run's own newest row of a key replaces whatever was there. Of runs that finished at one
        instant the newest row stays."""
        each = _list(self.key_names)
        return f"""
    SELECT {each}t, e, row FROM (
        SELECT {each}t, e, row, 0 AS written, 0 AS c FROM best
        UNION ALL
        SELECT {each}run.finish AS t, e, row, 1 AS written, c FROM version JOIN trueup.runs AS run
        ON e >= run.event_start AND e <= run.event_end AND c <= run.known_at AND greatest(e, c) > run.known_after
    ) QUALIFY row_number() OVER (PARTITION BY {each}t ORDER BY written DESC, e DESC, c DESC) = 1"""

    def gathered(self) -> str:
        """The features of the matched rows, in request order; null unless the status is 1."""
        columns = _list(f"CASE WHEN m.status = 1 THEN h.{name} END AS {name}" for name in self.feature_names)
        return (
            f"SELECT {columns}m.e AS e, m.status AS status, m.tied AND m.status = 1 AS tied FROM trueup.matched AS m "
            "LEFT JOIN trueup.history AS h ON h.rowid = m.row ORDER BY m.i"
        )

    def at_event_time(self, width: int = 1) -> str:
        """The features of every version whose event time is the `e` that a row of `trueup.asked` brings, or at most
        `width` - 1 microseconds later, in the order of the rows and of their created times; `i` is the row."""
        columns = _list(f"h.{name} AS {name}" for name in self.feature_names)
        on = " AND ".join(
            [
                *(f"request.{name} = h.{name}" for name in self.key_names),
                "request.e = h.e" if width == 1 else f"h.e >= request.e AND h.e < request.e + {width}",
            ]
        )
        order = ", ".join(["request.i", "h.c", *(f"h.{name}" for name in self.feature_names)])
        return (
            f"SELECT {columns}h.e AS e, CAST(1 AS TINYINT) AS status, false AS tied, request.i AS i, h.c AS c "
            f"FROM trueup.asked AS request JOIN trueup.history AS h ON {on} ORDER BY {order}"
        )

    def ambiguous_matches(self) -> str:
        """Key, event time and created time of one version that decides a result and has two values."""
        groups = ", ".join((*self.key_names, "e", "c"))
        winners = "SELECT row FROM trueup.matched WHERE tied AND status = 1"
        return f"SELECT {groups} FROM trueup.history WHERE rowid IN ({winners}) ORDER BY {groups} LIMIT 1"

    def entities(self, *, start: int | None, end: int) -> str:
        """Each entity key that has a row in the event window, in key order."""
        if not self.keys:
            return "SELECT 0 AS nobody"
        names = ", ".join(self.key_names)
        return f"SELECT DISTINCT {names} FROM ({self.select(start=start, end=end)}) ORDER BY {names}"

    def owners(self, *, start: int, end: int, width: int, most: int) -> str:
        """Entity keys that have a row at an event time `t` of `trueup.times`, or at most `width` - 1 microseconds
        later, with its own time `e`, in the order of the times; not more than `most`, those times first that the
        fewest entities have a row at."""
        names = ", ".join((*self.key_names, "e", "t"))
        cut = f"e - ((e % {width}) + {width}) % {width}"
        rows = f"SELECT *, {cut} AS t FROM ({self.select(start=start, end=end + width - 1)})"
        found = f"SELECT DISTINCT {names} FROM ({rows}) SEMI JOIN trueup.times USING (t)"
        return (
            f"SELECT * FROM (SELECT {names} FROM ({found}) "
            f"ORDER BY count(*) OVER (PARTITION BY t), {names} LIMIT {most}) ORDER BY e, {names}"
        )

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


LANDINGS_WANTED = "SELECT DISTINCT e, c FROM trueup.versions"
"""The pairs of clocks whose landing (`trueup.stores.landing`) a served read must know."""

_EFFECTIVE: dict[KnownAt, str] = {
    "unbounded": "SELECT *, e AS t FROM version",
    "label": "SELECT *, greatest(e, c) AS t FROM version",
    "served": (
        "SELECT version.*, greatest(version.e, landing.landed) AS t "
        "FROM version JOIN trueup.{landings} AS landing ON version.e = landing.e AND version.c = landing.c"
    ),
}


def _list(items: Iterable[str]) -> str:
    """Items as the beginning of a select list."""
    return "".join(f"{item}, " for item in items)
