"""The fault bench over one world: inject, serve, check, measure.

Served rows that a fault does not touch are served only once: their store is the same, so what the server answers is.
A case's log is the clean one with the touched rows in the place of theirs, as the same server answered them from the
changed store.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from tests.faults import source_faults as source
from tests.faults import store_faults as store
from tests.faults import system_faults as system
from tests.faults import wire
from tests.faults.cells import NULL, Truth, changed
from tests.faults.harness import Found, check_online, check_served
from tests.faults.measure import UNEXPLAINED, Injected, Measured, injected_cells, measure
from tests.faults.online_truth import changed_cells
from tests.faults.site import Request, Site, contract_file, read_rows, replace_rows, write_rows
from tests.faults.source_faults import Expected, SourceFile, Timeline
from tests.faults.store_faults import Injection, Scene

from trueup.instants import KnownAt

RATES = (0.0001, 0.001, 0.01, 0.1)
Say = Callable[[str], None]
Derive = Callable[[Truth, np.ndarray], None]
"""Sets what on-demand features are expected to be at some rows, from what their inputs are."""


@dataclass
class World:
    """A played world, ready to be harmed. quiet: folder of sources without what the last run had not landed.

    inputs: on-demand feature -> the stored features it is made of. request_columns: what a request brings.
    """

    name: str
    site: Site
    scene: Scene
    files: Callable[[Path], Mapping[str, SourceFile]]
    quiet: Callable[[Path], None]
    time: Timeline
    inputs: Mapping[str, Sequence[str]]
    request_columns: Sequence[str]
    derive: Derive

    @property
    def base(self) -> pa.Table:
        return self.scene.base

    @property
    def columns(self) -> dict[str, str]:
        """Feature of the log -> Feast type."""
        contract = self.site.contract
        types = {view.column(item.name): item.dtype for view in contract.views for item in view.features}
        types |= {view.column(item.name): item.dtype for view in contract.on_demand for item in view.outputs}
        return {column: types[column] for column in contract.columns}


@dataclass
class Case:
    """A fault at a rate. known_at: rule of the model that is checked. served: what was served instead where no server
    was asked again. parts: as in `source_faults.Edit`."""

    name: str
    rate: float
    causes: frozenset[str]
    injection: Injection
    repo: Path
    known_at: KnownAt = "served"
    expected: list[Expected] = field(default_factory=list)
    served: list[Expected] = field(default_factory=list)
    parts: Mapping[str, Mapping[str, list[int]]] = field(default_factory=dict)
    prefix: str = ""


STORE: Mapping[str, Callable[[Scene, np.random.Generator, float], Injection]] = {
    "missed_materialization": store.missed_materialization,
    "missing_online": store.missing_online,
    "missing_offline": store.missing_offline,
    "stale_overwrite": store.stale_overwrite,
    "swapped_entity": store.swapped_entity,
    "serving_fallback": store.serving_fallback,
    "timezone_shift": store.shifted_rows,
    "expired": store.skewed_clock,
    "null_default": store.cell_fault(store.null_as_default, NULL),
    "dtype_narrowing": store.cell_fault(store.as_float32),
    "int_precision": store.cell_fault(store.through_float),
    UNEXPLAINED: store.cell_fault(store.bit_flip),
}
SYSTEM = {
    "redis_refused_equal_ts": system.redis_refused_equal_ts,
    "list_null": system.list_null,
    "future_event": system.future_event,
}
SOURCE: Mapping[str, tuple[KnownAt, Callable[..., Any]]] = {
    "late_arrival": ("unbounded", source.late_arrival),
    "lag": ("label", source.lag),
    "tombstone_missing": ("served", source.tombstone_missing),
    "ambiguous_source": ("served", source.ambiguous_source),
    "dtype_coercion": ("served", source.fractions),
    "ts_precision": ("served", source.finer_timestamps),
    "late_arrival+lag": ("unbounded", source.late_and_lag),
}
ONLINE = tuple(name for name in STORE if name not in ("serving_fallback", "expired"))
"""Faults that the store itself shows, without a request."""
SOURCE_TYPES = ("dtype_coercion", "ts_precision")
"""Faults that need an offline store which leaves values as the source has them."""
STOCK = ("ttl_not_enforced", "lag+ttl_not_enforced")
MIXED = ("late_arrival+dtype_narrowing",)
NAMES = (*STORE, *SYSTEM, *SOURCE, *STOCK, *MIXED)


def run(world: World, rates: Sequence[float], seed: int, say: Say, names: Sequence[str] = NAMES) -> list[Measured]:
    """Every fault at every rate. The store is as it was before, afterwards."""
    log = world.site.root / "served_cases"
    shutil.rmtree(log, ignore_errors=True)
    cases: list[Case] = []
    found: list[Measured] = []
    with world.site.server(log) as server:
        for name in names:
            for rate in rates:
                random = np.random.default_rng([seed, NAMES.index(name), int(rate * 1e6)])
                say(f"inject {name} at {rate:.2%}")
                case = _inject(world, name, rate, random)
                if case is None:
                    continue
                case.prefix = f"k{len(cases):04d}."
                if len(case.injection.rows):
                    server.ask(requests(world, case.injection.rows, case.injection.skew), case.prefix)
                if name in ONLINE:
                    say(f"check {name} at {rate:.2%} online")
                    found.append(_check_online(world, case))
                case.injection.undo()
                cases.append(case)
    answers = read_rows(log) if any(len(case.injection.rows) for case in cases) else None
    for case in cases:
        say(f"check {case.name} at {case.rate:.2%}")
        found.append(_check(world, case, answers))
    return found


def _inject(world: World, name: str, rate: float, random: np.random.Generator) -> Case | None:
    scene, site, time = world.scene, world.site, world.time
    causes = frozenset(name.split("+"))
    if name in STORE:
        injection = STORE[name](scene, random, rate)
        return Case(name, rate, causes, injection, site.repo) if injection.chosen else None
    repo = site.copy(f"{name}-{rate}")
    files = world.files(repo)
    if name in SYSTEM:
        world.quiet(repo)
        injection, edit = SYSTEM[name](scene, repo, files, time, random, rate)
        return Case(name, rate, causes, injection, repo, "served", edit.expected) if injection.chosen else None
    if name in SOURCE:
        known_at, change = SOURCE[name]
        world.quiet(repo)
        edit = change(scene, files, time, random, rate)
        nothing = Injection(np.array([], np.int64), edit.eligible, edit.chosen)
        case = Case(name, rate, causes, nothing, repo, known_at, edit.expected, parts=edit.parts)
        return case if edit.chosen else None
    if name == "ttl_not_enforced":
        injection, served = system.stock_read(scene, repo, random, rate)
        return Case(name, rate, causes, injection, repo, served=served) if injection.chosen else None
    world.quiet(repo)
    if name == "lag+ttl_not_enforced":
        edit = source.lag_of_expired(scene, files, time, random, rate)
        rows = [int(row) for item in edit.expected for row in item.rows]
        _, served = system.stock_read(scene, repo, random, 1.0, rows)
        wanted = {(item.view.name, row) for item in edit.expected for row in item.rows.tolist()}
        served = [_only(item, wanted) for item in served]
        nothing = Injection(np.array([], np.int64), edit.eligible, edit.chosen)
        return Case(name, rate, causes, nothing, repo, "label", edit.expected, served) if edit.chosen else None
    edit = source.late_arrival(scene, files, time, random, rate)
    writer = store.Writer(scene.client)
    late: dict[str, list[int]] = {}
    narrowed: dict[str, list[int]] = {}
    for item in edit.expected:
        for feature, dtype in item.view.features.items():
            column = item.view.column(feature)
            row = int(item.rows[0])
            late.setdefault(column, []).extend(item.rows.tolist())
            value = scene.base.column(column)[row].as_py()
            new = store.UNCHANGED if value is None else store.as_float32(dtype, value, random)
            if new is not store.UNCHANGED:
                entity = tuple(scene.base.column(request)[row].as_py() for _, _, request in item.view.keys)
                field_ = {wire.value_field(item.view.table, feature): wire.encode(dtype, new)}
                writer.write(scene.key(item.view, entity), field_, item.rows)
                narrowed.setdefault(column, []).extend(item.rows.tolist())
    injection = writer.injection(edit.eligible, edit.chosen)
    parts = {"late_arrival": late, "dtype_narrowing": narrowed}
    return Case(name, rate, causes, injection, repo, "unbounded", edit.expected, parts=parts)


def _only(item: Expected, wanted: set[tuple[str, int]]) -> Expected:
    keep = [at for at, row in enumerate(item.rows.tolist()) if (item.view.name, row) in wanted]
    return Expected(
        item.view,
        item.rows[keep],
        {feature: [found[at] for at in keep] for feature, found in item.values.items()},
        {feature: [found[at] for at in keep] for feature, found in item.statuses.items()},
    )


def requests(world: World, rows: np.ndarray, skew: int = 0) -> list[Request]:
    """The rows once more, grouped as they were asked. skew: microseconds that the server takes it to be later."""
    table = world.base.take(pa.array(rows))
    names = table.column("__request_id").to_pylist()
    instants = table.column("__log_timestamp").to_pylist()
    entities = table.select(list(world.request_columns)).to_pylist()
    found: list[Request] = []
    for name, instant, entity in zip(names, instants, entities, strict=True):
        moment = instant.astimezone(UTC) + timedelta(microseconds=skew)
        if found and found[-1].name == name:
            found[-1] = Request(name, moment, (*found[-1].entities, entity))
        else:
            found.append(Request(name, moment, (entity,)))
    return found


def _check(world: World, case: Case, answers: pa.Table | None) -> Measured:
    columns = world.columns
    table = world.base
    rows = case.injection.rows
    if len(rows) and answers is not None:
        mine = answers.filter(pa.compute.starts_with(answers.column("__request_id"), case.prefix))
        table = replace_rows(table, rows, mine, _served_columns(world))
    table = _with_served(world, table, case.served)
    log = world.site.root / "logs" / case.prefix.strip(".")
    shutil.rmtree(log, ignore_errors=True)
    write_rows(log, contract_file(world.site.log), table)
    truth = Truth(world.base)
    touched = _set_expected(truth, case.expected, columns)
    world.derive(truth, touched)
    masks = changed(Truth(table), truth, columns)
    labels = list(
        zip(world.base.column("__request_id").to_pylist(), world.base.column("__row").to_pylist(), strict=True)
    )
    if case.name == "ambiguous_source":
        # What a function makes of a tie depends on which row the read takes; the tie itself is counted in its inputs.
        masks = {column: mask for column, mask in masks.items() if column not in world.inputs}
    injected = injected_cells(masks, labels, case.causes, case.parts, world.inputs)
    # Feast's own offline stores read history in the source's types.
    options = {"declared_types": case.name not in SOURCE_TYPES}
    found = check_served(case.repo, log, world.site.contract, case.known_at, **options)
    if case.name == "ambiguous_source":
        found.mismatches = {name: cells for name, cells in found.mismatches.items() if name not in world.inputs}
    return _measured(world, case, "served", injected, found)


def _check_online(world: World, case: Case) -> Measured:
    """The store as it is now, against what it would be without the fault."""
    now = world.time.serving[1]
    cells: dict[str, dict[tuple[Any, ...], frozenset[str]]] = {}
    for view, feature, label in changed_cells(world.scene, case.injection.before, now):
        cells.setdefault(f"{view.table}__{feature}", {})[label] = case.causes
    found = check_online(case.repo, world.site.client, world.site.contract, instant(now))
    return _measured(world, case, "online", Injected(cells), found)


def _measured(world: World, case: Case, check: str, injected: Any, found: Found) -> Measured:
    problems = [f"{count} x {reason}" for reason, count in found.uncompared.items()]
    return measure(
        case.name,
        case.rate,
        world.name,
        check,
        injected,
        found.mismatches,
        known_at=case.known_at,
        compared=found.compared,
        eligible=case.injection.eligible,
        chosen=case.injection.chosen,
        problems=problems,
        stopped=found.problems,
        tied=found.tied,
    )


def _served_columns(world: World) -> list[str]:
    columns = []
    for column in world.columns:
        columns += [column, f"{column}__status", f"{column}__timestamp"]
    return [*columns, *(f"__event_timestamp__{view.name}" for view in world.site.contract.views)]


def _set_expected(truth: Truth, expected: Sequence[Expected], columns: Mapping[str, str]) -> np.ndarray:
    touched: set[int] = set()
    merged: dict[str, tuple[list[int], list[Any], list[int]]] = {}
    for item in expected:
        touched.update(item.rows.tolist())
        for feature in item.view.features:
            column = item.view.column(feature)
            if column in columns:
                rows, values, statuses = merged.setdefault(column, ([], [], []))
                rows.extend(item.rows.tolist())
                values.extend(item.values[feature])
                statuses.extend(item.statuses[feature])
    for column, (rows, values, statuses) in merged.items():
        truth.set(column, np.array(rows, np.int64), values, statuses)
    return np.array(sorted(touched), np.int64)


def _with_served(world: World, table: pa.Table, served: Sequence[Expected]) -> pa.Table:
    """The table with what another reader answered for some rows in its place, on-demand features computed anew."""
    truth = Truth(table)
    touched = _set_expected(truth, served, world.columns)
    if not len(touched):
        return table
    world.derive(truth, touched)
    for column in truth.patches:
        values, statuses = truth.cells(column)
        place = table.column_names.index(column)
        table = table.set_column(place, table.schema.field(column), pa.array(values, table.schema.field(column).type))
        place = table.column_names.index(f"{column}__status")
        kind = table.schema.field(place)
        table = table.set_column(place, kind, pa.array(statuses, kind.type))
    return table


def instant(micros: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
