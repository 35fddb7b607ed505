"""Rows of a served log, whoever wrote it, as what was asked and what was answered. Pure.

What Feast's own serving logs, and what that means (Feast 0.67):
- event times are whole seconds (`view__feature__timestamp`);
- a feature without a value, with event time 1970 or none, had no row, whatever its status says: Feast's Redis calls it
  PRESENT. Without a value but with an event time, the row was there and the value null, which Feast also calls PRESENT;
- an on-demand feature is always PRESENT; without a value it is null.

Where a log has features as plain values, without statuses, a missing value may have been null, missing or expired:
such a cell is *vague*, and agrees with any recomputed cell that has no value either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.contracts.contract import FeatureContract, Field
from trueup.errors import InputError
from trueup.eventlog.instants import MICROSECONDS, Unit, read_instants
from trueup.eventlog.lossless import as_declared
from trueup.eventlog.records import (
    FALLBACK,
    LOG_TIMESTAMP,
    MODEL,
    MODEL_VERSION,
    PREDICTION,
    REQUEST_ID,
    ROLE,
    ROW,
    SERVING_VERSION,
    UNIT,
    VARIANT,
    event_timestamp,
    frame_of,
    input_fields,
    inputs_of,
)
from trueup.frame import EVENT_TIME, STATUS, FeatureFrame, Status

Mask = npt.NDArray[np.bool_]

NO_STATUS = 0
"""Status of a cell whose log names none, or one there is not: it is not compared."""
NOT_LOGGED = "not in the log"
NOT_COMPUTABLE = "a request field it is computed from is not in the log"
_NAMES = {
    "PRESENT": 1,
    "NULL_VALUE": 2,
    "NULL": 2,
    "NOT_FOUND": 3,
    "MISSING": 3,
    "OUTSIDE_MAX_AGE": 4,
    "EXPIRED": 4,
}
"""Feast's names of its statuses, and ours."""
_LABELS = {
    REQUEST_ID: pa.string(),
    ROW: pa.int32(),
    MODEL: pa.string(),
    MODEL_VERSION: pa.string(),
    ROLE: pa.string(),
    FALLBACK: pa.bool_(),
    SERVING_VERSION: pa.string(),
}
_OWN_LABELS = {**_LABELS, VARIANT: pa.string(), UNIT: pa.string(), PREDICTION: pa.float64()}
"""Of a log of ours, which has them in these types."""


@dataclass(frozen=True)
class LoggedRows:
    """Some rows of a log.

    inputs: the contract's entity and request columns that the log has. frame: the contract's features that it has, as
    served. at: instants (timestamp[us, UTC]; null where none can be told). labels: request, row, model, version, role,
    fallback and serving version (`__request_id` and so on), null where the log has none; of a log of ours also variant,
    unit and prediction. precision: microseconds that its event times are cut to. absent: feature -> why it cannot be
    compared. vague: feature -> cells without a value whose status cannot be told. misfits: (feature, how it was logged)
    -> cells whose value is not of the declared type; they have no value and no status here.
    notes: what was found -> how often in each row.
    """

    contract: FeatureContract
    inputs: pa.Table
    frame: FeatureFrame
    at: pa.Array
    labels: pa.Table
    precision: int = 1
    absent: Mapping[str, str] = field(default_factory=dict)
    vague: Mapping[str, Mask] = field(default_factory=dict)
    misfits: Mapping[tuple[str, str], Mask] = field(default_factory=dict)
    notes: Mapping[str, npt.NDArray[np.int32]] = field(default_factory=dict)

    @property
    def num_rows(self) -> int:
        return len(self.at)

    @property
    def shape(self) -> tuple[object, ...]:
        """Rows of one shape can be put together."""
        return self.precision, tuple(self.absent.items()), tuple(self.frame.event_timestamps.column_names)

    def take(self, rows: npt.NDArray[np.int64]) -> LoggedRows:
        """These rows, in this order."""
        chosen = pa.array(rows)
        return replace(
            self,
            inputs=self.inputs.take(chosen),
            frame=FeatureFrame(*(part.take(chosen) for part in _parts(self.frame))),
            at=self.at.take(chosen),
            labels=self.labels.take(chosen),
            vague={name: mask[rows] for name, mask in self.vague.items()},
            misfits={name: mask[rows] for name, mask in self.misfits.items()},
            notes={name: counts[rows] for name, counts in self.notes.items()},
        )


def together(parts: Sequence[LoggedRows]) -> LoggedRows:
    """All rows of parts of one shape."""
    if len(parts) == 1:
        return parts[0]
    frames = zip(*(_parts(part.frame) for part in parts), strict=True)
    return replace(
        parts[0],
        inputs=_stacked([part.inputs for part in parts]),
        frame=FeatureFrame(*(_stacked(tables) for tables in frames)),
        at=pa.concat_arrays([part.at for part in parts]),
        labels=_stacked([part.labels for part in parts]),
        vague=_joined(parts, [part.vague for part in parts], np.bool_),
        misfits=_joined(parts, [part.misfits for part in parts], np.bool_),
        notes=_joined(parts, [part.notes for part in parts], np.int32),
    )


_Key = TypeVar("_Key")


def _joined(
    parts: Sequence[LoggedRows], columns: Sequence[Mapping[_Key, npt.NDArray[Any]]], kind: type[np.generic]
) -> dict[_Key, npt.NDArray[Any]]:
    """Columns of all parts under their names; a part without one has nothing there."""
    return {
        name: np.concatenate(
            [own.get(name, np.zeros(part.num_rows, kind)) for part, own in zip(parts, columns, strict=True)]
        )
        for name in dict.fromkeys(name for own in columns for name in own)
    }


def own_rows(contract: FeatureContract, table: pa.Table) -> LoggedRows:
    """Rows of a log of ours: exact in everything."""
    return LoggedRows(
        contract,
        inputs_of(contract, table),
        frame_of(contract, table),
        table.column(LOG_TIMESTAMP).combine_chunks(),
        _labels(table, _OWN_LABELS),
    )


def foreign_rows(
    contract: FeatureContract,
    table: pa.Table,
    *,
    unit: Unit | None = None,
    time_zone: str | None = None,
    precision: str = "s",
) -> LoggedRows:
    """Rows of a log in Feast's schema, or with its column names.

    table: plain (see `as_plain`). unit, time_zone: of its instants, see `read_instants`. precision: of its event times.
    Raises InputError for a key column, or the instant, that is not there or of a type that cannot be one.
    """
    for name in (LOG_TIMESTAMP, *(item.name for item in contract.entity_fields)):
        if name not in table.column_names:
            what = "the instant of each read" if name == LOG_TIMESTAMP else f"a key of {contract.service}"
            raise InputError(
                name,
                f"the log has no column {name!r}, {what}; it has {', '.join(table.column_names) or 'none'}.",
                hint="Log it, or say which column it is with a column map (--map).",
            )
    instants = read_instants(table.column(LOG_TIMESTAMP), field=LOG_TIMESTAMP, unit=unit, time_zone=time_zone)
    inputs, null_keys = _inputs(contract, table)
    absent = _absent(contract, table)
    reader = _Cells(contract, table, tuple(name for name in contract.columns if name not in absent))
    notes = {
        f"instants without a time zone, read as {time_zone or 'UTC'}": instants.naive,
        "rows with a null key, read as missing": null_keys,
    }
    counted = {name: mask.astype(np.int32) for name, mask in notes.items() if mask.any()}
    return LoggedRows(
        contract,
        inputs,
        FeatureFrame(pa.table(reader.values), pa.table(reader.statuses), pa.table(reader.event_times)),
        instants.column,
        _labels(table),
        precision=MICROSECONDS[precision],
        absent=absent,
        vague=reader.vague,
        misfits=reader.misfits,
        notes=counted | reader.notes,
    )


def known_columns(contract: FeatureContract) -> set[str]:
    """Every column that a log of this contract may have for a reason we know."""
    features = [f"{name}{suffix}" for name in contract.columns for suffix in ("", "__timestamp", "__status")]
    ours = {LOG_TIMESTAMP, "__log_date", *_LABELS, "__contract_hash", "__variant", "__prediction", "__experiment"}
    times = {event_timestamp(view.name) for view in contract.views}
    return {*features, *(item.name for item in input_fields(contract)), *ours, "__unit", *times}


class _Cells:
    """The features of a log, state by state."""

    def __init__(self, contract: FeatureContract, table: pa.Table, columns: Sequence[str]) -> None:
        self.values: dict[str, pa.Array] = {}
        self.statuses: dict[str, pa.Array] = {}
        self.event_times: dict[str, pa.Array] = {}
        self.vague: dict[str, Mask] = {}
        self.misfits: dict[tuple[str, str], Mask] = {}
        self.notes: dict[str, npt.NDArray[np.int32]] = {}
        self._table = table
        on_demand = {item.name for item in contract.on_demand}
        wanted = set(columns)
        for view in contract.views:
            names = [f"{view.name}__{name}" for owner, name in contract.features if owner == view.name]
            self._view(view.name, [name for name in names if name in wanted], contract)
        for owner, feature in contract.features:
            name = f"{owner}__{feature}"
            if owner in on_demand and name in wanted:
                values, misfit = self._fitted(name, contract)
                state = np.where(_valid(values), Status.PRESENT, Status.NULL)
                self._settle(name, values, state, misfit)
        order = [name for name in columns if name in self.values]
        self.values = {name: self.values[name] for name in order}
        self.statuses = {name: self.statuses[name] for name in order}

    def _view(self, view: str, names: Sequence[str], contract: FeatureContract) -> None:
        times = {name: time for name in names if (time := self._times(f"{name}__timestamp")) is not None}
        exact = self._times(event_timestamp(view))
        whole = exact if exact is not None else self._one_time(list(times.values()))
        had_row = np.zeros(self._table.num_rows, np.bool_)
        for name in names:
            values, misfit = self._fitted(name, contract)
            time = exact if exact is not None else times.get(name)
            state, vague = self._state(name, values, misfit, time)
            self._settle(name, values, state, misfit)
            if vague.any():
                self.vague[name] = vague
            had_row |= state != Status.MISSING
        if whole is not None:
            self.event_times[view] = pc.if_else(pa.array(had_row), whole, pa.scalar(None, EVENT_TIME))

    def _state(self, name: str, values: pa.Array, misfit: Mask, time: pa.Array | None) -> tuple[Any, Mask]:
        """`Status` of each cell, and which cells without a value could be of any."""
        there = _valid(values) | misfit
        logged = self._logged_status(name)
        timeless = np.ones(len(there), np.bool_)
        if time is not None:
            micros = np.asarray(pc.fill_null(time.cast(pa.int64()), 0).to_numpy(zero_copy_only=False))
            timeless = micros == 0
        if logged is None:
            return np.where(there, Status.PRESENT, Status.NULL), ~there
        # What has a value was served with it, whatever its status says.
        contradicted = there & (logged > Status.PRESENT)
        self._note("values logged beside a status that says there is none", contradicted)
        empty = ~there & (logged == Status.PRESENT)
        without_row = empty & timeless if time is not None else np.zeros(len(there), np.bool_)
        self._note("entities without a row that the log calls PRESENT (Feast's Redis does)", without_row)
        state = np.where(there & (logged != NO_STATUS), Status.PRESENT, logged)
        state = np.where(empty, Status.NULL, state)
        state = np.where(without_row, Status.MISSING, state)
        return state, empty & (time is None)

    def _logged_status(self, name: str) -> npt.NDArray[np.int8] | None:
        column = f"{name}__status"
        if column not in self._table.column_names:
            return None
        array = self._table.column(column).combine_chunks()
        if pa.types.is_string(array.type):
            texts = array.dictionary_encode()
            codes = [_NAMES.get(text.upper(), NO_STATUS) for text in texts.dictionary.to_pylist()]
            array = pa.array(codes, pa.int8()).take(texts.indices)
        elif not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
            array = pa.nulls(len(array), pa.int8())
        numbers = np.asarray(pc.fill_null(array.cast(pa.float64()), 0).to_numpy(zero_copy_only=False))
        return np.where(np.isin(numbers, [int(status) for status in Status]), numbers, NO_STATUS).astype(np.int8)

    def _settle(self, name: str, values: pa.Array, state: Any, misfit: Mask) -> None:
        state = np.where(misfit, NO_STATUS, state).astype(np.int8)
        present = pa.array(state == Status.PRESENT)
        self.values[name] = pc.if_else(present, values, pa.scalar(None, values.type))
        self.statuses[name] = pa.array(state, STATUS)

    def _fitted(self, name: str, contract: FeatureContract) -> tuple[pa.Array, Mask]:
        column = self._table.column(name).combine_chunks()
        declared = contract.schema.field(name).type
        values, misfit = as_declared(column, contract.dtypes[name])
        if misfit.any():
            self.misfits[name, f"{column.type}, declared {declared}"] = misfit
        return values, misfit

    def _times(self, name: str) -> pa.Array | None:
        """A column of event times; Feast's null is 1970."""
        if name not in self._table.column_names:
            return None
        return read_instants(self._table.column(name), field=name, unit="s").column

    def _one_time(self, times: Sequence[pa.Array]) -> pa.Array | None:
        """The event time of a view's row: Feast logs it once a feature. Where they differ, the first counts."""
        if not times:
            return None
        some = [pc.if_else(pc.equal(time.cast(pa.int64()), 0), pa.scalar(None, EVENT_TIME), time) for time in times]
        first = pc.coalesce(*some)
        differ = np.zeros(len(first), np.bool_)
        for time in some:
            differ |= np.asarray(pc.fill_null(pc.not_equal(time, first), False).to_numpy(zero_copy_only=False))
        self._note("rows in which features of one view have different event times", differ)
        return first

    def _note(self, what: str, cells: Mask) -> None:
        if cells.any():
            self.notes[what] = self.notes.get(what, np.zeros(len(cells), np.int32)) + cells


def _inputs(contract: FeatureContract, table: pa.Table) -> tuple[pa.Table, Mask]:
    """The entity and request columns that are there, and the rows in which a key is null."""
    columns: dict[str, pa.Array] = {}
    null = np.zeros(table.num_rows, np.bool_)
    keys = {item.name for item in contract.entity_fields}
    for item in input_fields(contract):
        if item.name in table.column_names:
            columns[item.name] = column = _input(table.column(item.name).combine_chunks(), item)
            if item.name in keys:
                null |= ~_valid(column)
    return pa.table(columns), null


def _input(array: pa.Array, item: Field) -> pa.Array:
    """As declared where every value can be; else as logged, and whoever reads it says what is wrong."""
    if pa.types.is_floating(array.type):
        array = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
    values, misfit = as_declared(array, item.dtype)
    if misfit.any() or values.type != item.arrow:
        try:
            return array.cast(item.arrow)
        except pa.ArrowException:
            return array
    return values


def _absent(contract: FeatureContract, table: pa.Table) -> dict[str, str]:
    """Feature -> why it cannot be compared."""
    there = set(table.column_names)
    found = {name: NOT_LOGGED for name in contract.columns if name not in there}
    for view in contract.on_demand:
        if any(item.name not in there for item in view.request):
            names = (view.column(item.name) for item in view.outputs)
            found |= {name: NOT_COMPUTABLE for name in names if name in contract.columns and name not in found}
    return found


def _labels(table: pa.Table, kinds: Mapping[str, pa.DataType] = _LABELS) -> pa.Table:
    return pa.table({name: _label(table, name, kind) for name, kind in kinds.items()})


def _label(table: pa.Table, name: str, kind: pa.DataType) -> pa.Array:
    if name not in table.column_names:
        return pa.nulls(table.num_rows, kind)
    column = table.column(name).combine_chunks()
    try:
        return column.cast(kind)
    except pa.ArrowException as error:
        raise InputError(name, f"the log's column {name!r} is {column.type}; expected {kind}: {error}.") from error


def _parts(frame: FeatureFrame) -> tuple[pa.Table, pa.Table, pa.Table]:
    return frame.values, frame.statuses, frame.event_timestamps


def _stacked(tables: Sequence[pa.Table]) -> pa.Table:
    if not tables[0].num_columns:
        return tables[0]
    return pa.concat_tables(tables, promote_options="permissive").combine_chunks()


def _valid(array: pa.Array) -> Mask:
    return np.asarray(array.is_valid().to_numpy(zero_copy_only=False), np.bool_)
