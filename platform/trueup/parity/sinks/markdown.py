"""The report as a short summary for a merge request: GitHub's and GitLab's Markdown.

Names come from data. Each stands in a code span, in which nothing is markup: no mention, no link, no HTML.
"""

from __future__ import annotations

from trueup.parity.causes import UNEXPLAINED
from trueup.parity.report import Report
from trueup.parity.results import ExpectationResult, Result, Verdict
from trueup.parity.sinks.gfm import code, prose, table
from trueup.parity.sinks.words import (
    asserted,
    causes_of,
    farthest,
    figure,
    figures,
    headline,
    left_out,
    line,
    number,
    percent,
    remedy,
    terms,
    told,
)
from trueup.wording import counted

MOST_ROWS = 10
"""Features, drifted features and failed expectations that are listed; the rest is counted."""
_MARKS: dict[Verdict, str] = {"pass": "✅", "fail": "❌", "could not run": "⚠️"}


def render_markdown(report: Report, *, docs: str | None = None) -> str:
    """docs: address of the page that describes the causes, with an anchor for each; without one they stand unlinked."""
    parts = [
        f"### {_MARKS[report.verdict]} Parity: {report.verdict}",
        f"**{prose(headline(report))}** {prose(figures(report))}",
        _subjects(report),
        _causes(report, docs),
        _features(report),
        _drift(report),
        _expectations(report),
        _asides(report),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _subjects(report: Report) -> str:
    if not report.results:
        return ""
    rows = []
    for result in report.results:
        row = line(result)
        unexplained = "" if row.unexplained is None else number(row.unexplained)
        rows.append(
            [
                f"{_MARKS[row.verdict]} {row.check}",
                code(row.subject),
                counted(row.examined, row.unit),
                number(row.found),
                prose(row.share),
                unexplained,
            ]
        )
    return table(["check", "subject", "examined", "differ", "share", "unexplained"], "llrrrr", rows)


def _causes(report: Report, docs: str | None) -> str:
    rows = []
    for cause, where in causes_of(report).items():
        name = code(cause) if docs is None else f"[{code(cause)}]({docs}#{cause})"
        rows.append([name, number(sum(where.values())), prose(remedy(cause)[1])])
    return table(["cause", "values", "what to do next"], "lrl", rows) if rows else ""


def _features(report: Report) -> str:
    """The features that differ most, over all results."""
    found = [
        (feature.counts.mismatched, result.label, name, feature)
        for result in report.cells
        for name, feature in result.features.items()
        if feature.counts.mismatched
    ]
    found.sort(key=lambda each: (-each[0], each[1], each[2]))
    rows = [
        [
            code(label),
            code(name),
            number(mismatched),
            prose(percent(mismatched, feature.counts.compared)),
            ", ".join(code(cause) for cause in [*feature.by_cause, *([UNEXPLAINED] if feature.unexplained else [])]),
        ]
        for mismatched, label, name, feature in found[:MOST_ROWS]
    ]
    return _listed(
        "Features that differ most", ["subject", "feature", "differ", "share", "causes"], "llrrl", rows, len(found)
    )


def _drift(report: Report) -> str:
    found = [(result, name) for result in report.drift for name in result.drifted]
    rows = []
    for result, name in found[:MOST_ROWS]:
        drift = result.features[name]
        rows.append([code(result.label), code(name), figure(drift.q_value), prose(farthest(drift))])
    return _listed(
        "Drifted features", ["subject", "feature", "q", "farthest above its threshold"], "llrl", rows, len(found)
    )


def _expectations(report: Report) -> str:
    found = [(result, each) for result in report.expectations for each in result.failed]
    rows = [
        [
            code(result.label),
            code(asserted(each)),
            number(each.unexpected),
            prose(percent(each.unexpected, each.examined)),
        ]
        for result, each in found[:MOST_ROWS]
    ]
    return _listed("Failed expectations", ["subject", "expectation", "rows", "share"], "llrr", rows, len(found))


def _asides(report: Report) -> str:
    """What could not run or was not compared, what verdicts go by, and what else was found."""
    lines = []
    for result in report.results:
        if result.verdict == "could not run":
            lines.append(f"- {code(result.label)} could not be checked: {prose(told(result))}")
        else:
            lines += [f"- {code(result.label)}: {prose(said)}" for said in left_out(result) + terms(result)]
        if isinstance(result, Result):
            lines += [f"- {code(result.label)}: {prose(f'{name}: {note}')}" for name, note in result.notes.items()]
        if isinstance(result, ExpectationResult) and result.data_docs is not None:
            lines.append(f"- {code(result.label)}: Data Docs in {code(result.data_docs)}")
    lines += [f"- {prose(said)}" for said in report.not_checked]
    return "\n".join(lines)


def _listed(title: str, head: list[str], align: str, rows: list[list[str]], total: int) -> str:
    if not rows:
        return ""
    more = f"\n\nand {number(total - MOST_ROWS)} more" if total > MOST_ROWS else ""
    return f"**{title}**\n\n{table(head, align, rows)}{more}"
