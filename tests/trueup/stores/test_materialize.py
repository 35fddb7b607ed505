"""Laws of materialization: what a run writes, what the ledger says of it, and that both agree with a served read."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import BatchFeatureView, Entity, FeatureStore, FeatureView, Field, FileSource
from feast.infra.online_stores.sqlite import SqliteOnlineStore
from feast.repo_config import RepoConfig
from feast.type_map import feast_value_type_to_python_type
from feast.types import (
    Array,
    Bool,
    Bytes,
    Float32,
    Float64,
    ImageBytes,
    Int32,
    Int64,
    Json,
    Map,
    PdfBytes,
    Set,
    String,
    Struct,
    UnixTimestamp,
)
from feast.types import Decimal as FeastDecimal
from feast.utils import _convert_arrow_to_proto
from feast.value_type import ValueType

from trueup.contracts.extract import view_from_feast
from trueup.errors import ContractError, InputError, SourceError
from trueup.instants import AsOfRule, format_instant
from trueup.stores.asof import LatestRows, read_latest, read_view
from trueup.stores.duckdb_tables import connect
from trueup.stores.ledger import BEGINNING, Run
from trueup.stores.ledger_engine import LedgerEngine, ledger_of
from trueup.stores.materialize import materialize
from trueup.stores.online_rows import online_rows
from trueup.stores.query_source import DuckDBQuerySource
from trueup.stores.value_decoder import decoder

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)
US = pa.timestamp("us", tz="UTC")
CAR = Entity(name="car", join_keys=["car"], value_type=ValueType.INT64)

Rows = list[tuple[int | None, datetime, datetime, int | None]]
"""car, event time, created time, value"""


def write(repo: Path, rows: Rows, name: str = "rows") -> None:
    car, at, created, x = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [], [])
    table = pa.table(
        {
            "car": pa.array(car, pa.int64()),
            "at": pa.array(at, US),
            "created": pa.array(created, US),
            "x": pa.array(x, pa.int64()),
        }
    )
    pq.write_table(table, repo / f"{name}.parquet")


def view(name: str = "v", **changes: Any) -> FeatureView:
    return FeatureView(
        **{
            "name": name,
            "entities": [CAR],
            "ttl": 6 * HOUR,
            "schema": [Field(name="car", dtype=Int64), Field(name="x", dtype=Int64)],
            "source": DuckDBQuerySource(
                name=name,
                query="SELECT * FROM r",
                tables={"r": "rows.parquet"},
                timestamp_field="at",
                created_timestamp_column="created",
            ),
            **changes,
        }
    )


def make_store(repo: Path, *views: Any, online: dict[str, Any] | None = None, **options: Any) -> FeatureStore:
    config: dict[str, Any] = {
        "project": "p",
        "provider": "local",
        "registry": str(repo / "registry.db"),
        "repo_path": repo,
        "entity_key_serialization_version": 3,
        "offline_store": {"type": "trueup.stores.duckdb_offline.DuckDBOfflineStore"},
        "online_store": online or {"type": "sqlite", "path": str(repo / "online.db")},
        "batch_engine": {"type": "trueup.stores.ledger_engine.LedgerEngine", "ledger": "ledger.sqlite"},
        **options,
    }
    store = FeatureStore(config=RepoConfig(**config))
    if views:
        store.apply([CAR, *views])
    return store


def ticking(*instants: datetime) -> Callable[[], datetime]:
    """A clock that shows each instant once."""
    shown: Iterator[datetime] = iter(instants)
    return lambda: next(shown)


def at(instant: datetime) -> Callable[[], datetime]:
    return lambda: instant


def online(store: FeatureStore, *cars: int, view: str = "v") -> list[Any]:
    response = store.get_online_features(features=[f"{view}:x"], entity_rows=[{"car": car} for car in cars])
    return list(response.to_dict()["x"])


def ledger(store: FeatureStore, view: str = "v") -> tuple[Run, ...]:
    return ledger_of(store.config).runs("p", view)


# A run and its entry ------------------------------------------------------------------------------------------------


def test_a_run_writes_what_is_known_and_says_when_it_began_and_ended(tmp_path: Path) -> None:
    write(tmp_path, [(1, NOON - HOUR, NOON - HOUR, 7), (2, NOON - 2 * HOUR, NOON - HOUR, None)])
    store = make_store(tmp_path, view())
    (run,) = materialize(store, clock=ticking(NOON, NOON + MICROSECOND))

    assert (run.started_at, run.finished_at, run.known_at) == (NOON, NOON + MICROSECOND, NOON)
    assert (run.event_start, run.event_end, run.known_after) == (NOON - 6 * HOUR, NOON, None)
    assert (run.project, run.view, run.rows) == ("p", "v", 2)
    assert run.definition_hash == view_from_feast(store.get_feature_view("v")).definition_hash
    assert ledger(store) == (run,)
    assert online(store, 1, 2, 3) == [7, None, None]


def test_what_is_created_later_or_still_to_come_is_not_written(tmp_path: Path) -> None:
    write(
        tmp_path,
        [
            (1, NOON - HOUR, NOON, 7),
            (1, NOON - HOUR, NOON + MICROSECOND, 8),  # a correction the run cannot know
            (1, NOON + MICROSECOND, NOON - HOUR, 9),  # an event that would hide the current value
        ],
    )
    store = make_store(tmp_path, view())
    (run,) = materialize(store, clock=at(NOON), end=NOON + 9 * HOUR)
    assert online(store, 1) == [7]
    assert run.event_end == NOON


def test_a_view_without_ttl_is_read_from_the_beginning(tmp_path: Path) -> None:
    moon = datetime(1969, 7, 20, tzinfo=UTC)
    write(tmp_path, [(1, moon, moon, 7)])
    store = make_store(tmp_path, view(ttl=None))
    (run,) = materialize(store, clock=at(NOON))
    assert run.event_start == BEGINNING
    assert online(store, 1) == [7]


def test_start_end_and_known_at_bound_what_is_read(tmp_path: Path) -> None:
    write(
        tmp_path,
        [(1, NOON - 3 * HOUR, NOON - 3 * HOUR, 1), (2, NOON - 2 * HOUR, NOON, 2), (3, NOON - HOUR, NOON - HOUR, 3)],
    )
    store = make_store(tmp_path, view())
    bounds = {"start": NOON - 2 * HOUR, "end": NOON - HOUR, "known_at": NOON - MICROSECOND}
    (run,) = materialize(store, clock=at(NOON), **bounds)
    assert (run.event_start, run.event_end, run.known_at) == tuple(bounds.values())
    assert online(store, 1, 2, 3) == [None, None, 3]


def test_a_correction_with_an_equal_event_time_lands(tmp_path: Path, redis_url: str, redis_client: Any) -> None:
    write(tmp_path, [(1, NOON, NOON, 7), (1, NOON, NOON + HOUR, 8)])
    store = make_store(tmp_path, view(), online=redis(redis_url, NOON + HOUR))
    materialize(store, clock=at(NOON))
    assert online(store, 1) == [7]
    materialize(store, clock=at(NOON + HOUR), incremental=True)
    assert online(store, 1) == [8]


@pytest.mark.parametrize("kind", ["redis", "sqlite"])
def test_going_back_to_older_sources_takes_a_replacement(
    tmp_path: Path, kind: str, redis_url: str, redis_client: Any
) -> None:
    older: Rows = [(1, NOON - HOUR, NOON - HOUR, 7), (2, NOON, NOON, 5)]
    write(tmp_path, [*older, (1, NOON, NOON, 8), (3, NOON, NOON, 9)])
    store = make_store(tmp_path, view(), view("other"), online=redis(redis_url, NOON) if kind == "redis" else None)
    materialize(store, clock=at(NOON))
    assert online(store, 1, 2, 3) == [8, 5, 9]
    write(tmp_path, older)
    materialize(store, clock=at(NOON + HOUR), known_at=NOON)
    assert online(store, 3) == [9]  # what the sources do not have any more stays
    materialize(store, views=["v"], clock=at(NOON + HOUR), known_at=NOON, replace=True)
    assert online(store, 1, 2, 3) == [7, 5, None]
    assert online(store, 3, view="other") == [9]  # under the same key, and not asked for


def redis(url: str, now: datetime) -> dict[str, Any]:
    return {
        "type": "trueup.stores.redis_online.RedisOnlineStore",
        "connection_string": url,
        "now": format_instant(now),
    }


def test_rows_are_handed_over_in_batches_of_the_size_the_repository_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, [(car, NOON, NOON, car) for car in range(7)])
    store = make_store(tmp_path, view(), materialization={"online_write_batch_size": 3})
    sizes: list[int] = []
    write_batch = SqliteOnlineStore.online_write_batch

    def counted(self: Any, config: Any, table: Any, data: Any, progress: Any) -> None:
        sizes.append(len(data))
        write_batch(self, config, table, data, progress)

    monkeypatch.setattr(SqliteOnlineStore, "online_write_batch", counted)
    (run,) = materialize(store, clock=at(NOON))
    assert (run.rows, sizes) == (7, [3, 3, 1])
    assert online(store, *range(7)) == list(range(7))


def test_a_run_that_fails_stays_unfinished_and_the_next_one_takes_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, [(1, NOON, NOON, 7)])
    store = make_store(tmp_path, view())

    def broken(*args: Any, **kwargs: Any) -> None:
        raise ConnectionError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteOnlineStore, "online_write_batch", broken)
        with pytest.raises(ConnectionError):
            materialize(store, clock=at(NOON), incremental=True)
    assert [run.finished_at for run in ledger(store)] == [None]

    (run,) = materialize(store, clock=at(NOON + HOUR), incremental=True)
    assert (run.known_after, run.rows) == (None, 1)
    assert online(store, 1) == [7]


# Incremental ----------------------------------------------------------------------------------------------------------


def test_an_incremental_run_takes_what_became_known_since_however_old_the_event(tmp_path: Path) -> None:
    write(
        tmp_path,
        [
            (1, NOON, NOON, 1),
            (2, NOON - HOUR, NOON + MICROSECOND, 2),  # late
            (3, NOON + HOUR, NOON - HOUR, 3),  # known long before it happened
            (4, NOON + HOUR, NOON + HOUR, 4),
        ],
    )
    store = make_store(tmp_path, view())
    first, second, third = (materialize(store, clock=at(NOON + i * HOUR), incremental=True)[0] for i in range(3))
    assert [run.known_after for run in (first, second, third)] == [None, NOON, NOON + HOUR]
    assert [run.rows for run in (first, second, third)] == [1, 3, 0]
    assert online(store, 1, 2, 3, 4) == [1, 2, 3, 4]


def test_an_edited_definition_is_materialized_whole_again(tmp_path: Path) -> None:
    write(tmp_path, [(1, NOON, NOON, 7)])
    store = make_store(tmp_path, view())
    materialize(store, clock=at(NOON), incremental=True)
    edited = DuckDBQuerySource(
        name="v",
        query="SELECT * REPLACE (x + 1 AS x) FROM r",
        tables={"r": "rows.parquet"},
        timestamp_field="at",
        created_timestamp_column="created",
    )
    store.apply([view(source=edited)])
    (run,) = materialize(store, clock=at(NOON + HOUR), incremental=True)
    assert run.known_after is None
    assert online(store, 1) == [8]


def test_a_narrow_run_does_not_make_an_incremental_one_skip_what_it_left_out(tmp_path: Path) -> None:
    write(tmp_path, [(1, NOON - 2 * HOUR, NOON - 2 * HOUR, 1), (2, NOON, NOON, 2)])
    store = make_store(tmp_path, view())
    materialize(store, clock=at(NOON), start=NOON - HOUR)
    assert online(store, 1, 2) == [None, 2]
    materialize(store, clock=at(NOON), incremental=True)
    assert online(store, 1, 2) == [1, 2]


# Feast's own way in ---------------------------------------------------------------------------------------------------


def test_feasts_own_materialize_is_in_the_ledger_too(tmp_path: Path) -> None:
    write(tmp_path, [(1, NOON - HOUR, NOON - HOUR, 7), (2, NOON - 3 * HOUR, NOON - 3 * HOUR, 8)])
    store = make_store(tmp_path, view())
    store.materialize(NOON - 2 * HOUR, NOON)
    (run,) = ledger(store)
    assert (run.event_start, run.event_end, run.rows, run.known_after) == (NOON - 2 * HOUR, NOON, 1, None)
    assert run.started_at == run.known_at
    assert run.finished_at is not None
    assert run.finished_at >= run.started_at
    assert online(store, 1, 2) == [7, None]


def test_an_error_reaches_the_caller_of_feasts_materialize(tmp_path: Path) -> None:
    write(tmp_path, [(1, NOON, NOON, 7), (1, NOON, NOON, 8)])
    store = make_store(tmp_path, view())
    with pytest.raises(SourceError, match="feature view v: its source is ambiguous"):
        store.materialize(NOON - HOUR, NOON)
    assert ledger(store)[0].finished_at is None


def test_the_registry_notes_the_interval_unless_told_not_to(tmp_path: Path) -> None:
    write(tmp_path, [(1, NOON, NOON, 7)])
    store = make_store(tmp_path, view())
    materialize(store, clock=at(NOON), registry=False)
    assert store.get_feature_view("v").materialization_intervals == []
    materialize(store, clock=at(NOON))
    assert store.get_feature_view("v").materialization_intervals == [(NOON - 6 * HOUR, NOON)]


def test_a_repository_with_feasts_own_stores_and_engine_gets_a_ledger_beside_it(tmp_path: Path) -> None:
    write(tmp_path, [(1, NOON, NOON, 7)])
    source = FileSource(
        name="v", path=str(tmp_path / "rows.parquet"), timestamp_field="at", created_timestamp_column="created"
    )
    store = make_store(tmp_path, view(source=source), batch_engine="local", offline_store={"type": "dask"})
    (run,) = materialize(store, clock=at(NOON))
    assert online(store, 1) == [7]
    assert ledger(store) == (run,)
    assert (tmp_path / "data" / "ledger.sqlite").exists()


# Which views ----------------------------------------------------------------------------------------------------------


def test_all_online_views_are_materialized_or_those_named_and_each_is_told_of(tmp_path: Path) -> None:
    write(tmp_path, [(1, NOON, NOON, 7)])
    store = make_store(tmp_path, view("a"), view("b"), view("archive", online=False))
    told: list[str] = []
    runs = materialize(store, clock=at(NOON), progress=told.append)
    assert sorted(run.view for run in runs) == ["a", "b"]
    assert told == [run.view for run in runs]
    assert [run.view for run in materialize(store, views=["b", "b"], clock=at(NOON))] == ["b"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"views": ["absent"]}, r"feature view 'absent' is not in the registry of project 'p', which has: archive, v"),
        ({"views": ["archive"]}, r"feature view archive is not online"),
        ({"start": NOON, "end": NOON - HOUR}, r"start 2024-05-01T12:00:00Z is after end 2024-05-01T11:00:00Z"),
        ({"known_at": NOON + MICROSECOND}, r"known_at .* is after the run begins"),
        ({"known_at": NOON + MICROSECOND, "replace": True}, r"known_at .* is still to come: nothing is deleted"),
        ({"incremental": True, "replace": True}, r"replace starts from nothing, and incremental from the last run"),
    ],
)
def test_what_cannot_be_materialized_is_refused_before_anything_is_written(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    write(tmp_path, [(1, NOON, NOON, 7)])
    store = make_store(tmp_path, view(), view("archive", online=False))
    with pytest.raises(InputError, match=message):
        materialize(store, clock=at(NOON), **options)
    assert ledger(store) == ()


def test_a_store_that_deletes_nothing_is_not_asked_to_replace(tmp_path: Path, redis_url: str) -> None:
    write(tmp_path, [(1, NOON, NOON, 7)])
    options = {**redis(redis_url, NOON), "full_scan_for_deletion": False}
    store = make_store(tmp_path, view(), online=options)
    with pytest.raises(InputError, match=r"full_scan_for_deletion: false, so it deletes nothing"):
        materialize(store, clock=at(NOON), replace=True)


def test_a_transformation_that_history_would_not_run_is_refused(tmp_path: Path) -> None:
    write(tmp_path, [(1, NOON, NOON, 7)])
    source = FileSource(name="v", path=str(tmp_path / "rows.parquet"), timestamp_field="at")
    with pytest.warns(RuntimeWarning, match="experimental"):
        batch = BatchFeatureView(
            name="v",
            entities=[CAR],
            mode="pandas",
            udf=lambda frame: frame,
            udf_string="lambda frame: frame",
            schema=[Field(name="car", dtype=Int64), Field(name="x", dtype=Int64)],
            source=source,
            online=True,
            ttl=HOUR,
        )
    store = make_store(tmp_path)
    engine = LedgerEngine(repo_config=store.config, offline_store=None, online_store=None, ledger="ledger.sqlite")
    with pytest.raises(ContractError, match="feature view v: its transformation would run when it is materialized"):
        engine.run(batch)


# Values ---------------------------------------------------------------------------------------------------------------

TYPES: dict[str, tuple[Any, pa.Array]] = {
    "int64": (Int64, pa.array([2**53 + 1, None, -1])),
    "int32": (Int32, pa.array([2**31 - 1, None, -1], pa.int32())),
    "double": (Float64, pa.array([0.1, float("nan"), -0.0])),
    "narrow": (Float32, pa.array([0.1, None, 1e39])),
    "text": (String, pa.array(["", None, "å"])),
    "raw": (Bytes, pa.array([b"\x00", None, b""])),
    "flag": (Bool, pa.array([False, None, True])),
    "when": (UnixTimestamp, pa.array([NOON + MICROSECOND, None, NOON], US)),
    "list": (Array(Int64), pa.array([[1, 2], None, []])),
    "names": (Array(String), pa.array([["a"], None, ["b", "c"]])),
    "document": (Json, pa.array(['{"a": 1}', None, "[]"])),
}


def typed(repo: Path, types: Mapping[str, tuple[Any, pa.Array]] = TYPES) -> FeatureView:
    columns = {name: values for name, (_, values) in types.items()}
    clock = pa.array([NOON] * 3, US)
    pq.write_table(pa.table({"car": [1, 2, 3], "at": clock, "created": clock, **columns}), repo / "typed.parquet")
    return view(
        schema=[Field(name="car", dtype=Int64), *(Field(name=name, dtype=dtype) for name, (dtype, _) in types.items())],
        source=FileSource(
            name="v", path=str(repo / "typed.parquet"), timestamp_field="at", created_timestamp_column="created"
        ),
    )


def latest(feature_view: FeatureView, repo: Path) -> LatestRows:
    with connect() as connection:
        return read_latest(
            connection,
            view_from_feast(feature_view),
            start=None,
            end=NOON,
            known_at=NOON,
            base_dir=repo,
        )


def test_every_value_online_is_what_a_served_read_gives(tmp_path: Path, redis_url: str, redis_client: Any) -> None:
    """Among them an integer beyond a double's precision beside a null, which Feast's own engine rounds."""
    store = make_store(tmp_path, typed(tmp_path), online=redis(redis_url, NOON))
    runs = materialize(store, clock=at(NOON))
    asked = pa.table({"car": [1, 2, 3], "t": pa.array([NOON] * 3, US)})
    contract = view_from_feast(store.get_feature_view("v"))
    with connect() as connection:
        read = read_view(
            connection, contract, asked, instant="t", rule=AsOfRule("served"), runs=runs, base_dir=tmp_path
        )
    rows = online_rows(store.get_feature_view("v"), latest(store.get_feature_view("v"), tmp_path))
    fields = {"int64": "int64_val", "int32": "int32_val", "double": "double_val", "narrow": "float_val"} | {
        "text": "string_val",
        "raw": "bytes_val",
        "flag": "bool_val",
        "when": "unix_timestamp_val",
        "document": "json_val",
    }
    keys = [key for key, *_ in rows]
    stored = store._get_provider().online_store.online_read(store.config, store.get_feature_view("v"), keys)
    for i, (event, values) in enumerate(stored):
        assert event == NOON
        for name, value in values.items():
            expected = read.values[f"v__{name}"][i].as_py()
            if name in fields:
                got = getattr(value, fields[name]) if value.WhichOneof("val") else None
            else:
                got = list(getattr(value, value.WhichOneof("val")).val) if value.WhichOneof("val") else None
            if name == "when" and expected is not None:
                expected = int(expected.timestamp())
            assert got == expected or (name == "list" and not got and not expected), name


PAIR = pa.struct([("n", pa.int64()), ("when", US)])
DOCUMENTS: dict[str, tuple[Any, pa.Array]] = {
    "entries": (Map, pa.array([[("b", "x"), ("a", None)], None, []], pa.map_(pa.string(), pa.string()))),
    "fields": (Map, pa.array([{"n": 2**53 + 1, "when": NOON + MICROSECOND}, None, {"n": None, "when": None}], PAIR)),
    "text": (Map, pa.array(['{"b": [1, 2], "a": {"c": 0.1}}', None, "{}"])),
    "pair": (Struct({"n": Int64, "when": UnixTimestamp}), pa.array([{"n": 1, "when": NOON}] * 2 + [None], PAIR)),
    "pairs": (Array(Struct({"n": Int64})), pa.array([[{"n": 1, "when": None}], None, []], pa.list_(PAIR))),
    "maps": (Array(Map), pa.array([[[("a", 1)]], None, []], pa.list_(pa.map_(pa.string(), pa.int64())))),
    "price": (FeastDecimal, pa.array([Decimal("1.50"), None, Decimal("-0.10")], pa.decimal128(9, 2))),
    "digits": (FeastDecimal, pa.array(["1E+2", None, "0.30"])),
    "prices": (Array(FeastDecimal), pa.array([["1.5", "2"], None, []], pa.list_(pa.string()))),
    "set": (Set(FeastDecimal), pa.array([["1.5"], None, ["2"]], pa.list_(pa.string()))),
    "pdf": (PdfBytes, pa.array([b"%PDF", None, b"x"])),
    "image": (ImageBytes, pa.array([b"", None, b"x"])),
}


def test_documents_and_decimals_online_are_what_a_served_read_gives(
    tmp_path: Path, redis_url: str, redis_client: Any
) -> None:
    """Arrow's own maps among them, which Feast's engine cannot write."""
    store = make_store(tmp_path, typed(tmp_path, DOCUMENTS), online=redis(redis_url, NOON))
    runs = materialize(store, clock=at(NOON))
    view_ = store.get_feature_view("v")
    contract = view_from_feast(view_)
    assert [str(item.dtype) for item in contract.features] == [str(dtype) for dtype, _ in DOCUMENTS.values()]
    asked = pa.table({"car": [1, 2, 3], "t": pa.array([NOON] * 3, US)})
    with connect() as connection:
        read = read_view(
            connection, contract, asked, instant="t", rule=AsOfRule("served"), runs=runs, base_dir=tmp_path
        )
    keys = [key for key, *_ in online_rows(view_, latest(view_, tmp_path))]
    stored = store._get_provider().online_store.online_read(store.config, view_, keys)
    for item in contract.features:
        expected = read.values[contract.column(item.name)].to_pylist()
        raws = [values[item.name].SerializeToString() for _, values in stored if values is not None]
        assert [decoder(item.dtype, item.name)(raw) for raw in raws] == expected, item.name
        assert sum(value is None for value in expected) in (1, 2)
    first = {name: feast_value_type_to_python_type(value) for name, value in (stored[0][1] or {}).items()}
    assert first["entries"] == {"a": None, "b": "x"}
    assert first["fields"] == {"n": 2**53 + 1, "when": NOON}
    assert first["text"] == {"a": {"c": 0.1}, "b": [1, 2]}
    assert first["maps"] == [{"a": 1}]
    assert (first["price"], first["digits"], first["set"]) == (Decimal("1.50"), Decimal("1E+2"), {Decimal("1.5")})


@pytest.mark.parametrize("values", [pa.array(["{"]), pa.array(["[1]"]), pa.array([1]), pa.array([b"{}"])])
def test_what_is_no_map_is_an_error_that_names_the_feature(tmp_path: Path, values: pa.Array) -> None:
    pq.write_table(pa.table({"car": [1], "at": pa.array([NOON], US), "doc": values}), tmp_path / "doc.parquet")
    feature_view = view(
        schema=[Field(name="car", dtype=Int64), Field(name="doc", dtype=Map)],
        source=FileSource(name="v", path=str(tmp_path / "doc.parquet"), timestamp_field="at"),
    )
    with pytest.raises(SourceError, match=r"feature view v: feature doc .* Map"):
        online_rows(feature_view, latest(feature_view, tmp_path))


def test_where_feasts_conversion_is_exact_ours_is_the_same(tmp_path: Path) -> None:
    feature_view = typed(tmp_path)
    # Not where there is a null: an integer beside it goes through a double, an instant becomes -2**63.
    inexact = ("int64", "int32", "when", "list", "names")
    exact = [field for field in feature_view.features if field.name not in inexact]
    feature_view.features[:] = exact
    read = latest(feature_view, tmp_path)
    table = pa.table(
        {
            "car": read.keys["car"],
            "at": read.event_timestamps,
            "created": read.created_timestamps,
            **{field.name: read.features[field.name] for field in exact},
        }
    )
    theirs = _convert_arrow_to_proto(table, feature_view, {"car": ValueType.INT64})
    ours = online_rows(feature_view, read)
    assert [row[:2] for row in ours] == [row[:2] for row in theirs]
    assert [event for _, _, event, _ in ours] == [event.replace(tzinfo=UTC) for _, _, event, _ in theirs]


def test_a_document_that_is_no_json_is_an_error_that_names_the_feature(tmp_path: Path) -> None:
    clock = pa.array([NOON], US)
    pq.write_table(pa.table({"car": [1], "at": clock, "doc": ["{"]}), tmp_path / "doc.parquet")
    feature_view = view(
        schema=[Field(name="car", dtype=Int64), Field(name="doc", dtype=Json)],
        source=FileSource(name="v", path=str(tmp_path / "doc.parquet"), timestamp_field="at"),
    )
    with pytest.raises(SourceError, match="feature view v: feature doc cannot be written as Json"):
        online_rows(feature_view, latest(feature_view, tmp_path))


def test_a_view_without_entities_has_one_row_for_everybody(tmp_path: Path) -> None:
    write(tmp_path, [(1, NOON - HOUR, NOON, 6), (2, NOON, NOON, 7)])
    store = make_store(tmp_path, view(entities=[], schema=[Field(name="x", dtype=Int64)]))
    (run,) = materialize(store, clock=at(NOON))
    assert run.rows == 1
    assert store.get_online_features(features=["v:x"], entity_rows=[{"car": 5}]).to_dict()["x"] == [7]


# Law 1 ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_at_every_instant_the_online_store_answers_what_a_served_read_says(
    tmp_path: Path, redis_url: str, redis_client: Any, seed: int
) -> None:
    """Real runs into a real Redis on a simulated clock: late rows, corrections, early announcements, TTLs, gaps."""
    choose = random.Random(seed)
    cars = range(5)
    unique = {(choose.choice([*cars, None]), NOON + choose.randrange(-4, 20) * HOUR / 2): None for _ in range(50)}
    rows: Rows = []
    for (car, event), value in zip(unique, range(1000), strict=False):
        created = event + choose.choice([-2, 0, 0, 1, 5]) * HOUR / 2
        rows.append((car, event, created, choose.choice([value, None])))
        if choose.random() < 0.4:
            rows.append((car, event, created + choose.choice([1, 3]) * HOUR / 2, value + 500))
    write(tmp_path, rows)
    store = make_store(tmp_path, view(ttl=2 * HOUR), online=redis(redis_url, NOON))
    asked: list[tuple[int, datetime]] = []
    seen: list[Any] = []
    clock = NOON - HOUR
    for step in range(14):
        clock += choose.choice([1, 1, 2]) * HOUR / 2
        started, finished = clock, clock + choose.choice([0, 1]) * timedelta(minutes=7)
        narrow = {"start": started - HOUR} if step and choose.random() < 0.2 else {}
        materialize(
            store,
            clock=ticking(started, finished),
            incremental=choose.random() < 0.7,
            registry=False,
            **narrow,
        )
        clock = finished
        for instant in (finished, finished + timedelta(minutes=20)):
            reader = make_store(tmp_path, online=redis(redis_url, instant))
            seen += online(reader, *cars)
            asked += [(car, instant) for car in cars]

    table = pa.table({"car": [car for car, _ in asked], "t": pa.array([instant for _, instant in asked], US)})
    with connect() as connection:
        read = read_view(
            connection,
            view_from_feast(store.get_feature_view("v")),
            table,
            instant="t",
            rule=AsOfRule("served"),
            runs=ledger(store),
            base_dir=tmp_path,
        )
    assert read.values["v__x"].to_pylist() == seen
    assert sum(value is not None for value in seen) > 20
