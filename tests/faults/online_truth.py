"""What hand-written bytes changed in an online store, cell by cell, by reading the bytes by hand. Shares no code with
trueup."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.faults import wire
from tests.faults.cells import EXPIRED, MISSING, NULL, PRESENT, alike
from tests.faults.site import ViewSpec
from tests.faults.store_faults import Hash, Scene

Cell = tuple[int, bytes]
"""Status and, where PRESENT, the stored bytes."""


def changed_cells(
    scene: Scene, before: Mapping[bytes, Hash], now: int
) -> Iterator[tuple[ViewSpec, str, tuple[Any, ...]]]:
    """View, feature and entity (its key parts by join key name) of each cell that another value or status is read of.

    before: the touched hashes as they were. now: microseconds; the instant of the read.
    """
    owners: dict[bytes, list[tuple[ViewSpec, tuple[Any, ...]]]] = {}
    for view in scene.views:
        for entity in scene.rows_of[view.name]:
            key = scene.key(view, entity)
            if key in before:
                owners.setdefault(key, []).append((view, entity))
    for key, owned in owners.items():
        after: Hash = scene.client.hgetall(key)
        for view, entity in owned:
            parts = dict(zip((name for name, _, _ in view.keys), entity, strict=True))
            label = tuple(parts[name] for name in sorted(parts))
            for feature, dtype in view.features.items():
                old, new = (_cell(view, feature, hash_, now) for hash_ in (before[key], after))
                if (old[0], new[0]) == (EXPIRED, MISSING):
                    continue  # a row that has expired need not be there
                if old[0] != new[0] or (old[0] == PRESENT and not _same(dtype, old[1], new[1])):
                    yield view, feature, label


def _cell(view: ViewSpec, feature: str, hash_: Hash, now: int) -> Cell:
    written = hash_.get(wire.time_field(view.table))
    if written is None:
        return MISSING, b""
    if view.ttl is not None and now - wire.read_timestamp(written) > view.ttl:
        return EXPIRED, b""
    raw = hash_.get(wire.value_field(view.table, feature))
    if raw is None:
        return MISSING, b""
    return (PRESENT, raw) if raw else (NULL, b"")


def _same(dtype: str, old: bytes, new: bytes) -> bool:
    """Equal bytes, or other bytes that say the same."""
    return old == new or alike(dtype, wire.decode(old), wire.decode(new))
