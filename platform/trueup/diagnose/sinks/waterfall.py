"""The waterfall as geometry: where its marks, bars and intervals stand. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from trueup.diagnose.gap_ledger import Estimate, GapLedger, State, Step
from trueup.diagnose.sinks.axis import MOVED, Axis, Move, Tick, interval, move
from trueup.diagnose.sinks.rows import bounds, effect, level, waterfall

Kind = Literal["level", "step", "gap"]


@dataclass(frozen=True)
class Bar:
    """One row; places in percent of the drawing's width. start, end: of a step's bar, as it runs; of a state both are
    its mark; None of what could not be measured, and `why` says why. whisker: ends of the interval. clear: it leaves
    zero out. leads: where a line comes down from the row above, and where one goes on to the next; None without.
    is_split: False of a step that stands for several. value, range: as text."""

    kind: Kind
    title: str
    value: str
    range: str
    start: float | None = None
    end: float | None = None
    whisker: tuple[float, float] | None = None
    move: Move = "same"
    clear: bool = False
    leads: tuple[float | None, float | None] = (None, None)
    is_split: bool = True
    why: str | None = None

    @property
    def left(self) -> float:
        assert self.start is not None
        assert self.end is not None
        return min(self.start, self.end)

    @property
    def width(self) -> float:
        assert self.start is not None
        assert self.end is not None
        return round(abs(self.end - self.start), 2)

    @property
    def moved(self) -> str:
        return MOVED[self.move]


@dataclass(frozen=True)
class Waterfall:
    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]

    @property
    def is_hatched(self) -> bool:
        return any(bar.start is None or not bar.is_split for bar in self.bars)


def draw(ledger: GapLedger) -> Waterfall:
    """The axis begins near the smallest number and not at zero: a metric's gap is a small part of it."""
    axis = Axis.around(_ends(ledger))
    measured = any(state.estimate is not None for state in ledger.states)
    return Waterfall(tuple(_bars(ledger, axis)), axis.ticks() if measured else ())


def _ends(ledger: GapLedger) -> Iterator[float]:
    for state in ledger.states:
        if state.estimate is not None:
            yield from (state.estimate.value, *interval(state.estimate))
    for step in ledger.steps:
        if step.effect is not None:
            yield from (_level(ledger, step.start) + end for end in interval(step.effect))
    if ledger.gap is not None:
        yield from (_level(ledger, ledger.states[0].name) + end for end in interval(ledger.gap))


def _bars(ledger: GapLedger, axis: Axis) -> Iterator[Bar]:
    # A line leads from a mark only to a bar that there is.
    comes = {step.end for step in ledger.steps if step.effect is not None}
    goes = {step.start for step in ledger.steps if step.effect is not None}
    for state, step in waterfall(ledger):
        if state is not None:
            yield _state(state, axis, comes=state.name in comes, goes=state.name in goes)
        if step is not None:
            yield _step(ledger, step, axis)
    if ledger.gap is not None:
        start = _level(ledger, ledger.states[0].name)
        yield _change("gap", "gap", ledger, ledger.gap, start, axis)


def _state(state: State, axis: Axis, *, comes: bool, goes: bool) -> Bar:
    if state.estimate is None:
        return Bar("level", state.title, "-", "-", why=state.missing)
    at = axis.at(state.estimate.value)
    return Bar(
        "level",
        state.title,
        level(state),
        bounds(state.estimate, sign=False),
        at,
        at,
        axis.whisker(state.estimate),
        leads=(at if comes else None, at if goes else None),
    )


def _step(ledger: GapLedger, step: Step, axis: Axis) -> Bar:
    is_split = len(step.names) == 1
    if step.effect is None:
        return Bar("step", step.title, "-", "-", is_split=is_split, why=step.missing)
    bar = _change("step", step.title, ledger, step.effect, _level(ledger, step.start), axis)
    return replace(bar, leads=(bar.start, bar.end), is_split=is_split, why=step.missing)


def _change(kind: Kind, title: str, ledger: GapLedger, found: Estimate, start: float, axis: Axis) -> Bar:
    return Bar(
        kind,
        title,
        effect(found),
        bounds(found),
        axis.at(start),
        axis.at(start + found.value),
        axis.whisker(found, start),
        move(found.value, higher_is_better=ledger.higher_is_better),
        clear=found.clear,
    )


def _level(ledger: GapLedger, name: str) -> float:
    state = next(each for each in ledger.states if each.name == name)
    assert state.estimate is not None
    return state.estimate.value
