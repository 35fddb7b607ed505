"""A repository's own log columns, mapped to Feast's by a small TOML file.

EXAMPLE has every section there is. What a section does not name is looked for under its name in Feast's log schema
(`driver_id`, `driver_hourly_stats__conv_rate`, `__request_id`, ...), so a file need name no more than what differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from trueup.contracts.contract import FeatureContract
from trueup.errors import InputError
from trueup.eventlog.instants import Unit, check_time_zone
from trueup.eventlog.records import (
    FALLBACK,
    LOG_TIMESTAMP,
    MODEL,
    MODEL_VERSION,
    PREDICTION,
    REQUEST_ID,
    ROW,
    event_timestamp,
    input_fields,
)
from trueup.toml_files import load_model

EXAMPLE = """
service = "driver_activity_v1"       # the feature service; --service wins
request_id = "req"                   # column; absent: __request_id, or none
row = "position"                     # column: number of the row in its request; absent: __row, or none
prediction = "score"                 # column; absent: __prediction, or none
fallback = "degraded"                # column, true where no features were looked up; absent: __fallback, or none
null_values = [-999, "NA"]           # what stands for null in the columns of features
event_time_precision = "s"           # what is kept of [event_times]: s, ms or us (the default)

[timestamp]                          # the instant the features were read; absent: __log_timestamp
column = "ts"
unit = "ms"                          # of a column of numbers, since 1970: s, ms, us or ns
time_zone = "Europe/Berlin"          # of instants without an offset; absent: UTC

[model]                              # absent: the log names no model
name = "model"                       # column with the registered name
version = "model_version"            # column

[keys]                               # join key, as a request brings it -> column
driver_id = "driver"

[request]                            # request field -> column
val_to_add = "x"

[features]                           # feature (view:feature) -> column
"driver_hourly_stats:conv_rate" = "rate"

[statuses]                           # feature -> column with Feast's status, as number or name
"driver_hourly_stats:conv_rate" = "rate_status"

[event_times]                        # feature view -> column with the event time of the row that was read
driver_hourly_stats = "stats_time"

[constants]                          # a key or request field that is the same in every row
val_to_add_2 = 10
"""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TimestampColumn(_Section):
    column: str = LOG_TIMESTAMP
    unit: Unit | None = None
    time_zone: str | None = None


class ModelColumns(_Section):
    name: str
    version: str


class ColumnMap(_Section):
    """The file as values. Column names are the log's; see EXAMPLE."""

    service: str | None = None
    request_id: str | None = None
    row: str | None = None
    prediction: str | None = None
    fallback: str | None = None
    null_values: list[bool | int | float | str] = Field(default_factory=list)
    event_time_precision: str = Field("us", pattern="^(s|ms|us)$")
    timestamp: TimestampColumn = TimestampColumn()
    model: ModelColumns | None = None
    keys: dict[str, str] = Field(default_factory=dict)
    request: dict[str, str] = Field(default_factory=dict)
    features: dict[str, str] = Field(default_factory=dict)
    statuses: dict[str, str] = Field(default_factory=dict)
    event_times: dict[str, str] = Field(default_factory=dict)
    constants: dict[str, bool | int | float | str] = Field(default_factory=dict)

    def places(self) -> Iterator[tuple[str, str, str]]:
        """Name in Feast's (or our) log schema, column of the log, and the place in the file that says so."""
        if self.timestamp.column != LOG_TIMESTAMP:
            yield LOG_TIMESTAMP, self.timestamp.column, "timestamp.column"
        own = ((REQUEST_ID, self.request_id), (ROW, self.row), (PREDICTION, self.prediction), (FALLBACK, self.fallback))
        for name, column in own:
            if column is not None:
                yield name, column, name.removeprefix("__")
        if self.model is not None:
            yield MODEL, self.model.name, "model.name"
            yield MODEL_VERSION, self.model.version, "model.version"
        for section in ("keys", "request"):
            for name, column in getattr(self, section).items():
                yield name, column, f"{section}.{name}"
        for name, column in self.features.items():
            yield _column_of(name), column, f"features.{name}"
        for name, column in self.statuses.items():
            yield f"{_column_of(name)}__status", column, f"statuses.{name}"
        for view, column in self.event_times.items():
            yield event_timestamp(view), column, f"event_times.{view}"

    @cached_property
    def columns(self) -> dict[str, str]:
        """Name in Feast's (or our) log schema -> column of the log."""
        return {name: column for name, column, _ in self.places()}

    def check(self, contract: FeatureContract) -> None:
        """Raises InputError for a key, request field, feature or view that the feature service has not."""
        inputs = [item.name for item in input_fields(contract)]
        known: dict[str, Sequence[str]] = {
            "keys": [item.name for item in contract.entity_fields],
            "request": [item.name for item in contract.request_fields],
            "constants": inputs,
            "features": contract.columns,
            "statuses": contract.columns,
            "event_times": [view.name for view in contract.views],
        }
        for section, names in known.items():
            for name in getattr(self, section):
                if _column_of(name) not in names:
                    raise InputError(
                        f"{section}.{name}",
                        f"column map: {section}.{name}: feature service {contract.service} has no such name; "
                        f"it has {', '.join(names) or 'none'}.",
                    )

    def applied(self, table: pa.Table) -> pa.Table:
        """The table with its columns under Feast's names. Columns that the file does not name keep theirs.

        Raises InputError for a column that is not there.
        """
        for _, column, place in self.places():
            if column not in table.column_names:
                raise InputError(
                    place,
                    f"column map: {place} = {column!r}: the log has no such column; "
                    f"it has {', '.join(table.column_names) or 'none'}.",
                )
        taken = {*self.columns, *self.columns.values(), *self.constants}
        columns = {name: table.column(name) for name in table.column_names if name not in taken}
        columns |= {name: table.column(column) for name, column in self.columns.items()}
        for name in (_column_of(feature) for feature in self.features):
            columns[name] = _without(columns[name], self.null_values)
        for name, value in self.constants.items():
            columns[name] = pa.chunked_array([pa.array([value] * table.num_rows)])
        return pa.table(columns)


def load_column_map(path: Path) -> ColumnMap:
    """Raises InputError that names the file, the place in it, what came and what was expected."""
    known = ", ".join(ColumnMap.model_fields)
    hint = f"Keys: {known}. An example stands in platform/trueup/eventlog/README.md."
    found = load_model(path, ColumnMap, field="map", what=f"column map {path}", hint=hint)
    if found.timestamp.time_zone is not None:
        check_time_zone(found.timestamp.time_zone, field=f"column map {path}: timestamp.time_zone")
    given: dict[str, str] = {name: f"constants.{name}" for name in found.constants}
    for name, _, place in found.places():
        if name in given:
            raise InputError(place, f"column map {path}: {given[name]} and {place} both give {name}.")
        given[name] = place
    return found


def _column_of(feature: str) -> str:
    """`view:feature` as Feast's references have it, or `view__feature` as a log has it, as the latter."""
    return feature.replace(":", "__", 1)


def _without(column: pa.ChunkedArray, markers: Sequence[Any]) -> pa.ChunkedArray:
    """The column with these values as nulls; a marker that the column's type cannot hold stands nowhere in it."""
    kind = column.type
    for marker in markers:
        if isinstance(marker, str) != pa.types.is_string(kind) or isinstance(marker, bool) != pa.types.is_boolean(kind):
            continue
        if not (pa.types.is_string(kind) or pa.types.is_boolean(kind) or _is_number(kind)):
            continue
        try:
            value = pa.scalar(marker).cast(kind)
        except pa.ArrowException:
            continue
        column = pc.if_else(pc.fill_null(pc.equal(column, value), False), pa.scalar(None, kind), column)
    return column


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))
