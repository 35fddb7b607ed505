"""Is an on-demand function row-wise? Proven by trying: law 5. Pure.

The reference is each row alone, as a served request is. Then the same rows in batches, all together and in another
order, once more alone, and for a pandas function also as plain Feast's offline retrieval calls it (all rows in one
DataFrame, where trueup gives it one at a time). Every value must come out the same, to the last bit.

NaN equals NaN, and -0.0 equals 0.0, as everywhere in a comparison (`trueup.parity.compare`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from trueup.contracts.contract import OnDemand
from trueup.errors import ContractError
from trueup.features.on_demand import evaluate, evaluate_at_once, function_of, given

SIZES = (2, 3, 16)
"""Rows of a batch. Besides them, all rows together."""

Kind = Literal["batch", "unstable", "inputs"]
"""batch: the rows around it changed the value. unstable: the row alone gave another value the second time. inputs: the
function changed what it was given."""

Outputs = Mapping[str, pa.Array]
RowNumbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Deviation:
    """A value that is not what the row alone gave. way: how it was computed. value: what came out then (None: null, or
    nothing at all because of `error`)."""

    kind: Kind
    way: str
    value: Any = None
    error: str | None = None


@dataclass(frozen=True)
class Proof:
    """What trying gave.

    alone: output -> each row's value by itself, of the declared type; null where the function refused the row.
    refused: row -> why its function fails on it, or gives no value of the declared type, each time it is tried alone.
    These rows are in no batch. deviations: (row, output) -> the first deviation found; none: the function is row-wise,
    as far as these rows show.
    """

    rows: int
    alone: Outputs
    refused: Mapping[int, str]
    deviations: Mapping[tuple[int, str], Deviation]

    @property
    def row_wise(self) -> bool:
        return not self.deviations


def prove_row_wise(
    view: OnDemand,
    rows: pa.Table,
    *,
    dtypes: Mapping[str, str] | None = None,
    seed: int = 0,
    sizes: Sequence[int] = SIZES,
) -> Proof:
    """Tries a view on rows. dtypes: column -> Feast type name, of those that Arrow holds as text. seed: of the other
    order.

    rows: columns `view__feature` of the view's inputs and its request fields, each of its declared Arrow type; more are
    fine. Raises ContractError when the function's source does not run at all.
    """
    function_of(view.name, view.code)
    trial = _Trial(view, rows.combine_chunks(), dtypes or {})
    first = [trial.alone(row) for row in range(rows.num_rows)]
    refused = {row: answer for row, answer in enumerate(first) if isinstance(answer, str)}
    alone = {
        item.name: pa.array(
            [None if isinstance(answer, str) else answer[item.name][0].as_py() for answer in first], item.arrow
        )
        for item in view.outputs
    }
    deviations: dict[tuple[int, str], Deviation] = {}
    expected = {name: [_bits(value) for value in values.to_pylist()] for name, values in alone.items()}

    def note(row: int, output: str, deviation: Deviation) -> None:
        deviations.setdefault((row, output), deviation)

    accepted = np.array([row for row in range(rows.num_rows) if row not in refused], np.int64)
    # Backwards: a function that counts its calls, or remembers the last one, gives itself away.
    for row in reversed(range(rows.num_rows)):
        was, now = first[row], trial.alone(row)
        for item in view.outputs:
            if isinstance(was, str) or isinstance(now, str):
                same = isinstance(was, str) and isinstance(now, str)
            else:
                same = _bits(now[item.name][0].as_py()) == expected[item.name][row]
            if not same:
                note(row, item.name, _deviation("unstable", "alone once more", now, item.name, 0))
    for way, batches, run in trial.ways(accepted, sizes, np.random.default_rng(seed)):
        for batch in batches:
            answer = run(batch)
            for item in view.outputs:
                for position, row in enumerate(batch.tolist()):
                    if isinstance(answer, str) or (
                        _bits(answer[item.name][position].as_py()) != expected[item.name][row]
                    ):
                        note(row, item.name, _deviation("batch", way, answer, item.name, position))
    for row in trial.changed_inputs(accepted):
        for item in view.outputs:
            note(row, item.name, Deviation("inputs", "the function changed its inputs", alone[item.name][row].as_py()))
    return Proof(rows.num_rows, alone, refused, dict(sorted(deviations.items())))


class _Trial:
    """One view on one set of rows. An answer is the outputs, or why there are none."""

    def __init__(self, view: OnDemand, rows: pa.Table, dtypes: Mapping[str, str]) -> None:
        self.view, self.rows = view, rows
        self._inputs = [f"{source}__{feature}" for source, feature in view.inputs]
        self._request = [item.name for item in view.request]
        self._dtypes = {name: dtypes[name] for name in (*self._inputs, *self._request) if name in dtypes}
        self._columns = {name: given(rows.column(name), dtypes.get(name, "")) for name in rows.column_names}

    def alone(self, row: int) -> Outputs | str:
        return self.together(np.array([row]))

    def together(self, batch: RowNumbers) -> Outputs | str:
        """As trueup evaluates them."""
        features, request = (
            {name: [deepcopy(self._columns[name][row]) for row in batch] for name in names}
            for names in (self._inputs, self._request)
        )
        try:
            return evaluate(self.view, features, request, len(batch))
        except ContractError as error:
            return str(error)

    def at_once(self, batch: RowNumbers) -> Outputs | str:
        """As plain Feast gives them to a pandas function offline."""
        try:
            rows = self.rows.select([*self._inputs, *self._request]).take(pa.array(batch))
            return evaluate_at_once(self.view, rows, self._dtypes)
        except ContractError as error:
            return str(error)

    def ways(
        self, rows: RowNumbers, sizes: Sequence[int], random: np.random.Generator
    ) -> Iterator[tuple[str, list[RowNumbers], Callable[[RowNumbers], Outputs | str]]]:
        """Name, batches and how they are run."""
        shuffled = random.permutation(rows)
        by_feast = self.view.mode == "pandas"
        run, how = (self.at_once, " in one DataFrame, as Feast reads offline") if by_feast else (self.together, "")
        if by_feast:
            yield "in another order", _cut(shuffled, 1), self.together
        for size in sizes:
            yield f"in batches of {size}{how}", _cut(rows, size), run
        yield f"all rows together{how}", _cut(rows, len(rows)), run
        yield f"in another order, in batches of {sizes[-1]}{how}", _cut(shuffled, sizes[-1]), run
        yield f"in another order, all together{how}", _cut(shuffled, len(rows)), run

    def changed_inputs(self, rows: RowNumbers) -> list[int]:
        """Rows whose input values are others after the function ran over all of them. More columns are no change."""
        if not len(rows):
            return []
        columns: dict[str, list[Any]] = {
            name: [deepcopy(self._columns[name][row]) for row in rows] for name in self._columns
        }
        for source, feature in self.view.inputs:
            columns[feature] = deepcopy(columns[f"{source}__{feature}"])
        names = [name for name in columns if name in {*self._inputs, *self._request, *(f for _, f in self.view.inputs)}]
        before = {name: [_bits(value) for value in columns[name]] for name in names}
        function = function_of(self.view.name, self.view.code)
        inputs: Any = pd.DataFrame({name: pd.Series(columns[name], dtype=object) for name in names})
        if self.view.mode == "python":
            inputs = {name: columns[name] for name in names}
        try:
            function(inputs)
        except Exception:  # noqa: BLE001 - whatever it raises on this batch is found and named by `ways`
            return []
        changed: set[int] = set()
        for name in names:
            after = list(inputs[name]) if name in inputs else []
            if len(after) != len(rows):
                return [int(row) for row in rows]
            changed.update(
                int(rows[position]) for position, value in enumerate(after) if _bits(value) != before[name][position]
            )
        return sorted(changed)


def _deviation(kind: Kind, way: str, answer: Outputs | str, output: str, position: int) -> Deviation:
    if isinstance(answer, str):
        return Deviation(kind, way, error=answer)
    return Deviation(kind, way, answer[output][position].as_py())


def _cut(rows: RowNumbers, size: int) -> list[RowNumbers]:
    return [rows[first : first + size] for first in range(0, len(rows), max(size, 1))]


def _bits(value: Any) -> Any:
    """Something that is equal exactly when two values are the same, bit for bit."""
    if isinstance(value, float):
        return "NaN" if value != value else (value + 0.0).hex()
    if isinstance(value, (list, tuple, np.ndarray)):
        return tuple(_bits(item) for item in value)
    if isinstance(value, dict):
        return tuple((name, _bits(item)) for name, item in value.items())
    return type(value).__name__, value
