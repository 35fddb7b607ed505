"""`read_view` and `read_latest` against the oracle, over random histories."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.oracles import asof as oracle
from tests.oracles.histories import (
    START,
    STEP,
    answers,
    histories,
    instants,
    key_pools,
    ledgers,
    request_table,
    requests,
    rules,
    views,
    write,
)

from trueup.contracts.contract import View
from trueup.errors import SourceError
from trueup.instants import AsOfRule
from trueup.stores.asof import read_latest, read_view
from trueup.stores.duckdb_tables import connect
from trueup.stores.history import ViewRows
from trueup.stores.ledger import BEGINNING, Run

SETTINGS = settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(threads=2) as connection:
        yield connection


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("source") / "rows of 'it'.parquet"


@SETTINGS
@given(data=st.data())
def test_a_read_gives_what_the_rules_say_for_every_row_in_order(
    connection: duckdb.DuckDBPyConnection, path: Path, data: st.DataObject
) -> None:
    view = data.draw(views(path))
    pool = data.draw(key_pools(view))
    rows = data.draw(histories(view, pool, ambiguous=data.draw(st.booleans())))
    runs = data.draw(ledgers(view))
    asked = data.draw(requests(view, pool))
    rule = data.draw(rules)
    write(view, rows, path)

    def read() -> ViewRows:
        table = request_table(view, asked)
        return read_view(connection, view, table, instant="event_timestamp", rule=rule, runs=runs, base_dir=Path())

    try:
        expected = [
            oracle.read(
                rows,
                keys,
                instant,
                features=len(view.features),
                ttl=view.ttl,
                rule=rule,
                schedule=view.schedule,
                runs=runs,
            )
            for keys, instant in asked
        ]
    except oracle.AmbiguousError:
        with pytest.raises(SourceError, match="ambiguous"):
            read()
        return
    got = read()
    assert answers(got) == expected
    assert got.values.schema == pa.schema([(view.column(item.name), item.arrow) for item in view.features])


@SETTINGS
@given(data=st.data())
def test_a_pull_takes_the_newest_row_of_each_entity_that_the_run_may_read(
    connection: duckdb.DuckDBPyConnection, path: Path, data: st.DataObject
) -> None:
    view = data.draw(views(path))
    pool = data.draw(key_pools(view))
    rows = data.draw(histories(view, pool, ambiguous=data.draw(st.booleans())))
    write(view, rows, path)
    for run in data.draw(ledgers(view).filter(bool)):
        try:
            expected = sorted(oracle.pull(rows, run), key=lambda row: row.keys)
        except oracle.AmbiguousError:
            with pytest.raises(SourceError, match="ambiguous"):
                pull(connection, view, run)
            continue
        has_created = view.source.created_column is not None
        assert pull(connection, view, run) == [
            (row.keys, row.values, row.event, row.known if has_created else None) for row in expected
        ]


def pull(
    connection: duckdb.DuckDBPyConnection, view: View, run: Run
) -> list[tuple[tuple[object, ...], tuple[object, ...], datetime, datetime | None]]:
    got = read_latest(
        connection,
        view,
        start=run.event_start,
        end=run.event_end,
        known_at=run.known_at,
        known_after=run.known_after,
        base_dir=Path(),
    )
    keys = list(zip(*(column.to_pylist() for column in got.keys.columns), strict=True)) or [()] * got.num_rows
    values = list(zip(*(column.to_pylist() for column in got.features.columns), strict=True))
    return list(zip(keys, values, got.event_timestamps.to_pylist(), got.created_timestamps.to_pylist(), strict=True))


@st.composite
def real_runs(draw: st.DrawFn, view: View) -> list[Run]:
    """Runs as `materialize` makes them, one after the other: full or incremental, some of them crashed.

    The first is full, covers everything and succeeds: what the store holds before the ledger begins is no business of
    the ledger's.
    """
    runs: list[Run] = []
    clock = START
    cursor: datetime | None = None
    for run_id in range(draw(st.integers(1, 6))):
        started = clock + draw(st.integers(0, 2)) * STEP
        finished = started + draw(st.integers(0, 1)) * STEP / 2
        crashed = run_id > 0 and draw(st.integers(0, 3)) == 0
        incremental = cursor is not None and draw(st.booleans())
        narrow = run_id > 0 and draw(st.integers(0, 3)) == 0
        runs.append(
            Run(
                run_id=run_id,
                project="test",
                view=view.table,
                started_at=started,
                finished_at=None if crashed else finished,
                known_at=started,
                known_after=cursor if incremental else None,
                event_start=draw(instants) if narrow else BEGINNING,
                event_end=started,
                rows=0,
                definition_hash="",
            )
        )
        clock = finished
        if not crashed and not narrow:
            cursor = started
    return runs


@SETTINGS
@given(data=st.data())
def test_a_served_read_is_what_an_online_store_written_run_by_run_would_have_answered(
    connection: duckdb.DuckDBPyConnection, path: Path, data: st.DataObject
) -> None:
    """Law 1, with the oracle's pull, the store's compare-and-set, and our read on the other side."""
    view = data.draw(views(path))
    pool = data.draw(key_pools(view))
    rows = data.draw(histories(view, pool, ambiguous=False))
    runs = data.draw(real_runs(view))
    first = runs[0].finished_at
    assert first is not None
    asked = [(keys, instant) for keys, instant in data.draw(requests(view, pool)) if instant >= first]
    asked += [
        (keys, run.finished_at + off)
        for keys in {row.keys for row in rows}
        for run in runs
        if run.finished_at is not None
        for off in (timedelta(), STEP / 2)
    ]
    write(view, rows, path)

    expected: dict[int, oracle.Answer] = {}
    store = oracle.OnlineStore()
    writes = [run for run in runs if run.finished_at is not None]
    for i, (keys, instant) in sorted(enumerate(asked), key=lambda item: item[1][1]):
        while writes and writes[0].finished_at is not None and writes[0].finished_at <= instant:
            for row in oracle.pull(rows, writes.pop(0)):
                store.write(row)
        expected[i] = store.read(keys, instant, features=len(view.features), ttl=view.ttl)

    got = read_view(
        connection,
        view,
        request_table(view, asked),
        instant="event_timestamp",
        rule=AsOfRule("served"),
        runs=runs,
        base_dir=Path(),
    )
    assert answers(got) == [expected[i] for i in range(len(asked))]
