"""A small training set of every kind of column, and its snapshot."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from tests.trueup.models.examples import CONTRACT, PINNED, frame, many_rows

from trueup.contracts.contract import FeatureContract
from trueup.datasets.entity_rows import Counts
from trueup.datasets.ledger_state import LedgerState
from trueup.datasets.snapshot import Snapshot, keep_snapshot
from trueup.datasets.spec import DatasetSpec, EntityQuery, Span
from trueup.datasets.training_set import TrainingSet
from trueup.instants import AsOfRule

START = datetime(2024, 1, 1, tzinfo=UTC)
ROWS = 40

SPEC = DatasetSpec(
    name="buyers",
    feature_service="buyers_v1",
    rule=AsOfRule("served", PINNED),
    rows=EntityQuery("SELECT * FROM visits -- żółć", {"visits": "data/visits.parquet"}, "visit", "bought"),
    train=Span(START, START + timedelta(days=30)),
    holdout=Span(START + timedelta(days=30), START + timedelta(days=60)),
)


def training_set(seed: int = 0) -> TrainingSet:
    instants = [START + timedelta(days=day) for day in range(ROWS)]
    rows = pa.table(
        {
            "visit": [f"v{number:03d}" for number in range(ROWS)],
            "buyer_id": list(range(ROWS)),
            "event_timestamp": pa.array(instants, pa.timestamp("us", tz="UTC")),
            "bought": [number % 2 == 0 for number in range(ROWS)],
            "label_known_at": pa.array(instants, pa.timestamp("us", tz="UTC")),
        }
    )
    return TrainingSet(rows, frame(many_rows(ROWS, seed=seed)), "bought", Counts(30, 10, 3, 7))


def kept(
    root: Path,
    data: TrainingSet | None = None,
    *,
    contract: FeatureContract = CONTRACT,
    ledger: dict[str, LedgerState] | None = None,
    **changes: Any,
) -> Snapshot:
    """The snapshot of a training set. changes: of the spec."""
    return keep_snapshot(data or training_set(), replace(SPEC, **changes), contract, root=root, ledger=ledger)
