"""What a materialization read, as the rows Feast hands to any online store. Pure.

The values are already of their declared types (`trueup.stores.typed`), so nothing is cast on the way: Feast's own
conversion goes through pandas, where an integer next to a null becomes a float.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pyarrow as pa
from feast import FeatureView
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import python_values_to_proto_values

from trueup.contracts.documents import document_value
from trueup.contracts.dtypes import document_kind
from trueup.errors import SourceError
from trueup.stores.asof import LatestRows

OnlineRow = tuple[EntityKey, dict[str, Value], datetime, datetime | None]
"""Entity key, values by feature name, event time, created time."""

_FIELDS = {
    "Bytes": "bytes_val",
    "String": "string_val",
    "Bool": "bool_val",
    "Int32": "int32_val",
    "Int64": "int64_val",
    "Float32": "float_val",
    "Float64": "double_val",
    "UnixTimestamp": "unix_timestamp_val",
    "Uuid": "uuid_val",
    "TimeUuid": "time_uuid_val",
}


def online_rows(view: FeatureView, latest: LatestRows) -> list[OnlineRow]:
    """One row per entity of `latest`, in its order. A view without entities has Feast's dummy one."""
    dtypes = {field.name: field.dtype for field in (*view.entity_columns, *view.features)}
    keys = {name: _values(view, name, latest.keys[name], dtypes[name]) for name in latest.keys.column_names}
    if not keys:
        keys = {DUMMY_ENTITY_ID: [Value(string_val=DUMMY_ENTITY_VAL)] * latest.num_rows}
    features = {name: _values(view, name, latest.features[name], dtypes[name]) for name in latest.features.column_names}
    names, key_names = list(features), list(keys)
    return [
        (
            EntityKey(join_keys=key_names, entity_values=key),
            dict(zip(names, values, strict=True)),
            event,
            created,
        )
        for key, values, event, created in zip(
            zip(*keys.values(), strict=True),
            zip(*features.values(), strict=True),
            latest.event_timestamps.to_pylist(),
            latest.created_timestamps.to_pylist(),
            strict=True,
        )
    ]


def _values(view: FeatureView, name: str, column: pa.ChunkedArray, dtype: Any) -> list[Value]:
    field = _FIELDS.get(str(dtype))
    if field is None:
        try:
            given = column.to_pylist()
            if document_kind(str(dtype)) is not None:
                given = [None if text is None else document_value(text) for text in given]
            values: list[Value] = python_values_to_proto_values(given, dtype.to_value_type())
        except (TypeError, ValueError) as error:
            raise SourceError(
                f"feature view {view.name}: feature {name} cannot be written as {dtype}: {error}.",
                hint="Mend the values in the source's query, or the declared type.",
            ) from error
        return values
    if field == "unix_timestamp_val":
        column = column.cast(pa.timestamp("s", tz="UTC")).cast(pa.int64())
    return [Value() if value is None else Value(**{field: value}) for value in column.to_pylist()]
