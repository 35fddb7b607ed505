"""`TrainingSet`: entity rows with their labels, and their features as of each row's instant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.contracts.contract import FeatureContract
from trueup.datasets.content import table_digest
from trueup.datasets.entity_rows import Counts, read_entity_rows
from trueup.datasets.ledger_state import PinnedLedger
from trueup.datasets.spec import INSTANT, DatasetSpec
from trueup.errors import InputError
from trueup.features.historical import read_as_of
from trueup.frame import FeatureFrame
from trueup.stores.ledger import Ledger

Progress = Callable[[str], None]
"""Told what is done next, before it is."""


@dataclass(frozen=True)
class TrainingSet:
    """rows: the entity rows, training window first, each window by (instant, id). features: one row for each.

    label: the column of the rows that has the answers.
    """

    rows: pa.Table
    features: FeatureFrame
    label: str
    counts: Counts

    @cached_property
    def labels(self) -> npt.NDArray[np.int8]:
        """0 or 1 of each row."""
        labels: npt.NDArray[np.int8] = pc.cast(self.rows.column(self.label), pa.int8()).to_numpy().copy()
        return labels

    @cached_property
    def digest(self) -> str:
        """Hash of the content of rows and features, not of how they lie in memory."""
        return table_digest(self.rows, self.features.values)

    @property
    def train(self) -> slice:
        return slice(0, self.counts.train)

    @property
    def holdout(self) -> slice:
        return slice(self.counts.train, self.counts.train + self.counts.holdout)


def read_training_set(
    spec: DatasetSpec,
    contract: FeatureContract,
    *,
    repo: Path,
    ledger: Ledger | None = None,
    progress: Progress | None = None,
) -> TrainingSet:
    """Entity rows and features of a spec. The same spec and data give the same set, in the same order.

    ledger: what `served` asks, as it stood at the pinned instant; without one, the views' declared schedules. Raises
    InputError when the query's rows cannot be learned from, SourceError when something cannot be read.
    """
    tell = progress or (lambda _: None)
    tell("entity rows")
    rows, counts = read_entity_rows(spec, contract, repo=repo)
    features = read_as_of(
        contract,
        rows,
        spec.rule,
        repo=repo,
        ledger=None if ledger is None else PinnedLedger(ledger, spec.pinned),
        instant=INSTANT,
        progress=lambda view: tell(f"features of {view}"),
    )
    data = TrainingSet(rows, features, spec.rows.label, counts)
    for window, part in (("train", data.labels[data.train]), ("holdout", data.labels[data.holdout])):
        if len(np.unique(part)) < 2:
            raise InputError(
                window,
                f"recipe {spec.name}: all {len(part):,} rows of {window} have {spec.rows.label} = {int(part[0])}; "
                "a classifier needs both answers.",
                hint=f"Widen the {window} window, or look at the query.",
            )
    return data
