"""The variations of the as-of read against the oracle, over random histories, and that none changes the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.oracles import asof as oracle
from tests.oracles.histories import (
    START,
    STEP,
    answers,
    histories,
    key_pools,
    ledgers,
    request_table,
    requests,
    rules,
    views,
    write,
)

from trueup.contracts.contract import Field, JoinKey, Source, View
from trueup.instants import AsOfRule
from trueup.stores.asof import open_history
from trueup.stores.duckdb_tables import connect
from trueup.stores.history import Variation
from trueup.stores.landing import micros

SETTINGS = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
MINUTE = 60_000_000

variations = st.builds(
    Variation,
    ttl=st.booleans(),
    declared=st.booleans(),
    under_way=st.booleans(),
).flatmap(
    lambda plain: st.one_of(
        st.just(plain),
        st.just(replace(plain, deviation="first_landed")),
        st.just(replace(plain, deviation="last_writer")),
        st.integers(1, 3).map(lambda size: replace(plain, deviation="before_last_run", size=size)),
        st.integers(1, 2).map(lambda size: replace(plain, deviation="tied", size=size)),
        st.sampled_from([-20, -10, 10, 30]).map(
            lambda minutes: replace(plain, deviation="shifted", size=minutes * MINUTE)
        ),
    )
)


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(threads=2) as connection:
        yield connection


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("source") / "rows.parquet"


@SETTINGS
@given(data=st.data())
def test_each_variation_gives_what_the_changed_rule_says_and_a_history_answers_them_in_any_order(
    connection: duckdb.DuckDBPyConnection, path: Path, data: st.DataObject
) -> None:
    view = data.draw(views(path))
    pool = data.draw(key_pools(view))
    rows = data.draw(histories(view, pool, ambiguous=data.draw(st.booleans())))
    runs = data.draw(ledgers(view))
    asked = data.draw(requests(view, pool).filter(bool))
    rule = AsOfRule(data.draw(rules).known_at)
    some = np.array(data.draw(st.lists(st.integers(0, len(asked) - 1), max_size=12)), np.int64)
    write(view, rows, path)
    with open_history(
        connection, view, request_table(view, asked), instant="event_timestamp", runs=runs, base_dir=Path()
    ) as history:
        for variation in data.draw(st.lists(variations, min_size=1, max_size=3)):
            ledger = [] if variation.declared else runs
            if variation.under_way:
                ledger = [
                    run if run.finished_at is None else replace(run, finished_at=run.started_at) for run in ledger
                ]
            # The runs whose order decides are those that happened, whatever is read as landed.
            order = variation.deviation in ("before_last_run", "last_writer")
            if order and (variation.declared or variation.under_way):
                continue
            got = answers(history.read(rule.known_at, variation, some, refuse=False))
            assert got == [
                oracle.read_varied(
                    rows,
                    asked[i][0],
                    asked[i][1],
                    features=len(view.features),
                    ttl=view.ttl if variation.ttl else None,
                    rule=rule,
                    schedule=view.schedule,
                    runs=ledger,
                    deviation=variation.deviation,
                    size=variation.size,
                )
                for i in some
            ]


@SETTINGS
@given(data=st.data())
def test_a_look_up_by_event_time_finds_every_row_the_source_has_of_it(
    connection: duckdb.DuckDBPyConnection, path: Path, data: st.DataObject
) -> None:
    view = data.draw(views(path))
    pool = data.draw(key_pools(view))
    rows = data.draw(histories(view, pool, ambiguous=True))
    asked = data.draw(requests(view, pool).filter(bool))
    write(view, rows, path)
    times = np.array([micros(instant) for _, instant in asked], np.int64)
    with open_history(
        connection, view, request_table(view, asked), instant="event_timestamp", base_dir=Path()
    ) as history:
        every = np.arange(len(asked), dtype=np.int64)
        found, got = history.at_event_times(times, every)
        entities, events = history.event_times(every)
    of_row = [
        [row for row in rows if row.event is not None and None not in row.keys and row.keys == keys]
        for keys, _ in asked
    ]
    expected = [(i, row.values) for i, (_, instant) in enumerate(asked) for row in of_row[i] if row.event == instant]
    values = list(zip(*(column.to_pylist() for column in got.values.columns), strict=True))
    assert sorted(zip(found.tolist(), values, strict=True), key=repr) == sorted(expected, key=repr)
    assert list(zip(entities.tolist(), events.tolist(), strict=True)) == [
        (i, event) for i, own in enumerate(of_row) for event in sorted({micros(row.event) for row in own if row.event})
    ]


def test_a_tie_is_told_where_it_decides(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Two rows with both clocks equal: a later row settles it, an equal pair is none."""
    view = replace(views_example(path), ttl=None)
    (one, other), early, late = (1, 2), oracle_time(0), oracle_time(2)
    rows = [
        oracle.Row((1,), early, early, (one,)),
        oracle.Row((1,), early, early, (other,)),
        oracle.Row((1,), late, late, (other,)),
        oracle.Row((1,), late, late, (other,)),
    ]
    write(view, rows, path)
    asked = [((1,), oracle_time(1)), ((1,), oracle_time(3))]
    with open_history(
        connection, view, request_table(view, asked), instant="event_timestamp", base_dir=Path()
    ) as history:
        read = history.read("label", refuse=False)
        second = history.read("label", Variation(deviation="tied", size=1), refuse=False)
    assert read.tied.to_pylist() == [True, False]
    assert read.values.column(0).to_pylist() == [one, other]
    assert second.values.column(0).to_pylist() == [other, other]


def views_example(path: Path) -> View:
    return View(
        name="view",
        table="view",
        keys=(JoinKey("key 0", "Int64", "key 0"),),
        features=(Field("value", "Int64"),),
        ttl=None,
        source=Source("test", "event time", "created", None, {"source": str(path)}, {}),
    )


def oracle_time(steps: int) -> datetime:
    return START + steps * STEP
