"""The event times that an online store holds, view by view. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

import pyarrow.compute as pc

from trueup.contracts.contract import View
from trueup.monitoring.freshness import OnlineAges
from trueup.stores.key_columns import KeyColumns
from trueup.stores.online_read import OnlineRows

Progress = Callable[[str], None]


def online_ages(
    rows: OnlineRows, project: str, views: Sequence[View], now: datetime, *, at_most: int, progress: Progress
) -> dict[str, OnlineAges]:
    """View's table -> what the store holds. at_most: entities that are looked at, of each set of join keys.

    Raises StoreError.
    """
    if not rows.lists:
        return {view.table: OnlineAges(listed=False) for view in views}
    groups: dict[tuple[tuple[str, str], ...], list[View]] = {}
    for view in views:
        # The event time comes with any feature; the others need not be sent.
        alone = replace(view, features=view.features[:1])
        groups.setdefault(tuple(sorted((key.name, key.dtype) for key in view.keys)), []).append(alone)
    found: dict[str, OnlineAges] = {}
    for group in groups.values():
        found |= _group(rows, project, group, now, at_most, progress)
    return found


def _group(
    rows: OnlineRows, project: str, views: Sequence[View], now: datetime, at_most: int, progress: Progress
) -> dict[str, OnlineAges]:
    layout = KeyColumns(views[0].keys)
    found = {view.table: OnlineAges() for view in views}
    looked = 0
    for scanned in rows.scan(project, views):
        keys = [key for key in layout.encode(scanned.columns) if key is not None]
        whole = looked + len(keys) <= at_most
        keys = keys[: at_most - looked]
        looked += len(keys)
        if keys:
            # A store that reads by columns is not among those that list.
            stored = rows.read(project, views, scanned.columns.slice(0, len(keys)), keys, now)
            for view, each in zip(views, stored, strict=True):
                times = each.frame.event_timestamps.column(view.name).drop_null()
                found[view.table] = _add(found[view.table], times, view, now)
            progress(f"{', '.join(found)}: {looked:,} entities")
        if not whole:
            return {table: replace(ages, whole=False) for table, ages in found.items()}
    return found


def _add(ages: OnlineAges, times: object, view: View, now: datetime) -> OnlineAges:
    bounds = pc.min_max(times).as_py()
    first, last = bounds["min"], bounds["max"]
    if last is None:
        return ages
    expired = 0 if view.ttl is None else pc.sum(pc.less(times, now - view.ttl)).as_py() or 0
    return replace(
        ages,
        entities=ages.entities + len(times),  # type: ignore[arg-type]
        expired=ages.expired + expired,
        newest=last if ages.newest is None else max(ages.newest, last),
        oldest=first if ages.oldest is None else min(ages.oldest, first),
    )
