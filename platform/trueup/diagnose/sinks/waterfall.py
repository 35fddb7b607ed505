"""Where the bars of the waterfall stand, in percent of a track. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from trueup.diagnose.gap_ledger import Estimate, GapLedger, State, Step
from trueup.diagnose.sinks.rows import bounds, effect, level, waterfall

Percent = Callable[[float], float]
Whisker = Callable[[Estimate, float], tuple[float, float] | None]
Kind = Literal["level", "loss", "gain", "same", "missing"]
_MARGIN = 4.0
"""Percent on both sides, so that the outermost marks lie within the track."""


@dataclass(frozen=True)
class Bar:
    """One row. left, width: of the bar (of a state the mark alone, width 0). whisker: left and width of the interval;
    None without one. value, interval: as text. why: of what is missing."""

    title: str
    kind: Kind
    value: str
    interval: str
    left: float = 0.0
    width: float = 0.0
    whisker: tuple[float, float] | None = None
    why: str | None = None
    is_state: bool = False


@dataclass(frozen=True)
class Waterfall:
    """first, last: what the edges of the track stand for, as text."""

    bars: tuple[Bar, ...]
    first: str
    last: str


def draw(ledger: GapLedger) -> Waterfall:
    """The axis begins near the smallest number and not at zero: a metric's gap is a small part of it."""
    low, high = _span(ledger)
    return Waterfall(tuple(_bars(ledger, low, high)), f"{low:.4f}", f"{high:.4f}")


def _span(ledger: GapLedger) -> tuple[float, float]:
    ends: list[float] = []
    for state in ledger.states:
        if state.estimate is not None:
            ends += [state.estimate.value, *_interval(state.estimate)]
    for step in ledger.steps:
        if step.effect is not None:
            start = _at(ledger, step)
            ends += [start + end for end in _interval(step.effect)]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    margin = (high - low or 1.0) * _MARGIN / (100 - 2 * _MARGIN)
    return low - margin, high + margin


def _bars(ledger: GapLedger, low: float, high: float) -> Iterator[Bar]:
    def percent(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    def whisker(estimate: Estimate, origin: float) -> tuple[float, float] | None:
        ends = _interval(estimate)
        if not ends:
            return None
        left, right = (percent(origin + end) for end in ends)
        return left, round(right - left, 2)

    for state, step in waterfall(ledger):
        if state is not None:
            yield _state(state, percent, whisker)
        if step is not None:
            yield _step(ledger, step, percent, whisker)


def _state(state: State, percent: Percent, whisker: Whisker) -> Bar:
    if state.estimate is None:
        return Bar(state.title, "missing", "-", "-", why=state.missing, is_state=True)
    found = state.estimate
    return Bar(
        state.title,
        "level",
        level(state),
        bounds(found, sign=False),
        left=percent(found.value),
        whisker=whisker(found, 0.0),
        is_state=True,
    )


def _step(ledger: GapLedger, step: Step, percent: Percent, whisker: Whisker) -> Bar:
    if step.effect is None:
        return Bar(step.title, "missing", "-", "-", why=step.missing)
    start = _at(ledger, step)
    before, after = percent(start), percent(start + step.effect.value)
    better = (step.effect.value > 0) == ledger.higher_is_better
    kind: Kind = "same" if abs(step.effect.value) < 5e-5 else "gain" if better else "loss"
    return Bar(
        step.title,
        kind,
        effect(step.effect),
        bounds(step.effect),
        left=min(before, after),
        width=round(abs(after - before), 2),
        whisker=whisker(step.effect, start),
        why=step.missing,
    )


def _at(ledger: GapLedger, step: Step) -> float:
    state = next(each for each in ledger.states if each.name == step.start)
    assert state.estimate is not None
    return state.estimate.value


def _interval(estimate: Estimate) -> tuple[float, ...]:
    return () if estimate.low is None or estimate.high is None else (estimate.low, estimate.high)
