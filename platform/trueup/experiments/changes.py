"""What changed about a running experiment's split, by the versions that its served rows name. Pure.

A unit that got another variant half way has seen both: what came of it says nothing about either. Raising or lowering
the traffic gives nobody another variant, so it is noted and no fault; everything else that moves units is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from trueup.instants import format_instant

HARMLESS = frozenset({"traffic", "holdout", "start", "end"})
"""Fields that decide who takes part, and nobody's variant."""


@dataclass(frozen=True)
class SplitVersion:
    """A split as rows were assigned under it. document: `Experiment.split`, None where the log has it no more. first:
    instant of the first row."""

    hash: str
    document: Mapping[str, Any] | None
    first: datetime
    rows: int


@dataclass(frozen=True)
class SplitChange:
    """One field from one version to the next. fault: it can have given units another variant."""

    field: str
    before: str
    after: str
    since: datetime
    fault: bool

    def __str__(self) -> str:
        return f"{self.field}: {self.before} -> {self.after} since {format_instant(self.since)}"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "since": format_instant(self.since)}


def split_changes(versions: Sequence[SplitVersion]) -> tuple[SplitChange, ...]:
    """Between each version and the one that came next, by their first rows. Versions whose document is gone are a
    change nobody can say more of, and a fault."""
    found: list[SplitChange] = []
    ordered = sorted(versions, key=lambda version: (version.first, version.hash))
    for before, after in pairwise(ordered):
        if before.document is None or after.document is None:
            found.append(SplitChange("split", before.hash[:12], after.hash[:12], after.first, fault=True))
            continue
        for field in dict.fromkeys([*before.document, *after.document]):
            one, other = before.document.get(field), after.document.get(field)
            if one != other:
                found.append(SplitChange(field, _text(one), _text(other), after.first, fault=field not in HARMLESS))
    return tuple(found)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(f"{item['name']} {item['weight']}{' shadow' if item['shadow'] else ''}" for item in value)
    return "none" if value is None else str(value)
