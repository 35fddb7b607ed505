"""The report as one HTML file that needs nothing else: no network, no fonts, no other file.

Whatever a feature, a key or a request brings is text in it: the template escapes all values, and the page's own
policy runs one script only, the one whose hash it names.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from trueup.instants import format_instant
from trueup.parity.causes import BY_NAME, UNEXPLAINED
from trueup.parity.report import Report, VariantScores
from trueup.parity.results import Bucket, Result, Sample
from trueup.parity.sinks.words import checked, counted, figures, headline, number, percent, settled, told

_UNEXPLAINED_MEANING = "No rule that was tried reproduces what was served."
_UNEXPLAINED_ADVICE = (
    "Start from the samples below: look for what wrote the served value at its event time. It is none of the known "
    "causes, so treat it as a defect until it has a name."
)


def render_html(report: Report) -> str:
    """The whole document."""
    folder = files("trueup.parity.sinks")
    style, script = (folder.joinpath(name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    environment = Environment(
        loader=PackageLoader("trueup.parity", "sinks"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "counted": counted, "instant": _instant}
    return environment.get_template("report.html.j2").render(
        report=report,
        headline=headline(report),
        figures=figures(report),
        settled=settled,
        served=report.of("served"),
        online=report.of("online"),
        subjects=[_Subject.of(result, index) for index, result in enumerate(report.cells)],
        causes=_causes(report),
        scores=[_Score.of(variant, report.experiment.variants) for variant in report.experiment.variants]
        if report.experiment is not None
        else [],
        percent=percent,
        told=told,
        checked=checked,
        style=Markup(style),  # noqa: S704 (our own file)
        script=Markup(script),  # noqa: S704 (our own file)
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


@dataclass(frozen=True)
class _Bar:
    """width: percent of the longest bar."""

    name: str
    count: int
    share: str
    width: float


@dataclass(frozen=True)
class _Column:
    """A bucket as a column of a chart. height: percent of the tallest; None where nothing was compared."""

    height: float | None
    title: str


@dataclass(frozen=True)
class _Chart:
    """Mismatch rate over time. top: the rate of the highest column."""

    columns: tuple[_Column, ...]
    top: str
    first: str
    last: str
    width: str


@dataclass(frozen=True)
class _Subject:
    """A result with what its sections show."""

    anchor: str
    result: Result
    bars: tuple[_Bar, ...]
    chart: _Chart | None
    samples: tuple[tuple[str, tuple[Sample, ...]], ...]

    @classmethod
    def of(cls, result: Result, index: int) -> _Subject:
        by_cause = {**result.by_cause, **({UNEXPLAINED: result.unexplained} if result.unexplained else {})}
        longest = max(by_cause.values(), default=1)
        groups: dict[str, list[Sample]] = {}
        for sample in result.samples:
            groups.setdefault(" + ".join(sample.causes) or UNEXPLAINED, []).append(sample)
        return cls(
            anchor=f"r{index}",
            result=result,
            bars=tuple(
                _Bar(name, count, percent(count, result.mismatched), round(100 * count / longest, 2))
                for name, count in by_cause.items()
            ),
            chart=_chart(result.timeline),
            samples=tuple((name, tuple(samples)) for name, samples in groups.items()),
        )


@dataclass(frozen=True)
class _Score:
    """A variant's scores and where they stand (percent) on the line that all variants share."""

    variant: VariantScores
    offline_at: float
    online_at: float

    @property
    def change(self) -> str:
        return f"{self.variant.auc_online - self.variant.auc_offline:+.3f}"

    @classmethod
    def of(cls, variant: VariantScores, variants: tuple[VariantScores, ...]) -> _Score:
        every = [value for each in variants for value in (each.auc_offline, each.auc_online)]
        low, high = min(every), max(every)
        # A margin on both sides, so that the outermost dots lie within the line.
        span = (high - low) or 1.0

        def at(value: float) -> float:
            return round(8 + 84 * (value - low) / span, 2)

        return cls(variant, at(variant.auc_offline), at(variant.auc_online))


@dataclass(frozen=True)
class _Cause:
    name: str
    meaning: str
    advice: str
    where: str


def _causes(report: Report) -> list[_Cause]:
    """Each cause that was found, once, with where; the unexplained come first."""
    found: dict[str, list[str]] = {}
    for result in report.cells:
        for name, count in result.by_cause.items():
            found.setdefault(name, []).append(f"{result.label} {number(count)}")
    unexplained = [f"{result.label} {number(result.unexplained)}" for result in report.cells if result.unexplained]
    first = [_Cause(UNEXPLAINED, _UNEXPLAINED_MEANING, _UNEXPLAINED_ADVICE, ", ".join(unexplained))]
    named = [
        _Cause(name, cause.meaning, cause.advice, ", ".join(found[name]))
        for name, cause in BY_NAME.items()
        if name in found
    ]
    return (first if unexplained else []) + named


def _chart(timeline: tuple[Bucket, ...]) -> _Chart | None:
    rates = [bucket.mismatched / bucket.compared if bucket.compared else None for bucket in timeline]
    known = [rate for rate in rates if rate is not None]
    if len(timeline) < 2 or not any(known):
        return None
    top = max(known)
    width = timeline[1].start - timeline[0].start
    return _Chart(
        columns=tuple(
            _Column(
                height=None if rate is None else round(100 * rate / top, 2),
                title=f"{_instant(bucket.start)}: {percent(bucket.mismatched, bucket.compared)} of "
                f"{number(bucket.compared)} values, {number(bucket.rows)} rows",
            )
            for rate, bucket in zip(rates, timeline, strict=True)
        ),
        top=f"{100 * top:.2g} %",
        first=_instant(timeline[0].start),
        last=_instant(timeline[-1].start + width),
        width=_width(width),
    )


def _width(width: timedelta) -> str:
    hours = int(width.total_seconds() // 3600)
    return counted(hours // 24, "day") if hours >= 24 else counted(hours, "hour")


def _instant(instant: datetime) -> str:
    """As a person reads it: `2013-11-01 12:00Z`, with seconds and less only where there are some."""
    text = format_instant(instant).replace("T", " ")
    return text.replace(":00Z", "Z") if text.endswith(":00Z") else text
