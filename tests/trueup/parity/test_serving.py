"""Under which settings rows were served: said, with what differs, and never a verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.trueup.eventlog.test_serving_version import QUICK, VERSION
from tests.trueup.parity.world import START, Card, World, causes_of

from trueup.eventlog.layout import serving_file
from trueup.eventlog.records import LATER_COLUMNS
from trueup.instants import AsOfRule
from trueup.parity.report import Report
from trueup.parity.results import Result
from trueup.parity.runs.served import run_served
from trueup.parity.sinks.html import render_html
from trueup.parity.sinks.json import render_json
from trueup.parity.sinks.markdown import render_markdown

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:feast", "ignore::UserWarning:feast")

ONE, OTHER = VERSION.hash[:12], QUICK.hash[:12]
CHANGE = f"from {ONE} to {OTHER}: online_timeout_seconds 2 -> 0.25; fallback refuse -> missing"


def check(world: World, **options: object) -> Report:
    def card_of(_model: str, _version: str) -> Card:
        return Card(world.contract, AsOfRule("served"))

    log = world.path / "log"
    return run_served(world.path, log, card_of, ledger=world.ledger, clock=lambda: START, **options)  # type: ignore[arg-type]


def notes(report: Report) -> dict[str, dict[str, str]]:
    return {result.label: dict(result.notes) for result in report.results if isinstance(result, Result)}


def served_twice(world: World, *, models: tuple[str, str] = ("model", "model")) -> Path:
    """Two requests under one configuration, then one under another."""
    world.serve(3, model=models[0])
    world.serve(4, model=models[0])
    world.log(VERSION)
    world.serve(5, model=models[1])
    return world.log(QUICK)


def test_one_configuration_is_a_fact_and_no_note(world: World) -> None:
    world.serve(3)
    world.log(VERSION)
    report = check(world)
    assert report.verdict == "pass"
    assert report.facts["serving configuration of model@1"] == f"{ONE} (1 row from 2013-11-01T03:00:00Z)"
    assert report.facts[f"serving configuration {ONE}"].startswith("workers 1, service_threads 1, model_threads 1,")
    assert notes(report) == {"model@1": {}}


def test_a_window_under_two_configurations_says_which_and_what_differs(world: World) -> None:
    served_twice(world)
    report = check(world)
    assert report.verdict == "pass"  # said, and judged by nobody
    listed = f"{ONE} (2 rows from 2013-11-01T03:00:00Z), {OTHER} (1 row from 2013-11-01T05:00:00Z)"
    assert report.facts["serving configuration of model@1"] == listed
    assert report.facts[f"serving configurations {ONE} and {OTHER}"] == CHANGE
    assert notes(report)["model@1"]["served under more than one configuration"] == f"{listed}; {CHANGE}"


def test_a_candidate_and_a_champion_that_were_not_served_alike_are_told_of_each_other(world: World) -> None:
    served_twice(world, models=("champion", "candidate"))
    said = notes(check(world))
    note = "other models were served under other configurations"
    assert said["champion@1"][note] == f"candidate@1: {OTHER} (1 row from 2013-11-01T05:00:00Z), {CHANGE}"
    assert said["candidate@1"][note].endswith(
        f"from {OTHER} to {ONE}: online_timeout_seconds 0.25 -> 2; fallback missing -> refuse"
    )


def test_what_is_expected_is_held_against_every_row(world: World) -> None:
    served_twice(world)
    expected = {"fallback": "refuse", "workers": 1}
    report = check(world, serving=expected)
    wrong = f"{OTHER} (1 row from 2013-11-01T05:00:00Z): fallback is missing, expected refuse"
    assert report.facts["serving configuration expected"] == wrong
    assert notes(report)["model@1"]["not served under the expected configuration"] == wrong
    assert check(world, serving={"workers": 1}).facts["serving configuration expected"] == (
        "what all rows were served under"
    )


def test_rows_of_an_older_log_are_not_known_and_fail_nothing(world: World) -> None:
    log = served_twice(world)
    old = min(log.rglob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    pq.write_table(pq.ParquetFile(old).read().drop_columns(list(LATER_COLUMNS)), old)
    report = check(world, serving={"workers": 1})
    assert report.verdict == "pass"
    listed = (
        f"{OTHER} (1 row from 2013-11-01T05:00:00Z), not known (2 rows from 2013-11-01T03:00:00Z): the log does not say"
    )
    assert report.facts["serving configuration of model@1"] == listed
    assert report.facts["serving configuration expected"] == "not known for 2 rows from 2013-11-01T03:00:00Z"


def test_a_configuration_that_was_changed_on_disk_is_not_known(world: World) -> None:
    log = served_twice(world)
    (contract,) = (path.parent for path in log.rglob("contract.json"))
    serving_file(contract, QUICK.hash).write_text("{}")
    report = check(world, serving={"workers": 1})
    assert report.verdict == "pass"
    assert "it was changed" in report.facts[f"serving configuration {OTHER}"]
    assert report.facts[f"serving configurations {ONE} and {OTHER}"].startswith("what differs is not known: ")
    assert "it was changed" in report.facts["serving configuration expected"]


def test_every_form_of_the_report_says_it(world: World) -> None:
    served_twice(world)
    report = check(world)
    for form in (render_json(report), render_html(report)):
        assert "serving configuration of model@1" in form
    for form in (render_json(report), render_html(report), render_markdown(report)):
        assert "served under more than one configuration" in form


def test_what_a_fallback_answered_is_a_serving_fallback_in_every_feature_and_only_there(world: World) -> None:
    world.serve(3)
    world.serve(4, fallback=True)
    world.serve(5)
    world.log(replace(VERSION, fallback="missing"))
    (result,) = check(world).results
    assert isinstance(result, Result)
    assert (result.verdict, result.rows, result.mismatched, result.unexplained) == ("fail", 3, 5, 0)
    assert causes_of(result) == {
        name: {"serving_fallback": 1}
        for name in ("plane__speed", "plane__seats", "airport__wind", "flight__ground", "flight__gusty")
    }
