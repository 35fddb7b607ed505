"""`LedgerEngine`: Feast's materialization with both clocks, and every run of it in the ledger.

It is the one joint that `feast materialize` and `trueup materialize` pass. Importing this file needs no DuckDB, as a
process that only reads online loads the same feature_store.yaml.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from feast import FeatureView
from feast.infra.common.materialization_job import MaterializationJobStatus, MaterializationTask
from feast.infra.compute_engines.local.compute import LocalComputeEngine
from feast.infra.compute_engines.local.job import LocalMaterializationJob
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel, RepoConfig
from pydantic import StrictStr
from typing_extensions import override

from trueup.contracts.extract import view_from_feast
from trueup.errors import ContractError, InputError
from trueup.instants import Clock, as_utc, format_instant, utc_now
from trueup.stores.ledger import BEGINNING, Ledger, Run
from trueup.stores.query_source import repo_dir

if TYPE_CHECKING:
    import duckdb

DEFAULT_LEDGER = "data/ledger.sqlite"
BATCH_ROWS = 10_000
"""Rows handed to the online store at a time where the repository does not say (`online_write_batch_size`)."""


class LedgerEngineConfig(FeastConfigBaseModel):
    """ledger: path of the ledger, relative to the feature repository."""

    type: StrictStr = "trueup.stores.ledger_engine.LedgerEngine"
    ledger: StrictStr = DEFAULT_LEDGER


def ledger_of(config: RepoConfig) -> Ledger:
    """The ledger of a feature repository, whether it exists yet or not.

    Where the repository has another batch engine, it is at the default path, which `trueup materialize` writes to.
    """
    engine: Any = config.batch_engine_config
    path = engine.get("ledger", DEFAULT_LEDGER) if isinstance(engine, dict) else DEFAULT_LEDGER
    return Ledger(repo_dir(config) / path)


class LedgerEngine(LocalComputeEngine):
    """Reads a view's newest rows with the known time capped, writes them online, and records both ends in the ledger.

    Differs from Feast's local engine so that the ledger is exact: a row created after the run began is not read, even
    if the source already holds it; nor is one whose event is still to come, which would hide the current value;
    values are cast to their declared types without passing through pandas; two rows of one entity with both clocks
    equal and different values are an error, not a coin toss. A view with a transformation of its own is refused: it
    would run here and not in history, so that training and serving disagree.
    """

    def __init__(self, *, ledger: str = DEFAULT_LEDGER, clock: Clock = utc_now, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ledger = Ledger(repo_dir(self.repo_config) / ledger)
        self.clock = clock

    @override
    def _materialize_one(
        self, registry: BaseRegistry, task: MaterializationTask, **kwargs: Any
    ) -> LocalMaterializationJob:
        """Feast's way in. An error is raised at once; Feast would raise the job's error in the next line anyway."""
        run = self.run(task.feature_view, start=as_utc(task.start_time), end=as_utc(task.end_time))
        return LocalMaterializationJob(job_id=str(run.run_id), status=MaterializationJobStatus.SUCCEEDED)

    def run(
        self,
        feature_view: FeatureView,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        known_at: datetime | None = None,
        incremental: bool = False,
        connection: duckdb.DuckDBPyConnection | None = None,
    ) -> Run:
        """Materializes one view: the newest row of each entity in the event window goes to the online store.

        start: first event time (default: `end` minus the TTL, as older rows are expired; without TTL, the beginning).
        end: last event time, at most and by default `known_at`. known_at: rows created later are left out (default:
        the clock's time now, which it cannot be after). incremental: leave out what finished runs of this definition
        have covered already. connection: a DuckDB connection to use again (default: one of its own).

        A known_at before an earlier run's sets corrections of equal event time back online, as does a run that another
        one of the same view overtakes: the online bytes do not hold the created time.

        Raises SourceError, ContractError, StoreError or InputError; the run then stays unfinished in the ledger.
        """
        # DuckDB is heavy and optional: a process that only reads online loads this class and never calls this.
        from trueup.stores.asof import read_latest
        from trueup.stores.duckdb_tables import connect
        from trueup.stores.online_rows import online_rows

        if connection is None:
            with connect() as own:
                return self.run(
                    feature_view, start=start, end=end, known_at=known_at, incremental=incremental, connection=own
                )
        _refuse_transformations(feature_view)
        view = view_from_feast(feature_view)
        project = self.repo_config.project
        started_at = self.clock()
        known_at = started_at if known_at is None else as_utc(known_at)
        if known_at > started_at:
            raise InputError(
                "known_at",
                f"known_at {format_instant(known_at)} is after the run begins, {format_instant(started_at)}; what will "
                "be known then cannot be known yet.",
            )
        event_end = known_at if end is None else min(as_utc(end), known_at)
        event_start = _window_start(event_end, view.ttl) if start is None else as_utc(start)
        known_after = None
        if incremental:
            known_after = self.ledger.cursor(project, view.table, ttl=view.ttl, definition_hash=view.definition_hash)
        run = self.ledger.start(
            project=project,
            view=view.table,
            started_at=started_at,
            known_at=known_at,
            known_after=known_after,
            event_start=event_start,
            event_end=event_end,
            definition_hash=view.definition_hash,
            definition=view,
        )
        latest = read_latest(
            connection,
            view,
            start=event_start,
            end=event_end,
            known_at=known_at,
            known_after=known_after,
            base_dir=repo_dir(self.repo_config),
        )
        rows = online_rows(feature_view, latest)
        size = self.repo_config.materialization_config.online_write_batch_size or BATCH_ROWS
        for first in range(0, len(rows), size):
            self.online_store.online_write_batch(
                config=self.repo_config,
                table=feature_view,
                data=rows[first : first + size],
                progress=None,
            )
        return self.ledger.finish(run, finished_at=self.clock(), rows=len(rows))


def _window_start(end: datetime, ttl: Any) -> datetime:
    if ttl is None or end - BEGINNING < ttl:
        return BEGINNING
    start: datetime = end - ttl
    return start


def _refuse_transformations(view: FeatureView) -> None:
    if getattr(view, "feature_transformation", None) is not None or getattr(view, "aggregations", None):
        raise ContractError(
            f"feature view {view.name}: its transformation would run when it is materialized and not when history is "
            "read, so training and serving would disagree.",
            hint="Write it as SQL in the query of a DuckDBQuerySource: both run that.",
        )
