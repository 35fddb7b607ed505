"""Parts of a whole as bars to both sides of zero: the terms of a split, the six causes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from trueup.diagnose.gap_ledger import CauseTotal, Estimate, GapLedger, Split
from trueup.diagnose.sinks.axis import MOVED, Axis, Move, interval, move
from trueup.diagnose.sinks.rows import bounds, effect, judged, share, shown_terms


@dataclass(frozen=True)
class Part:
    """left, width, whisker (both ends): percent of the drawing's width; None of what was not measured. beside: what
    else is said of it, as text. range: the interval; nothing where there is none, or none to speak of. strong: it
    stands out. clear: the interval leaves zero out."""

    name: str
    beside: str
    value: str
    range: str
    move: Move
    left: float | None
    width: float
    whisker: tuple[float, float] | None
    strong: bool = False
    clear: bool = False

    @property
    def moved(self) -> str:
        return MOVED[self.move]


@dataclass(frozen=True)
class Parts:
    """zero: where it stands."""

    parts: tuple[Part, ...]
    zero: float


def draw_split(ledger: GapLedger, split: Split) -> Parts:
    terms = shown_terms(split)
    axis = _axis(term.effect for term in terms)
    better = ledger.higher_is_better
    parts = (_part(term.name, share(term), term.effect, axis, higher_is_better=better) for term in terms)
    return Parts(tuple(parts), axis.at(0.0))


def draw_causes(ledger: GapLedger) -> Parts:
    axis = _axis(total.effect for total in ledger.causes if total.effect is not None)
    return Parts(tuple(_cause(ledger, total, axis) for total in ledger.causes), axis.at(0.0))


def _cause(ledger: GapLedger, total: CauseTotal, axis: Axis) -> Part:
    better, said = ledger.higher_is_better, judged(total)
    return _part(total.cause, said, total.effect, axis, higher_is_better=better, strong=total.claimed)


def _part(
    name: str, beside: str, found: Estimate | None, axis: Axis, *, higher_is_better: bool, strong: bool = False
) -> Part:
    if found is None:
        return Part(name, beside, "-", "", "same", None, 0.0, None)
    ends = sorted((axis.at(0.0), axis.at(found.value)))
    return Part(
        name,
        beside,
        effect(found),
        bounds(found) if any(interval(found)) else "",
        move(found.value, higher_is_better=higher_is_better),
        ends[0],
        round(ends[1] - ends[0], 2),
        axis.whisker(found) if found.value else None,
        strong,
        found.clear,
    )


def _axis(effects: Iterable[Estimate]) -> Axis:
    return Axis.around([0.0, *_ends(effects)])


def _ends(effects: Iterable[Estimate]) -> Iterator[float]:
    for found in effects:
        yield from (found.value, *interval(found))
