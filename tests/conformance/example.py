"""What the conformance suite must be told of a check: one `Example` each, in `examples/`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from trueup.frame import FeatureFrame, Status
from trueup.parity.results import AnyResult, Check, DriftResult, ExpectationResult, Result


class Make(Protocol):
    """Evidence of the rows `order`, in this order; a row is the same wherever it stands.

    changed: the one change there is, in this row (for `distribution`: in one feature); None: the evidence is clean.
    unusable: as many rows more that cannot be compared. Never the same object twice.
    """

    def __call__(self, order: Sequence[int], *, changed: int | None = None, unusable: int = 0) -> Any: ...


@dataclass(frozen=True)
class Example:
    """check: its name, which is its file's name in `parity/checks/`. run: the check on such evidence.

    rows: of the clean evidence; enough that one change tells.
    """

    check: Check
    make: Make
    run: Callable[[Any], AnyResult]
    rows: int = 12


def found(result: AnyResult) -> int:
    """How often the result counts something wrong: cells, rows against an expectation, drifted features."""
    if isinstance(result, Result):
        return result.mismatched
    if isinstance(result, ExpectationResult):
        return sum(expectation.unexpected for expectation in result.failed)
    return len(result.drifted)


def counts_add_up(result: AnyResult) -> bool:
    """What the docstrings of the results promise of their numbers."""
    if isinstance(result, Result):
        return all(
            counts.compared == counts.equal + counts.mismatched
            and counts.mismatched == counts.value + counts.nan_null + counts.status
            and counts.compared + sum(counts.uncompared.values()) == result.rows
            and feature.unexplained <= counts.mismatched <= feature.unexplained + sum(feature.by_cause.values())
            for feature in result.features.values()
            for counts in [feature.counts]
        )
    if isinstance(result, DriftResult):
        return all(
            sum(one.reference for one in drift.bins) == result.reference_rows
            and sum(one.current for one in drift.bins) == result.rows
            for drift in result.features.values()
        )
    return all(0 <= item.unexpected <= item.examined <= result.rows for item in result.expectations)


def frame(columns: dict[str, pa.Array]) -> FeatureFrame:
    """A frame of present values, without event times."""
    present = {name: pa.array([int(Status.PRESENT)] * len(values), pa.int8()) for name, values in columns.items()}
    return FeatureFrame(pa.table(columns), pa.table(present), pa.table({}))
