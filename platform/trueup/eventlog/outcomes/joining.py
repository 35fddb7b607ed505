"""Served rows joined with an outcome. Pure.

One outcome serves every row of its request and number: the answer's and each shadow's. Of several known values the one
that became known last counts; two that became known at once and differ leave the row without an outcome. By entity and
time the newest request of the entity counts that was served at or before the outcome's instant and within its reach.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.errors import InputError
from trueup.eventlog.labelled import LABEL_STATES, Absent, Labelled, LabelState
from trueup.eventlog.outcomes.kept import Outcomes
from trueup.eventlog.records import LOG_TIMESTAMP, REQUEST_ID, ROW
from trueup.hashing import canonical_json
from trueup.instants import EPOCH

_MICROSECOND = timedelta(microseconds=1)
COUNTS = ("matched", "orphans", "duplicates", "restated", "ambiguous", "not yet known")
"""matched: outcomes whose row is there; each is used, or one of the next. orphans: whose row is not. duplicates: the
same value again. restated: replaced by one that became known later. ambiguous: values that differ and became known at
once, or an entity with two requests at one instant. not yet known: known only after `now`."""


def join(served: pa.Table, outcomes: Outcomes, *, now: datetime, delay: timedelta, absent: Absent) -> Labelled:
    """served: `__request_id`, `__row`, `__log_timestamp`, and the join keys that outcomes are keyed by. One row in, one
    row out, in order. now: what becomes known later is not known. delay: a row is mature when it was served that long
    ago, to the microsecond.

    Raises InputError where outcomes are keyed by a column that the rows do not have.
    """
    table = outcomes.table
    known = table.filter(pc.less_equal(table.column("known_at"), pa.scalar(now, table.schema.field("known_at").type)))
    counts = dict.fromkeys(COUNTS, 0)
    counts["not yet known"] = table.num_rows - known.num_rows
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("requests", _requests(served))
        resolved = list(_resolved(connection, served, known, counts))
        connection.register("found", pa.concat_tables(resolved) if resolved else _FOUND.empty_table())
        values = _values(connection, counts)
    states = _states(served, values, now, delay)
    if absent == "zero":
        missing = states == LABEL_STATES.index("missing")
        values = np.where(missing, 0.0, values)
        states = np.where(missing, LABEL_STATES.index("mature"), states).astype(np.int8)
    counts |= {f"rows {state}": int((states == at).sum()) for at, state in enumerate(LABEL_STATES)}
    return Labelled(served, outcomes.name, values, states, counts)


_FOUND = pa.schema(
    [
        pa.field("request", pa.string()),
        pa.field("number", pa.int32()),
        pa.field("value", pa.float64()),
        pa.field("known_at", pa.timestamp("us", tz="UTC")),
    ]
)


def _requests(served: pa.Table) -> pa.Table:
    """The rows' requests, with their place."""
    numbers = pc.fill_null(served.column(ROW), 0)
    return pa.table(
        {
            "place": np.arange(served.num_rows, dtype=np.int64),
            "request": served.column(REQUEST_ID),
            "number": numbers,
            "at": served.column(LOG_TIMESTAMP),
        }
    )


def _resolved(
    connection: duckdb.DuckDBPyConnection, served: pa.Table, known: pa.Table, counts: dict[str, int]
) -> Iterator[pa.Table]:
    """Outcomes by the request they are of: those that say it, then those that name an entity and a time."""
    named = known.filter(known.column("keys").is_null())
    yield pa.table(
        [
            named.column("request_id"),
            pc.fill_null(named.column("row"), 0),
            named.column("value"),
            named.column("known_at"),
        ],
        schema=_FOUND,
    )
    timed = known.filter(known.column("keys").is_valid())
    texts = timed.column("keys")
    kinds: dict[tuple[str, ...], list[str]] = {}
    for text in pc.unique(texts).to_pylist():
        kinds.setdefault(tuple(sorted(json.loads(text))), []).append(text)
    for names, of_kind in kinds.items():
        mine = timed.filter(pc.is_in(texts, pa.array(of_kind, pa.string())))
        yield _by_entity(connection, served, names, mine, counts)


def _by_entity(
    connection: duckdb.DuckDBPyConnection,
    served: pa.Table,
    names: Sequence[str],
    timed: pa.Table,
    counts: dict[str, int],
) -> pa.Table:
    if unknown := [name for name in names if name not in served.column_names]:
        raise InputError(
            "key",
            f"outcomes are keyed by {unknown[0]!r}, which the served rows do not have.",
            hint="Import them under the names of the join keys or request fields, or by request id.",
        )
    columns = [served.column(name).to_pylist() for name in names]
    keys = [key_text(dict(zip(names, values, strict=True))) for values in zip(*columns, strict=True)]
    connection.register("entities", pa.table({"place": np.arange(len(keys), dtype=np.int64), "keys": keys}))
    connection.register("timed", timed.append_column("outcome", pa.array(np.arange(timed.num_rows, dtype=np.int64))))
    rows = connection.sql(
        """
        WITH asked AS (
            SELECT DISTINCT keys, "at", request, number FROM requests JOIN entities USING (place)
        ), near AS (
            SELECT outcome, value, known_at, asked.request, asked.number, asked."at",
                rank() OVER (PARTITION BY outcome ORDER BY asked."at" DESC) AS nearest
            FROM timed JOIN asked ON timed.keys = asked.keys
                AND asked."at" <= timed."at" AND asked."at" >= timed."at" - to_microseconds(coalesce(timed.within, 0))
        ), chosen AS (SELECT *, count(*) OVER (PARTITION BY outcome) AS alike FROM near WHERE nearest = 1)
        SELECT
            CASE WHEN alike = 1 THEN request END AS request, min(number)::INTEGER AS number,
            any_value(value) AS value, any_value(known_at) AS known_at, max(alike) AS alike
        FROM chosen GROUP BY outcome, CASE WHEN alike = 1 THEN request END ORDER BY outcome
        """
    ).to_arrow_table()
    several = int(pc.sum(pc.greater(rows.column("alike"), 1)).as_py() or 0)
    counts["ambiguous"] += several
    counts["matched"] += several
    counts["orphans"] += timed.num_rows - rows.num_rows
    found = rows.filter(pc.equal(rows.column("alike"), 1))
    return found.select(_FOUND.names).cast(_FOUND)


def _values(connection: duckdb.DuckDBPyConnection, counts: dict[str, int]) -> npt.NDArray[np.float64]:
    """The value of each request's row, NaN where there is none; what became of the outcomes is counted."""
    connection.execute(
        """
        CREATE TEMP TABLE judged AS
        WITH there AS (SELECT DISTINCT request, number FROM requests), matched AS (
            SELECT found.*, there.request IS NOT NULL AS is_there,
                max(known_at) OVER (PARTITION BY found.request, found.number) AS last
            FROM found LEFT JOIN there ON found.request = there.request AND found.number = there.number
        )
        SELECT request, number, bool_and(is_there) AS is_there, count(*) AS outcomes,
            count(*) FILTER (known_at = last) AS newest,
            count(DISTINCT value) FILTER (known_at = last) AS newest_values,
            any_value(value) FILTER (known_at = last) AS value
        FROM matched GROUP BY request, number
        """
    )
    connection.execute(
        """
        CREATE TEMP TABLE older AS
        SELECT
            count(*) FILTER (found.value = judged.value) AS same,
            count(*) FILTER (found.value <> judged.value) AS other
        FROM found JOIN judged ON found.request = judged.request AND found.number = judged.number
        WHERE judged.is_there AND judged.newest_values = 1
        """
    )
    matched, orphans, ambiguous, used = connection.execute(
        """
        SELECT coalesce(sum(outcomes) FILTER (is_there), 0), coalesce(sum(outcomes) FILTER (NOT is_there), 0),
            coalesce(sum(outcomes) FILTER (is_there AND newest_values > 1), 0),
            count(*) FILTER (is_there AND newest_values = 1)
        FROM judged
        """
    ).fetchall()[0]
    same, other = connection.execute("SELECT same, other FROM older").fetchall()[0]
    counts["matched"] += int(matched)
    counts["orphans"] += int(orphans)
    counts["ambiguous"] += int(ambiguous)
    counts["duplicates"] += int(same) - int(used)
    counts["restated"] += int(other)
    values = connection.sql(
        """
        SELECT CASE WHEN newest_values = 1 THEN value END AS value
        FROM requests LEFT JOIN judged ON requests.request = judged.request AND requests.number = judged.number
        ORDER BY place
        """
    ).to_arrow_table()
    column = pc.fill_null(values.column("value"), float("nan"))
    return np.asarray(column.to_numpy(), dtype=np.float64)


def key_text(keys: Mapping[str, Any]) -> str:
    """An entity as text, the same whether a key came as number or as text."""
    return canonical_json({name: None if value is None else str(value) for name, value in keys.items()}).decode()


def _states(served: pa.Table, values: npt.NDArray[np.float64], now: datetime, delay: timedelta) -> npt.NDArray[np.int8]:
    at = np.asarray(pc.fill_null(served.column(LOG_TIMESTAMP).cast(pa.int64()), 0).to_numpy(), dtype=np.int64)
    over = at + delay // _MICROSECOND <= (now - EPOCH) // _MICROSECOND
    known = np.isfinite(values)

    def place(state: LabelState) -> int:
        return LABEL_STATES.index(state)

    first = np.where(over, place("mature"), place("early"))
    second = np.where(over, place("missing"), place("immature"))
    return np.where(known, first, second).astype(np.int8)
