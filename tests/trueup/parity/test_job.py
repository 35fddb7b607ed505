"""A job of several parts: one report, and it goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from trueup.errors import InputError, SourceError, StoreError
from trueup.parity.compare import Counts
from trueup.parity.job import JOB_FILE, Checkpoint, Part, files_state, run_job
from trueup.parity.report import Report
from trueup.parity.results import Check, FeatureResult, Result, could_not_run
from trueup.parity.sinks.json import parse_json, render_json

NOON = datetime(2013, 11, 1, 12, tzinfo=UTC)
LATER = datetime(2013, 11, 2, 12, tzinfo=UTC)


def _report(subject: str, *, problem: str | None = None) -> Report:
    features = {"v__f": FeatureResult("Float64", Counts(compared=3, equal=3))}
    result = Result("online", subject, None, "served", "s", "c" * 8, 3, features, problem=problem)
    return Report(NOON, NOON, (result,), {"trueup": "0"}, {"part": subject})


def _part(name: str, ran: list[str], make: Callable[[str], Report] = _report) -> Part:
    def run() -> Report:
        ran.append(name)
        return make(name)

    return Part("online", name, run)


def test_the_parts_results_come_as_one_report_in_the_parts_order() -> None:
    ran: list[str] = []
    report = run_job([_part("b", ran), _part("a", ran)], clock=lambda: NOON)
    assert [result.subject for result in report.results] == ["b", "a"]
    assert report.exit_code == 0


def test_a_job_without_parts_is_no_pass() -> None:
    assert run_job([], clock=lambda: NOON).exit_code == 2


def test_a_stopped_job_goes_on_and_gives_what_it_would_have_given(tmp_path: Path) -> None:
    def killed(_name: str) -> Report:
        raise KeyboardInterrupt

    ran: list[str] = []
    whole = run_job(
        [_part(name, ran) for name in "abc"],
        clock=lambda: NOON,
        checkpoint=Checkpoint(tmp_path / "whole", {"since": 1}, started_at=NOON),
    )
    ran.clear()
    with pytest.raises(KeyboardInterrupt):
        run_job(
            [_part("a", ran), _part("b", ran, killed), _part("c", ran)],
            clock=lambda: NOON,
            checkpoint=Checkpoint(tmp_path / "job", {"since": 1}, started_at=NOON),
        )
    assert ran == ["a", "b"]
    ran.clear()
    again = Checkpoint(tmp_path / "job", {"since": 1}, started_at=LATER)
    report = run_job([_part(name, ran) for name in "abc"], clock=lambda: LATER, checkpoint=again)
    assert ran == ["b", "c"]
    assert again.started_at == NOON
    assert report.results == whole.results
    assert report.facts["resumed"] == "1 of 3 parts were finished by an earlier run"


def test_a_part_that_could_not_run_is_run_again(tmp_path: Path) -> None:
    ran: list[str] = []
    checkpoint = Checkpoint(tmp_path, {}, started_at=NOON)
    broken = _part("a", ran, lambda name: _report(name, problem="Redis is gone"))
    assert run_job([broken], clock=lambda: NOON, checkpoint=checkpoint).exit_code == 2
    assert run_job([_part("a", ran)], clock=lambda: NOON, checkpoint=checkpoint).exit_code == 0
    assert ran == ["a", "a"]


def test_an_error_of_a_part_is_a_result_that_says_why_and_the_others_still_run(tmp_path: Path) -> None:
    def fails(_name: str) -> Report:
        raise SourceError("its file is gone")

    ran: list[str] = []
    checkpoint = Checkpoint(tmp_path, {}, started_at=NOON)
    report = run_job([_part("a", ran, fails), _part("b", ran)], clock=lambda: NOON, checkpoint=checkpoint)
    assert [(result.subject, result.problem) for result in report.results] == [("a", "its file is gone"), ("b", None)]
    assert report.exit_code == 2
    run_job([_part("a", ran), _part("b", ran)], clock=lambda: NOON, checkpoint=checkpoint)
    assert ran == ["a", "b", "a"]


@pytest.mark.parametrize("check", ["online", "served", "replay", "transforms", "distribution", "expectations"])
def test_every_check_has_a_result_that_says_why_there_is_none(check: Check) -> None:
    result = could_not_run(check, "flights", "no log", version="3", rows=7)
    assert (result.check, result.label, result.verdict) == (check, "flights@3", "could not run")
    assert (result.problem, result.uncompared) == ("no log", {"could not run": 7})
    report = Report(NOON, NOON, (result,))
    assert parse_json(render_json(report)) == report


def test_a_folder_of_another_job_is_refused_and_says_what_differs(tmp_path: Path) -> None:
    Checkpoint(tmp_path, {"since": "2013-11-01", "sample": 1.0}, started_at=NOON)
    with pytest.raises(InputError, match=r"holds another job: sample was 1\.0, is 0\.5"):
        Checkpoint(tmp_path, {"since": "2013-11-01", "sample": 0.5}, started_at=NOON)


def test_a_folder_with_other_things_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty and holds no parity job"):
        Checkpoint(tmp_path, {}, started_at=NOON)
    assert [item.name for item in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"inputs": {}, "started_at": "noon"}'])
def test_a_damaged_job_file_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / JOB_FILE).write_text(content)
    with pytest.raises(InputError, match="is no parity job"):
        Checkpoint(tmp_path, {}, started_at=NOON)


def test_a_damaged_part_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    ran: list[str] = []
    checkpoint = Checkpoint(tmp_path, {}, started_at=NOON)
    part = _part("a", ran)
    run_job([part], clock=lambda: NOON, checkpoint=checkpoint)
    (tmp_path / part.file).write_text("{")
    with pytest.raises(InputError, match=rf"{part.file} is no finished part.*Delete it"):
        run_job([part], clock=lambda: NOON, checkpoint=checkpoint)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be used"):
        Checkpoint(tmp_path / "file" / "job", {}, started_at=NOON)


def test_a_log_that_grew_is_another_input(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"1")
    before = files_state([tmp_path])
    assert files_state([tmp_path]) == before
    (tmp_path / "b.parquet").write_bytes(b"2")
    assert files_state([tmp_path]) != before
