"""A sample on a time line: both clocks of both sides, to scale, with labels that do not overlap. Pure geometry.

Two lanes, one a side. In each, a dot at the event time of the row the value came from and a ring at the instant it
became known. Across both: the instant it was served, and the oldest event time the TTL still allows then. All offsets
are from the instant it was served.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from trueup.instants import EPOCH
from trueup.parity.results import Cell, Sample
from trueup.parity.sinks.words import offset, span

WIDTH = 320
HEIGHT = 132
LEFT, RIGHT = 62, 314
"""Where the plot begins and ends; the lanes' names stand left of it."""
CHAR = 5.9
"""Width of a character at the labels' size. Each label is set to exactly this times its length, whatever the font."""
GAP = 7.0
"""Least distance between two labels of a row."""
_TOP_ROWS = (9.0, 21.0)
_LANES = (40.0, 82.0)
_LANE_ROWS = (14.0, 25.0)
"""Baselines of a lane's labels, below it."""
AXIS = 117.0
_AXIS_LABELS = 129.0
_MARGIN = 0.04
_FAR = 1.5
"""A TTL boundary this many times farther back than everything else is off the scale: an arrow points to it."""
_MICROSECOND = timedelta(microseconds=1)
_SECOND = 1_000_000
_STEPS = tuple(
    seconds * _SECOND
    for seconds in (
        *(1, 5, 15, 60, 300, 900, 3600, 3 * 3600, 6 * 3600, 12 * 3600),
        *(days * 86_400 for days in (1, 2, 7, 14, 28, 91, 182, 365, 730, 3650)),
    )
)
_MOST_TICKS = 6


@dataclass(frozen=True)
class Label:
    """left, width: where it stands; baseline: of its text."""

    text: str
    left: float
    width: float
    baseline: float

    @property
    def right(self) -> float:
        return self.left + self.width


@dataclass(frozen=True)
class Mark:
    """A clock of a lane. label_from: where the line down to its label ends."""

    kind: str
    x: float
    label: Label


@dataclass(frozen=True)
class Lane:
    name: str
    y: float
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Tick:
    x: float
    label: Label | None


@dataclass(frozen=True)
class Line:
    """A vertical line across the lanes. off_scale: it lies left of the plot, and only its arrow is drawn."""

    x: float
    label: Label
    off_scale: bool = False


@dataclass(frozen=True)
class Clocks:
    """What is drawn. told: the same for who cannot see it."""

    lanes: tuple[Lane, ...]
    served: Line
    ttl: Line | None
    ticks: tuple[Tick, ...]
    told: str

    @property
    def labels(self) -> list[Label]:
        """All of them."""
        found = [mark.label for lane in self.lanes for mark in lane.marks]
        found += [line.label for line in (self.served, self.ttl) if line is not None]
        return found + [tick.label for tick in self.ticks if tick.label is not None]


def clocks(sample: Sample, sides: tuple[str, str], verb: str = "served") -> Clocks | None:
    """None where neither side has a clock: a feature computed on demand, an entity that neither knows."""
    cells = (sample.served, sample.recomputed)
    offsets = [_offset(sample, at) for cell in cells for at in (cell.event_time, cell.created) if at is not None]
    if not offsets:
        return None
    scale = _Scale.of([0, *offsets], sample)
    lanes = tuple(
        Lane(name, y, _marks(cell, sample, scale, y)) for name, cell, y in zip(sides, cells, _LANES, strict=True)
    )
    lines = [(scale.x(0), verb)]
    if scale.boundary is not None:
        arrow = "◂ " if scale.off_scale else ""
        lines.append((scale.x(scale.boundary), f"{arrow}TTL {span(scale.boundary * _MICROSECOND)}"))
    labels = _placed(lines, _TOP_ROWS)
    return Clocks(
        lanes=lanes,
        served=Line(scale.x(0), labels[0]),
        ttl=Line(scale.x(scale.boundary), labels[1], scale.off_scale) if scale.boundary is not None else None,
        ticks=_ticks(scale, sample.at),
        told="; ".join(f"{name} row: {_told(cell, sample)}" for name, cell in zip(sides, cells, strict=True)),
    )


def _told(cell: Cell, sample: Sample) -> str:
    said = [
        f"{kind} {offset(at - sample.at)}"
        for kind, at in (("event", cell.event_time), ("known", cell.created))
        if at is not None
    ]
    return ", ".join(said) or f"none, {cell.status}"


def _marks(cell: Cell, sample: Sample, scale: _Scale, y: float) -> tuple[Mark, ...]:
    found = [(kind, at) for kind, at in (("event", cell.event_time), ("known", cell.created)) if at is not None]
    places = [(scale.x(_offset(sample, at)), f"{kind} {offset(at - sample.at)}") for kind, at in found]
    labels = _placed(places, tuple(y + row for row in _LANE_ROWS))
    return tuple(Mark(kind, x, label) for (kind, _), (x, _), label in zip(found, places, labels, strict=True))


@dataclass(frozen=True)
class _Scale:
    """Microseconds from the served instant -> x. boundary: the TTL's, if any."""

    low: float
    high: float
    boundary: int | None
    off_scale: bool

    @classmethod
    def of(cls, offsets: Sequence[int], sample: Sample) -> _Scale:
        low, high = min(offsets), max(offsets)
        boundary = None if sample.ttl is None else -(sample.ttl // _MICROSECOND)
        extent = max(high - low, _SECOND)
        off_scale = boundary is not None and boundary < low - _FAR * extent
        if boundary is not None and not off_scale:
            low = min(low, boundary)
        margin = _MARGIN * max(high - low, _SECOND)
        return cls(low - margin, high + margin, boundary, off_scale)

    def x(self, at: int) -> float:
        share = (at - self.low) / (self.high - self.low)
        return round(LEFT + (RIGHT - LEFT) * min(max(share, 0.0), 1.0), 2)


def _offset(sample: Sample, at: datetime) -> int:
    return (at - sample.at) // _MICROSECOND


def _placed(places: Iterable[tuple[float, str]], rows: tuple[float, ...]) -> list[Label]:
    """Each label under its place if it can be, within the plot, in the first row where it touches no other."""
    placed: list[Label] = []
    for x, text in places:
        for baseline in rows:
            label = _label(x, text, baseline)
            if not any(_touch(label, other) for other in placed):
                break
        placed.append(label)
    return placed


def _label(x: float, text: str, baseline: float) -> Label:
    width = round(CHAR * len(text), 2)
    return Label(text, round(min(max(x - width / 2, LEFT), RIGHT - width), 2), width, baseline)


def _touch(one: Label, other: Label) -> bool:
    return one.baseline == other.baseline and one.left < other.right + GAP and other.left < one.right + GAP


def _ticks(scale: _Scale, at: datetime) -> tuple[Tick, ...]:
    """At round instants (UTC), labelled where there is room."""
    step = next((step for step in _STEPS if (scale.high - scale.low) / step <= _MOST_TICKS), None)
    if step is None:
        return ()
    origin = (at - EPOCH) // _MICROSECOND
    first, last = int((origin + scale.low) // step) + 1, int((origin + scale.high) // step)
    ticks: list[Tick] = []
    for number in range(first, last + 1):
        x = scale.x(number * step - origin)
        try:
            text = f"{EPOCH + number * step * _MICROSECOND:{_format(step)}}"
        except OverflowError:  # beyond the year 9999, or before the year 1
            continue
        label = _label(x, text, _AXIS_LABELS)
        room = not any(tick.label is not None and _touch(label, tick.label) for tick in ticks)
        ticks.append(Tick(x, label if room else None))
    return tuple(ticks)


def _format(step: int) -> str:
    if step < 60 * _SECOND:
        return "%H:%M:%S"
    return "%H:%M" if step < 86_400 * _SECOND else "%m-%d" if step < 182 * 86_400 * _SECOND else "%Y-%m"
