"""Faults that the real system commits by itself: stock Feast's Redis store, `feast materialize`, stock Feast's read.

Nothing is forged here. Rows are added to a copy of the source, and Feast (or the ledger's engine with Feast's own store
under it) does the rest.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from feast import FeatureStore
from feast.infra.online_stores.redis import RedisOnlineStore
from tests.faults import documents, wire
from tests.faults.cells import EXPIRED, NULL, PRESENT
from tests.faults.site import ViewSpec
from tests.faults.source_faults import Edit, Expected, Files, Timeline, append_rows, as_python, as_stored, instant
from tests.faults.store_faults import HOUR, Injection, Key, Scene, SourceRow, Writer, other_value, pick

from trueup.stores.ledger_engine import LedgerEngine
from trueup.stores.materialize import materialize


def redis_refused_equal_ts(
    scene: Scene, repo: Path, files: Files, time: Timeline, random: np.random.Generator, rate: float
) -> tuple[Injection, Edit]:
    """Corrections of equal event time, materialized into stock Feast's Redis store, which refuses them."""
    victims, eligible = _victims(scene, files, random, rate, once=True)
    started = time.serving[0] - 60_000_000
    rows = [(view, entity, _event_now(scene, view, entity), time.serving[0] - 120_000_000) for view, entity in victims]
    new = _add(scene, files, rows, random)
    writer = _touched(scene, victims)
    store = FeatureStore(repo_path=str(repo))
    stock = RedisOnlineStore()
    stock._client = scene.client
    ticks = cycle((instant(started), instant(started + 1_000_000)))
    engine = LedgerEngine(
        repo_config=store.config,
        offline_store=None,
        online_store=stock,
        ledger=str(repo / "data" / "ledger.sqlite"),
        clock=lambda: next(ticks),
    )
    views = {view.name: view for view in store.list_feature_views()}
    for name in dict.fromkeys(view.name for view, _ in victims):
        engine.run(views[name], incremental=True)
    return writer.injection(eligible, len(victims)), Edit(_expected(scene, rows, new), eligible, len(victims))


def list_null(
    scene: Scene, repo: Path, files: Files, time: Timeline, random: np.random.Generator, rate: float
) -> tuple[Injection, Edit]:
    """Lists with nulls in them, brought online by an ordinary run: Feast's bytes have no null inside a list. Not lists
    of documents or of lists: Feast refuses the former, and has a null for the latter."""
    victims, eligible = _victims(scene, files, random, rate, only=_can_have_holes)
    event = time.serving[0] - 120_000_000
    rows = [(view, entity, event, event) for view, entity in victims]
    new = _add(scene, files, rows, random, hole=True)
    writer = _touched(scene, victims)
    ticks = cycle((instant(time.serving[0] - 60_000_000), instant(time.serving[0] - 59_000_000)))
    materialize(
        FeatureStore(repo_path=str(repo)),
        views=list(dict.fromkeys(view.name for view, _ in victims)),
        incremental=True,
        registry=False,
        clock=lambda: next(ticks),
    )
    return writer.injection(eligible, len(victims)), Edit(_expected(scene, rows, new), eligible, len(victims))


def future_event(
    scene: Scene, repo: Path, files: Files, time: Timeline, random: np.random.Generator, rate: float
) -> tuple[Injection, Edit]:
    """Rows of tomorrow, brought online by stock `feast materialize` with an end after tomorrow. Not where the source
    has Arrow maps, or lists within structs: Feast's own engine takes them through pandas, and fails at what comes out.
    """
    plain = {name: file for name, file in files.items() if not any(map(_too_deep, pq.read_schema(file.path).types))}
    victims, eligible = _victims(scene, plain, random, rate)
    event = time.serving[1] + 24 * HOUR
    _add(scene, files, [(view, entity, event, time.runs[-1] - HOUR) for view, entity in victims], random)
    writer = _touched(scene, victims)
    text = (repo / "feature_store.yaml").read_text()
    lines = [
        line
        for line in text.splitlines()
        if not line.startswith(("batch_engine", "  type: trueup.stores.ledger", "  ledger:", "  now:"))
    ]
    stock_config = "\n".join(lines).replace("trueup.stores.redis_online.RedisOnlineStore", "redis")
    (repo / "feature_store.yaml").write_text(stock_config)
    store = FeatureStore(repo_path=str(repo))
    provider: Any = store._get_provider()
    provider.online_store._client = scene.client
    with _quiet():
        store.materialize(
            start_date=instant(event - HOUR),
            end_date=instant(event + HOUR),
            feature_views=list(dict.fromkeys(view.name for view, _ in victims)),
        )
    (repo / "feature_store.yaml").write_text(text)
    return writer.injection(eligible, len(victims)), Edit([], eligible, len(victims))


def stock_read(
    scene: Scene, repo: Path, random: np.random.Generator, rate: float, chosen: list[int] | None = None
) -> tuple[Injection, list[Expected]]:
    """What stock Feast answers for expired rows that the store still holds: it has no TTL on read.

    Given as what was served instead, view by view.
    """
    candidates = []
    for view in scene.views:
        states = scene.statuses(view, next(iter(view.features)))
        candidates += [(view, int(row)) for row in np.flatnonzero(states == EXPIRED)]
    picked = pick(random, candidates, rate) if chosen is None else [c for c in candidates if c[1] in set(chosen)]
    store = FeatureStore(repo_path=str(repo))
    provider: Any = store._get_provider()
    stock = RedisOnlineStore()
    stock._client = scene.client
    own, provider._online_store = provider.online_store, stock
    served = []
    by_view: dict[str, list[int]] = {}
    for view, row in picked:
        by_view.setdefault(view.name, []).append(row)
    try:
        for view in scene.views:
            rows = by_view.get(view.name, [])
            if not rows:
                continue
            entities = [
                {name: scene.base.column(request)[row].as_py() for name, _, request in view.keys} for row in rows
            ]
            with _quiet():
                answer = store.get_online_features(
                    features=[f"{view.table}:{feature}" for feature in view.features], entity_rows=entities
                ).to_dict()
            values = {
                feature: [_logged(dtype, value) for value in answer[feature]]
                for feature, dtype in view.features.items()
            }
            statuses = {
                feature: [NULL if value is None else PRESENT for value in found] for feature, found in values.items()
            }
            served.append(Expected(view, np.array(rows), values, statuses))
    finally:
        provider._online_store = own
    return Injection(np.array([], np.int64), len(candidates), len(picked)), served


def _logged(dtype: str, value: Any) -> Any:
    """A value as Feast gives it, as a log has it."""
    if value is None:
        return None
    if documents.is_document(dtype):
        return documents.text(_native(value))
    if "(" in dtype:
        item = dtype.partition("(")[2][:-1]
        return [_logged(item, each) for each in _native(value)]
    if dtype == "Json":
        return value if isinstance(value, str) else json.dumps(value)
    return str(value) if dtype in ("Decimal", "Uuid", "TimeUuid") else _native(value)


def _native(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _native(item) for name, item in value.items()}
    if isinstance(value, set | frozenset):
        return [_native(item) for item in sorted(value)]
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value
    if isinstance(value, list):
        return [_native(item) for item in value]
    return value


def _event_now(scene: Scene, view: ViewSpec, entity: Key) -> int:
    return wire.read_timestamp(scene.client.hget(scene.key(view, entity), wire.time_field(view.table)))


def _victims(
    scene: Scene,
    files: Files,
    random: np.random.Generator,
    rate: float,
    only: Callable[[str], bool] = bool,
    once: bool = False,
) -> tuple[list[tuple[ViewSpec, Key]], int]:
    """only: views with a feature of such a type. once: entities whose present row is the one version of its event time,
    since a store that refuses corrections would have refused the earlier ones too."""
    candidates = [
        (view, entity)
        for view in scene.views
        if view.name in files and files[view.name].created is not None and any(map(only, view.features.values()))
        for entity in scene.entities(view, PRESENT)
        if not once or _versions(scene, view, entity) == 1
    ]
    return pick(random, candidates, rate), len(candidates)


def _too_deep(kind: pa.DataType) -> bool:
    """A map, or a list within a struct."""
    if pa.types.is_struct(kind):
        return any(pa.types.is_list(field.type) for field in kind)
    return pa.types.is_map(kind) or (pa.types.is_list(kind) and _too_deep(kind.value_type))


def _can_have_holes(dtype: str) -> bool:
    return dtype.startswith("Array") and not documents.is_document(dtype) and dtype.count("(") == 1


def _versions(scene: Scene, view: ViewSpec, entity: Key) -> int:
    event = _event_now(scene, view, entity)
    return sum(row.event == event for row in scene.history[view.name].get(entity, []))


def _touched(scene: Scene, victims: list[tuple[ViewSpec, Key]]) -> Writer:
    """Remembers what the store holds of the victims, which somebody else is about to change."""
    writer = Writer(scene.client)
    for view, entity in victims:
        key = scene.key(view, entity)
        writer.saved.setdefault(key, writer.read(key))
        writer.rows.update(scene.rows_of[view.name][entity].tolist())
    return writer


def _add(
    scene: Scene,
    files: Files,
    rows: list[tuple[ViewSpec, Key, int, int]],
    random: np.random.Generator,
    *,
    hole: bool = False,
) -> list[SourceRow]:
    made = []
    by_view: dict[str, list[tuple[Key, SourceRow]]] = {}
    for view, entity, event, created in rows:
        first = int(scene.rows_of[view.name][entity][0])
        values: dict[str, Any] = {}
        for feature, dtype in view.features.items():
            column = view.column(feature)
            now = scene.base.column(column)[first].as_py() if column in scene.base.column_names else None
            value = as_python(dtype, other_value(dtype, as_stored(dtype, now), random))
            values[feature] = [*value, None] if hole and _can_have_holes(dtype) else value
        made.append(SourceRow(event, created, values))
        by_view.setdefault(view.name, []).append((entity, made[-1]))
    for view in scene.views:
        if view.name in by_view:
            append_rows(files[view.name], view, by_view[view.name])
    return made


def _expected(scene: Scene, rows: list[tuple[ViewSpec, Key, int, int]], new: list[SourceRow]) -> list[Expected]:
    found = []
    for (view, entity, _, _), row in zip(rows, new, strict=True):
        served = scene.rows_of[view.name][entity]
        values: Mapping[str, list[Any]] = {name: [value] * len(served) for name, value in row.values.items()}
        statuses = {name: [PRESENT] * len(served) for name in row.values}
        found.append(Expected(view, served, values, statuses))
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Feast prints and warns as it goes."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
