"""A snapshot of every entity at one instant is the as-of read of each of them at that instant."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.oracles.histories import TIMES, histories, instants, key_pools, ledgers, views, write

from trueup.contracts.contract import Field, JoinKey, Source, View
from trueup.errors import SourceError
from trueup.stores.asof import open_history
from trueup.stores.duckdb_tables import connect
from trueup.stores.history import ViewRows
from trueup.stores.ledger import Run
from trueup.stores.snapshot import Batch, snapshot


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("source") / "rows of 'it'.parquet"


def read(view: View, runs: list[Run], now: datetime, size: int, stored: pa.Table | None = None) -> list[Batch]:
    return read_tied(view, runs, now, size, stored)[0]


def read_tied(
    view: View, runs: list[Run], now: datetime, size: int, stored: pa.Table | None = None
) -> tuple[list[Batch], int]:
    with snapshot(view.keys, now=now) as found:
        found.add(view, runs=runs, base_dir=Path())
        if stored is not None:
            found.add_stored([stored])
        number = found.list_all()
        batches = list(found.batches(size))
    assert number == sum(batch.rows.num_rows for batch in batches)
    assert all(batch.rows.num_rows <= size for batch in batches)
    return batches, found.tied[view.table]


def read_all(connection: duckdb.DuckDBPyConnection, view: View, rows: pa.Table, runs: list[Run]) -> ViewRows:
    with open_history(connection, view, rows, instant="at", runs=runs, base_dir=Path()) as history:
        return history.read("served", refuse=False)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much])
@given(data=st.data())
def test_it_is_the_as_of_read_of_every_entity(path: Path, data: st.DataObject) -> None:
    drawn = data.draw(views(path))
    view = replace(drawn, keys=tuple(replace(key, request=key.name) for key in drawn.keys))
    pool = data.draw(key_pools(view))
    rows = data.draw(histories(view, pool, ambiguous=True))
    # A run does not know what is created after it has finished.
    runs = [run for run in data.draw(ledgers(view)) if run.finished_at is None or run.known_at <= run.finished_at]
    now = data.draw(instants)
    write(view, rows, path)
    batches, tied = read_tied(view, runs, now, data.draw(st.sampled_from([1, 2, 100])))
    known = {row.keys for row in rows if row.event and None not in row.keys and row.event <= now and row.known <= now}
    assume(known or not batches)
    asked = pa.concat_tables([batch.rows for batch in batches]) if batches else None
    keys = [item.name for item in view.keys]
    found = sorted(tuple(row[name] for name in keys) for row in asked.to_pylist()) if asked else []
    assert found == sorted(known)
    if asked is None:
        return
    questions = asked.append_column("at", pa.array([now] * asked.num_rows, TIMES))
    with connect() as connection:
        expected = read_all(connection, view, questions, runs)
    frames = [batch.views[view.table].frame for batch in batches]
    assert pa.concat_tables([frame.values for frame in frames]).to_pylist() == expected.values.to_pylist()
    assert pa.concat_tables([frame.statuses for frame in frames]).to_pylist() == expected.statuses.to_pylist()
    times = pa.concat_tables([frame.event_timestamps for frame in frames])
    assert times[view.name].to_pylist() == expected.event_timestamps.to_pylist()
    assert all(batch.views[view.table].listed.all() for batch in batches)
    assert tied >= sum(expected.tied.to_pylist())  # where the value has expired, no read says so


def test_what_only_the_store_holds_is_listed_once_and_is_no_entity_of_the_source(path: Path) -> None:
    view = _small(path)
    stored = pa.table({"id": pa.array([3, 1, 3, 7], pa.int64())})
    (batch,) = read(view, [], datetime.fromisoformat("2024-03-10T00:00:00+00:00"), 10, stored)
    assert batch.rows["id"].to_pylist() == [1, 2, 3, 7]
    assert batch.views["v"].listed.tolist() == [True, True, False, False]
    assert batch.views["v"].frame.values["v__x"].to_pylist() == [10, 20, None, None]


def test_rows_that_cannot_be_told_apart_give_the_least_value_and_are_counted(path: Path) -> None:
    view = _small(path, ids=(1, 1, 1, 2, 2), values=(6, 5, 6, 7, 7))
    (batch,), tied = read_tied(view, [], datetime.fromisoformat("2024-03-10T00:00:00+00:00"), 10)
    assert batch.views["v"].frame.values["v__x"].to_pylist() == [5, 7]
    assert tied == 1


def test_values_that_do_not_fit_their_declared_type_are_as_the_source_has_them(path: Path) -> None:
    view = replace(_small(path, values=(20, 2**40)), features=(Field("x", "Int32"),))
    batches = read(view, [], datetime.fromisoformat("2024-03-10T00:00:00+00:00"), 1)
    columns = [batch.views["v"].frame.values["v__x"] for batch in batches]
    assert [column.to_pylist() for column in columns] == [[2**40], [20]]
    assert [column.type for column in columns] == [pa.int64(), pa.int32()]


def test_a_truncated_file_is_a_source_error_that_names_it(path: Path) -> None:
    view = _small(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SourceError, match="feature view v"):
        read(view, [], datetime.fromisoformat("2024-03-10T00:00:00+00:00"), 10)


def test_a_limit_below_the_data_spills_to_disk(tmp_path: Path) -> None:
    number = 300_000
    view = _small(tmp_path / "large.parquet", ids=range(number), values=range(number))
    with snapshot(view.keys, now=datetime.fromisoformat("2024-03-10T00:00:00+00:00"), memory_limit="40MB") as found:
        assert found.add(view, runs=[], base_dir=Path()) == number
        assert found.list_all() == number
        total = sum(batch.views["v"].frame.num_rows for batch in found.batches(50_000))
    assert total == number


def _small(path: Path, ids: range | tuple[int, ...] = (2, 1), values: range | tuple[int, ...] = (20, 10)) -> View:
    at = datetime.fromisoformat("2024-03-09T22:00:00+00:00")
    pq.write_table(
        pa.table(
            {
                "id": pa.array(ids, pa.int64()),
                "x": pa.array(values, pa.int64()),
                "at": pa.array([at], TIMES).take(pa.array([0] * len(ids))),
            }
        ),
        path,
    )
    return View(
        name="v",
        table="v",
        keys=(JoinKey("id", "Int64", "id"),),
        features=(Field("x", "Int64"),),
        ttl=None,
        source=Source("test", "at", None, None, {"source": str(path)}, {}),
    )
