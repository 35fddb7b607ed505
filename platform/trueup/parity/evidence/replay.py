"""The served log and the registered models that wrote it, model by model, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from trueup.errors import TrueupError
from trueup.eventlog.reader import ServedLog
from trueup.eventlog.records import LOG_TIMESTAMP, PREDICTION, REQUEST_ID, ROLE, ROW
from trueup.frame import EVENT_TIME, FeatureFrame
from trueup.instants import AsOfRule
from trueup.models.bundle import Bundle
from trueup.models.environment import Environment
from trueup.parity.causes import Reading
from trueup.parity.checks.replay import THRESHOLD, Predict, ReplayedModel, Scored
from trueup.parity.evidence.models import Progress, Unreadable, nothing
from trueup.parity.evidence.recompute import INSTANT, Source
from trueup.parity.evidence.windows import BATCH_ROWS, Window, other_contract, windows
from trueup.parity.explain import Rows
from trueup.parity.tally import Labels
from trueup.stores.ledger import Ledger

MOST_OTHERS = 20
"""Other versions of a model tried on predictions that it does not give: the newest."""


class Models(Protocol):
    """Registered models, ready to predict: `trueup.models.tracking.Tracking`. Raises TrueupError for one it has not.

    versions: of a model, newest first. load_environment: the one a model was trained in.
    """

    def load_bundle(self, model: str, ref: str | int | None = None) -> Bundle: ...

    def load_environment(self, model: str, ref: str | int | None = None) -> Environment: ...

    def versions(self, model: str) -> tuple[int, ...]: ...


def replayed_models(
    log_dir: Path,
    models: Models,
    *,
    repo: Path | None,
    ledger: Ledger | None,
    start: datetime | None = None,
    end: datetime | None = None,
    names: Sequence[str] | None = None,
    threshold: float = THRESHOLD,
    batch_rows: int = BATCH_ROWS,
    progress: Progress = nothing,
) -> Iterator[ReplayedModel | Unreadable]:
    """Each model version in the served logs, by log directory and name.

    repo: where offline features are read, under each model's own rule; None: they are not.
    """
    for window in windows(log_dir, start=start, end=end, names=names, batch_rows=batch_rows):
        progress(f"read {window.directory.parent.name}/{window.directory.name}")
        for found in window.models():
            progress(f"replay {found.model}@{found.version}, {found.rows:,} rows")
            try:
                bundle = models.load_bundle(found.model, found.version)
                others = [str(other) for other in models.versions(found.model) if str(other) != found.version]
            except TrueupError as error:
                yield Unreadable(found.model, found.version, found.rows, str(error))
                continue
            contract = bundle.card.contract
            if contract.hash != window.contract.hash:
                problem = other_contract(found, contract, window.contract)
                yield Unreadable(found.model, found.version, found.rows, problem)
                continue
            yield ReplayedModel(
                model=found.model,
                version=found.version,
                known_at=bundle.card.rule.known_at,
                service=contract.service,
                contract=contract.hash,
                rows=found.rows,
                predict=bundle.predict,
                batches=_Batches(window, bundle, found.model, found.version, repo, ledger, progress),
                others={other: _loader(models, found.model, other) for other in others[:MOST_OTHERS]},
                threshold=threshold,
                uncompared=found.uncompared,
            )


@dataclass(frozen=True)
class _Batches:
    """The rows of a model version, read again each time they are gone through."""

    window: Window
    bundle: Bundle
    model: str
    version: str
    repo: Path | None
    ledger: Ledger | None
    progress: Progress

    def __iter__(self) -> Iterator[Scored]:
        problem: str | None = None
        for log in self.window.rows_of(self.model, self.version):
            offline: FeatureFrame | str | None = problem
            if problem is None and self.repo is not None:
                try:
                    offline = self._offline(log, self.repo)
                except TrueupError as error:
                    offline = problem = str(error)
            table = log.table
            yield Scored(
                features=log.frame,
                predictions=table.column(PREDICTION).combine_chunks(),
                keys=log.inputs,
                labels=Labels(
                    _instants(table), *(table.column(name).combine_chunks() for name in (REQUEST_ID, ROW, ROLE))
                ),
                offline=offline,
            )

    def _offline(self, log: ServedLog, repo: Path) -> FeatureFrame:
        """What training reads for these rows, each at its own instant. A pinned instant is of the training set."""
        rows = log.inputs.append_column(INSTANT, log.table.column(LOG_TIMESTAMP))
        source = Source(rows, repo=repo, ledger=self.ledger, progress=self.progress)
        reading = Reading(AsOfRule(self.bundle.card.rule.known_at))
        return source(self.bundle.card.contract, reading, _every(rows.num_rows))


def _loader(models: Models, model: str, version: str) -> Callable[[], Predict]:
    return cache(lambda: models.load_bundle(model, version).predict)


def _every(rows: int) -> Rows:
    return np.arange(rows, dtype=np.int64)


def _instants(table: pa.Table) -> Rows:
    column = table.column(LOG_TIMESTAMP).combine_chunks().cast(EVENT_TIME)
    instants: Rows = column.cast(pa.int64()).to_numpy()
    return instants
