"""The report as JUnit XML, for a CI server's test page.

One suite a result, one case a feature or expectation. What fails the check is a failure; a result that could not run is
one case with an error; a feature of which nothing could be compared is skipped. It keeps to what both common schemas
(Ant's and Jenkins's) allow. Names come from data: characters that XML 1.0 cannot hold are written out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from trueup.instants import as_utc
from trueup.parity.report import Report
from trueup.parity.results import AnyResult, DriftResult, ExpectationResult, FeatureResult, Result
from trueup.parity.sinks.words import (
    asserted,
    checked,
    exceeded,
    figure,
    left_out,
    named_contract,
    number,
    percent,
    remedy,
    terms,
    told,
    visible,
)
from trueup.wording import counted


@dataclass(frozen=True)
class _Case:
    """outcome: None is a pass. message: one line, of a passed case what else was found. detail: what to do."""

    name: str
    outcome: Literal["failure", "error", "skipped"] | None = None
    kind: str = ""
    message: str = ""
    detail: str = ""


def render_junit(report: Report) -> str:
    """The document. Times of single checks are not known and stand as 0."""
    root = Element("testsuites")
    for index, result in enumerate(report.results):
        _suite(root, report, result, index)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(root: Element, report: Report, result: AnyResult, index: int) -> None:
    cases = list(_cases(result))
    name = f"parity {result.check} {result.label}"
    suite = SubElement(
        root,
        "testsuite",
        {
            "name": visible(name),
            "id": str(index),
            "package": "trueup.parity",
            "timestamp": as_utc(report.finished_at).strftime("%Y-%m-%dT%H:%M:%S"),
            "hostname": "localhost",
            "tests": str(len(cases)),
            "failures": str(sum(case.outcome == "failure" for case in cases)),
            "errors": str(sum(case.outcome == "error" for case in cases)),
            "time": "0",
        },
    )
    properties = SubElement(suite, "properties")
    for key, value in _properties(result):
        # A name must not be empty, and a note may have any.
        SubElement(properties, "property", {"name": visible(key) or "note", "value": visible(value)})
    for case in cases:
        place = {"name": visible(case.name), "classname": visible(f"parity.{result.check}.{result.label}"), "time": "0"}
        element = SubElement(suite, "testcase", place)
        if case.outcome is not None:
            found = SubElement(element, case.outcome, {"type": case.kind, "message": visible(case.message)})
            found.text = _lines(case.detail)
    aside = [case.name + ": " + case.message for case in cases if case.outcome is None and case.message]
    SubElement(suite, "system-out").text = _lines("\n".join([told(result), *left_out(result), *terms(result), *aside]))
    SubElement(suite, "system-err")


def _properties(result: AnyResult) -> Iterator[tuple[str, str]]:
    yield "verdict", result.verdict
    yield "what", checked(result)
    yield "rows", str(result.rows)
    if result.contract is not None:
        yield "contract", named_contract(result, result.contract)
    if isinstance(result, Result):
        yield from result.notes.items()


def _cases(result: AnyResult) -> Iterator[_Case]:
    if result.verdict == "could not run":
        yield _Case(result.label, "error", "could_not_run", told(result), told(result))
    elif isinstance(result, DriftResult):
        yield from _drift(result)
    elif isinstance(result, ExpectationResult):
        yield from _expectations(result)
    else:
        failing = set(result.failing)
        for name, feature in result.features.items():
            yield _feature(name, feature, failed=name in failing)


def _feature(name: str, feature: FeatureResult, *, failed: bool) -> _Case:
    counts = feature.counts
    if counts.uncompared and not counts.compared:
        reasons = (f"{counted(count, 'value')} not compared: {reason}" for reason, count in counts.uncompared.items())
        return _Case(name, "skipped", "uncompared", "; ".join(reasons))
    if not counts.mismatched:
        return _Case(name)
    causes = {**feature.by_cause, **({"unexplained": feature.unexplained} if feature.unexplained else {})}
    share = percent(counts.mismatched, counts.compared)
    message = (
        f"{number(counts.mismatched)} of {counted(counts.compared, 'value')} differ ({share}): "
        f"{', '.join(f'{cause} {number(count)}' for cause, count in causes.items())}"
    )
    if not failed:
        return _Case(name, message=f"{message}; allowed by the policy")
    return _Case(
        name, "failure", "mismatch", message, "\n".join(f"{cause}: {' '.join(remedy(cause))}" for cause in causes)
    )


def _drift(result: DriftResult) -> Iterator[_Case]:
    for name, drift in result.features.items():
        if not drift.drifted:
            yield _Case(name)
            continue
        far = exceeded(drift)
        message = f"drifted, q {figure(drift.q_value)}" + (f": {', '.join(far)}" if far else "")
        yield _Case(name, "failure", "drift", message, "\n".join(drift.reasons))


def _expectations(result: ExpectationResult) -> Iterator[_Case]:
    for each in result.expectations:
        if each.success:
            yield _Case(asserted(each))
            continue
        share = percent(each.unexpected, each.examined)
        message = f"{number(each.unexpected)} of {counted(each.examined, 'row')} against it ({share})"
        yield _Case(asserted(each), "failure", "expectation", message, each.observed or "")


def _lines(text: str) -> str:
    """Line by line, so that the line breaks stay."""
    return "\n".join(visible(line) for line in text.split("\n"))
