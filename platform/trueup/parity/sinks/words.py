"""Numbers and verdicts in plain words, the same in every sink."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trueup.parity.report import Report
from trueup.parity.results import Result

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
    if not any(result.compared for result in report.cells):
        return "Nothing was compared."
    served, online = ([r for r in report.of(check) if r.verdict == "fail"] for check in ("served", "online"))
    said = []
    if served:
        said.append(f"{_all(served)} {'was' if len(served) == 1 else 'were'} not served what training reads.")
    if online:
        said.append(f"The online store does not hold what it should: {_all(online)}.")
    if not said:
        said.append("What was compared is what training reads.")
    broken = [result for result in report.cells if result.verdict == "could not run"]
    if broken:
        said.append(f"{_all(broken)} could not be checked.")
    return " ".join(said)


def figures(report: Report) -> str:
    """The numbers under the headline."""
    compared = sum(result.compared for result in report.cells)
    mismatched = sum(result.mismatched for result in report.cells)
    unexplained = sum(result.unexplained for result in report.cells)
    if not compared:
        return "An empty comparison is not a pass."
    if not mismatched:
        return f"All {number(compared)} compared values are the same."
    found = f"{number(mismatched)} of {number(compared)} compared values differ ({percent(mismatched, compared)})"
    if not unexplained:
        return f"{found}; each has a cause."
    return f"{found}; {number(unexplained)} of them have no known cause."


def settled(result: Result) -> list[str]:
    """What counts as equal although it is not the same in every respect."""
    counts = result.counts
    lines = {
        "from an older row, same value": counts.stale_equal,
        "just being written by a run": result.during_materialization,
        "expired, not kept online": counts.forgotten,
        "within tolerance": counts.within_tolerance,
    }
    return [f"{number(count)} {what}" for what, count in lines.items() if count]


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


def _all(results: Sequence[Result]) -> str:
    """`a`, `a and b`, `a, b and 3 more`."""
    names = [result.label for result in results]
    if len(names) > 3:
        names = [*names[:2], f"{len(names) - 2} more"]
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
