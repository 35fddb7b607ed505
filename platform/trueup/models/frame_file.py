"""A `FeatureFrame` as one Parquet file: values, statuses and event times. The same frame, the same bytes."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

from trueup.frame import FeatureFrame

_STATUS = "__status"
_TIME = "__event_timestamp__"


def frame_table(frame: FeatureFrame) -> pa.Table:
    return pa.table(
        {
            **{name: frame.values.column(name) for name in frame.columns},
            **{f"{name}{_STATUS}": frame.statuses.column(name) for name in frame.columns},
            **{f"{_TIME}{name}": frame.event_timestamps.column(name) for name in frame.event_timestamps.column_names},
        }
    )


def table_frame(table: pa.Table) -> FeatureFrame:
    """What `frame_table` was given; other columns are left out."""
    columns = [name.removesuffix(_STATUS) for name in table.column_names if name.endswith(_STATUS)]
    times = [name for name in table.column_names if name.startswith(_TIME)]
    return FeatureFrame(
        table.select(columns),
        pa.table({name: table.column(f"{name}{_STATUS}") for name in columns}),
        pa.table({name.removeprefix(_TIME): table.column(name) for name in times}),
    )


def parquet_bytes(table: pa.Table) -> bytes:
    # Without statistics of floats: DuckDB 2.0 loses NaNs by them (see `trueup.stores.parquet_files`).
    indexed = [
        field.name for field in table.schema if not (pa.types.is_floating(field.type) or pa.types.is_nested(field.type))
    ]
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", write_statistics=indexed)
    return sink.getvalue()


def read_parquet(content: bytes) -> pa.Table:
    """Raises pyarrow.ArrowException when it is no Parquet file."""
    return pq.read_table(io.BytesIO(content))
