"""Clean worlds: nothing is injected, so whatever parity calls a mismatch is a false alarm.

Their requests fall before, within and after a run under way, on the very edge of a TTL, between versions of a row; the
sources hold NaN, null, -0.0, restated, late, superseded and expired rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.faults.bench import Say
from tests.faults.harness import Found, check_online, check_served
from tests.faults.site import Site

from trueup.instants import KnownAt


@dataclass
class Clean:
    """compared, false_alarms: cells. again: cells of the same rows compared once more, under another rule or as of
    another instant; they are not in `compared`, their false alarms are in `false_alarms`. parts: what was compared ->
    (cells, false alarms)."""

    compared: int = 0
    again: int = 0
    false_alarms: int = 0
    parts: dict[str, tuple[int, int]] = field(default_factory=dict)
    features: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def add(self, part: str, found: Found, *, again: bool = False) -> None:
        before = self.parts.get(part, (0, 0))
        self.parts[part] = (before[0] + found.compared, before[1] + found.mismatched)
        self.compared += 0 if again else found.compared
        self.again += found.compared if again else 0
        self.false_alarms += found.mismatched
        self.features.update({column: len(cells) for column, cells in found.mismatches.items()})
        self.problems += found.problems

    def __add__(self, other: Clean) -> Clean:
        parts = dict(self.parts)
        for name, (cells, alarms) in other.parts.items():
            before = parts.get(name, (0, 0))
            parts[name] = (before[0] + cells, before[1] + alarms)
        return Clean(
            self.compared + other.compared,
            self.again + other.again,
            self.false_alarms + other.false_alarms,
            parts,
            self.features + other.features,
            self.problems + other.problems,
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "compared": self.compared,
            "false_alarms": self.false_alarms,
            "compared_again": self.again,
            "parts": {
                name: {"compared": cells, "false_alarms": alarms} for name, (cells, alarms) in self.parts.items()
            },
            "features": dict(self.features),
            "problems": self.problems,
        }


def check(clean: Clean, world: str, site: Site, instants: Sequence[datetime], say: Say) -> None:
    """The served log, and the online store as of several instants."""
    say(f"clean {world}: served")
    clean.add(f"{world}, served", check_served(site.repo, site.log, site.contract, "served"))
    for number, now in enumerate(instants):
        say(f"clean {world}: online as of {now:%H:%M}")
        found = check_online(site.repo, site.client, site.contract, now)
        clean.add(f"{world}, online", found, again=number > 0)


def check_rule(clean: Clean, world: str, site: Site, repo: Path, log: Path, rule: KnownAt, say: Say) -> None:
    """The served log under another rule, over sources in which it makes no difference."""
    say(f"clean {world}: served, known_at = {rule}")
    clean.add(f"{world}, served, known_at = {rule}", check_served(repo, log, site.contract, rule), again=True)
