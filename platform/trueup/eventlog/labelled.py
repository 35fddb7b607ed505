"""Served rows with what became of them: the form that outcomes are joined in. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trueup.eventlog.records import MODEL, MODEL_VERSION

LabelState = Literal["mature", "early", "immature", "missing"]
"""mature: the outcome is known and the row's delay is over (or it is over, nothing came, and absent means zero).
early: known, though more of its kind may still come: the delay is not over. immature: not known, the delay is not over:
this is no negative. missing: not known though the delay is over."""

Absent = Literal["unknown", "zero"]
"""What a row without an outcome means once its delay is over. unknown: it is left out, and counted. zero: nothing came
of it, as where only clicks are reported."""

LABEL_STATES: tuple[LabelState, ...] = get_args(LabelState)


@dataclass(frozen=True)
class Labelled:
    """Rows of a served log, joined with one outcome.

    rows: columns of the served log (`trueup.eventlog.records`), as many as were asked for. values: the outcome of each
    row, float64, NaN where it is not known. states: of each row, its place in `LABEL_STATES` (int8). counts: what of
    the outcomes found no row, came twice, came again with another value, ... name -> how many.
    """

    rows: pa.Table
    outcome: str
    values: npt.NDArray[np.float64]
    states: npt.NDArray[np.int8]
    counts: Mapping[str, int] = field(default_factory=dict)

    def where(self, *states: LabelState) -> npt.NDArray[np.bool_]:
        """Which rows are in one of these states."""
        return np.isin(self.states, [LABEL_STATES.index(state) for state in states])

    def by_model(self) -> Iterator[dict[str, str | int]]:
        """Model, version, and how many of its rows are in each state; sorted."""
        states = pa.array(self.states, pa.int8())
        table = self.rows.select([MODEL, MODEL_VERSION]).append_column("state", states)
        found: dict[tuple[str, str], dict[str, int]] = {}
        for row in table.group_by(table.column_names).aggregate([([], "count_all")]).to_pylist():
            counts = found.setdefault((str(row[MODEL]), str(row[MODEL_VERSION])), dict.fromkeys(LABEL_STATES, 0))
            counts[LABEL_STATES[row["state"]]] = row["count_all"]
        for (model, version), counts in sorted(found.items()):
            yield {"model": model, "version": version, **counts}
