"""`trueup experiment show` and `assign`: a real file, a real served log; what is said, and how it exits."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.oracles import assignment as oracle
from tests.trueup.eventlog.served import FLIGHTS, NOON, contract, served
from typer.testing import CliRunner, Result

from trueup.cli import app
from trueup.errors import InputError
from trueup.eventlog.layout import experiment_file, log_directory
from trueup.eventlog.records import Exposed
from trueup.eventlog.writer import LogLimits, LogWriter
from trueup.experiments.assign import assign
from trueup.experiments.design import Experiment
from trueup.experiments.toml import load_experiment

HOUR = timedelta(hours=1)
LIMITS = LogLimits(queue_rows=10_000, batch_rows=10_000, batch_seconds=3600.0)
UNITS = tuple(f"u{number}" for number in range(60))
TOML = """
name = "ab"
unit = "flight_id"
salt = "s"
traffic = 0.5
holdout = 0.2
[[variants]]
name = "flights"
model = "flights"
weight = 50
[[variants]]
name = "leaky"
model = "flights_leaky"
weight = 50
[[variants]]
name = "next"
model = "flights_next"
shadow = true
"""


class Place:
    """A folder with an experiment's file and the log of a server that answered units under it."""

    def __init__(self, root: Path) -> None:
        self.log, self.file = root / "served", root / "ab.toml"
        self.writers = 0

    def write(self, text: str = TOML) -> Experiment:
        self.file.write_text(text, encoding="utf-8")
        return load_experiment(self.file)

    def serve(self, design: Experiment, units: Sequence[str] = UNITS, *, at: datetime = NOON) -> None:
        """One request a unit, under two contracts; each is scored by two models."""
        self.writers += 1
        under = (FLIGHTS, contract(ttl=2 * HOUR))
        splits = {design.hash: design.split()}
        with LogWriter(self.log, under, LIMITS, experiments=splits, name=f"w{self.writers}") as writer:
            for number, unit in enumerate(units):
                found = assign(design, unit, at)
                rows = replace(
                    served(f"{self.writers}-{unit}", instant=at, under=under[number % 2]),
                    experiment=design.name,
                    units=(unit,),
                    variants=(found.variant.name,),
                    exposed=(Exposed(design.name, design.hash, found.exposure),),
                )
                assert writer.offer(rows)

    def run(self, command: str, *words: object) -> Result:
        return CliRunner().invoke(
            app, ["experiment", command, str(self.file), *map(str, words)], catch_exceptions=False
        )

    def shown(self) -> tuple[int, dict[str, Any]]:
        found = self.run("show", "--log", self.log, "--json")
        return found.exit_code, json.loads(found.stdout)

    def said(self) -> str:
        return " ".join(self.run("show", "--log", self.log).stdout.split())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_what_the_log_has_is_counted_by_exposure_and_variant_under_every_contract(place: Place) -> None:
    design = place.write()
    place.serve(design)
    place.serve(replace(design, name="another"), at=NOON)
    code, data = place.shown()
    counted = Counter(oracle.assigned(design.split(), unit, NOON)[::-1] for unit in UNITS)
    assert {(each["exposure"], each["variant"]): each["rows"] for each in data["log"]["rows"]} == counted
    assert data["log"]["units"] == {name: counted["assigned", name] for name in ("flights", "leaky")}
    assert {exposure for exposure, _ in counted} == {"assigned", "holdout", "not in traffic"}
    assert (code, data["shares"]) == (0, {"flights": 0.5, "leaky": 0.5, "next": 0.0})
    assert (data["split"], data["design"]) == (design.hash, design.split())
    assert data["log"]["splits"] == [{"split": design.hash, "rows": len(UNITS), "running": True}]
    assert (data["log"]["changes"], data["log"]["units_of_two_variants"]) == ([], 0)


def test_it_is_told_on_a_terminal(place: Place) -> None:
    place.serve(place.write())
    said = place.said()
    assert "ab by flight_id: traffic 50.0%, holdout 20.0%" in said
    assert "next flights_next@champion shadow" in said
    assert "not in traffic flights" in said


def test_a_ramp_is_noted_and_is_no_fault(place: Place) -> None:
    place.serve(place.write())
    place.serve(place.write(TOML.replace("traffic = 0.5", "traffic = 1.0")), at=NOON + HOUR)
    code, data = place.shown()
    assert (code, data["log"]["units_of_two_variants"]) == (0, 0)
    (change,) = data["log"]["changes"]
    assert (change["field"], change["before"], change["after"], change["fault"]) == ("traffic", "0.5", "1.0", False)
    assert (change["since"], change["moved"]) == ("2013-11-01T13:00:00.123456Z", 0)
    assert "Changed, and moved nobody: traffic: 0.5 -> 1.0 since" in place.said()


def test_another_salt_is_a_fault_with_the_units_that_it_moved(place: Place) -> None:
    before = place.write()
    place.serve(before)
    after = place.write(TOML.replace('salt = "s"', 'salt = "t"'))
    place.serve(after, at=NOON + HOUR)
    answers = [[assign(design, unit, NOON) for unit in UNITS] for design in (before, after)]
    moved = sum(
        one.exposure == other.exposure == "assigned" and one.variant.name != other.variant.name
        for one, other in zip(*answers, strict=True)
    )
    code, data = place.shown()
    assert code == 1
    assert [(change["field"], change["moved"]) for change in data["log"]["changes"]] == [("salt", moved)]
    assert data["log"]["units_of_two_variants"] == moved > 0
    said = place.said()
    assert f"{moved} units were assigned to more than one variant." in said
    assert f"The running split was changed: salt: s -> t since 2013-11-01T13:00:00.123456Z; {moved} units" in said


def test_a_file_that_is_not_served_yet_is_told_what_serving_it_would_change_and_fails_nothing(place: Place) -> None:
    place.serve(place.write())
    place.write(TOML.replace("weight = 50", "weight = 10", 1))
    code, data = place.shown()
    (change,) = data["log"]["changes"]
    assert (code, change["field"], change["since"], change["fault"]) == (0, "variants", None, True)
    assert [each["running"] for each in data["log"]["splits"]] == [False]
    assert "The file is not what was served last: variants: flights 50, leaky 50" in place.said()


def test_a_split_that_the_log_lost_or_that_was_edited_is_a_fault(place: Place) -> None:
    design = place.write()
    place.serve(design)
    place.serve(place.write(TOML.replace("holdout = 0.2", "holdout = 0.3")), at=NOON + HOUR)
    for under in (FLIGHTS, contract(ttl=2 * HOUR)):
        experiment_file(log_directory(place.log, under), design.hash).write_text('{"salt": "forged"}')
    code, data = place.shown()
    assert (code, [change["field"] for change in data["log"]["changes"]]) == (1, ["split"])


def test_rows_of_an_older_trueup_were_all_assigned(place: Place) -> None:
    place.write()
    with LogWriter(place.log, [FLIGHTS], LIMITS, name="w") as writer:
        writer.offer(served("r", rows=3))
    code, data = place.shown()
    assert data["log"]["rows"] == [{"exposure": "not logged", "variant": "flights", "rows": 3}]
    assert (code, data["log"]["units"], data["log"]["splits"]) == (0, {"flights": 3}, [])


def test_without_a_row_the_design_is_shown_and_that_there_is_none(place: Place) -> None:
    place.write()
    assert place.said().endswith("The log has no row of it.")
    assert place.shown()[1]["log"]["rows"] == []


def test_assign_says_what_a_server_would_do_and_why(place: Place) -> None:
    design = place.write()
    data = json.loads(place.run("assign", *UNITS, "--json").stdout)
    assert [(each["variant"], each["exposure"]) for each in data["units"]] == [
        oracle.assigned(design.split(), unit, None) for unit in UNITS
    ]
    assert [each["unit"] for each in data["units"]] == list(UNITS)
    assert "holdout" in place.run("assign", *UNITS).stdout


def test_assign_at_an_instant_says_what_is_done_then(place: Place) -> None:
    place.write(f"start = 2013-11-01T00:00:00Z\n{TOML}".replace("traffic = 0.5", "").replace("holdout = 0.2", ""))
    found = [place.run("assign", "u1", "--json", "--at", at) for at in ("2013-10-31T23:59:59Z", "2013-11-01")]
    assert [json.loads(each.stdout)["units"][0]["exposure"] for each in found] == ["not started", "assigned"]


def test_a_file_that_is_not_there_or_no_experiment_is_an_error_that_names_it(place: Place) -> None:
    with pytest.raises(InputError, match=r"ab\.toml cannot be read"):
        place.run("show")
    place.file.write_text("traffic = 2\n")
    with pytest.raises(InputError, match=r"ab\.toml: name is missing; .*traffic: .* \(got 2\)"):
        place.run("assign", "u1")
