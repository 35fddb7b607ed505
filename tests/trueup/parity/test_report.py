"""The report as data and as what people see."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from trueup.errors import InputError
from trueup.parity.causes import CAUSES
from trueup.parity.compare import Counts, States
from trueup.parity.report import SCHEMA, Experiment, Report, VariantScores
from trueup.parity.results import Bucket, Cell, FeatureResult, Result, RoleResult, Sample
from trueup.parity.sinks.html import render_html
from trueup.parity.sinks.json import parse_json, render_json
from trueup.parity.sinks.terminal import WIDTH, render_terminal
from trueup.parity.sinks.words import percent
from trueup.parity.tally import shown

NOON = datetime(2013, 11, 1, 12, tzinfo=UTC)
HOSTILE = "</td><script>alert('x')</script><img src=x onerror=alert(1)>\"'&{{ 7*7 }}[bold]"


def result(
    mismatched: int = 0, *, compared: int = 10, unexplained: int = 0, subject: str = "model", **options: Any
) -> Result:
    counts = Counts(
        compared=compared,
        equal=compared - mismatched,
        value=mismatched,
        served=States(1, 2, 3),
        uncompared={"no status": 2},
    )
    explained = mismatched - unexplained
    feature = FeatureResult("Float64", counts, unexplained, 0, {"late_arrival": explained} if explained else {})
    return Result(
        **{
            "check": "served",
            "subject": subject,
            "version": "1",
            "known_at": "unbounded",
            "service": "flights",
            "contract": "0" * 64,
            "rows": compared,
            "features": {"view__feature": feature},
            **options,
        }
    )


def report(*results: Result, **options: Any) -> Report:
    return Report(NOON, NOON + timedelta(seconds=3), results, {"trueup": "0.1"}, {"ledger": "none"}, **options)


def sample(text: str = "1.5", **options: Any) -> Sample:
    return Sample(
        **{
            "feature": f"view__{text}",
            "causes": ("late_arrival",),
            "keys": {text: text},
            "at": NOON,
            "served": Cell(text, "present", NOON, NOON),
            "recomputed": Cell(None, "missing", None),
            "request": text,
            "row": 0,
            "role": "answer",
            **options,
        }
    )


FULL = report(
    result(
        4,
        unexplained=1,
        uncompared={"no instant": 3},
        roles={"answer": RoleResult(5, 5, 2, 0)},
        timeline=(Bucket(NOON, 1, 5, 4), Bucket(NOON + timedelta(hours=1), 0, 0, 0)),
        samples=(sample(), sample(causes=())),
    ),
    result(subject="plane", check="online", version=None, known_at="served"),
    result(subject="broken", compared=0, features={}, problem="no such model."),
    experiment=Experiment("What it cost", "It lost.", (VariantScores("a", 5, 0.75, 0.7, 0.4, 0.5),)),
)


def test_a_report_comes_back_from_json_as_it_was() -> None:
    assert parse_json(render_json(FULL)) == FULL


@given(st.text(), st.integers(0, 10), st.datetimes(timezones=st.just(UTC)))
def test_any_text_count_and_instant_comes_back_from_json(text: str, count: int, instant: datetime) -> None:
    text = text.encode("utf-8", "replace").decode()
    given_report = report(result(count, subject=text, samples=(sample(text, at=instant),)))
    assert parse_json(render_json(given_report)) == given_report


def test_json_says_what_the_causes_mean_and_has_the_totals_in_it() -> None:
    data = json.loads(render_json(FULL))
    assert data["schema"] == SCHEMA
    assert list(data["causes"]) == ["late_arrival"]
    assert data["summary"]["served"]["model"]["by_cause"] == {"late_arrival": 3}
    assert data["summary"]["online"]["verdict"] == "pass"
    assert data["summary"]["transforms"] is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "expected an object"),
        ('{"schema": "trueup.parity/0"}', "cannot be read; expected trueup.parity/2"),
        (f'{{"schema": "{SCHEMA}", "started_at": "2013-11-01T00:00:00Z"}}', "finished_at: Field required"),
    ],
)
def test_what_is_no_report_is_refused(text: str, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        parse_json(text)


@pytest.mark.parametrize(
    ("results", "verdict", "code"),
    [
        ([], "could not run", 2),
        ([result()], "pass", 0),
        ([result(1)], "fail", 1),
        ([result(compared=0)], "could not run", 2),
        ([result(problem="no model")], "could not run", 2),
        ([result(), result(compared=0)], "could not run", 2),
        ([result(1), result(compared=0)], "fail", 1),
    ],
)
def test_a_mismatch_fails_and_nothing_compared_is_no_pass(results: list[Result], verdict: str, code: int) -> None:
    joined = report(*results)
    assert (joined.verdict, joined.exit_code) == (verdict, code)


def test_two_reports_join_into_one_that_spans_both() -> None:
    later = replace(report(result(1, check="online")), started_at=NOON - timedelta(hours=1), facts={"log": "x"})
    joined = report(result()) | later
    assert (joined.started_at, len(joined.results)) == (NOON - timedelta(hours=1), 2)
    assert joined.facts == {"ledger": "none", "log": "x"}


def test_two_versions_of_one_model_are_kept_apart_in_the_summary() -> None:
    joined = report(result(), result(1, version="2"))
    assert list(joined.summary()["served"]) == ["model@1", "model@2"]


class Page(HTMLParser):
    """What a browser would make of the document: elements, attributes, text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.extend(attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_hostile_text_anywhere_stays_text() -> None:
    hostile = result(
        2,
        subject=HOSTILE,
        version=HOSTILE,
        service=HOSTILE,
        known_at=HOSTILE,
        features={HOSTILE: FeatureResult(HOSTILE, Counts(10, 8, value=2, uncompared={HOSTILE: 1}), 2)},
        uncompared={HOSTILE: 1},
        roles={HOSTILE: RoleResult(1, 1, 1, 1)},
        samples=(sample(HOSTILE), sample(HOSTILE, causes=(HOSTILE,), role=HOSTILE)),
    )
    experiment = Experiment(HOSTILE, HOSTILE, (VariantScores(HOSTILE, 1, 0.5, 0.5, 0.5, 0.5),))
    text = render_html(
        replace(report(hostile, result(problem=HOSTILE), experiment=experiment), facts={HOSTILE: HOSTILE})
    )
    page = Page(text)
    assert page.tags.count("script") == 1
    assert "img" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert page.text.count(HOSTILE) > 15


def test_the_page_needs_nothing_but_itself() -> None:
    page = Page(render_html(FULL))
    assert not {"link", "iframe", "img", "object", "base"} & set(page.tags)
    sources = [value for name, value in page.attributes if name in ("src", "href", "srcset", "action")]
    assert all(value is not None and value.startswith("#") for value in sources)
    policy = next(value for _, value in page.attributes if value and "default-src" in value)
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_the_page_says_the_verdict_the_causes_and_what_to_do() -> None:
    text = Page(render_html(FULL)).text
    assert "model@1 was not served what training reads." in text
    assert "no such model." in text
    for cause in CAUSES:
        assert (cause.advice in text) == (cause.name == "late_arrival")
    assert "It lost." in text


@pytest.mark.parametrize("given_report", [FULL, report(), report(result()), report(result(compared=0))])
def test_every_report_can_be_shown(given_report: Report) -> None:
    assert given_report.verdict in render_html(given_report)
    console = Console(width=WIDTH, record=True, file=None, quiet=False)
    with console.capture() as captured:
        console.print(render_terminal(given_report))
    lines = captured.get().splitlines()
    assert given_report.verdict.upper() in lines[0]
    assert max(len(line) for line in lines) <= WIDTH


def test_long_and_marked_up_names_do_not_break_the_terminal() -> None:
    console = Console(width=WIDTH)
    with console.capture() as captured:
        console.print(render_terminal(report(result(1, subject="x" * 200), result(1, subject="[red]y[/nothing]"))))
    text = captured.get()
    assert max(len(line) for line in text.splitlines()) <= WIDTH
    assert "[red]y[/nothing]" in text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 10, "0 %"),
        (10, 10, "100 %"),
        (1, 10**6, "< 0.01 %"),
        (10**6 - 1, 10**6, "> 99.99 %"),
        (1, 3, "33.3 %"),
        (1, 0, "-"),
        (1, 30, "3.33 %"),
    ],
)
def test_a_share_never_shows_something_as_nothing(part: int, whole: int, text: str) -> None:
    assert percent(part, whole) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
        (True, "true"),
        (2**53 + 1, "9007199254740993"),
        (NOON, "2013-11-01T12:00:00Z"),
        (b"\x00a", "0x0061"),
        ([1.5, None, "a"], '[1.5, null, "a"]'),
    ],
)
def test_a_value_is_shown_without_losing_anything(value: Any, text: str) -> None:
    assert shown(value) == text
