"""Check `online`: every entity that a view's source or the online store knows, one against the other.

Batch by batch, so that memory does not grow with the number of entities. What the two sides agree on is counted; only
entities with a mismatch are examined for its causes, many at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pyarrow as pa

from trueup.contracts.contract import FeatureContract
from trueup.frame import FeatureFrame, Status
from trueup.parity.case import Case, take
from trueup.parity.compare import Comparison, Counts, Mask, Tolerance, add_counts, cells, compare
from trueup.parity.explain import examine
from trueup.parity.results import FeatureResult, Result
from trueup.parity.tally import Labels, Tally, tally

CHECK: Literal["online"] = "online"
NOT_LANDED = "not landed yet"
"""Reason of entities that no run has written yet, and that the store rightly does not have."""
NEVER_MATERIALIZED = "never materialized"
"""The same, of a view that no run has ever written."""
OTHER_TYPES = "stored under another type"
"""Note of cells that the online store holds as another type than declared, and that cannot be compared."""
ONLY_ONLINE = "online rows of entities that the source does not know"
ON_TIES = "entities rest on source rows with both clocks equal and other values"
OTHER_VIEWS = "entities of other views under the same key"

EXAMINED_AT_ONCE = 100_000
"""Mismatching entities whose causes are looked for together: their sources are read again each time."""


@dataclass(frozen=True)
class Entities:
    """Some entities of one view.

    inputs: their keys and instants. served: read from the online store. expected: what its source says it should hold.
    listed: which of them the source knows; the others are those that only the store holds, perhaps of other views.
    other_types: feature -> stored type -> cells, where it is not the declared one.
    """

    inputs: pa.Table
    served: FeatureFrame
    expected: FeatureFrame
    listed: Mask
    other_types: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class OnlineView:
    """What is checked. contract: of the one view. case_of: mismatching entities (inputs, served), ready to examine.

    left_out: feature -> its Feast type, which cannot be compared. not_landed: what entities without a run count as.
    """

    contract: FeatureContract
    case_of: Callable[[pa.Table, FeatureFrame], tuple[Case, Labels]]
    tolerances: Mapping[str, Tolerance] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    not_landed: str = NOT_LANDED


class OnlineCheck:
    """One view's check, a batch at a time: `add` each, then `result`."""

    def __init__(self, view: OnlineView) -> None:
        self._view = view
        self._of = {f"{name}__{feature}": name for name, feature in view.contract.features}
        self._dtypes = {table.column(item.name): item.dtype for table in view.contract.views for item in table.features}
        self._total = Tally(features={column: FeatureResult(self._dtypes[column]) for column in self._of})
        self._waiting: list[tuple[pa.Table, FeatureFrame]] = []
        self._not_landed = self._only_online = self._others = 0
        self._other_types: dict[str, dict[str, int]] = {}

    def add(self, batch: Entities) -> None:
        """Entities that neither side has are counted, not compared."""
        absent = _missing(batch.served) & _missing(batch.expected)
        self._not_landed += int((absent & batch.listed).sum())
        self._others += int((absent & ~batch.listed).sum())
        self._only_online += int((~absent & ~batch.listed).sum())
        for feature, types in batch.other_types.items():
            self._other_types[feature] = add_counts(self._other_types.get(feature, {}), types)
        comparison = self._compare(batch.served, batch.expected)
        mismatched = np.zeros(len(absent), np.bool_)
        for mask in comparison.mismatches().values():
            mismatched |= mask
        equal = ~absent & ~mismatched
        if not equal.all():
            rows = np.flatnonzero(equal)
            comparison = self._compare(take(batch.served, rows), take(batch.expected, rows))
        self._total += self._agreed(comparison, int(equal.sum()))
        if mismatched.any():
            rows = np.flatnonzero(mismatched)
            self._waiting.append((batch.inputs.take(pa.array(rows)), take(batch.served, rows)))
            if sum(inputs.num_rows for inputs, _ in self._waiting) >= EXAMINED_AT_ONCE:
                self._examine()

    def result(
        self, known_at: str, *, uncompared: Mapping[str, int] | None = None, notes: Mapping[str, str] | None = None
    ) -> Result:
        """uncompared, notes: what else the evidence has to say."""
        self._examine()
        contract = self._view.contract
        features = dict(self._total.features)
        for feature, dtype in self._view.left_out.items():
            counts = Counts(
                uncompared={f"type {dtype} cannot be compared": self._total.rows} if self._total.rows else {}
            )
            features[f"{contract.views[0].name}__{feature}"] = FeatureResult(dtype, counts)
        result = Result(
            check=CHECK,
            subject=contract.views[0].table,
            version=None,
            known_at=known_at,
            service=contract.service or None,
            contract=contract.hash,
            rows=self._total.rows,
            features=features,
            uncompared=add_counts(
                {self._view.not_landed: self._not_landed} if self._not_landed else {}, uncompared or {}
            ),
            samples=self._total.samples,
            notes={**self._notes(), **(notes or {})},
        )
        if self._other_types and not result.mismatched:
            # Not a pass: a read of these cells fails, or serves what the definition does not say.
            return replace(result, problem=f"{OTHER_TYPES}: {result.notes[OTHER_TYPES]}. Materialize the view again.")
        return result

    def _compare(self, served: FeatureFrame, expected: FeatureFrame) -> Comparison:
        return compare(served, expected, views=self._of, tolerances=self._view.tolerances, dtypes=self._dtypes)

    def _agreed(self, comparison: Comparison, rows: int) -> Tally:
        return Tally(
            rows,
            {column: FeatureResult(self._dtypes[column], counts) for column, counts in comparison.counts.items()},
        )

    def _examine(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        case, labels = self._view.case_of(
            pa.concat_tables([inputs for inputs, _ in waiting]).combine_chunks(),
            FeatureFrame(
                *(
                    pa.concat_tables([getattr(frame, part) for _, frame in waiting]).combine_chunks()
                    for part in ("values", "statuses", "event_timestamps")
                )
            ),
        )
        self._total += tally(case, examine(case), labels)

    def _notes(self) -> dict[str, str]:
        notes = {}
        for name, number in ((ONLY_ONLINE, self._only_online), (OTHER_VIEWS, self._others)):
            if number:
                notes[name] = f"{number:,}"
        if self._other_types:
            notes[OTHER_TYPES] = "; ".join(
                f"{feature} is {self._dtypes[feature]}, stored as "
                + ", ".join(f"{kind} ({number:,} cells)" for kind, number in sorted(types.items()))
                for feature, types in self._other_types.items()
            )
        return notes


def _missing(frame: FeatureFrame) -> Mask:
    """Rows the view has nothing of: a view's features are missing together."""
    if not frame.columns:
        return np.zeros(frame.num_rows, np.bool_)
    missing: Mask = np.logical_and.reduce(
        [cells(frame, column, None).statuses == Status.MISSING for column in frame.columns]
    )
    return missing
