"""Served rows as values and as an Arrow table. Pure: no file, no thread.

The table's columns are those of Feast's own log schema (`feast.feature_logging`), in Feast's order, then
ours. One row per (request, row, model that scored it).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.contracts.contract import FeatureContract, Field
from trueup.errors import ContractError
from trueup.frame import EVENT_TIME, STATUS, FeatureFrame

Role = Literal["answer", "shadow"]
"""answer: this model's score went back to the caller. shadow: it was computed and logged only."""

ROLES: tuple[Role, ...] = get_args(Role)

LOG_TIMESTAMP = "__log_timestamp"
LOG_DATE = "__log_date"
REQUEST_ID = "__request_id"
ROW = "__row"
MODEL = "__model"
MODEL_VERSION = "__model_version"
CONTRACT_HASH = "__contract_hash"
VARIANT = "__variant"
ROLE = "__role"
PREDICTION = "__prediction"
EXPERIMENT = "__experiment"
UNIT = "__unit"
FALLBACK = "__fallback"
"""True where the features were not looked up: the online store did not answer, or another server's own reason."""
SERVING_VERSION = "__serving_version"
"""Hash of the `ServingVersion` the row was served under."""
EXPOSURE = "__exposure"
"""Why the unit was answered as it was: `assigned` by its variant, or outside of the experiment (`Exposure`)."""
EXPERIMENT_VERSION = "__experiment_version"
"""Hash of the experiment's split (`Experiment.split`) the row was assigned under."""

FEATURE_TIMESTAMP = pa.timestamp("s", tz="UTC")
"""Feast's own type of `view__feature__timestamp`: whole seconds. The exact ones are `__event_timestamp__{view}`."""
FEATURE_STATUS = pa.int32()

_FEAST_COLUMNS = (
    pa.field(LOG_TIMESTAMP, EVENT_TIME),
    pa.field(LOG_DATE, pa.date32()),
    pa.field(REQUEST_ID, pa.string()),
)
_OUR_COLUMNS = (
    pa.field(ROW, pa.int32()),
    pa.field(MODEL, pa.string()),
    pa.field(MODEL_VERSION, pa.string()),
    pa.field(CONTRACT_HASH, pa.string()),
    pa.field(VARIANT, pa.string()),
    pa.field(ROLE, pa.string()),
    pa.field(PREDICTION, pa.float64()),
    pa.field(EXPERIMENT, pa.string()),
    pa.field(UNIT, pa.string()),
    pa.field(FALLBACK, pa.bool_()),
    pa.field(SERVING_VERSION, pa.string()),
    pa.field(EXPOSURE, pa.string()),
    pa.field(EXPERIMENT_VERSION, pa.string()),
)
LATER_COLUMNS = (FALLBACK, SERVING_VERSION, EXPOSURE, EXPERIMENT_VERSION)
"""Columns that logs of an older trueup do not have: null there, which is not known."""


def event_timestamp(view: str) -> str:
    """Column with the exact event time of the row of `view` that was served."""
    return f"__event_timestamp__{view}"


@dataclass(frozen=True)
class Scores:
    """What one model said about some rows of a read.

    positions: rows of the frame it scored, in the order of `predictions` (float64, P(positive)).
    roles: one for each position.
    """

    model: str
    version: str
    positions: tuple[int, ...]
    roles: tuple[Role, ...]
    predictions: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        if not len(self.positions) == len(self.roles) == len(self.predictions):
            raise ValueError(
                f"{self.model}@{self.version}: {len(self.positions)} positions, {len(self.roles)} roles, "
                f"{len(self.predictions)} predictions"
            )


@dataclass(frozen=True)
class Exposed:
    """How one row met the experiments. experiment: its name. version: hash of its split. exposure: why it was answered
    as it was."""

    experiment: str
    version: str
    exposure: str


@dataclass(frozen=True)
class ServedRows:
    """One request's rows under one contract: what was read for them and what the models said.

    instant: the instant the features were read as of (aware, UTC). inputs: the contract's entity and request
    columns, one row per row of `frame`. rows: each row's number in the request. units and variants: what
    the experiment assigned by and to, one for each row. fallback: the online store did not answer, so that every
    feature of a view is missing. exposed: how each row met the experiments; empty: not known, and `experiment` is all
    there is.
    """

    contract: FeatureContract
    request_id: str
    instant: datetime
    experiment: str
    inputs: pa.Table
    frame: FeatureFrame
    rows: tuple[int, ...]
    units: tuple[str, ...]
    variants: tuple[str, ...]
    scores: tuple[Scores, ...]
    fallback: bool = False
    exposed: tuple[Exposed, ...] = ()

    @property
    def num_rows(self) -> int:
        """Rows in the log: one for each row and model that scored it."""
        return sum(len(scores.positions) for scores in self.scores)


def log_schema(contract: FeatureContract) -> pa.Schema:
    """Columns of a served log of this contract: Feast's, in Feast's order, then ours."""
    return pa.schema([*_feast_fields(contract), *_OUR_COLUMNS, *_event_time_fields(contract)])


def to_table(contract: FeatureContract, served: Sequence[ServedRows], serving: str | None = None) -> pa.Table:
    """The log rows of many requests under one contract, in the order they came; chunks combined.

    serving: hash of the `ServingVersion` they were served under.

    Raises ContractError when some of them were served under another contract.
    """
    for item in served:
        if item.contract.hash != contract.hash:
            raise ContractError(
                f"request {item.request_id}: served under contract {item.contract.hash[:12]}, "
                f"not {contract.hash[:12]} as this log is."
            )
    schema = log_schema(contract)
    if not served:
        return schema.empty_table()
    columns = _taken_columns(contract, served) | _scored_columns(contract, served, serving)
    return pa.table([_as(columns[field.name], field.type) for field in schema], schema=schema)


def frame_of(contract: FeatureContract, table: pa.Table) -> FeatureFrame:
    """The features of logged rows, as the server had them: the reverse of `to_table`, row by row."""
    return FeatureFrame(
        values=table.select(contract.columns),
        statuses=pa.table({name: table.column(f"{name}__status").cast(STATUS) for name in contract.columns}),
        event_timestamps=pa.table({view.name: table.column(event_timestamp(view.name)) for view in contract.views}),
    )


def inputs_of(contract: FeatureContract, table: pa.Table) -> pa.Table:
    """The entity and request columns of logged rows, as the client sent them."""
    return table.select([field.name for field in input_fields(contract)])


def input_fields(contract: FeatureContract) -> tuple[Field, ...]:
    """What a request must bring: entity columns, then request columns, each once."""
    fields = {field.name: field for field in (*contract.entity_fields, *contract.request_fields)}
    return tuple(fields.values())


def _feast_fields(contract: FeatureContract) -> tuple[pa.Field, ...]:
    """Feast's order: view by view as the service lists them, each view's inputs before its features.

    Inputs that only an on-demand view's source views need are unknown to Feast's schema; they follow.
    """
    types: dict[str, pa.DataType] = {}
    inputs: dict[str, tuple[Field, ...]] = {
        **{view.name: tuple(Field(key.request, key.dtype) for key in view.keys) for view in contract.views},
        **{view.name: view.request for view in contract.on_demand},
    }
    for view, feature in contract.features:
        for item in inputs[view]:
            types.setdefault(item.name, item.arrow)
        name = f"{view}__{feature}"
        types[name] = contract.schema.field(name).type
        types[f"{name}__timestamp"] = FEATURE_TIMESTAMP
        types[f"{name}__status"] = FEATURE_STATUS
    rest = [item for item in input_fields(contract) if item.name not in types]
    return (
        *(pa.field(name, kind) for name, kind in types.items()),
        *_FEAST_COLUMNS,
        *(pa.field(item.name, item.arrow) for item in rest),
    )


def _event_time_fields(contract: FeatureContract) -> Iterator[pa.Field]:
    return (pa.field(event_timestamp(view.name), EVENT_TIME) for view in contract.views)


def _taken_columns(contract: FeatureContract, served: Sequence[ServedRows]) -> dict[str, pa.ChunkedArray]:
    """Columns that were read, once for each model that scored the row."""
    taken = pa.array(_positions(served), type=pa.int64())
    values = _stack([item.frame.values for item in served], taken)
    statuses = _stack([item.frame.statuses for item in served], taken)
    times = _stack([item.frame.event_timestamps for item in served], taken)
    inputs = _stack([item.inputs for item in served], taken)

    columns = {field.name: inputs.column(field.name) for field in input_fields(contract)}
    seconds = {view.name: _whole_seconds(times.column(view.name)) for view in contract.views}
    no_time = pa.nulls(len(taken), FEATURE_TIMESTAMP)  # on-demand features have no event time
    for view, feature in contract.features:
        name = f"{view}__{feature}"
        columns[name] = values.column(name)
        columns[f"{name}__timestamp"] = seconds.get(view, no_time)
        columns[f"{name}__status"] = statuses.column(name)
    for item in contract.views:
        columns[event_timestamp(item.name)] = times.column(item.name)
    return columns


def _scored_columns(contract: FeatureContract, served: Sequence[ServedRows], serving: str | None) -> dict[str, Any]:
    """Columns of the request and of the model that scored the row."""
    columns: dict[str, list[Any]] = {field.name: [] for field in (*_FEAST_COLUMNS, *_OUR_COLUMNS)}
    for item in served:
        for scores in item.scores:
            count = len(scores.positions)
            columns[LOG_TIMESTAMP] += [item.instant] * count
            columns[LOG_DATE] += [item.instant.astimezone(UTC).date()] * count
            columns[REQUEST_ID] += [item.request_id] * count
            columns[ROW] += [item.rows[position] for position in scores.positions]
            columns[MODEL] += [scores.model] * count
            columns[MODEL_VERSION] += [scores.version] * count
            columns[CONTRACT_HASH] += [contract.hash] * count
            columns[VARIANT] += [item.variants[position] for position in scores.positions]
            columns[ROLE] += scores.roles
            exposed = [item.exposed[position] for position in scores.positions] if item.exposed else [None] * count
            columns[EXPERIMENT] += [item.experiment if each is None else each.experiment for each in exposed]
            columns[EXPOSURE] += [None if each is None else each.exposure for each in exposed]
            columns[EXPERIMENT_VERSION] += [None if each is None else each.version for each in exposed]
            columns[UNIT] += [item.units[position] for position in scores.positions]
            columns[FALLBACK] += [item.fallback] * count
            columns[SERVING_VERSION] += [serving] * count
    every = [scores.predictions for item in served for scores in item.scores]
    return {**columns, PREDICTION: np.concatenate(every) if every else np.empty(0)}


def _positions(served: Sequence[ServedRows]) -> list[int]:
    """Row of the stacked frames behind each log row."""
    offsets = np.cumsum([0, *(item.frame.num_rows for item in served)])
    return list(
        chain.from_iterable(
            (int(offset) + position for position in scores.positions)
            for offset, item in zip(offsets[:-1], served, strict=True)
            for scores in item.scores
        )
    )


def _stack(tables: Sequence[pa.Table], positions: pa.Array) -> pa.Table:
    return pa.concat_tables(tables).combine_chunks().take(positions)


def _whole_seconds(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Rounded down, before 1970 too."""
    return pc.floor_temporal(times, unit="second").cast(FEATURE_TIMESTAMP)


def _as(column: Any, kind: pa.DataType) -> Any:
    """A column of exactly this type; a cast that would lose something raises."""
    if isinstance(column, (pa.Array, pa.ChunkedArray)):
        return column if column.type == kind else column.cast(kind)
    return pa.array(column, type=kind)
