"""What changed about a running experiment's split, by the versions that its served rows name. Pure.

A unit that got another variant half way has seen both: what came of it says nothing about either. Raising or lowering
the traffic gives nobody another variant, so it is noted and no fault; everything else that moves units is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from fractions import Fraction
from itertools import pairwise
from typing import Any

from trueup.instants import format_instant

HARMLESS = frozenset({"traffic", "holdout", "start", "end"})
"""Fields that decide who takes part, and nobody's variant."""


@dataclass(frozen=True)
class SplitVersion:
    """A split as rows were assigned under it. document: `Experiment.split`, None where the log has it no more. first,
    last: instants of its first and last row."""

    hash: str
    document: Mapping[str, Any] | None
    first: datetime
    last: datetime
    rows: int


@dataclass(frozen=True)
class SplitChange:
    """One field from one version to the next. since: None where nothing was served under the next one yet. fault: it
    can have given units another variant. moved: units that the log has under both versions, in two variants; None: not
    counted."""

    field: str
    before: str
    after: str
    since: datetime | None
    fault: bool
    moved: int | None = None

    def __str__(self) -> str:
        since = "in the file, not served yet" if self.since is None else f"since {format_instant(self.since)}"
        moved = f"; {self.moved:,} units changed variant" if self.moved else ""
        return f"{self.field}: {self.before} -> {self.after} {since}{moved}"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "since": None if self.since is None else format_instant(self.since)}


def in_order(versions: Sequence[SplitVersion]) -> list[SplitVersion]:
    """By their first rows."""
    return sorted(versions, key=lambda version: (version.first, version.hash))


def split_changes(
    versions: Sequence[SplitVersion], moved: Mapping[tuple[str, str], int] | None = None
) -> tuple[SplitChange, ...]:
    """Between each version and the one that came next. moved: (hash, next hash) -> units in two variants. Versions
    whose document is gone are a change nobody can say more of, and a fault."""
    counted = moved or {}
    return tuple(
        SplitChange(field, was, became, after.first, fault, counted.get((before.hash, after.hash)))
        for before, after in pairwise(in_order(versions))
        for field, was, became, fault in _differences(before.hash, before.document, after.hash, after.document)
    )


def unserved_changes(hash_: str, split: Mapping[str, Any], versions: Sequence[SplitVersion]) -> tuple[SplitChange, ...]:
    """From what was served last to a design that no row names yet. hash_, split: of the design. No versions, or a
    design that was served: none."""
    if not versions or any(version.hash == hash_ for version in versions):
        return ()
    last = max(versions, key=lambda version: (version.last, version.hash))
    found = _differences(last.hash, last.document, hash_, split)
    return tuple(SplitChange(field, was, became, None, fault) for field, was, became, fault in found)


def _differences(
    before: str, one: Mapping[str, Any] | None, after: str, other: Mapping[str, Any] | None
) -> Iterator[tuple[str, str, str, bool]]:
    """Field, its values as text, and whether it is a fault."""
    if one is None or other is None:
        yield "split", before[:12], after[:12], True
        return
    for field in dict.fromkeys([*one, *other]):
        values = one.get(field), other.get(field)
        if values[0] != values[1]:
            yield field, *_texts(field, *values), field not in HARMLESS and not _moves_nobody(field, *values)


def _moves_nobody(field: str, before: Any, after: Any) -> bool:
    """Shadows come and go, and 50 to 50 is 1 to 1: who is answered by what stays."""
    return field == "variants" and _answering(before) == _answering(after)


def _answering(variants: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str, Fraction]]:
    total = sum(each["weight"] for each in variants)
    return [(v["name"], v["model"], v["alias"], Fraction(v["weight"], total)) for v in variants if v["weight"]]


def _texts(field: str, before: Any, after: Any) -> tuple[str, str]:
    if field != "variants":
        return _text(before), _text(after)
    # Models only where they are what changed: the list is long enough.
    models = [[(each["name"], each["model"], each["alias"]) for each in variants] for variants in (before, after)]
    named = any(one not in models[1] for one in models[0])
    return _listed(before, models=named), _listed(after, models=named)


def _listed(variants: Sequence[Mapping[str, Any]], *, models: bool) -> str:
    return ", ".join(
        f"{each['name']}{' of {model}@{alias}'.format(**each) if models else ''} "
        f"{'shadow' if each['shadow'] else each['weight']}"
        for each in variants
    )


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{name} by {salt}, {begin:g} to {end:g}".format(**value)
    return "none" if value is None else str(value)
