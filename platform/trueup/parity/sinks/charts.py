"""Charts of the page as numbers: columns over time, histograms, bars, colours. Pure geometry; the template draws."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from trueup.parity.causes import UNEXPLAINED
from trueup.parity.results import Bin, Bucket, Drift, Profile
from trueup.parity.sinks.words import figure, limit_text, number, percent, when
from trueup.wording import counted

COLOURS = 8
"""Causes that have a colour of their own; the rest share one."""
MOST_BARS = 14
"""Bars of a distribution that are shown; what is left is one bar."""
_MOST_TICKS = 4


def palette(causes: Iterable[str]) -> dict[str, str]:
    """Cause -> class of its colour, the same all over the page."""
    named = [cause for cause in causes if cause != UNEXPLAINED]
    colours = {cause: f"c{index}" if index < COLOURS else "c-rest" for index, cause in enumerate(named)}
    return {**colours, UNEXPLAINED: "c-unexplained"}


def nice_top(largest: float) -> float:
    """The next round number (1, 2, 2.5, 5 times a power of ten) that is not below."""
    if largest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(largest))
    return next(
        (step * power for step in (1, 2, 2.5, 5) if step * power >= largest * (1 - 1e-12)),
        10 * power,
    )


# ------------------------------------------------------------------ over time


@dataclass(frozen=True)
class Segment:
    """y, height: percent of the chart, from the top."""

    colour: str
    y: float
    height: float


@dataclass(frozen=True)
class Column:
    """A bucket. segments: by cause, from the bottom up."""

    segments: tuple[Segment, ...]
    title: str


@dataclass(frozen=True)
class AxisTick:
    """at: percent along the axis."""

    at: float
    text: str


@dataclass(frozen=True)
class Timeline:
    """Share of values that differ, over time. legend: (cause, class of its colour)."""

    columns: tuple[Column, ...]
    ys: tuple[AxisTick, ...]
    xs: tuple[AxisTick, ...]
    legend: tuple[tuple[str, str], ...]
    width: str
    since: str


def timeline(buckets: Sequence[Bucket], colours: Mapping[str, str]) -> Timeline | None:
    """None for fewer than two buckets, or without a mismatch. A column is as high as the share of values that differ;
    its parts are to each other as the cells of the causes (one with two causes counts under both)."""
    largest = max((bucket.mismatched / bucket.compared for bucket in buckets if bucket.compared), default=0.0)
    if len(buckets) < 2 or not largest:
        return None
    top = min(nice_top(largest), 1.0)
    width = buckets[1].start - buckets[0].start
    found = [cause for cause in colours if any(cause in bucket.by_cause for bucket in buckets)]
    return Timeline(
        columns=tuple(_column(bucket, top, colours) for bucket in buckets),
        ys=tuple(AxisTick(at, f"{figure(100 * top * at / 100)} %") for at in (100, 50, 0)),
        xs=_instants([bucket.start for bucket in buckets]),
        legend=tuple((cause, colours[cause]) for cause in found),
        width=_width(width),
        since=f"{buckets[0].start:%Y-%m-%d}",
    )


def _column(bucket: Bucket, top: float, colours: Mapping[str, str]) -> Column:
    share = percent(bucket.mismatched, bucket.compared)
    causes = ", ".join(f"{cause} {number(count)}" for cause, count in bucket.by_cause.items())
    title = f"{when(bucket.start)}: {share} of {counted(bucket.compared, 'value')}, {counted(bucket.rows, 'row')}"
    if not bucket.mismatched:
        return Column((), title)
    # A report without causes by bucket (an older one) has one part.
    parts = bucket.by_cause or {"": 1}
    height = 100 * bucket.mismatched / bucket.compared / top
    total = sum(parts.values())
    segments, bottom = [], 100.0
    for cause, count in parts.items():
        part = height * count / total
        bottom -= part
        segments.append(Segment(colours.get(cause, "c0"), round(bottom, 2), round(part, 2)))
    return Column(tuple(segments), f"{title}; {causes}" if causes else title)


def _instants(starts: Sequence[datetime]) -> tuple[AxisTick, ...]:
    """A few bucket starts, evenly spread, as many as a narrow chart has room for; midnights where there are several."""
    midnights = [index for index, start in enumerate(starts) if start == start.replace(hour=0, minute=0)]
    chosen = midnights if len(midnights) >= 2 else list(range(len(starts)))
    if starts[0].year != starts[-1].year:
        pattern = "%Y-%m-%d"
    elif chosen is midnights:
        pattern = "%m-%d"
    else:
        pattern = "%H:%M" if starts[0].date() == starts[-1].date() else "%m-%d %H:%M"
    step = math.ceil(len(chosen) / (_MOST_TICKS if len(f"{starts[0]:{pattern}}") == len("00:00") else 2))
    return tuple(
        AxisTick(round(100 * index / len(starts), 2), f"{starts[index]:{pattern}}") for index in chosen[::step]
    )


def _width(width: timedelta) -> str:
    hours = int(width.total_seconds() // 3600)
    return counted(hours // 24, "day") if hours >= 24 else counted(hours, "hour")


# ------------------------------------------------------------------ distributions


@dataclass(frozen=True)
class Histogram:
    """Both sides of a feature's ranges as one path each, in a box of `width` by 100. edges: along its bottom.
    titles: (x, text) of each column of `STEP`."""

    width: int
    reference: str
    current: str
    edges: tuple[AxisTick, ...]
    top: str
    titles: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Pair:
    """A value, category or state as two bars: percent of the longest bar. tag: `new`, `gone` or nothing."""

    name: str
    reference: float
    current: float
    shares: tuple[str, str]
    tag: str


@dataclass(frozen=True)
class Distance:
    """A statistic against its threshold. at, limit: percent of the larger of the two; None without a threshold."""

    name: str
    value: str
    threshold: str | None
    beyond: bool
    at: float
    limit: float | None


@dataclass(frozen=True)
class Overlay:
    """A feature's two distributions. left_out: bars that are not shown by themselves, in words."""

    name: str
    drift: Drift
    histogram: Histogram | None
    pairs: tuple[Pair, ...]
    left_out: str
    distances: tuple[Distance, ...]
    quantiles: tuple[tuple[str, str, str], ...]
    facts: tuple[tuple[str, str, str], ...]


STEP = 12
"""Width of a column of a histogram."""


def overlay(name: str, drift: Drift) -> Overlay:
    ranges = [each for each in drift.bins if _is_range(each)]
    ranges.sort(key=lambda each: (each.low is not None, each.low if each.low is not None else 0.0))
    others = [each for each in drift.bins if not _is_range(each)]
    totals = _total(drift, "reference"), _total(drift, "current")
    pairs, left_out = _pairs(others, drift, totals)
    names = list(dict.fromkeys([*drift.reference.quantiles, *drift.current.quantiles]))
    return Overlay(
        name=name,
        drift=drift,
        histogram=_histogram(ranges, totals) if ranges else None,
        pairs=pairs,
        left_out=left_out,
        distances=tuple(_distance(key, value, drift.limits.get(key)) for key, value in drift.distances.items()),
        quantiles=tuple((key, _quantile(drift.reference, key), _quantile(drift.current, key)) for key in names),
        facts=_facts(drift),
    )


def _is_range(each: Bin) -> bool:
    """A point mass is no range: it has no width."""
    return (each.low is not None or each.high is not None) and each.low != each.high


def _total(drift: Drift, side: str) -> int:
    rows: int = getattr(drift, side).rows
    return rows or sum(getattr(each, side) for each in drift.bins)


def _histogram(ranges: Sequence[Bin], totals: tuple[int, int]) -> Histogram:
    shares = [(_share(each.reference, totals[0]), _share(each.current, totals[1])) for each in ranges]
    top = min(nice_top(max(max(pair) for pair in shares)), 1.0)
    edges = [each.low for each in ranges] + [ranges[-1].high]
    return Histogram(
        width=STEP * len(ranges),
        reference=_path([pair[0] / top for pair in shares], 0, STEP),
        current=_path([pair[1] / top for pair in shares], STEP // 4, STEP // 2),
        edges=_edges(edges),
        top=f"{figure(100 * top)} %",
        titles=tuple(
            (
                STEP * index,
                f"{each.label}: {percent(each.reference, totals[0])} before, {percent(each.current, totals[1])} now",
            )
            for index, each in enumerate(ranges)
        ),
    )


def _path(heights: Iterable[float], left: int, width: int) -> str:
    """Bars as one SVG path, STEP apart; heights 0 to 1."""
    return "".join(
        f"M{STEP * index + left} 100v-{100 * height:.4g}h{width}V100z" for index, height in enumerate(heights) if height
    )


def _edges(edges: Sequence[float | None]) -> tuple[AxisTick, ...]:
    """At most three of them: the first and last that have a number, and one between."""
    known = [(index, edge) for index, edge in enumerate(edges) if edge is not None]
    chosen = [known[0], known[len(known) // 2], known[-1]] if len(known) > 2 else known
    last = len(edges) - 1
    return tuple(AxisTick(round(100 * index / last, 2), figure(edge)) for index, edge in dict.fromkeys(chosen))


def _pairs(bins: Sequence[Bin], drift: Drift, totals: tuple[int, int]) -> tuple[tuple[Pair, ...], str]:
    """The states first as they come, then the categories, most first; a few of them."""
    ordered = sorted(bins, key=lambda each: -max(_share(each.reference, totals[0]), _share(each.current, totals[1])))
    shown = ordered[:MOST_BARS]
    new, gone = ({name for name, _ in each} for each in (drift.new_categories, drift.vanished_categories))
    longest = (
        max((max(_share(b.reference, totals[0]), _share(b.current, totals[1])) for b in shown), default=0.0) or 1.0
    )
    pairs = tuple(
        Pair(
            each.label,
            round(100 * _share(each.reference, totals[0]) / longest, 2),
            round(100 * _share(each.current, totals[1]) / longest, 2),
            (percent(each.reference, totals[0]), percent(each.current, totals[1])),
            "new" if each.label in new else "gone" if each.label in gone else "",
        )
        for each in shown
    )
    rest = ordered[MOST_BARS:]
    if not rest:
        return pairs, ""
    before, now = sum(each.reference for each in rest), sum(each.current for each in rest)
    shares = f"{percent(before, totals[0])} before, {percent(now, totals[1])} now"
    return pairs, f"{counted(len(rest), 'more value')}: {shares}"


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _distance(name: str, value: float, threshold: float | None) -> Distance:
    finite = [abs(each) for each in (value, threshold) if each is not None and math.isfinite(each)]
    largest = max(finite, default=0.0) or 1.0

    def at(each: float) -> float:
        return round(100 * min(abs(each) / largest, 1.0), 2) if math.isfinite(each) else 100.0

    return Distance(
        name=name,
        value=figure(value),
        threshold=None if threshold is None else limit_text(threshold),
        beyond=threshold is not None and value >= threshold,
        at=at(value),
        limit=None if threshold is None else at(threshold),
    )


def _quantile(side: Profile, name: str) -> str:
    return figure(side.quantiles[name]) if name in side.quantiles else "-"


def _facts(drift: Drift) -> tuple[tuple[str, str, str], ...]:
    """Shares of rows that are no ordinary value, on both sides; only those that are there and are no bin already."""
    before, now = drift.reference, drift.current
    drawn = {each.label.lower() for each in drift.bins}
    shares = [
        (name, percent(getattr(before, name), before.rows), percent(getattr(now, name), now.rows))
        for name in ("null", "missing", "expired", "nan", "infinite", "outliers")
        if name not in drawn and (getattr(before, name) or getattr(now, name))
    ]
    if before.distinct is not None or now.distinct is not None:
        shares.append(("distinct", _distinct(before), _distinct(now)))
    return tuple(shares)


def _distinct(side: Profile) -> str:
    return "-" if side.distinct is None else number(side.distinct)
