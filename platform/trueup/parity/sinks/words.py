"""Numbers and verdicts in plain words, the same in every sink."""

from __future__ import annotations

from collections.abc import Mapping

from trueup.parity.report import Report, Result

RULES: Mapping[str, str] = {
    "served": "what the online store held at the time",
    "label": "what was known at the time",
    "unbounded": "everything, known at the time or not",
}
"""What a model learned from, by its rule."""


def number(value: int) -> str:
    return f"{value:,}"


def percent(part: int, whole: int) -> str:
    """A share that never shows something as nothing, nor less than everything as everything."""
    if not whole:
        return "-"
    share = 100 * part / whole
    if part == 0 or part == whole:
        return f"{share:.0f} %"
    if share < 0.01:
        return "< 0.01 %"
    if share > 99.99:
        return "> 99.99 %"
    return f"{share:.2f} %" if share < 10 or share > 99 else f"{share:.1f} %"


def counted(value: int, noun: str) -> str:
    """`1 value`, `2 values`."""
    return f"{value:,} {noun}" if value == 1 else f"{value:,} {noun}s"


def headline(report: Report) -> str:
    """The verdict, as one would say it."""
    compared = sum(result.compared for result in report.results)
    mismatched = sum(result.mismatched for result in report.results)
    if not compared:
        return "Nothing was compared."
    if not mismatched:
        said = f"All {number(compared)} compared values are what training reads."
        return said if report.verdict == "pass" else f"{said} But not everything could be checked."
    unexplained = sum(result.unexplained for result in report.results)
    values = f"{number(mismatched)} of {number(compared)} values are not what training reads"
    if not unexplained:
        return f"{values}. Every one is explained."
    return f"{values}. {counted(unexplained, 'value')} of them without a known cause."


def told(result: Result) -> str:
    """One result in a sentence or two."""
    if result.problem is not None:
        return result.problem
    if not result.compared:
        return "Nothing was compared: " + (_reasons(result.uncompared) or "there were no rows") + "."
    if not result.mismatched:
        return f"All {number(result.compared)} values are the same."
    share = percent(result.mismatched, result.compared)
    said = f"{number(result.mismatched)} of {number(result.compared)} values differ ({share})"
    causes = ", ".join(f"{name} {number(count)}" for name, count in result.by_cause.items())
    rest = f"{number(result.unexplained)} unexplained" if result.unexplained else ""
    return f"{said}: {', '.join(part for part in (causes, rest) if part)}."


def checked(result: Result) -> str:
    """What the result is about."""
    if result.check == "served":
        rule = RULES.get(result.known_at or "")
        return "served log" if rule is None else f"served log, against {rule}"
    return "online store, against what the ledger says it holds"


def _reasons(uncompared: Mapping[str, int]) -> str:
    return ", ".join(f"{counted(rows, 'row')} {reason}" for reason, rows in uncompared.items())
