"""Since when the registry has had each view's definition: what tells a stale server from an earlier contract."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from trueup.contracts.extract import view_from_feast
from trueup.errors import TrueupError
from trueup.instants import as_utc
from trueup.stores.ledger import Ledger

if TYPE_CHECKING:
    from feast import FeatureStore


def applied_since(store: FeatureStore, ledger: Ledger | None) -> dict[str, datetime]:
    """View or on-demand view -> an instant by which its present definition was applied; the earliest that is known.

    Feast's `last_updated_timestamp` moves with every materialization too, so where a run in the ledger had the
    definition already, the run's start counts. A view that has no contract, or no timestamp, is left out.
    """
    found: dict[str, datetime] = {}
    views = (*store.list_feature_views(), *store.list_stream_feature_views())
    for view in (*views, *store.list_on_demand_feature_views()):
        if view.last_updated_timestamp is not None:
            found[view.name] = as_utc(view.last_updated_timestamp)
    if ledger is None:
        return found
    for view in views:
        try:
            definition = view_from_feast(view).definition_hash
        except TrueupError:
            continue
        starts = [run.started_at for run in ledger.runs(store.project, view.name) if run.definition_hash == definition]
        if starts:
            found[view.name] = min([*starts, *([found[view.name]] if view.name in found else [])])
    return found
