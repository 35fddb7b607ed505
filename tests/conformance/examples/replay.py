"""`replay`: a real bundle, and predictions of its own, one of them a float further on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from tests.conformance.example import Example
from tests.trueup.models.examples import CONTRACT, PINNED, bundle, frame, many_rows

from trueup.parity.checks.replay import CHECK, ReplayedModel, Scored, check_replay
from trueup.parity.evidence.recompute import micros
from trueup.parity.tally import Labels

BUNDLE = bundle()
ROWS = many_rows(64, seed=3)


def make(order: Sequence[int], *, changed: int | None = None, unusable: int = 0) -> ReplayedModel:
    """unusable: rows that no prediction was logged of."""
    features = frame([ROWS[row] for row in order] + ROWS[:unusable])
    predictions = BUNDLE.predict(features).tolist()
    for position, row in enumerate(order):
        if row == changed:
            predictions[position] = float(np.nextafter(predictions[position], 2))
    predictions[len(order) :] = [None] * unusable
    batch = Scored(
        features,
        pa.array(predictions, pa.float64()),
        pa.table({"buyer_id": pa.array([*order, *[-1] * unusable], pa.int64())}),
        Labels(np.full(len(predictions), micros(PINNED))),
        offline=features,
    )
    return ReplayedModel(
        model="buyers",
        version="1",
        known_at="served",
        service=CONTRACT.service,
        contract=CONTRACT.hash,
        rows=len(predictions),
        predict=BUNDLE.predict,
        batches=(batch,),
    )


EXAMPLE = Example(CHECK, make, check_replay)
