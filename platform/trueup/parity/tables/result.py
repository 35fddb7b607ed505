"""What comparing two tables gave, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from trueup.parity.compare import add_counts
from trueup.parity.results import EXIT_CODES, Verdict

SCHEMA = "trueup.tables/1"
"""Name and version of the JSON form. The number goes up when a field changes its meaning or goes away."""

CLASSES = ("value", "normal_form", "type", "nan_left", "nan_right", "null_left", "null_right")
"""Of mismatches. `nan_left`: NaN on the left, null on the right. `null_left`: null on the left, a value (not NaN) on
the right. The others as `compare.Outcome` has them."""

Side = Literal["left", "right"]


@dataclass(frozen=True)
class CellSample:
    """A mismatching cell, values as text. row: of the left table, from 0."""

    row: int
    kind: str
    left: str
    right: str
    key: tuple[str, ...] = ()


@dataclass(frozen=True)
class FeatureDifference:
    """One feature over the rows that have a partner. compared = equal + mismatched.

    equal includes within_tolerance and both_null. nulls, nans: per side, over the same rows. samples: the first rows of
    each class.
    """

    left_type: str
    right_type: str
    compared: int = 0
    within_tolerance: int = 0
    both_null: int = 0
    by_class: Mapping[str, int] = field(default_factory=dict)
    nulls: Mapping[Side, int] = field(default_factory=dict)
    nans: Mapping[Side, int] = field(default_factory=dict)
    samples: tuple[CellSample, ...] = ()
    uncompared: str | None = None
    """Why the types have no comparison, where they have none."""

    @property
    def mismatched(self) -> int:
        return sum(self.by_class.values())

    @property
    def equal(self) -> int:
        return self.compared - self.mismatched


@dataclass(frozen=True)
class SideRows:
    """The rows of one side. alone: reason -> rows that were not compared; examples: reason -> keys of a few of them."""

    table: str
    files: int
    rows: int
    alone: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    only_features: tuple[str, ...] = ()
    """Columns that the other side does not have."""


@dataclass(frozen=True)
class TableComparison:
    """plan: `aligned` when the tables have the same keys in the same order, else `keyed`. rows: that have a partner."""

    keys: tuple[str, ...]
    plan: Literal["aligned", "keyed"]
    rows: int
    left: SideRows
    right: SideRows
    features: Mapping[str, FeatureDifference]

    @property
    def compared(self) -> int:
        return sum(feature.compared for feature in self.features.values())

    @property
    def mismatched(self) -> int:
        return sum(feature.mismatched for feature in self.features.values())

    @property
    def by_class(self) -> dict[str, int]:
        total: dict[str, int] = {}
        for feature in self.features.values():
            total = add_counts(total, feature.by_class)
        return {name: total[name] for name in CLASSES if name in total}

    @property
    def verdict(self) -> Verdict:
        """The same only if every row has a partner and every column was compared."""
        if not self.compared:
            return "could not run"
        alone = any(side.alone or side.only_features for side in (self.left, self.right))
        uncompared = any(feature.uncompared for feature in self.features.values())
        return "fail" if self.mismatched or alone or uncompared else "pass"

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.verdict]

    def to_json(self) -> dict[str, Any]:
        features = {
            name: {**asdict(feature), "equal": feature.equal, "mismatched": feature.mismatched}
            for name, feature in self.features.items()
        }
        summary = {
            "verdict": self.verdict,
            "rows": self.rows,
            "compared": self.compared,
            "mismatched": self.mismatched,
            "by_class": self.by_class,
        }
        return {"schema": SCHEMA, "summary": summary, **asdict(self), "features": features}
