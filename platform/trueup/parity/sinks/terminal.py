"""The report as tables for a terminal, at most 100 columns wide.

Names come from data: characters that would move the cursor or reorder the line are written out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trueup.parity.causes import UNEXPLAINED
from trueup.parity.report import Report
from trueup.parity.results import AnyResult, DriftResult, ExpectationResult, Result, Verdict
from trueup.parity.sinks.words import (
    farthest,
    figure,
    figures,
    found_causes,
    headline,
    left_out,
    line,
    number,
    percent,
    remedy,
    terms,
    told,
    visible,
)

WIDTH = 100
MOST_ROWS = 12
"""Drifted features and failed expectations of a result that are listed; the rest is counted."""
_STYLES: dict[Verdict, str] = {"pass": "green", "fail": "red", "could not run": "yellow"}


def render_terminal(report: Report) -> RenderableType:
    """The verdict, a line for each subject, and what was found. Print it with a console of at most WIDTH columns."""
    parts: list[RenderableType] = [
        Text.assemble((report.verdict.upper(), f"bold {_STYLES[report.verdict]}"), "  ", _text(headline(report))),
        _text(figures(report)),
        "",
        _subjects(report),
    ]
    found = [result for result in report.cells if result.mismatched]
    if found:
        parts += ["", _causes(found), "", _next(found)]
    for drift in report.drift:
        if drift.drifted:
            parts += ["", _drift(drift)]
    for expected in report.expectations:
        if expected.failed:
            parts += ["", _expectations(expected)]
    asides = [aside for result in report.results for aside in _asides(result)]
    asides += [_text(said, "dim") for said in report.not_checked]
    return Group(*parts, *[""][: len(asides)], *asides)


def _text(text: str, style: str = "") -> Text:
    return Text(visible(text), style=style)


def _table(title: str | None, texts: Mapping[str, int], numbers: Sequence[str]) -> Table:
    """texts: columns of text, with their shares of the width that the columns of numbers leave."""
    table = Table(
        box=None, pad_edge=False, header_style="bold", width=WIDTH, title=title and _text(title), title_justify="left"
    )
    for column, share in texts.items():
        table.add_column(column, overflow="fold", ratio=share)
    for column in numbers:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _subjects(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", width=WIDTH)
    table.add_column("check", no_wrap=True)
    table.add_column("subject", overflow="fold", ratio=1)
    table.add_column("as of", overflow="fold", max_width=10)
    table.add_column("verdict", no_wrap=True)
    for name in ("examined", "differ", "share", "unexpl."):
        table.add_column(name, justify="right", overflow="fold")
    for result in report.results:
        row = line(result)
        table.add_row(
            row.check,
            _text(row.subject),
            _text(row.against),
            Text(row.verdict, style=_STYLES[row.verdict]),
            number(row.examined),
            number(row.found),
            row.share,
            "-" if row.unexplained is None else number(row.unexplained),
        )
    return table


def _causes(results: list[Result]) -> Table:
    table = _table(None, {"subject": 3, "cause": 3, "most in": 4}, ["values"])
    for result in results:
        for index, (cause, count) in enumerate(found_causes(result).items()):
            subject = _text(result.label) if not index else ""
            table.add_row(subject, _text(cause), _text(_most(result, cause)), number(count))
    return table


def _next(results: list[Result]) -> Table:
    """What to do about each cause, once."""
    table = Table(box=None, pad_edge=False, show_header=False, width=WIDTH)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    for cause in dict.fromkeys(cause for result in results for cause in found_causes(result)):
        table.add_row(_text(cause, "bold"), remedy(cause)[1])
    return table


def _drift(result: DriftResult) -> Table:
    table = _table(f"{result.label}: {told(result)}", {"feature": 4, "above threshold": 4}, ["q", "null then", "now"])
    for name in result.drifted[:MOST_ROWS]:
        drift = result.features[name]
        nulls = [
            percent(side.null + side.missing + side.expired, side.rows) for side in (drift.reference, drift.current)
        ]
        table.add_row(_text(name), _text(farthest(drift)), figure(drift.q_value), *nulls)
    return _cut(table, len(result.drifted))


def _expectations(result: ExpectationResult) -> Table:
    table = _table(
        f"{result.label}: {told(result)}", {"failed expectation": 5, "observed": 2}, ["rows against it", "share"]
    )
    for each in result.failed[:MOST_ROWS]:
        of = f"{each.feature}: " if each.feature is not None else ""
        table.add_row(
            _text(f"{of}{each.kind} {each.arguments}"),
            _text(each.observed or "-"),
            number(each.unexpected),
            percent(each.unexpected, each.examined),
        )
    return _cut(table, len(result.failed))


def _cut(table: Table, rows: int) -> Table:
    if rows > MOST_ROWS:
        table.caption = f"and {number(rows - MOST_ROWS)} more"
        table.caption_justify = "left"
    return table


def _asides(result: AnyResult) -> list[Text]:
    """Why it could not run, what was left out, what its verdict goes by, and what else was found."""
    missed = left_out(result)
    said = [told(result)] if result.verdict == "could not run" else [*missed, *terms(result)]
    style = "yellow" if result.verdict == "could not run" or missed else "dim"
    notes = result.notes if isinstance(result, Result) else {}
    asides = [_text(f"{result.label}: {'; '.join(said)}", style)] if said else []
    return asides + [_text(f"{result.label}: {label}: {note}", "dim") for label, note in notes.items()]


def _most(result: Result, cause: str) -> str:
    """The feature with most mismatches of a cause."""
    counts = {
        name: feature.unexplained if cause == UNEXPLAINED else feature.by_cause.get(cause, 0)
        for name, feature in result.features.items()
    }
    return max(counts, key=lambda name: counts[name])
