"""Serving from a stock Feast repository (see `stock.py`), and its log, written by Feast's own `write_logged_features`.

The log is made of what `get_online_features` answers, in the columns that Feast's `FeatureServiceLoggingSource` states.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import chdir
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from feast import FeatureStore
from feast.feature_logging import FeatureServiceLoggingSource
from feast.type_map import feast_value_type_to_python_type
from tests.trueup.parity.stock import quiet

SERVICE = "driver_activity_v1"
DRIVERS = (1001, 1002, 1003, 1004, 1005)


def serve(store: FeatureStore, drivers: Sequence[int] = DRIVERS, *, request: str = "r1") -> pa.Table:
    """One request for these drivers of the template, as rows of a log."""
    service = store.get_feature_service(SERVICE)
    schema = FeatureServiceLoggingSource(service, store.project).get_schema(store.registry)
    asked = [
        {"driver_id": driver, "val_to_add": 10 + row, "val_to_add_2": 20 + row} for row, driver in enumerate(drivers)
    ]
    with quiet(), chdir(str(store.repo_path)):
        answer = store.get_online_features(service, asked, full_feature_names=True).proto
    now = datetime.now(UTC)
    columns: dict[str, list[Any]] = {name: [row.get(name) for row in asked] for name in schema.names}
    for name, vector in zip(answer.metadata.feature_names.val, answer.results, strict=True):
        if f"{name}__status" in schema.names:
            columns[name] = [feast_value_type_to_python_type(value) for value in vector.values]
            columns[f"{name}__status"] = list(vector.statuses)
            columns[f"{name}__timestamp"] = [datetime.fromtimestamp(t.seconds, UTC) for t in vector.event_timestamps]
    columns["__log_timestamp"] = [now] * len(asked)
    columns["__log_date"] = [now.date()] * len(asked)
    columns["__request_id"] = [request] * len(asked)
    return pa.table(columns, schema=schema)


def log(store: FeatureStore, rows: pa.Table) -> Path:
    """Written where the template's logging config says (its data folder); returns that folder."""
    with quiet(), chdir(str(store.repo_path)):
        store.write_logged_features(rows, store.get_feature_service(SERVICE))
    return Path(str(store.repo_path)) / "data"


def changed(table: pa.Table, column: str, change: Callable[[Any], Any], row: int = 0) -> pa.Table:
    """The table with one value changed."""
    values = table.column(column).to_pylist()
    values[row] = change(values[row])
    return replaced(table, column, pa.array(values, table.schema.field(column).type))


def replaced(table: pa.Table, column: str, values: Any) -> pa.Table:
    return table.set_column(table.schema.get_field_index(column), column, values)
