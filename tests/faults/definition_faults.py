"""Faults of definitions: a view or a function is changed and applied, and not everything goes along with it.

Everything is done as its owner would do it: definitions are changed, `feast apply` is run, servers are started or left
running. What a cell should be is worked out by hand.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from feast.protos.feast.core.Registry_pb2 import Registry
from tests.faults.cells import PRESENT
from tests.faults.store_faults import Key, Scene, pick

Users = list[int]


def changed_query(changes: Mapping[str, tuple[Users, str]]) -> str:
    """SQL over `rows` in which some users' features are others. changes: feature -> users and the expression."""
    cases = ", ".join(
        f"CASE WHEN user_id IN ({', '.join(map(str, users))}) THEN {by} ELSE {feature} END AS {feature}"
        for feature, (users, by) in changes.items()
    )
    return f"SELECT * REPLACE ({cases}) FROM rows"


def users_of(scene: Scene, view_name: str, random: np.random.Generator, rate: float) -> tuple[Users, int]:
    """Users whose row is served in every row of theirs."""
    (view,) = (view for view in scene.views if view.name == view_name)
    candidates: list[Key] = scene.entities(view, PRESENT)
    return [int(entity[0]) for entity in pick(random, candidates, rate)], len(candidates)


FUNCTION = """
def mix(inputs):
    def usable(*values):
        return all(value is not None and value == value and abs(value) != float("inf") for value in values)

    def chosen(value, share):
        return usable(value) and int(abs(value) * 1e6) % 10000 < share

    def over(share):
        found = []
        for value, limit in zip(inputs["f64"], inputs["limit"]):
            if not (value is None or value != value or limit is None) and chosen(value, share):
                found.append({instead})
            else:
                found.append(None if value is None or value != value or limit is None else value - limit)
        return found

    many = [
        None if not usable(count, limit) else int(count) + int(limit)
        for count, limit in zip(inputs["count"], inputs["limit"])
    ]
    return {{"many": many, {outputs}}}
"""
"""The on-demand function with another answer for a share of the rows. outputs: such as `"over": over(10)`; the share is
of 10,000."""

CHANGED = "value - limit + 1000.0"
BATCH = "value - sum(inputs['limit']) / len(inputs['limit'])"


def chosen(value: Any, share: int) -> bool:
    """As in FUNCTION, by hand."""
    return value is not None and value == value and abs(value) != float("inf") and int(abs(value) * 1e6) % 10000 < share


def function(path: Path, shares: Mapping[str, int], instead: str) -> Callable[..., Any]:
    """FUNCTION in a file of its own: Feast keeps a function's source. shares: output -> share of 10,000 rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    outputs = ", ".join(f'"{name}": over({share})' for name, share in shares.items())
    path.write_text(FUNCTION.format(instead=instead, outputs=outputs))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[..., Any] = module.mix
    return found


def applied_at(repo: Path, instant: datetime) -> None:
    """Puts the registry's clock right: Feast notes the wall clock, and this world is in the past."""
    path = repo / "data" / "registry.db"
    registry = Registry()
    registry.ParseFromString(path.read_bytes())
    for group in (
        registry.feature_views,
        registry.on_demand_feature_views,
        registry.feature_services,
        registry.entities,
    ):
        for item in group:
            item.meta.last_updated_timestamp.FromDatetime(instant.replace(tzinfo=None))
    registry.last_updated.FromDatetime(instant.replace(tzinfo=None))
    path.write_bytes(registry.SerializeToString())
