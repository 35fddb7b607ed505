"""From a real log and a real MLflow store to a verdict: what is held against what, and what cannot be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.trueup.models.examples import CONTRACT, card, fitted, frame, many_rows
from typer.testing import CliRunner

from trueup.cli import app
from trueup.errors import InputError, ModelError
from trueup.eventlog.records import Role, Scores, ServedRows
from trueup.eventlog.writer import LogWriter
from trueup.frame import EVENT_TIME, FeatureFrame
from trueup.models.bundle import Bundle, matrix
from trueup.models.environment import take_environment
from trueup.models.git import GitState
from trueup.models.reference import REFERENCE_FILE, reference_bytes
from trueup.models.tracking import Dataset, Tracking, TrainingRun
from trueup.parity.distribution.settings import DriftSettings
from trueup.parity.evidence.distribution import Window
from trueup.parity.report import Report
from trueup.parity.results import DriftResult
from trueup.parity.runs.distribution import run_distribution

DAY = datetime(2024, 3, 1, tzinfo=UTC)
NEXT = DAY + timedelta(days=1)
ROWS_OF_A_REQUEST = 10


def rows_at(instant: datetime, hours: int, rows: int, *, seed: int, more: float = 0.0) -> FeatureFrame:
    """Rows read over some hours, the same number each hour. more: added to what was spent."""
    plain = many_rows(rows, seed=seed)
    for row in plain:
        if row["spent"] is not None:
            row["spent"] += more
    found = frame(plain)
    times = [instant + timedelta(hours=number * hours // rows) for number in range(rows)]
    return FeatureFrame(found.values, found.statuses, pa.table({"buyer": pa.array(times, EVENT_TIME)}))


def requests(read: FeatureFrame, start: datetime, name: str, models: tuple[str, ...]) -> Iterator[ServedRows]:
    """Requests of ten rows, each scored by every model; the first one answers."""
    for number in range(read.num_rows // ROWS_OF_A_REQUEST):
        part = read.slice(number * ROWS_OF_A_REQUEST, ROWS_OF_A_REQUEST)
        own = tuple(range(ROWS_OF_A_REQUEST))
        roles: list[Role] = ["answer", "shadow"]
        yield ServedRows(
            contract=CONTRACT,
            request_id=f"{name}{number}",
            instant=start + timedelta(minutes=number),
            experiment="",
            inputs=pa.table({"buyer_id": pa.array(own, pa.int64())}),
            frame=part,
            rows=own,
            units=tuple(f"{name}{number}-{row}" for row in own),
            variants=(models[0],) * ROWS_OF_A_REQUEST,
            scores=tuple(
                Scores(model, "1", own, (role,) * ROWS_OF_A_REQUEST, np.full(ROWS_OF_A_REQUEST, 0.5))
                for model, role in zip(models, roles, strict=False)
            ),
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`buyers@1` with its reference and `bare@1` without, a log of two days: the second is another distribution."""
    folder = Path(tmp_path_factory.mktemp("drift"))
    tracking = Tracking(f"sqlite:///{folder / 'mlflow.db'}")
    reference = reference_bytes(rows_at(DAY - timedelta(days=30), 480, 1_500, seed=1), seed=7)
    for name, files in (("buyers", {REFERENCE_FILE: reference}), ("bare", {})):
        run = TrainingRun(
            bundle=Bundle(card(name=name), fitted(many_rows(200))),
            params={},
            recipe={"name": name},
            dataset=Dataset(name, "d" * 64, {}, {}, 200),
            example=matrix(frame(many_rows(2)), CONTRACT.columns),
            git=GitState("c" * 40, dirty=False, diff=b""),
            environment=take_environment(),
            started=DAY,
            files=files,
        )
        tracking.register(tracking.log(run, finished=DAY))
    with LogWriter(folder / "served", [CONTRACT]) as writer:
        for start, name, seed, more in ((DAY, "a", 2, 0.0), (NEXT, "b", 3, 60.0)):
            for served in requests(rows_at(start, 20, 600, seed=seed, more=more), start, name, ("buyers", "bare")):
                assert writer.offer(served)
    return folder


def run(place: Path, **asked: Any) -> Report:
    tracking = Tracking(f"sqlite:///{place / 'mlflow.db'}")
    return run_distribution(place / "served", tracking.load_file, clock=lambda: DAY, **asked)


def only(report: Report) -> DriftResult:
    (result,) = report.drift
    return result


def test_what_was_served_like_the_training_rows_passes(place: Path) -> None:
    report = run(place, window=Window(DAY, NEXT), models=["buyers"])
    result = only(report)
    assert (report.exit_code, result.label, result.service) == (0, "buyers@1", "buyers_v1")
    assert (result.reference_rows, result.rows) == (1_500, 600)
    assert result.reference == "training set of buyers@1, 1,500 rows"
    assert result.current == "served from 2024-03-01T00:00:00Z until 2024-03-02T00:00:00Z"
    assert list(result.features) == list(CONTRACT.columns)
    assert result.notes["resampled by"] == "block; 480 blocks of the reference and 20 current ones"


def test_a_window_that_differs_fails_and_names_the_feature(place: Path) -> None:
    report = run(place, window=Window(NEXT), models=["buyers"])
    assert (report.exit_code, only(report).drifted) == (1, ("buyer__spent",))
    assert any("median rose" in reason for reason in only(report).features["buyer__spent"].reasons)


def test_a_window_is_held_against_another_one_without_any_model(place: Path) -> None:
    def nobody(*_: str) -> bytes:
        raise AssertionError("no model is asked")

    report = run_distribution(
        place / "served", nobody, window=Window(NEXT), against=Window(None, NEXT), models=["bare"], clock=lambda: DAY
    )
    result = only(report)
    assert (result.reference, result.current) == (
        "served until 2024-03-02T00:00:00Z",
        "served from 2024-03-02T00:00:00Z",
    )
    assert (result.reference_rows, result.rows, result.drifted) == (600, 600, ("buyer__spent",))


def test_a_model_without_training_rows_says_to_train_again_and_the_others_are_still_checked(place: Path) -> None:
    report = run(place, window=Window(DAY, NEXT))
    bare, buyers = report.drift
    assert (buyers.verdict, bare.verdict, report.exit_code) == ("pass", "could not run", 2)
    assert bare.problem is not None
    assert "bare@1" in bare.problem
    assert "Train it again" in bare.problem


def test_a_window_without_rows_could_not_run(place: Path) -> None:
    assert run(place, window=Window(NEXT + timedelta(days=9))).exit_code == 2
    result = only(run(place, window=Window(NEXT + timedelta(days=9)), models=["buyers"]))
    assert (result.verdict, result.problem) == ("could not run", "buyers served no rows from 2024-03-11T00:00:00Z.")


def test_a_request_row_counts_once_however_often_it_was_logged(place: Path, tmp_path: Path) -> None:
    read = rows_at(DAY, 20, 600, seed=2)
    with LogWriter(tmp_path, [CONTRACT]) as writer:
        for model in ("buyers", "buyers"):
            for served in requests(read, DAY, "a", (model,)):
                assert writer.offer(served)
    tracking = Tracking(f"sqlite:///{place / 'mlflow.db'}")
    result = only(run_distribution(tmp_path, tracking.load_file, clock=lambda: DAY))
    assert result.rows == 600
    assert result.notes["repeated rows"] == "600 log rows repeat a request row and were left out"


def test_one_feature_can_be_asked_for_and_one_that_is_not_there_is_an_error(place: Path) -> None:
    assert list(only(run(place, models=["buyers"], features=["buyer__city"])).features) == ["buyer__city"]
    with pytest.raises(InputError, match=r"no feature service in the log has 'nope'.*buyer__city"):
        run(place, features=["nope"])
    with pytest.raises(InputError, match=r"drift.min_effect: no feature service in the log has 'nope'"):
        run(place, settings=DriftSettings(min_effect={"nope": 0.1}))


def test_windows_that_overlap_or_hold_no_instant_are_an_error(place: Path) -> None:
    with pytest.raises(InputError, match="overlaps"):
        run(place, window=Window(DAY), against=Window(None, NEXT))
    with pytest.raises(InputError, match="is not before"):
        run(place, window=Window(NEXT, DAY))


def test_no_log_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    def nothing(*_: str) -> bytes:
        raise ModelError("none")

    with pytest.raises(InputError, match="no served log under"):
        run_distribution(tmp_path / "nothing", nothing)


def test_rows_can_be_taken_as_independent_or_by_the_day(place: Path) -> None:
    by_row = only(run(place, window=Window(NEXT), models=["buyers"], block="row"))
    assert by_row.notes["resampled by"].startswith("row;")
    assert by_row.drifted == ("buyer__spent",)
    by_day = only(run(place, window=Window(NEXT), models=["buyers"], block="day"))
    assert (by_day.verdict, sum(by_day.uncompared.values())) == ("could not run", len(CONTRACT.columns))


def test_the_command_prints_json_and_exits_with_the_verdict(place: Path) -> None:
    def invoke(*options: str) -> tuple[int, dict[str, Any]]:
        result = CliRunner().invoke(
            app,
            [
                *("parity", "distribution", "--log", str(place / "served"), "--model", "buyers", "--json"),
                *("--tracking-uri", f"sqlite:///{place / 'mlflow.db'}", *options),
            ],
            catch_exceptions=False,
        )
        return result.exit_code, json.loads(result.stdout)

    code, report = invoke("--until", "2024-03-02T00:00:00Z")
    assert (code, report["summary"]["distribution"]["buyers"]["drifted"]) == (0, [])
    code, report = invoke("--since", "2024-03-02T00:00:00Z", "--false-alarm-rate", "0.02", "--feature", "buyer__spent")
    assert (code, report["summary"]["distribution"]["buyers"]["drifted"]) == (1, ["buyer__spent"])
    assert report["results"][0]["rates"]["false_alarm_rate"] == 0.02
    code, _ = invoke("--since", "2034-03-02T00:00:00Z")
    assert code == 2
    code, report = invoke("--since", "2024-03-02T00:00:00Z", "--against-until", "2024-03-02T00:00:00Z")
    assert (code, report["results"][0]["reference"]) == (1, "served until 2024-03-02T00:00:00Z")
