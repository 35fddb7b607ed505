"""The reference of a model: rows it was trained on, kept beside its card, to hold what is served against.

A sample when there are many: rows are drawn without replacement by a seeded generator and keep their order, so the same
training set gives the same bytes.
"""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trueup.errors import ModelError
from trueup.frame import FeatureFrame

REFERENCE_FILE = "reference.parquet"
MOST_ROWS = 100_000
_STATUS = "__status"
_TIME = "__event_timestamp__"
_ROWS = b"trueup.rows"


def reference_bytes(frame: FeatureFrame, *, seed: int, most_rows: int = MOST_ROWS) -> bytes:
    """A training set's features as one Parquet file: values, statuses and event times, of at most `most_rows` rows."""
    if frame.num_rows > most_rows:
        rows = np.sort(np.random.default_rng(seed).choice(frame.num_rows, most_rows, replace=False))
        positions = pa.array(rows, pa.int64())
        table = _table(frame).take(positions)
    else:
        table = _table(frame)
    table = table.replace_schema_metadata({_ROWS: str(frame.num_rows).encode()})
    # Without statistics of floats: DuckDB 2.0 loses NaNs by them (see `trueup.stores.parquet_files`).
    indexed = [
        field.name for field in table.schema if not (pa.types.is_floating(field.type) or pa.types.is_nested(field.type))
    ]
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", write_statistics=indexed)
    return sink.getvalue()


def read_reference(content: bytes) -> tuple[FeatureFrame, int]:
    """The frame, and how many rows the training set had. Raises ModelError when it is no such file."""
    try:
        table = pq.read_table(io.BytesIO(content))
    except pa.ArrowException as error:
        raise ModelError(f"{REFERENCE_FILE} cannot be read: {error}.", hint="Train the model again.") from error
    columns = [name.removesuffix(_STATUS) for name in table.column_names if name.endswith(_STATUS)]
    times = [name for name in table.column_names if name.startswith(_TIME)]
    frame = FeatureFrame(
        table.select(columns),
        pa.table({name: table.column(f"{name}{_STATUS}") for name in columns}),
        pa.table({name.removeprefix(_TIME): table.column(name) for name in times}),
    )
    return frame, int((table.schema.metadata or {}).get(_ROWS, table.num_rows))


def _table(frame: FeatureFrame) -> pa.Table:
    return pa.table(
        {
            **{name: frame.values.column(name) for name in frame.columns},
            **{f"{name}{_STATUS}": frame.statuses.column(name) for name in frame.columns},
            **{f"{_TIME}{name}": frame.event_timestamps.column(name) for name in frame.event_timestamps.column_names},
        }
    )
