"""From injected cells and what the engine found of them to one line of the table. Knows neither engine nor injector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults.cells import Mask

Label = tuple[Any, ...]
UNEXPLAINED = "unexplained"


@dataclass(frozen=True)
class Injected:
    """column -> label -> the names of the causes that the cell has."""

    cells: Mapping[str, Mapping[Label, frozenset[str]]]

    @property
    def count(self) -> int:
        return sum(map(len, self.cells.values()))


@dataclass(frozen=True)
class Measured:
    """One fault at one rate in one world under one check.

    rows, cells: compared. eligible, chosen: victims there could have been and were. injected: cells whose value or
    status the fault changed. detected: of them, that the engine calls a mismatch. cause_right: of them, that have
    exactly the causes injected. problems: what the report says could not be compared. stopped: why a result could not
    run. wrong: what was named instead, with its cells. elsewhere: mismatches in cells that nobody touched.
    """

    name: str
    rate: float
    world: str
    check: str
    known_at: str
    eligible: int
    chosen: int
    compared: int
    injected: int
    detected: int
    cause_right: int
    wrong: Mapping[str, int] = field(default_factory=dict)
    elsewhere: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()
    by_feature: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def false_alarms(self) -> int:
        """Under another rule than `served` a world has mismatches of its own."""
        return sum(self.elsewhere.values()) if self.known_at == "served" else 0

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "rate": self.rate,
            "injected": self.injected,
            "detected": self.detected,
            "cause_right": self.cause_right,
            "world": self.world,
            "check": self.check,
            "known_at": self.known_at,
            "eligible": self.eligible,
            "chosen": self.chosen,
            "compared": self.compared,
            "named_otherwise": dict(self.wrong),
            "mismatches_elsewhere": dict(self.elsewhere),
            "problems": [*self.stopped, *self.problems],
        }


def injected_cells(
    masks: Mapping[str, Mask],
    labels: Sequence[Label],
    causes: frozenset[str],
    parts: Mapping[str, Mapping[str, Sequence[int]]] | None = None,
    inputs: Mapping[str, Sequence[str]] | None = None,
) -> Injected:
    """masks: column -> rows that changed. causes: of every cell, unless `parts` (cause -> column -> rows) gives a cell
    its own; those of several parts add up. inputs: on-demand feature -> stored features whose causes it has."""
    found: dict[str, dict[Label, frozenset[str]]] = {}
    own_rows = {
        name: {column: set(rows) for column, rows in columns.items()} for name, columns in (parts or {}).items()
    }
    for column, mask in masks.items():
        if column in (inputs or {}):
            continue
        cells = found.setdefault(column, {})
        for row in mask.nonzero()[0].tolist():
            own = frozenset(name for name, columns in own_rows.items() if row in columns.get(column, ()))
            cells[labels[row]] = own or causes
    for column, sources in (inputs or {}).items():
        if column not in masks:
            continue
        cells = found.setdefault(column, {})
        for row in masks[column].nonzero()[0].tolist():
            own = frozenset().union(*(found.get(source, {}).get(labels[row], frozenset()) for source in sources))
            cells[labels[row]] = own or causes
    return Injected(found)


def measure(
    name: str,
    rate: float,
    world: str,
    check: str,
    injected: Injected,
    mismatches: Mapping[str, Mapping[Label, frozenset[str]]],
    *,
    known_at: str,
    compared: int,
    eligible: int,
    chosen: int,
    problems: Sequence[str] = (),
    stopped: Sequence[str] = (),
    tied: Mapping[str, Collection[Label]] | None = None,
) -> Measured:
    """tied: cells counted as resting on an ambiguous source: found, and named, whichever row the read chose."""
    detected = right = 0
    elsewhere: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    missed: list[str] = []
    by_feature: dict[str, Counter[str]] = {}
    for column, cells in injected.cells.items():
        found = mismatches.get(column, {})
        for label, causes in cells.items():
            if label in (tied or {}).get(column, ()) and causes == {"ambiguous_source"} and not found.get(label):
                detected += 1
                right += 1
                continue
            if label not in found:
                missed.append(f"{column} {label}")
                by_feature.setdefault(column, Counter())["(not detected)"] += 1
                continue
            detected += 1
            named = found[label] or frozenset({UNEXPLAINED})
            if named == causes:
                right += 1
            else:
                wrong["+".join(sorted(named))] += 1
                by_feature.setdefault(column, Counter())["+".join(sorted(named))] += 1
    for column, cells in mismatches.items():
        if extra := sum(label not in injected.cells.get(column, {}) for label in cells):
            elsewhere[column] += extra
    return Measured(
        name,
        rate,
        world,
        check,
        known_at,
        eligible,
        chosen,
        compared,
        injected.count,
        detected,
        right,
        dict(wrong.most_common()),
        dict(elsewhere),
        tuple(problems),
        tuple(stopped),
        tuple(missed[:5]),
        {column: dict(counts) for column, counts in by_feature.items()},
    )
