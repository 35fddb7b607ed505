"""On-demand features, computed the same way for training, serving and parity.

One path for both sides: the functions see plain Python values (int, float, str, bool, None; datetime for
UnixTimestamp, a dict for Map and Struct, Decimal), whether the inputs came from Redis or from a Parquet file, so that
neither an Arrow nor a pandas conversion can make the two differ.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from trueup.contracts.contract import FeatureContract, Field, OnDemand
from trueup.contracts.documents import document_text, document_value
from trueup.contracts.dtypes import document_kind
from trueup.errors import ContractError, InputError
from trueup.frame import STATUS, FeatureFrame, Status

Columns = dict[str, Sequence[Any]]

Batches = Sequence[Sequence[int]]
"""Rows that a function is given together, batch by batch; each row is in one of them."""


def with_on_demand(
    contract: FeatureContract, inputs: FeatureFrame, request: Mapping[str, Sequence[Any]]
) -> FeatureFrame:
    """The contract's own columns, in its order: view features as read, on-demand features computed.

    inputs: a frame with every feature of the contract's views (those that are only inputs too), of the declared types
    or, in parity, of the types their sources have.
    request: the request-time columns as Python values, one per row; more columns than needed is fine.
    Raises InputError for a request column that is not there, ContractError when a function fails or
    returns something other than one value of the declared type per row.
    """
    values = {name: inputs.values.column(name) for name in inputs.columns}
    statuses = {name: inputs.statuses.column(name) for name in inputs.columns}
    for view in contract.on_demand:
        outputs = evaluate(
            view,
            {name: given(values[name], contract.dtypes[name]) for name in _input_columns(view)},
            request,
            inputs.num_rows,
        )
        for item in view.outputs:
            name = view.column(item.name)
            values[name] = outputs[item.name]
            statuses[name] = _statuses(outputs[item.name])
    return FeatureFrame(
        pa.table(
            {name: values[name] for name in contract.columns},
        ),
        pa.table({name: statuses[name] for name in contract.columns}),
        inputs.event_timestamps,
    )


def given(column: pa.ChunkedArray, dtype: str) -> list[Any]:
    """A frame's column as functions see it. dtype: Feast type name."""
    values: list[Any] = column.to_pylist()
    read = _reader(dtype)
    # What is of another type than declared (in parity) has no text to be read.
    return values if read is None else [read(value) if isinstance(value, str | list) else value for value in values]


@lru_cache(maxsize=256)
def _reader(dtype: str) -> Callable[[Any], Any] | None:
    """Text of a frame to what it stands for; None for a type whose values stand for themselves."""
    if document_kind(dtype) is not None:
        return document_value
    if dtype in ("Array(Decimal)", "Set(Decimal)"):
        return _decimals
    return _decimal if dtype == "Decimal" else None


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ContractError(f"{text!r} is stored as a Decimal and is none; mend it where it is written.") from None


def _decimals(texts: Sequence[str | None]) -> list[Decimal | None]:
    # Feast stores a null among them as the empty text.
    return [_decimal(text) if text else None for text in texts]


def evaluate(
    view: OnDemand,
    features: Mapping[str, Sequence[Any]],
    request: Mapping[str, Sequence[Any]],
    rows: int,
    batches: Batches | None = None,
) -> dict[str, pa.Array]:
    """One on-demand view over `rows` rows: output name -> array of the declared Arrow type.

    features: `view__feature` -> Python values. A function in pandas mode gets one row at a time, because a
    served request is one row and a batch must not change its answer; one in Python mode gets all. batches: to see
    whether it does: exactly these rows together, in either mode.
    """
    columns: Columns = {}
    for source, feature in view.inputs:
        columns[f"{source}__{feature}"] = columns[feature] = features[f"{source}__{feature}"]
    for item in view.request:
        if item.name not in request:
            raise InputError(
                item.name,
                f"request field {item.name!r} ({item.dtype}) is missing; on-demand view {view.name} needs it.",
            )
        columns[item.name] = request[item.name]
    if batches is not None:
        results: Mapping[str, Any] = _run_batches(view, columns, rows, batches)
    else:
        results = _run_pandas(view, columns, rows) if view.mode == "pandas" else _run_python(view, columns)
    return {item.name: _array(view, item, results, rows) for item in view.outputs}


def _run_python(view: OnDemand, columns: Columns) -> Mapping[str, Any]:
    # Lists of its own for the function: it may change what it is given.
    given = {name: list(values) for name, values in columns.items()}
    try:
        results = function_of(view.name, view.code)(given)
    except Exception as error:
        raise ContractError(f"on-demand view {view.name} failed: {type(error).__name__}: {error}.") from error
    if not isinstance(results, Mapping):
        raise ContractError(
            f"on-demand view {view.name} returned a {type(results).__name__}; expected a dict of lists."
        )
    return results


def evaluate_at_once(view: OnDemand, inputs: pa.Table, dtypes: Mapping[str, str]) -> dict[str, pa.Array]:
    """A pandas view over all rows in one call, as plain Feast's offline retrieval makes it: pandas' own types, a null
    integer a NaN. Only to prove what `evaluate` does not rely on: that the batch makes no difference.

    inputs: `view__feature` and request columns. dtypes: column -> Feast type name.
    """
    frame = inputs.to_pandas()
    for name, dtype in dtypes.items():
        if _reader(dtype) is not None:
            frame[name] = pd.Series(given(inputs.column(name), dtype), dtype=object)
    for source, feature in view.inputs:
        frame[feature] = frame[f"{source}__{feature}"]
    results = _call_pandas(view, frame, inputs.num_rows)
    return {item.name: _array(view, item, results, inputs.num_rows) for item in view.outputs}


def _run_pandas(view: OnDemand, columns: Columns, rows: int) -> Mapping[str, Any]:
    results: dict[str, list[Any]] = {item.name: [] for item in view.outputs}
    for row in range(rows):
        one = _call_pandas(view, pd.DataFrame({name: [values[row]] for name, values in columns.items()}), 1)
        for name, values in results.items():
            values += one[name]
    return results


def _call_pandas(view: OnDemand, inputs: pd.DataFrame, rows: int) -> dict[str, list[Any]]:
    """Output name -> plain Python values, null for NA."""
    try:
        outputs = function_of(view.name, view.code)(inputs)
    except Exception as error:
        raise ContractError(f"on-demand view {view.name} failed: {type(error).__name__}: {error}.") from error
    if not isinstance(outputs, pd.DataFrame):
        raise ContractError(f"on-demand view {view.name} returned a {type(outputs).__name__}; expected a DataFrame.")
    if missing := [item.name for item in view.outputs if item.name not in outputs.columns]:
        raise ContractError(
            f"on-demand view {view.name} did not return {missing[0]!r}; "
            f"it returned {sorted(map(str, outputs.columns))}."
        )
    if len(outputs) != rows:
        raise ContractError(
            f"on-demand view {view.name} returned {len(outputs)} rows for {rows}; a row-wise function returns as many."
        )
    return {item.name: [_plain(value) for value in outputs[item.name]] for item in view.outputs}


def _run_batches(view: OnDemand, columns: Columns, rows: int, batches: Batches) -> Mapping[str, Any]:
    results: dict[str, list[Any]] = {item.name: [None] * rows for item in view.outputs}
    for batch in batches:
        given: Columns = {name: [values[row] for row in batch] for name, values in columns.items()}
        pandas = view.mode == "pandas"
        some = _call_pandas(view, pd.DataFrame(given), len(batch)) if pandas else _run_python(view, given)
        for name, values in results.items():
            if name not in some or len(some[name]) != len(batch):
                raise ContractError(f"on-demand view {view.name} did not return {name!r} for each of its rows.")
            for row, value in zip(batch, some[name], strict=True):
                values[row] = value
    return results


def _plain(value: Any) -> Any:
    if isinstance(value, (list, np.ndarray)):
        return [_plain(item) for item in value]
    return None if pd.isna(value) else value.item() if hasattr(value, "item") else value


def _array(view: OnDemand, item: Field, results: Mapping[str, Any], rows: int) -> pa.Array:
    if item.name not in results:
        raise ContractError(f"on-demand view {view.name} did not return {item.name!r}; it returned {sorted(results)}.")
    values = results[item.name]
    if isinstance(values, str) or not hasattr(values, "__len__"):
        raise ContractError(
            f"on-demand view {view.name}: {item.name} is a {type(values).__name__}; expected a list, one value a row."
        )
    if len(values) != rows:
        raise ContractError(
            f"on-demand view {view.name}: {item.name} has {len(values)} values for {rows} rows; "
            "a row-wise function returns one for each."
        )
    if pa.types.is_integer(item.arrow) and (cut := [v for v in values if isinstance(v, float) and v % 1 > 0]):
        raise ContractError(  # Arrow would cut the fraction off, unsaid
            f"on-demand view {view.name}: {item.name} is declared {item.dtype}, and the function returned {cut[0]!r}."
        )
    try:
        return pa.array(_texts(values, item.dtype), type=item.arrow)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise ContractError(f"on-demand view {view.name}: {item.name} is declared {item.dtype}: {error}.") from error


def _texts(values: Sequence[Any], dtype: str) -> Sequence[Any]:
    """A function's dicts and Decimals as a frame holds them; all else as it is."""
    if document_kind(dtype) is not None:
        return [None if value is None else document_text(value) for value in values]
    if dtype == "Decimal":
        return [str(value) if isinstance(value, Decimal) else value for value in values]
    if dtype in ("Array(Decimal)", "Set(Decimal)"):
        return [None if items is None else _texts(list(items), "Decimal") for items in values]
    return values


def _statuses(values: pa.Array) -> pa.Array:
    if values.null_count == 0:
        return pa.array([int(Status.PRESENT)] * len(values), type=STATUS)
    present, null = pa.scalar(int(Status.PRESENT), STATUS), pa.scalar(int(Status.NULL), STATUS)
    return pc.if_else(values.is_valid(), present, null)


def _input_columns(view: OnDemand) -> list[str]:
    return [f"{source}__{feature}" for source, feature in view.inputs]


@lru_cache(maxsize=256)
def function_of(name: str, code: str) -> Callable[[Any], Any]:
    """The function made from its recorded source, with the names around it that Feast gives it."""
    namespace: dict[str, Any] = {"pd": pd, "pandas": pd, "np": np, "numpy": np}
    try:
        (definition,) = ast.parse(code).body
        # The source is the registry's own content, trusted as the registry is (Feast runs it the same way).
        # Annotations stay text: they may name what only the defining module had imported.
        exec(compile(f"from __future__ import annotations\n{code}", f"<on-demand view {name}>", "exec"), namespace)  # noqa: S102
    except Exception as error:
        raise ContractError(
            f"on-demand view {name}: its source does not run: {type(error).__name__}: {error}."
        ) from error
    function: Callable[[Any], Any] = namespace[getattr(definition, "name", "")]
    return function
