"""The report as tables for a terminal, at most 100 columns wide."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from trueup.parity.report import Report
from trueup.parity.results import Result, Verdict
from trueup.parity.sinks.words import figures, headline, number, percent, told

WIDTH = 100
_STYLES: dict[Verdict, str] = {"pass": "green", "fail": "red", "could not run": "yellow"}


def render_terminal(report: Report) -> RenderableType:
    """The verdict, a line for each subject, and the causes. Print it with a console of at most WIDTH columns."""
    parts: list[RenderableType] = [
        Text.assemble((report.verdict.upper(), f"bold {_STYLES[report.verdict]}"), "  ", headline(report)),
        figures(report),
        "",
        _subjects(report),
    ]
    found = [result for result in report.cells if result.mismatched]
    if found:
        parts += ["", _causes(found)]
    parts += [
        Text(f"{result.label}: {told(result)}", style="yellow")
        for result in report.cells
        if result.verdict == "could not run"
    ]
    return Group(*parts)


def _subjects(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", width=WIDTH)
    table.add_column("check")
    table.add_column("subject", overflow="fold", ratio=1)
    table.add_column("as of")
    table.add_column("verdict")
    for name in ("compared", "differ", "share", "unexpl."):
        table.add_column(name, justify="right", no_wrap=True)
    for result in report.cells:
        table.add_row(
            result.check,
            escape(result.label),
            result.known_at or "-",
            Text(result.verdict, style=_STYLES[result.verdict]),
            number(result.compared),
            number(result.mismatched),
            percent(result.mismatched, result.compared),
            number(result.unexplained),
        )
    return table


def _causes(results: list[Result]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", width=WIDTH)
    table.add_column("subject", overflow="fold", ratio=1)
    table.add_column("cause", no_wrap=True)
    table.add_column("values", justify="right", no_wrap=True)
    table.add_column("most in", overflow="fold", ratio=1)
    for result in results:
        counts = [*result.by_cause.items(), *([("unexplained", result.unexplained)] if result.unexplained else [])]
        for index, (cause, count) in enumerate(counts):
            table.add_row(escape(result.label) if not index else "", cause, number(count), escape(_most(result, cause)))
    return table


def _most(result: Result, cause: str) -> str:
    """The feature with most mismatches of a cause."""
    counts = {
        name: feature.unexplained if cause == "unexplained" else feature.by_cause.get(cause, 0)
        for name, feature in result.features.items()
    }
    return max(counts, key=lambda name: counts[name])
