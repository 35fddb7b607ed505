"""`materialize`: bring the online store of a Feast repository up to date, through the ledger.

Any online store that Feast can write to; the ledger is written beside the repository (`ledger_of`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from feast import FeatureStore, FeatureView
from feast.infra.online_stores.online_store import OnlineStore

from trueup.errors import InputError
from trueup.instants import Clock, as_utc, format_instant, utc_now
from trueup.stores.duckdb_tables import connect
from trueup.stores.ledger import Run
from trueup.stores.ledger_engine import LedgerEngine, ledger_of


def materialize(
    store: FeatureStore,
    *,
    views: Sequence[str] | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    clock: Clock = utc_now,
    known_at: datetime | None = None,
    incremental: bool = False,
    replace: bool = False,
    registry: bool = True,
    progress: Callable[[str], None] | None = None,
) -> tuple[Run, ...]:
    """Materializes views one after the other, each as one run of the ledger, and gives those runs.

    views: names of feature views (default: all that are online and enabled). start, end, known_at, incremental: as
    `LedgerEngine.run`; by default everything that is known now and not expired. clock: asked when a view's run begins
    and when it ends. replace: first delete what is online of a view, which reads miss until its run has ended. A run
    adds and corrects; it cannot take back what older sources do not have. registry: also note the interval in the
    registry, as Feast does (`feast materialize-incremental` goes on from there); it takes longer with every interval
    noted, so a replay of many runs leaves it out. progress: told the name of each view when its run has finished.

    Raises InputError for a view that cannot be materialized, before anything is written.
    """
    chosen = _chosen(store, views)
    if replace:
        _check_replace(store, incremental=incremental, known_at=known_at, now=clock())
    if start is not None and end is not None and as_utc(start) > as_utc(end):
        raise InputError("start", f"start {format_instant(start)} is after end {format_instant(end)}.")
    provider = store._get_provider()  # where Feast keeps its one connection to the online store
    engine = LedgerEngine(
        repo_config=store.config,
        offline_store=provider.offline_store,
        online_store=provider.online_store,
        ledger=str(ledger_of(store.config).path.absolute()),
        clock=clock,
    )
    runs = []
    with connect() as connection, engine.ledger:
        for view in chosen:
            if replace:
                _delete(store, provider.online_store, view)
            run = engine.run(
                view, start=start, end=end, known_at=known_at, incremental=incremental, connection=connection
            )
            if registry:
                store.registry.apply_materialization(view, store.project, run.event_start, run.event_end)
            runs.append(run)
            if progress is not None:
                progress(view.name)
    if registry and runs:
        store._precompute_affected_services([run.view for run in runs])  # as Feast does after a materialization
    return tuple(runs)


def _check_replace(store: FeatureStore, *, incremental: bool, known_at: datetime | None, now: datetime) -> None:
    """What a run would refuse only after the deletion, or a deletion that deletes nothing."""
    if incremental:
        raise InputError("replace", "replace starts from nothing, and incremental from the last run: name one of them.")
    if known_at is not None and as_utc(known_at) > now:
        raise InputError(
            "known_at", f"known_at {format_instant(known_at)} is still to come: nothing is deleted for it."
        )
    if getattr(store.config.online_store, "full_scan_for_deletion", True) is False:
        raise InputError(
            "replace",
            f"replace: the online store of project {store.project!r} has full_scan_for_deletion: false, so it deletes "
            "nothing.",
            hint="Set it to true in feature_store.yaml.",
        )


def _delete(store: FeatureStore, online_store: OnlineStore, view: FeatureView) -> None:
    """As Feast deletes a view that is gone, and then makes room for it as for a new one."""
    for gone, kept in (([view], []), ([], [view])):
        online_store.update(store.config, gone, kept, entities_to_delete=[], entities_to_keep=[], partial=True)


def _chosen(store: FeatureStore, names: Sequence[str] | None) -> list[FeatureView]:
    known = {view.name: view for view in (*store.list_feature_views(), *store.list_stream_feature_views())}
    if names is None:
        return [view for view in known.values() if _is_online(view)]
    for name in names:
        if name not in known:
            raise InputError(
                "views",
                f"feature view {name!r} is not in the registry of project {store.project!r}, which has: "
                f"{', '.join(sorted(known)) or 'none'}.",
                hint="Run `feast apply`, or name one of them.",
            )
        if not _is_online(known[name]):
            raise InputError(
                "views", f"feature view {name} is not online (online={known[name].online}), so it has nothing to write."
            )
    return [known[name] for name in dict.fromkeys(names)]


def _is_online(view: FeatureView) -> bool:
    return bool(view.online and getattr(view, "enabled", True))
