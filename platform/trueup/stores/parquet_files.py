"""Parquet files that DuckDB reads right, written whole or not at all.

Min/max statistics of float columns leave NaN out, and DuckDB 2.0 skips row groups by them: it loses NaNs. So they are
not written.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq


def write_parquet(table: pa.Table, path: Path) -> None:
    """One file; a reader sees the old one or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        pq.write_table(table, part, write_statistics=_with_statistics(table.schema))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def append_parquet(table: pa.Table, directory: Path, *, partition_by: Sequence[str] = ()) -> None:
    """One more file in a directory, in Hive partitions if asked for."""
    directory.mkdir(parents=True, exist_ok=True)
    options = ds.ParquetFileFormat().make_write_options(write_statistics=_with_statistics(table.schema))
    ds.write_dataset(
        table,
        directory,
        format="parquet",
        file_options=options,
        basename_template=f"{uuid.uuid4().hex}-{{i}}.parquet",
        partitioning=list(partition_by) or None,
        partitioning_flavor="hive" if partition_by else None,
        existing_data_behavior="overwrite_or_ignore",
    )


def _with_statistics(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if not (pa.types.is_floating(field.type) or pa.types.is_nested(field.type))]
