"""A table as Parquet whose bytes are a function of its content and of the writer's version alone.

No statistics (those of floats leave NaN out, and DuckDB 2.0 loses NaNs by them), no metadata of pandas or of whoever
made the table; dictionaries only of texts, because Arrow's of floats may take one NaN for another.
"""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from trueup.datasets.content import check_storable

ROW_GROUP_ROWS = 65_536
WRITER = {"pyarrow": pa.__version__, "codec": "zstd 3"}
"""What decides the bytes of a part beside its content."""


def write_part(table: pa.Table, path: Path) -> None:
    """One file. Raises DatasetError for a column that cannot be kept, OSError when the file cannot be written."""
    check_storable(table.schema)
    # In one piece: the writer ends a page where a chunk ends.
    plain = _plain(table).combine_chunks()
    pq.write_table(
        plain,
        path,
        version="2.6",
        row_group_size=ROW_GROUP_ROWS,
        compression="zstd",
        compression_level=3,
        use_dictionary=[field.name for field in plain.schema if _is_text(field.type)],
        write_statistics=False,
        write_page_index=False,
        data_page_version="1.0",
        data_page_size=1 << 20,
        dictionary_pagesize_limit=1 << 20,
        use_compliant_nested_type=False,  # compliant, a list's element would come back under another name
        store_schema=True,
    )


def read_part(content: bytes) -> pa.Table:
    """The table that was written. Raises pyarrow's ArrowException for bytes that are no Parquet file."""
    with pq.ParquetFile(io.BytesIO(content)) as file:
        return _plain(file.read())


def _plain(table: pa.Table) -> pa.Table:
    """The same columns, every one nullable and none with metadata."""
    return table.cast(pa.schema([pa.field(field.name, _plain_type(field.type)) for field in table.schema]))


def _plain_type(type_: pa.DataType) -> pa.DataType:
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        item = pa.field(type_.value_field.name, _plain_type(type_.value_type), type_.value_field.nullable)
        return pa.large_list(item) if pa.types.is_large_list(type_) else pa.list_(item)
    return type_


def _is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_))
