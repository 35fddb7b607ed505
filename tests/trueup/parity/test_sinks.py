"""Laws of the views of a report: each says the same, each survives whatever a name brings."""

from __future__ import annotations

import copy
import io
import json
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from tests.browser.example import START, example
from tests.browser.extremes import HOSTILE, hostile, large
from tests.golden import report_schema

from trueup.parity.compare import Counts
from trueup.parity.policy import Policy
from trueup.parity.report import Report
from trueup.parity.results import DriftResult, ExpectationResult, FeatureResult, Result, could_not_run
from trueup.parity.sinks import schema
from trueup.parity.sinks.html import render_html
from trueup.parity.sinks.json import parse_json, render_json
from trueup.parity.sinks.junit import render_junit
from trueup.parity.sinks.markdown import render_markdown
from trueup.parity.sinks.model_run import model_runs
from trueup.parity.sinks.prometheus import render_prometheus
from trueup.parity.sinks.terminal import WIDTH, render_terminal
from trueup.parity.sinks.words import figure, sentences, visible

EXAMPLE, HOSTILE_REPORT, LARGE = example(), hostile(), large()
BROKEN = Report(
    START,
    START,
    tuple(
        could_not_run(check, "model", "the log is empty.", version="1", rows=rows)
        for check in ("served", "online", "replay", "transforms", "distribution", "expectations")
        for rows in (0, 3)
    ),
)
REPORTS = {
    "example": EXAMPLE,
    "hostile": HOSTILE_REPORT,
    "empty": Report(START, START, ()),
    "broken": BROKEN,
}
every_report = pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)


def one(subject: str = "model", feature: str = "f", *, mismatched: int = 1, policy: Policy | None = None) -> Report:
    counts = Counts(10, 10 - mismatched, value=mismatched)
    features = {feature: FeatureResult("Int64", counts, 0, 0, {"lag": mismatched} if mismatched else {})}
    options = {} if policy is None else {"policy": policy}
    return Report(START, START, (Result("served", subject, "1", "label", None, None, 10, features, **options),))


def partly() -> Report:
    """Of two features one could not be compared."""
    features = {
        "f": FeatureResult("Int64", Counts(4, 4)),
        "g": FeatureResult("ScalarMap", Counts(uncompared={"a ScalarMap": 4})),
    }
    return Report(START, START, (Result("online", "view", None, "served", None, "c0ffee", 4, features),))


def terminal(report: Report) -> str:
    console = Console(width=WIDTH, record=True, file=io.StringIO())
    console.print(render_terminal(report))
    return console.export_text()


# ------------------------------------------------------------------ what every form says


def test_a_feature_that_could_not_be_compared_is_told_in_every_form_and_no_passed_case() -> None:
    said = "4 values of g not compared: a ScalarMap"
    report = partly()
    assert report.verdict == "pass"
    assert said in terminal(report)
    assert said in render_markdown(report)
    assert said in render_html(report)
    assert 'trueup_parity_uncompared_cells{check="online",subject="view"} 4.0' in render_prometheus(report)
    (suite,) = suites_of(report)
    cases = {case.attrib["name"]: [child.tag for child in case] for case in suite.findall("testcase")}
    assert cases == {"f": [], "g": ["skipped"]}
    assert said in (suite.findtext("system-out") or "")


def test_where_no_feature_can_be_compared_the_reason_is_said() -> None:
    features = {"g": FeatureResult("ScalarMap", Counts(uncompared={"a ScalarMap": 4}))}
    report = Report(START, START, (Result("online", "view", None, "served", None, None, 4, features),))
    assert report.verdict == "could not run"
    assert "Nothing was compared: 4 values of g: a ScalarMap." in terminal(report)


def test_what_was_not_run_is_told_once_for_each_reason() -> None:
    facts = {"not run: served": "there is no log", "seed": "0", "not run: replay": "there is no log"}
    report = replace(partly(), facts={**facts, "not stored: label views": "quality"})
    for text in (terminal(report), render_markdown(report)):
        assert "not run: served, replay: there is no log" in text
        assert "not stored: label views: quality" in text


def test_the_contract_of_a_view_that_is_checked_for_itself_has_no_service() -> None:
    assert '<property name="contract" value="c0ffee" />' in render_junit(partly())
    assert "None@" not in render_html(partly())


# ------------------------------------------------------------------ JSON


def test_the_committed_schema_is_what_the_types_say() -> None:
    assert report_schema.PATH.read_text(encoding="utf-8") == schema.render_schema(), (
        "a type changed: python -m tests.golden.report_schema"
    )


@every_report
def test_every_report_is_valid_and_the_schema_names_each_of_its_fields(report: Report) -> None:
    data = json.loads(render_json(report))
    jsonschema.Draft202012Validator(schema.committed()).validate(data)
    closed = copy.deepcopy(schema.committed())
    for part in (closed, *closed["$defs"].values()):
        part.setdefault("additionalProperties", False)
    jsonschema.Draft202012Validator(closed).validate(data)


def test_a_report_that_lacks_a_field_or_has_a_wrong_one_is_not_valid() -> None:
    validator = jsonschema.Draft202012Validator(schema.committed())
    data = json.loads(render_json(EXAMPLE))
    for change in ({"schema": "trueup.parity/1"}, {"started_at": 5}, {"results": [{"check": "served"}]}):
        assert not validator.is_valid({**data, **change})
    for name in data:
        assert not validator.is_valid({key: value for key, value in data.items() if key != name})


@every_report
def test_a_report_read_back_and_written_again_is_the_same_bytes(report: Report) -> None:
    text = render_json(report)
    assert render_json(parse_json(text)) == text


def test_numbers_that_json_has_not_are_their_names_and_come_back() -> None:
    text = render_json(HOSTILE_REPORT)
    found = next(each for each in json.loads(text)["results"] if each["check"] == "distribution")["features"][
        HOSTILE[0]
    ]
    assert (found["p_value"], found["q_value"], found["distances"]["psi"]) == ("NaN", "Infinity", "Infinity")
    (drift,) = parse_json(text).drift
    assert drift.features[HOSTILE[0]].q_value == float("inf")


def test_one_version_checked_twice_has_two_summaries() -> None:
    twice = one() | one(mismatched=0)
    assert [found["mismatched"] for found in twice.summary()["served"].values()] == [1, 0]


FORMS = """
import hashlib, sys
from tests.trueup.parity import test_sinks as sinks
for report in sinks.REPORTS.values():
    for name in ("html", "json", "junit", "markdown", "prometheus"):
        render = getattr(sinks, f"render_{name}")
        sys.stdout.write(hashlib.sha256(render(report).encode("utf-8", "backslashreplace")).hexdigest() + "\\n")
"""


def test_same_report_same_bytes_whatever_the_hash_seed_and_the_time_zone() -> None:
    runs = [
        subprocess.run(
            [sys.executable, "-c", FORMS],
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo"))
    ]
    assert runs[0] == runs[1]
    assert len(runs[0].split()) == 5 * len(REPORTS)


# ------------------------------------------------------------------ HTML


class Page(HTMLParser):
    """What a browser would make of the document: elements with their attributes, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@every_report
def test_the_page_runs_its_own_script_alone_and_links_nowhere_else(report: Report) -> None:
    page = Page(render_html(report))
    tags = Counter(tag for tag, _ in page.elements)
    assert tags["script"] == 1
    assert not {"img", "iframe", "link", "object", "embed", "base", "form"} & set(tags)
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")]
        assert "src" not in attributes
        href = attributes.get("href")
        assert href is None or re.fullmatch(r"#[a-z0-9-]+|[\w/.%-]+", href), href


@every_report
def test_every_link_within_the_page_leads_somewhere_and_no_anchor_stands_twice(report: Report) -> None:
    page = Page(render_html(report))
    anchors = Counter(attributes["id"] for _, attributes in page.elements if "id" in attributes)
    assert set(anchors.values()) <= {1}
    links = {attributes["href"] for _, attributes in page.elements if attributes.get("href", "").startswith("#")}
    assert {link[1:] for link in links} <= set(anchors)


def test_the_page_shows_every_name_as_text_with_hidden_characters_written_out() -> None:
    text = Page(render_html(HOSTILE_REPORT)).text
    for name in HOSTILE:
        assert visible(name) in text
    assert not re.search("[\x00-\x08\x1b\u202e\u2066]", text)


def test_a_large_report_stays_small_enough_to_open() -> None:
    assert len(render_html(LARGE).encode()) < 3_000_000


def test_the_page_has_the_notes_the_policies_and_what_was_left_out() -> None:
    text = Page(render_html(EXAMPLE)).text
    assert "4,212 values would differ" in text
    assert "fails on unexplained, late_arrival" in text
    assert "allowed in weather__temp: 0.1 % of its values" in text
    assert "340 rows not compared: of another contract" in text
    assert "1 feature not compared: too few rows" in text
    assert "allowed by its policy" in text


def test_drifted_features_come_first_with_their_states_and_new_categories_as_bars() -> None:
    text = Page(render_html(EXAMPLE)).text
    (drift,) = EXAMPLE.drift
    cards = text[text.index("current: served") :]
    steady = cards.index("26 features without drift")
    for name in drift.drifted:
        assert cards.index(name) < steady
    assert "Airbus S.A.S." in cards[:steady]
    assert "new" in cards[:steady]
    for limit in drift.features[drift.drifted[0]].thresholds.values():
        assert figure(limit) in cards[:steady]


def test_data_docs_are_linked_beside_the_report_and_nowhere_else() -> None:
    links = [attributes.get("href") for tag, attributes in Page(render_html(EXAMPLE)).elements if tag == "a"]
    assert "data_docs/index.html" in links
    assert "javascript:alert(1)" in Page(render_html(HOSTILE_REPORT)).text


# ------------------------------------------------------------------ terminal


@every_report
def test_no_line_of_the_terminal_is_wider_than_it_may_be_and_none_moves_the_cursor(report: Report) -> None:
    console = Console(width=WIDTH, force_terminal=False)
    with console.capture() as captured:
        console.print(render_terminal(report))
    lines = captured.get().split("\n")
    assert report.verdict.upper() in lines[0]
    assert max(len(line) for line in lines) <= WIDTH
    assert all(line.isprintable() for line in lines)


def test_the_terminal_has_every_kind_of_result() -> None:
    console = Console(width=WIDTH, force_terminal=False)
    with console.capture() as captured:
        console.print(render_terminal(EXAMPLE))
    text = " ".join(captured.get().split())
    for said in ("distribution flights_pit@5", "expectations flights_pit@5", "transforms crosswind", "wasserstein"):
        assert said in text
    assert "expect_column_values_to_be_between" in text


# ------------------------------------------------------------------ Markdown


def rows_of(text: str) -> list[list[str]]:
    """The cells of each line of a table, as GitHub cuts them: at every `|` without a backslash."""
    return [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("|")]


@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_no_name_breaks_a_table_of_the_summary(subject: str, feature: str) -> None:
    text = render_markdown(one(subject, feature))
    widths = [len(row) for row in rows_of(text)]
    assert widths == [6, 6, 6, 3, 3, 3, 5, 5, 5]


def test_the_summary_is_short_and_says_what_to_do() -> None:
    text = render_markdown(EXAMPLE)
    assert text.startswith("### ❌ Parity: fail\n")
    assert "| `late_arrival` | 71,709 | Train with known\\_at = served" in text
    assert "and 4 more" in text
    assert len(render_markdown(LARGE)) < 10_000


def test_the_summary_links_each_cause_where_it_is_told_of_a_page() -> None:
    assert "[`lag`](docs/causes.md#lag)" in render_markdown(one(), docs="docs/causes.md")


def test_a_mention_a_link_or_html_in_a_name_stays_a_name() -> None:
    text = render_markdown(HOSTILE_REPORT)
    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", text)
    assert not re.search(r"(?<!\\)<", outside)
    assert not re.search(r"(?<!\\)@", outside)


# ------------------------------------------------------------------ JUnit


def suites_of(report: Report) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(render_junit(report)))


@every_report
def test_one_suite_a_result_that_keeps_to_the_schemas_and_counts_its_cases(report: Report) -> None:
    """Order, names and types are those of both common schemas (Ant's, which is the stricter, and Jenkins's)."""
    suites = suites_of(report)
    assert [suite.get("id") for suite in suites] == [str(index) for index in range(len(report.results))]
    for suite, result in zip(suites, report.results, strict=True):
        assert set(suite.keys()) == {
            *("name", "id", "package", "timestamp", "hostname", "tests", "failures", "errors", "time"),
        }
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.attrib["timestamp"])
        order = [child.tag for child in suite]
        cases = suite.findall("testcase")
        assert order == ["properties", *["testcase"] * len(cases), "system-out", "system-err"]
        assert all(each.attrib["name"] for each in suite.iter("property"))
        assert all(set(case.keys()) == {"name", "classname", "time"} and len(case) <= 1 for case in cases)
        found = Counter(child.tag for case in cases for child in case)
        assert set(found) <= {"failure", "error", "skipped"}
        counts = [int(suite.attrib[name]) for name in ("tests", "failures", "errors")]
        assert counts == [len(cases), found["failure"], found["error"]]
        outcome = "error" if found["error"] else "failure" if found["failure"] else "pass"
        assert outcome == {"could not run": "error", "fail": "failure", "pass": "pass"}[result.verdict]


def test_one_case_a_feature_or_expectation_and_failures_say_why() -> None:
    for result, suite in zip(EXAMPLE.results, suites_of(EXAMPLE), strict=True):
        if result.verdict == "could not run":
            continue
        expected = result.expectations if isinstance(result, ExpectationResult) else result.features
        cases = suite.findall("testcase")
        assert len(cases) == len(expected)
        failed = [case.attrib["name"] for case in cases if case.find("failure") is not None]
        if isinstance(result, Result):
            assert failed == [name for name in result.features if name in result.failing]
        if isinstance(result, DriftResult):
            assert failed == list(result.drifted)
        for failure in suite.iter("failure"):
            assert failure.attrib["message"]


def test_what_the_policy_allows_is_a_passed_case_and_is_still_told() -> None:
    (suite,) = suites_of(one(policy=Policy(("unexplained",))))
    assert (suite.attrib["failures"], suite.attrib["tests"]) == ("0", "1")
    told = suite.findtext("system-out")
    assert told is not None
    assert "f: 1 of 10 values differ (10.0 %): lag 1; allowed by the policy" in told


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_name_makes_well_formed_xml_that_gives_it_back(subject: str, feature: str) -> None:
    (suite,) = suites_of(one(subject, feature))
    (case,) = suite.findall("testcase")
    assert case.attrib["name"] == visible(feature)
    assert case.attrib["classname"] == f"parity.served.{visible(subject)}@1"


# ------------------------------------------------------------------ Prometheus


def families_of(report: Report) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(render_prometheus(report))}


@every_report
def test_the_metrics_parse_and_keep_to_the_naming_rules(report: Report) -> None:
    families = families_of(report)
    labels = {"check", "subject", "verdict", "cause", "feature", "statistic", "view", "side"}
    for name, family in families.items():
        assert re.fullmatch(
            r"trueup_parity_\w*(verdict|cells|rows|ratio|features|expectations|distance|threshold|seconds)", name
        )
        assert family.type == "gauge"
        assert family.documentation.endswith(".")
        series = Counter(tuple(sorted(sample.labels.items())) for sample in family.samples)
        assert set(series.values()) <= {1}
        assert {label for sample in family.samples for label in sample.labels} <= labels
    last = families["trueup_parity_last_run_timestamp_seconds"].samples
    assert {each.labels["check"]: each.value for each in last} == {
        result.check: report.finished_at.timestamp() for result in report.results
    }


def test_the_metrics_are_the_reports_own_numbers() -> None:
    families = families_of(EXAMPLE)

    def value(name: str, **labels: str) -> float:
        return next(each.value for each in families[f"trueup_parity_{name}"].samples if each.labels == labels)

    for result in EXAMPLE.results:
        of = {"check": result.check, "subject": result.label}
        for verdict in ("pass", "fail", "could not run"):
            shown = value("verdict", **of, verdict=verdict.replace(" ", "_"))
            assert shown == float(result.verdict == verdict)
        assert value("rows", **of) == result.rows
        if isinstance(result, Result):
            assert value("compared_cells", **of) == result.compared
            assert value("mismatched_cells", **of) == result.mismatched
            assert value("uncompared_rows", **of) == sum(result.uncompared.values())
            assert value("uncompared_cells", **of) == sum(result.counts.uncompared.values())
            for cause, count in {**result.by_cause, "unexplained": result.unexplained}.items():
                assert value("cause_cells", **of, cause=cause) == count
            for name, feature in result.features.items():
                share = feature.counts.mismatched / feature.counts.compared
                assert value("feature_mismatch_ratio", **of, feature=name) == pytest.approx(share)
    (drift,) = EXAMPLE.drift
    of = {"check": "distribution", "subject": drift.label}
    assert value("drifted_features", **of) == len(drift.drifted)
    assert value("drift_distance", **of, feature="weather__temp", statistic="psi") == pytest.approx(
        drift.features["weather__temp"].distances["psi"]
    )


def test_one_subject_checked_twice_is_one_series_with_both() -> None:
    families = families_of(one() | one(mismatched=0))
    (compared,) = families["trueup_parity_compared_cells"].samples
    assert compared.value == 20
    failed = [each.value for each in families["trueup_parity_verdict"].samples if each.labels["verdict"] == "fail"]
    assert failed == [1]


# ------------------------------------------------------------------ a model's run


def test_each_model_version_gets_what_concerns_it_alone() -> None:
    runs = {(run.model, run.version): run for run in model_runs(EXAMPLE)}
    assert list(runs) == [("flights_leaky", "3"), ("flights_pit", "5")]
    run = runs["flights_leaky", "3"]
    assert run.tags == {
        "trueup.parity.verdict": "fail",
        "trueup.parity.mismatched": "81025",
        "trueup.parity.unexplained": "37",
        "trueup.parity.at": "2013-11-08T06:02:41Z",
    }
    assert set(run.files) == {f"parity/20131108T060241.000000Z/report.{suffix}" for suffix in ("html", "json")}
    kept = parse_json(run.files[f"{run.folder}/report.json"].decode())
    assert {(result.subject, result.version) for result in kept.results} == {("flights_leaky", "3")}


def test_a_report_of_views_alone_concerns_no_model() -> None:
    views = Report(START, START, EXAMPLE.of("online"))
    assert list(model_runs(views)) == []


# ------------------------------------------------------------------ words


@given(st.text())
def test_what_is_written_out_can_be_printed_and_plain_text_stays_as_it_is(text: str) -> None:
    shown = visible(text)
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", shown)
    if text.isprintable():
        assert shown == text


@given(st.floats(-1e308, 1e308))
def test_a_figure_is_the_number_to_four_digits(value: float) -> None:
    assert float(figure(value).replace(",", "")) == pytest.approx(value, rel=6e-4, abs=1e-320)


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (Report(START, START, ()), ["Nothing was compared."]),
        (one(mismatched=0), ["What was compared is as it should be."]),
        (one(policy=Policy(("unexplained",))), ["All that differs is allowed."]),
        (one(), ["model@1 was not served what training reads."]),
        (
            one() | BROKEN,
            ["model@1 was not served what training reads.", "model@1 (served), model@1 (online) and 4 more"],
        ),
    ],
)
def test_the_headline_says_each_verdict(report: Report, said: list[str]) -> None:
    found = sentences(report)
    assert len(found) == len(said)
    assert all(sentence.startswith(start) for sentence, start in zip(found, said, strict=True))


def test_the_forms_of_an_unknown_cause_do_not_fail() -> None:
    """A later version may have written it."""
    counts = Counts(10, 9, value=1)
    feature: dict[str, Any] = {"f": FeatureResult("Int64", counts, 0, 0, {"cause_of_tomorrow": 1})}
    report = Report(START, START, (Result("served", "m", "1", None, None, None, 10, feature),))
    for render in (render_html, render_junit, render_markdown, render_prometheus):
        assert report.verdict == "fail"
        assert render(report)
