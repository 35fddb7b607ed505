"""`trueup outcomes`: real files, a real HTTP server and a real served log; what is said, kept, and how it exits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.trueup.eventlog.outcomes.label_server import Says, label_server
from tests.trueup.eventlog.served import FLIGHTS, NOON, served
from typer.testing import CliRunner, Result

from trueup.cli import app
from trueup.errors import InputError, SourceError
from trueup.eventlog.writer import LogLimits, LogWriter

DAY = timedelta(days=1)


class Place:
    """A folder with a served log of three requests on three days, each scored by two models."""

    def __init__(self, root: Path) -> None:
        self.root, self.log, self.kept = root, root / "served", root / "outcomes"

    def serve(self) -> None:
        limits = LogLimits(queue_rows=100, batch_rows=100, batch_seconds=3600.0)
        with LogWriter(self.log, [FLIGHTS], limits, name="w") as writer:
            for day in range(3):
                writer.offer(served(f"day {day}", instant=NOON + day * DAY))

    def write(self, name: str, text: str) -> Path:
        (self.root / name).write_text(text, encoding="utf-8")
        return self.root / name

    def run(self, command: str, *words: object, now: datetime = NOON + 10 * DAY) -> Result:
        where = ["--outcomes", str(self.kept), "--now", now.isoformat()]
        return CliRunner().invoke(app, ["outcomes", command, *map(str, words), *where], catch_exceptions=False)

    def take(self, source: object, *words: object, **how: Any) -> Result:
        return self.run("import", source, "--outcome", "late", *words, **how)

    def said(self, result: Result) -> Any:
        return json.loads(result.stdout)

    def files(self) -> list[str]:
        return sorted(str(file.relative_to(self.kept)) for file in self.kept.rglob("*") if file.is_file())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    found = Place(tmp_path)
    found.serve()
    monkeypatch.setenv("TRUEUP_LOG_DIR", str(found.log))
    monkeypatch.delenv("TRUEUP_OUTCOMES_TOKEN", raising=False)
    return found


LATE = "request_id,late,known_at\nday 0,1,2013-11-01T20:00:00Z\nday 1,0,2013-11-02T20:00:00Z\n"


def test_outcomes_are_kept_and_held_against_the_log(place: Place) -> None:
    result = place.take(place.write("late.csv", LATE), "--json")
    assert result.exit_code == 0
    (file,) = place.files()
    assert place.said(result) == {
        "outcome": "late",
        "rows": 2,
        "keyed_by": "request id",
        "new": 2,
        "file": str(place.kept / file),
        "without_value": 0,
        "without_time_zone": 0,
        "log": {"matched": 2, "orphans": 0, "duplicates": 0, "restated": 0, "ambiguous": 0, "not yet known": 0},
    }


@pytest.mark.parametrize("text", [LATE, "request_id,late\nday 0,1\nday 1,0\n"], ids=["dated", "undated"])
def test_the_same_twice_changes_nothing_and_says_so(place: Place, text: str) -> None:
    source = place.write("late.csv", text)
    place.take(source)
    before = place.files()
    again = place.take(source, now=NOON + 20 * DAY)
    assert again.exit_code == 0
    assert "2 outcomes by request id, nothing is new" in again.stdout
    assert place.files() == before


def test_of_an_export_that_grows_only_what_is_new_is_kept(place: Place) -> None:
    place.take(place.write("late.csv", LATE))
    grown = place.take(place.write("late.csv", LATE + "day 2,1,2013-11-03T20:00:00Z\n"), "--json")
    assert (place.said(grown)["rows"], place.said(grown)["new"]) == (3, 1)
    assert len(place.files()) == 2


def test_what_fits_no_row_is_kept_and_exits_with_1(place: Place) -> None:
    result = place.take(place.write("late.csv", "request_id,late\nnobody,1\n"))
    assert result.exit_code == 1
    assert "orphans 1" in result.stdout
    assert "Not one fits a row served in" in result.stdout
    assert len(place.files()) == 1


def test_what_is_known_only_later_says_so(place: Place) -> None:
    result = place.take(place.write("late.csv", LATE), now=NOON)
    assert result.exit_code == 1
    assert "2 are known only after now" in result.stdout


def test_without_a_log_they_are_kept_all_the_same(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUEUP_LOG_DIR", str(place.root / "none"))
    result = place.take(place.write("late.csv", LATE))
    assert result.exit_code == 0
    assert "There is no served log at" in result.stdout
    with pytest.raises(InputError, match="log: there is no served log at"):
        place.take(place.write("late.csv", LATE), "--log", place.root / "none")


def test_an_entity_and_a_time_say_which_row_is_meant(place: Place) -> None:
    flights = pa.table(
        {
            "plane": ["N1", "N1", "N2"],
            "number": [7.0, 7.0, 7.0],
            "left": [NOON + timedelta(minutes=20), NOON + DAY - timedelta(microseconds=1), NOON + DAY],
            "late": [True, False, True],
        }
    )
    pq.write_table(flights, place.root / "flights.parquet")
    keys = ["--key", "tailnum=plane", "--key", "line=number", "--at", "left", "--json"]
    result = place.take(place.root / "flights.parquet", *keys, "--within", "30m")
    assert place.said(result)["keyed_by"] == "entity (line, tailnum) and time"
    assert place.said(result)["log"]["matched"] == 1
    assert place.said(result)["log"]["orphans"] == 2


def test_a_key_that_no_log_has_keeps_nothing(place: Place) -> None:
    source = place.write("late.csv", "airline,late,event_timestamp\nUA,1,2013-11-01T12:00:00Z\n")
    with pytest.raises(InputError, match="keyed by 'airline', which the served rows do not have; they have"):
        place.take(source, "--key", "airline")
    assert not place.kept.exists()


def test_an_address_is_asked_with_the_token(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUEUP_OUTCOMES_TOKEN", "secret")
    with label_server() as server:
        address = server.says("/late", Says(body='[{"request_id": "day 0", "late": true}]', kind="application/json"))
        result = place.take(address, "--json")
        assert place.said(result)["log"]["matched"] == 1
        assert server.asked[0][1]["Authorization"] == "Bearer secret"


def test_an_empty_answer_is_an_error(place: Place) -> None:
    with label_server() as server:
        with pytest.raises(InputError, match="source: it has no rows"):
            place.take(server.says("/late", Says(body="[]", kind="application/json")))
        with pytest.raises(SourceError, match="is empty"):
            place.take(server.says("/late", Says(body="", kind="text/csv")))
        with pytest.raises(SourceError, match="is not there: 404"):
            place.take(f"{server.address}/other")


def test_what_was_left_out_or_taken_for_utc_is_said(place: Place) -> None:
    text = "request_id,late,known_at\nday 0,1,2013-11-01 20:00:00\nday 1,,\n"
    result = place.take(place.write("late.csv", text))
    assert "1 outcome by request id, 1 new: " in result.stdout
    assert "Left out, without a value yet: 1 row." in result.stdout
    assert "Read as UTC, without a time zone: 1 instant." in result.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--unit", "minutes"], "unit: 'minutes' is not one of s, ms, us, ns"),
        (["--key", "=x"], "key: '=x' is neither KEY nor KEY=COLUMN"),
        (["--within", "soon"], "within: 'soon' is not a duration"),
        (["--value", "lateness"], "value: the source has no column 'lateness'; it has request_id, late, known_at"),
        (["--outcome", "../late"], "outcome: '../late' is no name"),
    ],
)
def test_a_wrong_option_is_an_error_that_names_it(place: Place, words: Sequence[str], said: str) -> None:
    with pytest.raises(InputError, match=said.replace("..", r"\.\.")):
        place.take(place.write("late.csv", LATE), *words)
    assert not place.kept.exists()


def test_what_is_there_is_shown_with_each_models_rows(place: Place) -> None:
    place.take(place.write("late.csv", LATE + "day 1,1,2013-11-02T21:00:00Z\nnobody,1,2013-11-02T21:00:00Z\n"))
    result = place.run("show", "--delay", "24h", "--json", now=NOON + 2 * DAY + timedelta(hours=12))
    (late,) = place.said(result)
    assert late == {
        "outcome": "late",
        "values": 4,
        "mean": 0.75,
        "known_from": "2013-11-01T20:00:00Z",
        "known_to": "2013-11-02T21:00:00Z",
        "served_from": "2013-11-01T12:00:00.123456Z",
        "served_to": "2013-11-02T12:00:00.123456Z",
        "log": {
            "matched": 3,
            "orphans": 1,
            "duplicates": 0,
            "restated": 1,
            "ambiguous": 0,
            "not yet known": 0,
            "copies": 0,
            "rows from the future": 0,
        },
        "models": [
            {"model": name, "version": "3", "mature": 2, "early": 0, "immature": 1, "missing": 0}
            for name in ("flights", "flights_leaky")
        ],
    }


def test_shown_at_an_earlier_instant_less_is_known(place: Place) -> None:
    place.take(place.write("late.csv", LATE))
    result = place.run("show", "--json", now=datetime(2013, 11, 2, 19, 59, 59, tzinfo=UTC))
    (late,) = place.said(result)
    assert (late["log"]["matched"], late["log"]["not yet known"]) == (1, 1)
    assert late["log"]["rows from the future"] == 2
    assert [(model["mature"], model["missing"]) for model in late["models"]] == [(1, 1), (1, 1)]


def test_tables_fit_a_terminal(place: Place) -> None:
    place.take(place.write("late.csv", LATE))
    place.run("import", place.write("revenue.csv", "request_id,revenue\nday 0,12.5\n"), "--outcome", "revenue")
    lines = place.run("show").stdout.splitlines()
    assert any(line.startswith("late: 2 values, mean 0.5, known 2013-11-01T20:00:00Z to") for line in lines)
    tables = [line for line in lines if " values, mean " not in line]
    assert max(map(len, tables)) <= 100
    assert sum("flights_leaky" in line for line in tables) == 2


def test_nothing_imported_is_an_error(place: Place) -> None:
    with pytest.raises(InputError, match="outcomes: nothing was imported into"):
        place.run("show")
    place.take(place.write("late.csv", LATE))
    with pytest.raises(InputError, match="nothing was imported as 'revenue'"):
        place.run("show", "--outcome", "revenue")


def test_a_folder_is_taken_from_the_settings(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUEUP_OUTCOMES", str(place.root / "elsewhere"))
    source = place.write("late.csv", LATE)
    result = CliRunner().invoke(app, ["outcomes", "import", str(source), "--outcome", "late"], catch_exceptions=False)
    assert result.exit_code == 0
    assert (place.root / "elsewhere" / "late").is_dir()
