"""Small random histories for Hypothesis: few keys and few instants, so that ties and edges are common."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st
from tests.oracles.asof import Answer, Row

from trueup.contracts.contract import Field, JoinKey, Source, View
from trueup.instants import AsOfRule, Schedule
from trueup.stores.history import ViewRows
from trueup.stores.ledger import Run

START = datetime(2024, 3, 9, 22, tzinfo=UTC)
STEP = timedelta(minutes=10)
STEPS = 12
NASTY = ("value_x", "value_y", "select", "order", "__row", 'quo"ted', "with space", "e", "c", "k0", "f0", "status", "i")
TIMES = pa.timestamp("us", tz="UTC")

KEY_TYPES = {"Int64": (pa.int64(), [1, 11, 111]), "String": (pa.string(), ["1", "11", ""])}

instants = st.integers(0, STEPS).map(lambda step: START + step * STEP)
ttls = st.none() | st.integers(1, 6).map(lambda steps: steps * STEP)
schedules = st.builds(
    Schedule,
    cadence=st.sampled_from([timedelta(), STEP, 2 * STEP, timedelta(minutes=25)]),
    delay=st.sampled_from([timedelta(), timedelta(minutes=5), STEP]),
)
rules = st.builds(AsOfRule, known_at=st.sampled_from(["served", "label", "unbounded"]), pinned=st.none() | instants)


@st.composite
def key_lists(draw: st.DrawFn, most: int = 2) -> tuple[JoinKey, ...]:
    """0 to `most` join keys of two types, some brought under another name."""
    dtypes = draw(st.lists(st.sampled_from(sorted(KEY_TYPES)), min_size=0, max_size=most))
    return tuple(
        JoinKey(f"key {i}", dtype, draw(st.sampled_from([f"key {i}", f'asked "{i}"'])))
        for i, dtype in enumerate(dtypes)
    )


@st.composite
def views(draw: st.DrawFn, path: Path, name: str = "view") -> View:
    features = draw(st.lists(st.sampled_from(NASTY), min_size=1, max_size=3, unique=True))
    as_query = draw(st.booleans())
    return View(
        name=name,
        table=name,
        keys=draw(key_lists()),
        features=tuple(Field(feature, "Int64") for feature in features),
        ttl=draw(ttls),
        source=Source(
            kind="test",
            timestamp_field="event time",
            created_column=draw(st.sampled_from(["created", None])),
            query='SELECT * FROM "the table" -- all of it' if as_query else None,
            tables={"the table" if as_query else "source": str(path)},
            field_mapping={"renamed": features[0]} if draw(st.booleans()) else {},
        ),
        schedule=draw(schedules),
    )


def key_pools(view: View) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    """The few entities of one history; a view without keys has the one."""
    key = st.tuples(*(st.sampled_from(KEY_TYPES[key.dtype][1]) for key in view.keys))
    return st.lists(key, min_size=1, max_size=3, unique=True)


def keys_of(view: View, pool: list[tuple[Any, ...]]) -> st.SearchStrategy[tuple[Any, ...]]:
    """An entity of the pool; sometimes with a null in its key."""
    known = st.sampled_from(pool)
    if not view.keys:
        return known
    blank = st.builds(lambda key, i: (*key[:i], None, *key[i + 1 :]), known, st.integers(0, len(view.keys) - 1))
    return st.one_of(*[known] * 6, blank)


@st.composite
def histories(draw: st.DrawFn, view: View, pool: list[tuple[Any, ...]], *, ambiguous: bool) -> list[Row]:
    """Rows of a view's source in any order: late ones, corrections, future ones, repeated ones, without clocks."""
    has_created = view.source.created_column is not None
    sometimes = st.one_of(*[instants] * 6, st.none())
    row = st.builds(
        Row,
        keys=keys_of(view, pool),
        event=sometimes,
        created=sometimes if has_created else st.none(),
        values=st.tuples(*([st.integers(0, 3) | st.none()] * len(view.features))),
    )
    rows = draw(st.lists(row, min_size=draw(st.sampled_from([0, 5, 12])), max_size=16))
    if not ambiguous:
        known: dict[Any, Row] = {}
        for item in rows:
            known.setdefault((item.keys, item.event, item.created or item.event), item)
        rows = [known[item.keys, item.event, item.created or item.event] for item in rows]
    return rows


@st.composite
def ledgers(draw: st.DrawFn, view: View) -> list[Run]:
    """Runs of any kind: overlapping, unfinished, incremental, over narrow windows, with known times of their own."""

    def run(run_id: int) -> Run:
        started = draw(instants)
        finished = draw(st.none() | st.integers(0, 2).map(lambda steps: started + steps * STEP))
        return Run(
            run_id=run_id,
            project="test",
            view=view.table,
            started_at=started,
            finished_at=finished,
            known_at=draw(st.just(started) | instants),
            known_after=draw(st.none() | instants),
            event_start=draw(st.just(START) | instants),
            event_end=draw(st.just(started) | instants),
            rows=0,
            definition_hash="",
        )

    return [run(run_id) for run_id in range(draw(st.integers(0, 4)))]


def write(view: View, rows: list[Row], path: Path) -> None:
    """The rows as the Parquet file of the view's source."""
    columns: dict[str, Any] = {
        key.name: pa.array([row.keys[i] for row in rows], KEY_TYPES[key.dtype][0]) for i, key in enumerate(view.keys)
    }
    for i, feature in enumerate(view.features):
        columns[view.source.column(feature.name)] = pa.array([row.values[i] for row in rows], pa.int64())
    columns["event time"] = pa.array([row.event for row in rows], TIMES)
    columns["created"] = pa.array([row.created for row in rows], TIMES)
    pq.write_table(pa.table(columns), path)


@st.composite
def requests(draw: st.DrawFn, view: View, pool: list[tuple[Any, ...]]) -> list[tuple[tuple[Any, ...], datetime]]:
    """Entity rows in any order, with repeats, null keys, unknown keys and instants just beside the steps."""
    if draw(st.integers(0, 9)) == 0:
        return []
    off = draw(st.sampled_from([timedelta(), timedelta(microseconds=-1), timedelta(microseconds=1)]))
    grid = [(keys, START + step * STEP + off) for keys in pool for step in range(STEPS + 2)]
    other = st.tuples(keys_of(view, pool) | keys_of(view, draw(key_pools(view))), instants)
    asked = grid + draw(st.lists(other, max_size=6))
    draw(st.randoms(use_true_random=False)).shuffle(asked)
    return asked


def request_table(view: View, asked: list[tuple[tuple[Any, ...], datetime]]) -> pa.Table:
    columns: dict[str, Any] = {
        key.request: pa.array([keys[i] for keys, _ in asked], KEY_TYPES[key.dtype][0])
        for i, key in enumerate(view.keys)
    }
    columns["event_timestamp"] = pa.array([instant for _, instant in asked], TIMES)
    return pa.table(columns)


def answers(read: ViewRows) -> list[Answer]:
    """What a read gave, row by row, as the oracle says it."""
    features = [column.to_pylist() for column in read.values.columns]
    statuses = [column.to_pylist() for column in read.statuses.columns]
    return [
        Answer(tuple(column[i] for column in features), tuple(column[i] for column in statuses), event)
        for i, event in enumerate(read.event_timestamps.to_pylist())
    ]
