"""The report as one HTML file that needs nothing else: no network, no fonts, no other file.

Whatever a feature, a key or a request brings is text in it: the template escapes all values, and the page's own
policy runs one script only, the one whose hash it names.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from trueup.parity.causes import UNEXPLAINED
from trueup.parity.report import Report, VariantScores
from trueup.parity.results import AnyResult, DriftResult, ExpectationResult, Result, Sample
from trueup.parity.sinks import clocks as geometry
from trueup.parity.sinks.charts import Overlay, Timeline, overlay, palette, timeline
from trueup.parity.sinks.words import (
    SIDES,
    Line,
    causes_of,
    checked,
    figure,
    figures,
    found_causes,
    left_out,
    line,
    named_contract,
    number,
    percent,
    remedy,
    sentences,
    settled,
    terms,
    told,
    visible,
    when,
)
from trueup.wording import counted

MOST_OPEN = 3
"""Feature tables that are open when the page opens; in a long report the others wait for a click."""


@dataclass(frozen=True)
class Section:
    """A section of somebody else's, after the overview. anchor: id of its element, linked in the navigation as `title`.
    body: markup whose every value is escaped. style: CSS it needs beside the report's."""

    anchor: str
    title: str
    body: Markup
    style: str = ""


def page_style() -> str:
    """The report's CSS, for pages of its kind."""
    return files("trueup.parity.sinks").joinpath("page", "report.css").read_text(encoding="utf-8")


def render_html(report: Report, sections: Sequence[Section] = ()) -> str:
    """The whole document. sections: shown after the overview."""
    folder = files("trueup.parity.sinks").joinpath("page")
    script = folder.joinpath("report.js").read_text(encoding="utf-8")
    style = "\n".join([page_style(), *dict.fromkeys(section.style for section in sections)])
    environment = Environment(
        loader=PackageLoader("trueup.parity.sinks", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "counted": counted, "instant": when, "figure": figure}
    environment.globals |= {"percent": percent, "told": told, "checked": checked, "geometry": geometry}
    causes = causes_of(report)
    colours = palette(causes)
    subjects = [_Subject.of(result, index, colours) for index, result in enumerate(report.results)]
    return environment.get_template("report.html.j2").render(
        report=report,
        said=sentences(report),
        figures=figures(report),
        subjects=subjects,
        cells=[subject for subject in subjects if isinstance(subject.result, Result)],
        drifts=[_Drift.of(subject) for subject in subjects if isinstance(subject.result, DriftResult)],
        expected=[subject for subject in subjects if isinstance(subject.result, ExpectationResult)],
        passed=_passed(report),
        noted=[subject for subject in subjects if isinstance(subject.result, Result) and subject.result.notes],
        contracts=_contracts(report),
        roles=[result for result in report.cells if result.roles],
        opened=_opened(subjects),
        causes=[_Cause.of(name, index, where) for index, (name, where) in enumerate(causes.items())],
        anchors={name: f"cause-{index}" for index, name in enumerate(causes)},
        colours=colours,
        scores=_scores(report),
        sections=sections,
        style=Markup(style),  # noqa: S704 (our own files)
        script=Markup(script),  # noqa: S704 (our own file)
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _finalize(value: object) -> object:
    """Every value the template shows: characters that reorder a line would reach past their own element."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@dataclass(frozen=True)
class _Bar:
    """width: percent of the longest bar."""

    name: str
    count: int
    share: str
    width: float
    colour: str


@dataclass(frozen=True)
class _Shown:
    """A sample and its time line."""

    sample: Sample
    clocks: geometry.Clocks | None


@dataclass(frozen=True)
class _Subject:
    """A result with what its sections show. sides: what the two are called. failing: features that fail it under its
    policy. data_docs: as a link."""

    anchor: str
    result: AnyResult
    line: Line
    settled: tuple[str, ...]
    left_out: tuple[str, ...]
    terms: tuple[str, ...]
    bars: tuple[_Bar, ...] = ()
    chart: Timeline | None = None
    samples: tuple[tuple[str, tuple[_Shown, ...]], ...] = ()
    sides: tuple[str, str] = ("", "")
    failing: frozenset[str] = frozenset()
    data_docs: str | None = None

    @classmethod
    def of(cls, result: AnyResult, index: int, colours: Mapping[str, str]) -> _Subject:
        cells = isinstance(result, Result)
        return cls(
            anchor=f"r{index}",
            result=result,
            line=line(result),
            settled=tuple(settled(result)) if isinstance(result, Result) else (),
            left_out=tuple(left_out(result)),
            terms=tuple(terms(result)),
            bars=_bars(result, colours) if isinstance(result, Result) else (),
            chart=timeline(result.timeline, colours) if isinstance(result, Result) else None,
            samples=_samples(result) if isinstance(result, Result) else (),
            sides=SIDES[result.check] if cells else ("", ""),
            failing=frozenset(result.failing) if isinstance(result, Result) else frozenset(),
            data_docs=_local(result.data_docs) if isinstance(result, ExpectationResult) else None,
        )


def _bars(result: Result, colours: Mapping[str, str]) -> tuple[_Bar, ...]:
    by_cause = found_causes(result)
    longest = max(by_cause.values(), default=1)
    return tuple(
        _Bar(name, count, percent(count, result.mismatched), round(100 * count / longest, 2), colours[name])
        for name, count in by_cause.items()
    )


def _samples(result: Result) -> tuple[tuple[str, tuple[_Shown, ...]], ...]:
    """Set of causes -> its samples."""
    groups: dict[str, list[_Shown]] = {}
    for sample in result.samples:
        drawn = geometry.clocks(sample, SIDES[result.check], "read" if result.check == "online" else "served")
        groups.setdefault(" + ".join(sample.causes) or UNEXPLAINED, []).append(_Shown(sample, drawn))
    return tuple((name, tuple(samples)) for name, samples in groups.items())


def _contracts(report: Report) -> dict[str, list[str]]:
    """Contract -> the subjects under it."""
    found: dict[str, list[str]] = {}
    for result in report.results:
        if result.contract is not None:
            of = found.setdefault(named_contract(result, result.contract[:12]), [])
            of += [result.label] * (result.label not in of)
    return found


def _opened(subjects: list[_Subject]) -> set[str]:
    """Anchors of the feature tables that are open: the first that have something to show, or the only one."""
    cells = [subject for subject in subjects if isinstance(subject.result, Result)]
    differ = [subject.anchor for subject in cells if subject.line.found]
    return set(differ[:MOST_OPEN] if len(cells) > 1 else [subject.anchor for subject in cells])


def _local(path: str | None) -> str | None:
    """A link to a path beside the report; None for anything that could lead elsewhere."""
    if path is None or ":" in path or path.startswith(("/", "\\")):
        return None
    return quote(path)


@dataclass(frozen=True)
class _Drift:
    """A drift result: the statistics that any feature has, and the features, drifted first."""

    subject: _Subject
    statistics: tuple[str, ...]
    drifted: tuple[Overlay, ...]
    steady: tuple[Overlay, ...]

    @classmethod
    def of(cls, subject: _Subject) -> _Drift:
        result = subject.result
        assert isinstance(result, DriftResult)
        every = [overlay(name, drift) for name, drift in result.features.items()]
        every.sort(key=lambda each: (each.drift.q_value, each.name))
        return cls(
            subject=subject,
            statistics=tuple(dict.fromkeys(name for drift in result.features.values() for name in drift.distances)),
            drifted=tuple(each for each in every if each.drift.drifted),
            steady=tuple(each for each in every if not each.drift.drifted),
        )


@dataclass(frozen=True)
class _Passed:
    """Views of one check that all passed, as one card."""

    title: str
    what: str
    said: str


def _passed(report: Report) -> list[_Passed]:
    """What is many alike and in order is told once: views of the online store, on-demand views."""
    found = []
    for check, title in (("online", "online store"), ("transforms", "on-demand views")):
        results = [result for result in report.cells if result.check == check and result.verdict == "pass"]
        if results:
            compared, differ = (sum(getattr(each, name) for each in results) for name in ("compared", "mismatched"))
            same = f"{number(compared - differ)} of {number(compared)}" if differ else f"All {number(compared)}"
            rows = counted(sum(each.rows for each in results), "row")
            said = f"{same} values of {counted(len(results), 'view')} are the same, for {rows}."
            found.append(_Passed(title, checked(results[0]), said))
    return found


@dataclass(frozen=True)
class _Score:
    """A variant's scores and where they stand (percent) on the line that all variants share."""

    variant: VariantScores
    offline_at: float
    online_at: float

    @property
    def change(self) -> str:
        return f"{self.variant.auc_online - self.variant.auc_offline:+.3f}"


def _scores(report: Report) -> list[_Score]:
    variants = report.experiment.variants if report.experiment is not None else ()
    every = [value for each in variants for value in (each.auc_offline, each.auc_online)]
    low, high = min(every, default=0.0), max(every, default=0.0)
    # A margin on both sides, so that the outermost dots lie within the line.
    span = (high - low) or 1.0

    def at(value: float) -> float:
        return round(8 + 84 * (value - low) / span, 2)

    return [_Score(variant, at(variant.auc_offline), at(variant.auc_online)) for variant in variants]


@dataclass(frozen=True)
class _Cause:
    """A cause that was found. where: labels with their cells."""

    name: str
    anchor: str
    meaning: str
    advice: str
    where: str

    @classmethod
    def of(cls, name: str, index: int, where: Mapping[str, int]) -> _Cause:
        return cls(
            name,
            f"cause-{index}",
            *remedy(name),
            ", ".join(f"{label} {number(count)}" for label, count in where.items()),
        )
