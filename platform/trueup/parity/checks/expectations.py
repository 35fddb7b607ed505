"""Check `expectations`: the suite that was made from a model's training set, run on what the model was served.

Great Expectations runs it (`evidence.expectations`, the one file that knows it); what it found is put in words here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from trueup.parity.margins import WINDOW_ROWS
from trueup.parity.results import Expectation, ExpectationResult
from trueup.parity.suite import for_rows
from trueup.parity.tally import shown

CHECK: Literal["expectations"] = "expectations"
NOT_NULL = "expect_column_values_to_not_be_null"
SHOWN_VALUES = 6
"""How many values of a set, or against an expectation, are shown."""


@dataclass(frozen=True)
class Validated:
    """What became of one expectation of a suite.

    arguments: as the suite has them, without the column. rows: of the column. missing: of them, null where nulls are
    not the question. unexpected: rows against it; None where it is of the whole column. values: a few of those, as GX
    gives them. observed: of the whole column, as GX says it. error: why it could not be judged.
    """

    kind: str
    column: str | None
    arguments: Mapping[str, Any]
    success: bool
    rows: int
    missing: int = 0
    unexpected: int | None = None
    values: tuple[Any, ...] = ()
    observed: str | None = None
    error: str | None = None


Validate = Callable[[Mapping[str, Any], pa.Table], tuple[Validated, ...]]
"""Runs a suite (JSON) on rows: one for each expectation, in the suite's order."""


@dataclass(frozen=True)
class ServedWindow:
    """What one model version was served, and what is expected of it.

    values: features as served, in the contract's order. suite: as it was kept. uncompared: reason -> log rows that are
    not among the values. data_docs: path of the pages that `validate` builds, relative to the report.
    """

    model: str
    version: str
    service: str
    contract: str
    suite: Mapping[str, Any]
    values: pa.Table
    validate: Validate
    uncompared: Mapping[str, int] = field(default_factory=dict)
    data_docs: str | None = None


def check_expectations(window: ServedWindow) -> ExpectationResult:
    """Every expectation of the suite, with margins for as many rows as there are. No rows: could not run."""
    rows = window.values.num_rows
    found = window.validate(for_rows(window.suite, rows), window.values) if rows else ()
    left_out = len(window.suite["expectations"]) - len(found) if rows else 0
    notes = {}
    if 0 < rows < WINDOW_ROWS:
        notes["few rows"] = (
            f"{rows:,} rows are fewer than the {WINDOW_ROWS:,} the suite's margins were made for, so they are wider"
            + (f"; {left_out} expectations that say nothing of so few are left out" if left_out else "")
        )
    return ExpectationResult(
        check=CHECK,
        subject=window.model,
        version=window.version,
        suite=str(window.suite["name"]),
        rows=rows,
        service=window.service,
        contract=window.contract,
        expectations=tuple(_expectation(item, rows) for item in found),
        uncompared=window.uncompared,
        data_docs=window.data_docs if found else None,
        notes=notes,
    )


def _expectation(item: Validated, rows: int) -> Expectation:
    examined = (item.rows or rows) - item.missing
    unexpected = item.unexpected if item.unexpected is not None else 0 if item.success else examined
    return Expectation(
        kind=item.kind,
        feature=item.column,
        arguments=", ".join(f"{name}={_text(value)}" for name, value in item.arguments.items()),
        success=item.success,
        examined=examined,
        unexpected=unexpected,
        observed=_observed(item, examined),
    )


def _observed(item: Validated, examined: int) -> str | None:
    if item.error is not None:
        return item.error
    if item.unexpected:
        few = list(dict.fromkeys(shown(value) for value in item.values))[:SHOWN_VALUES]
        such = "" if item.kind == NOT_NULL else f", such as {', '.join(few)}"
        return f"{item.unexpected / max(examined, 1):.4%} against it{such}"
    return item.observed


def _text(value: Any) -> str:
    """Short: of a long list the first values and how many there are."""
    if not isinstance(value, list):
        return shown(value)
    first = ", ".join(shown(item) for item in value[:SHOWN_VALUES])
    return f"[{first}]" if len(value) <= SHOWN_VALUES else f"[{first}, ...] ({len(value)} values)"
