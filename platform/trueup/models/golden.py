"""Golden predictions: holdout rows as the model was given them at training, and what it answered, to the last bit.

Kept in the model's own folder. Replayed elsewhere through the same `Bundle.predict`, they say whether that environment
gives the model's own numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from trueup.errors import ModelError
from trueup.frame import FeatureFrame
from trueup.models.bundle import Bundle, Floats
from trueup.models.frame_file import frame_table, parquet_bytes, read_parquet, table_frame

GOLDEN_FILE = "golden.parquet"
GOLDEN_ROWS = 256
_PREDICTION = "__prediction__"


@dataclass(frozen=True)
class Golden:
    """features: the rows. predictions: P(label) of each, float64, as training had it."""

    features: FeatureFrame
    predictions: Floats


def golden_bytes(bundle: Bundle, holdout: FeatureFrame, *, seed: int, most_rows: int = GOLDEN_ROWS) -> bytes:
    """At most `most_rows` rows of a holdout, drawn by the seed and in its order, with the bundle's predictions of them.

    The same bundle, rows and seed give the same bytes.
    """
    rows = golden_rows(holdout, seed=seed, most_rows=most_rows)
    predictions = bundle.predict(rows)
    return parquet_bytes(frame_table(rows).append_column(_PREDICTION, pa.array(predictions, pa.float64())))


def golden_rows(holdout: FeatureFrame, *, seed: int, most_rows: int = GOLDEN_ROWS) -> FeatureFrame:
    """The rows of a holdout that golden predictions are of."""
    rows = np.arange(holdout.num_rows)
    if holdout.num_rows > most_rows:
        rows = np.sort(np.random.default_rng(seed).choice(holdout.num_rows, most_rows, replace=False))
    return table_frame(frame_table(holdout).take(pa.array(rows, pa.int64())))


def read_golden(content: bytes) -> Golden:
    """Raises ModelError when it is no such file."""
    try:
        table = read_parquet(content)
        predictions = table.column(_PREDICTION).cast(pa.float64()).to_numpy()
    except (pa.ArrowException, KeyError) as error:
        raise ModelError(f"{GOLDEN_FILE} cannot be read: {error}.", hint="Train the model again.") from error
    return Golden(table_frame(table), predictions)
