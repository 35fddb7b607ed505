"""The reference of a model: rows it was trained on, kept beside its card, to hold what is served against.

A sample when there are many: rows are drawn without replacement by a seeded generator and keep their order, so the same
training set gives the same bytes.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from trueup.errors import ModelError
from trueup.frame import FeatureFrame
from trueup.models.frame_file import frame_table, parquet_bytes, read_parquet, table_frame

REFERENCE_FILE = "reference.parquet"
MOST_ROWS = 100_000
_ROWS = b"trueup.rows"


def reference_bytes(frame: FeatureFrame, *, seed: int, most_rows: int = MOST_ROWS) -> bytes:
    """A training set's features as one Parquet file: values, statuses and event times, of at most `most_rows` rows."""
    table = frame_table(frame)
    if frame.num_rows > most_rows:
        rows = np.sort(np.random.default_rng(seed).choice(frame.num_rows, most_rows, replace=False))
        table = table.take(pa.array(rows, pa.int64()))
    return parquet_bytes(table.replace_schema_metadata({_ROWS: str(frame.num_rows).encode()}))


def read_reference(content: bytes) -> tuple[FeatureFrame, int]:
    """The frame, and how many rows the training set had. Raises ModelError when it is no such file."""
    try:
        table = read_parquet(content)
    except pa.ArrowException as error:
        raise ModelError(f"{REFERENCE_FILE} cannot be read: {error}.", hint="Train the model again.") from error
    return table_frame(table), int((table.schema.metadata or {}).get(_ROWS, table.num_rows))
