"""The faults of definitions over the generated world: applied, served, checked and measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from feast.types import Float64, Int64
from tests.faults import definition_faults as faults
from tests.faults import generated
from tests.faults.bench import Say, World, instant, requests
from tests.faults.cells import PRESENT, Truth, changed
from tests.faults.harness import Found, check_served
from tests.faults.measure import Injected, Measured, measure
from tests.faults.site import Site, contract_file, read_rows, write_rows
from tests.faults.store_faults import HOUR

from trueup.contracts.extract import extract_contract

NAMES = ("definition_changed", "registry_stale", "definition_not_backfilled", "odfv_batch_dependent")
_FEATURES = (
    ("f64", "f64 + 1000.0", lambda value: value + 1000.0),
    ("f64b", "f64b + 1000.0", lambda value: value + 1000.0),
    ("i64", "CAST(xor(i64, 1) AS BIGINT)", lambda value: value ^ 1),
    ("i32", "CAST(xor(i32, 1) AS INTEGER)", lambda value: value ^ 1),
)
"""Features that a new definition changes, each for another share of the users: SQL, and the same by hand."""


def run(world: World, rates: Sequence[float], seed: int, say: Say, names: Sequence[str] = NAMES) -> list[Measured]:
    random = np.random.default_rng([seed, 77])
    found: list[Measured] = []
    for name in ("definition_changed", "registry_stale"):
        if name in names:
            found += [_redefined(world, name, rate, say) for rate in rates]
    if "definition_not_backfilled" in names:
        found += _not_backfilled(world, rates, random, say)
    if "odfv_batch_dependent" in names:
        found += _batch_dependent(world, rates, say)
    return found


def _redefined(world: World, name: str, rate: float, say: Say) -> Measured:
    """The on-demand function is redefined, before the requests (and the server goes on with the old one) or after."""
    say(f"apply another function for {name} at {rate:.2%}")
    share = round(rate * 10_000)
    folder = world.site.root / "functions" / f"{name}_{share}.py"
    repo = world.site.copy(f"{name}-{share}")
    site = Site(world.site.root, repo, world.site.client, world.site.url, world.site.service)
    function = faults.function(folder, {"over": share}, faults.CHANGED)
    generated.define(site.store, function=function)
    stale = name == "registry_stale"
    applied = instant(world.time.serving[0] - HOUR // 60 if stale else world.time.serving[1] + HOUR)
    faults.applied_at(repo, applied)
    contract = extract_contract(site.store, site.service)
    truth = Truth(world.base)
    values, statuses = truth.cells("numbers__f64")
    limits = world.base.column("limit").to_pylist()
    rows = np.array(
        [row for row, value in enumerate(values) if statuses[row] == PRESENT and faults.chosen(value, share)], np.int64
    )
    truth.set("mix__over", rows, [values[row] - limits[row] + 1000.0 for row in rows.tolist()])
    masks = changed(Truth(world.base), truth, {"mix__over": "Float64"})
    log = write_rows(world.site.root / "logs" / f"{name}-{share}", contract_file(world.site.log), world.base)
    found = check_served(repo, log, contract, "served", applied={"mix": applied})
    return _measured(world, name, rate, _cells(world, masks, name), found, world.base.num_rows, len(rows))


def _not_backfilled(world: World, rates: Sequence[float], random: np.random.Generator, say: Say) -> list[Measured]:
    """The view's query is changed and applied, the server started anew; nobody materializes."""
    say("apply another query, serve, do not materialize")
    chosen = [(rate, *item) for rate, item in zip(sorted(rates, reverse=True), _FEATURES, strict=False)]
    changes: dict[str, Any] = {}
    eligible = 0
    for rate, feature, sql, _ in chosen:
        users, eligible = faults.users_of(world.scene, "numbers", random, rate)
        changes[feature] = (users, sql)
    repo = world.site.copy("definition_not_backfilled")
    root = world.site.root / "not_backfilled"
    root.mkdir()
    site = Site(root, repo, world.site.client, world.site.url, world.site.service)
    generated.define(site.store, queries={"numbers": faults.changed_query(changes)})
    site.register(generated.INPUTS)
    with site.server() as server:
        server.ask(requests(world, np.arange(world.base.num_rows)))
    table = read_rows(site.log)
    truth = Truth(world.base)
    (view,) = (view for view in world.scene.views if view.name == "numbers")
    every: list[int] = []
    for _, feature, _, by_hand in chosen:
        rows = np.concatenate([world.scene.rows_of[view.name][(user,)] for user in changes[feature][0]])
        values, statuses = truth.cells(view.column(feature))
        kept = [row for row in rows.tolist() if statuses[row] == PRESENT]
        truth.set(view.column(feature), np.array(kept, np.int64), [by_hand(values[row]) for row in kept])
        every += kept
    world.derive(truth, np.array(sorted(set(every)), np.int64))
    masks = changed(Truth(table), truth, world.columns)
    found = check_served(repo, site.log, site.contract, "served")
    name = "definition_not_backfilled"
    measured = []
    for rate, feature, _, _ in chosen:
        columns = [f"numbers__{feature}", *(["mix__over"] if feature == "f64" else [])]
        mine = _only(found, columns)
        part = {column: mask for column, mask in masks.items() if column in columns}
        measured.append(
            _measured(world, name, rate, _cells(world, part, name), mine, eligible, len(changes[feature][0]))
        )
    return measured


def _batch_dependent(world: World, rates: Sequence[float], say: Say) -> list[Measured]:
    """A function that takes a mean over the batch, served in batches of a few rows."""
    say("apply a function that looks at the batch, and serve")
    repo = world.site.copy("odfv_batch_dependent")
    root = world.site.root / "batch_dependent"
    root.mkdir()
    site = Site(root, repo, world.site.client, world.site.url, world.site.service)
    shares = {f"over{round(rate * 10_000)}": round(rate * 10_000) for rate in rates}
    function = faults.function(root / "batch.py", shares, faults.BATCH)
    generated.define(site.store, function=function, outputs={"many": Int64, **dict.fromkeys(shares, Float64)})
    site.register(generated.INPUTS)
    with site.server() as server:
        server.ask(requests(world, np.arange(world.base.num_rows)))
    values, statuses = Truth(world.base).cells("numbers__f64")
    found = check_served(repo, site.log, site.contract, "served")
    name = "odfv_batch_dependent"
    measured = []
    for rate in rates:
        share = round(rate * 10_000)
        column = f"mix__over{share}"
        mask = np.array([s == PRESENT and faults.chosen(v, share) for v, s in zip(values, statuses, strict=True)])
        cells = _cells(world, {column: mask}, name)
        measured.append(_measured(world, name, rate, cells, _only(found, [column]), len(mask), int(mask.sum())))
    return measured


def _cells(world: World, masks: Any, cause: str) -> Injected:
    labels = list(
        zip(world.base.column("__request_id").to_pylist(), world.base.column("__row").to_pylist(), strict=True)
    )
    return Injected(
        {
            column: {labels[row]: frozenset({cause}) for row in np.flatnonzero(mask).tolist()}
            for column, mask in masks.items()
        }
    )


def _only(found: Found, columns: Sequence[str]) -> Found:
    mismatches = {column: cells for column, cells in found.mismatches.items() if column in columns}
    return Found(found.compared, found.uncompared, found.problems, mismatches)


def _measured(
    world: World, name: str, rate: float, injected: Injected, found: Found, eligible: int, chosen: int
) -> Measured:
    return measure(
        name,
        rate,
        world.name,
        "served",
        injected,
        found.mismatches,
        known_at="served",
        compared=found.compared,
        eligible=eligible,
        chosen=chosen,
        problems=[f"{count} x {reason}" for reason, count in found.uncompared.items()],
        stopped=found.problems,
    )
