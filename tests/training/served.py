"""A served log of the shop, written as a server writes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tests.training.shop import SITES, START

from trueup.contracts.contract import FeatureContract
from trueup.eventlog.records import Role, Scores, ServedRows
from trueup.eventlog.writer import LogWriter
from trueup.features.historical import read_as_of
from trueup.instants import AsOfRule
from trueup.models.bundle import Bundle

FIRST = START + timedelta(days=32)


def write_log(
    log: Path,
    bundle: Bundle,
    contract: FeatureContract,
    repo: Path,
    *,
    version: str,
    count: int = 300,
    wrong: Sequence[int] = (),
    skewed: str | None = None,
) -> Path:
    """Requests by what the honest online store had; every fifth is a shadow. wrong: rows whose prediction is logged one
    float further. skewed: a feature that is logged one higher than it was."""
    random = np.random.default_rng(3)
    instants = [FIRST + timedelta(minutes=37 * row) for row in range(count)]
    rows = pa.table(
        {
            "site": [SITES[int(random.integers(len(SITES)))] for _ in instants],
            "placed_unix": pa.array([int(instant.timestamp()) for instant in instants], pa.int64()),
            "event_timestamp": pa.array(instants, pa.timestamp("us", tz="UTC")),
        }
    )
    frame = read_as_of(contract, rows, AsOfRule("served"), repo=repo, ledger=None)
    if skewed is not None:
        at = frame.values.column_names.index(skewed)
        frame = replace(frame, values=frame.values.set_column(at, skewed, pc.add(frame.values.column(at), 1)))
    predictions = bundle.predict(frame).copy()
    predictions[list(wrong)] = np.nextafter(predictions[list(wrong)], 2)
    with LogWriter(log, [contract]) as writer:
        for row in range(count):
            role: Role = "shadow" if row % 5 == 0 else "answer"
            assert writer.offer(
                ServedRows(
                    contract=contract,
                    request_id=f"r{row}",
                    instant=instants[row],
                    experiment="",
                    inputs=rows.slice(row, 1).select(["site", "placed_unix"]),
                    frame=frame.slice(row, 1),
                    rows=(0,),
                    units=(f"u{row}",),
                    variants=("shop",),
                    scores=(Scores("shop", version, (0,), (role,), predictions[row : row + 1]),),
                )
            )
    return log
