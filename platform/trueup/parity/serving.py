"""Under which serving configurations rows were served, and what differs between them. Pure: facts, and no verdict.

Another time-out or another fallback gives other answers at the same load, so two models, or two windows, that were not
served alike are not compared alike. An older log, or one of another server, does not say: that is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from trueup.eventlog.serving_version import Document, described, differences, unmet
from trueup.instants import format_instant
from trueup.wording import counted

_DIGITS = 12
UNKNOWN = "not known"


@dataclass(frozen=True)
class Under:
    """Rows that were served under one version. first: the earliest instant; None where no row has one."""

    rows: int
    first: datetime | None

    def __add__(self, other: Under) -> Under:
        known = [each for each in (self.first, other.first) if each is not None]
        return Under(self.rows + other.rows, min(known, default=None))


Versions = Mapping[str | None, Under]
"""Hash of a serving version -> the rows under it; None: of rows that do not say."""
Documents = Mapping[str, Document | str]
"""Hash of a serving version -> what it says, or why that is not known."""


def together(one: Versions, other: Versions) -> dict[str | None, Under]:
    """The rows of both."""
    both = dict(one)
    for version, under in other.items():
        both[version] = both[version] + under if version in both else under
    return both


def serving_facts(found: Mapping[str, Versions], documents: Documents, expected: Mapping[str, Any]) -> dict[str, str]:
    """Of the whole window, for the report. found: model -> its versions. expected: setting -> its value."""
    every = _all(found.values())
    facts = {f"serving configuration of {label}": _listed(versions) for label, versions in found.items()}
    named = _in_order(every)
    facts |= {f"serving configuration {_short(version)}": _said(version, documents) for version in named}
    facts |= {
        f"serving configurations {_short(before)} and {_short(after)}": _difference(before, after, documents)
        for before, after in pairwise(named)
    }
    if expected:
        facts["serving configuration expected"] = (
            _unmet(every, documents, expected) or "what all rows were served under"
        )
    return facts


def serving_notes(
    label: str, found: Mapping[str, Versions], documents: Documents, expected: Mapping[str, Any]
) -> dict[str, str]:
    """What is to be said of one model beside its counts; nothing where all rows were served alike, as expected."""
    mine = found[label]
    named = _in_order(mine)
    notes = {}
    if len(mine) > 1:
        changes = [_difference(before, after, documents) for before, after in pairwise(named)]
        notes["served under more than one configuration"] = "; ".join([_listed(mine), *changes])
    others = {name: versions for name, versions in found.items() if set(versions) != set(mine)}
    if others:
        notes["other models were served under other configurations"] = "; ".join(
            f"{name}: {_listed(versions)}{_against(named, _in_order(versions), documents)}"
            for name, versions in others.items()
        )
    if expected and (said := _unmet(mine, documents, expected)):
        notes["not served under the expected configuration"] = said
    return notes


def _all(found: Iterable[Versions]) -> dict[str | None, Under]:
    every: dict[str | None, Under] = {}
    for versions in found:
        every = together(every, versions)
    return every


def _in_order(versions: Versions) -> list[str]:
    """The known ones, by their first row."""
    named = {version: under for version, under in versions.items() if version is not None}
    return sorted(named, key=lambda version: (str(named[version].first), version))


def _listed(versions: Versions) -> str:
    named = [f"{_short(version)} ({_counted(versions[version])})" for version in _in_order(versions)]
    if None in versions:
        named.append(f"{UNKNOWN} ({_counted(versions[None])}): the log does not say")
    return ", ".join(named)


def _counted(under: Under) -> str:
    since = "" if under.first is None else f" from {format_instant(under.first)}"
    return f"{counted(under.rows, 'row')}{since}"


def _said(version: str, documents: Documents) -> str:
    document = documents[version]
    return f"{UNKNOWN}: {document}" if isinstance(document, str) else described(document)


def _difference(before: str, after: str, documents: Documents) -> str:
    sides = [documents[before], documents[after]]
    for side in sides:
        if isinstance(side, str):
            return f"what differs is {UNKNOWN}: {side}"
    first, second = (side for side in sides if not isinstance(side, str))
    return f"from {_short(before)} to {_short(after)}: {'; '.join(differences(first, second))}"


def _against(mine: list[str], theirs: list[str], documents: Documents) -> str:
    """What differs from the last version of a model to that of another."""
    if not mine or not theirs or mine[-1] == theirs[-1]:
        return ""
    return f", {_difference(mine[-1], theirs[-1], documents)}"


def _unmet(versions: Versions, documents: Documents, expected: Mapping[str, Any]) -> str:
    """Empty where every row is known to have been served as expected."""
    said = []
    for version in _in_order(versions):
        document = documents[version]
        wrong = f"{UNKNOWN}: {document}" if isinstance(document, str) else "; ".join(unmet(expected, document))
        if wrong:
            said.append(f"{_short(version)} ({_counted(versions[version])}): {wrong}")
    if None in versions:
        said.append(f"{UNKNOWN} for {_counted(versions[None])}")
    return "; ".join(said)


def _short(version: str) -> str:
    return version[:_DIGITS]
