"""Logs of trueup's own, whatever their size and state: in pieces, damaged, copied, of another project."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from feast.protos.feast.types.Value_pb2 import Value
from tests.trueup.parity.world import START, Card, World, at

from trueup.errors import InputError
from trueup.instants import AsOfRule
from trueup.parity.report import Report
from trueup.parity.runs.served import run_served

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:feast", "ignore::UserWarning:feast")


def check(world: World, log: Path, **options: object) -> Report:
    def card_of(_model: str, _version: str) -> Card:
        return Card(world.contract, AsOfRule("served"))

    return run_served(world.path, log, card_of, ledger=world.ledger, clock=lambda: START, **options)  # type: ignore[arg-type]


def some_days(world: World) -> Path:
    """Requests over three days, two models, a few of them wrong; one file a day."""
    for hour in range(2, 60, 2):
        if hour == 30:
            world.overwrite("airport", "wind", Value(double_val=1.0))
        world.serve(
            hour, model="one" if hour % 4 else "two", role="answer" if hour % 3 else "shadow", key="XY"[hour % 5 == 0]
        )
    return world.log()


@pytest.mark.parametrize("batch_rows", [1, 3, 7])
def test_the_size_of_the_pieces_changes_nothing(world: World, batch_rows: int) -> None:
    log = some_days(world)
    whole, pieces = check(world, log), check(world, log, batch_rows=batch_rows)
    assert whole.verdict == "fail"
    assert len(whole.results) == 2
    for one, other in zip(whole.cells, pieces.cells, strict=True):
        assert replace(one, samples=()) == replace(other, samples=())
        assert {sample.causes for sample in one.samples} == {sample.causes for sample in other.samples}


def test_a_damaged_file_is_named_and_the_others_are_compared(world: World) -> None:
    world.serve(3)
    world.serve(30)
    log = world.log()
    first, second = sorted(log.rglob("*.parquet"))
    second.write_bytes(second.read_bytes()[:-10])
    report = check(world, log)
    good, bad = report.cells
    assert (report.exit_code, good.verdict, good.rows, bad.verdict) == (2, "pass", 1, "could not run")
    assert f"{second.parent.name}/{second.name} cannot be read as Parquet" in str(bad.problem)
    first.unlink()
    assert check(world, log).exit_code == 2


def test_a_mismatch_found_stays_found_beside_a_damaged_file(world: World) -> None:
    world.overwrite("plane", "speed", Value(double_val=1.0))
    world.serve(3)
    world.serve(30)
    log = world.log()
    max(log.rglob("*.parquet")).write_bytes(b"")
    assert check(world, log).exit_code == 1


def test_what_does_not_belong_to_a_log_is_no_pass(world: World) -> None:
    world.serve(3)
    log = world.log()
    (contract,) = (path.parent for path in log.rglob("contract.json"))
    for stray in (contract / "notes.txt", log / "flights" / "stray.parquet"):
        stray.write_text("x")
        report = check(world, log)
        assert (report.exit_code, report.cells[0].verdict) == (2, "pass")
        assert stray.name in str(report.cells[-1].problem)
        stray.unlink()


def test_a_file_that_is_there_twice_is_compared_once(world: World) -> None:
    world.serve(3)
    world.serve(4)
    log = world.log()
    (path,) = log.rglob("*.parquet")
    shutil.copy(path, path.with_name("again.parquet"))
    (result,) = check(world, log).cells
    assert (result.rows, result.uncompared) == (2, {"an exact copy of a row that was compared": 2})


def test_a_log_of_another_project_could_not_run(world: World) -> None:
    world.serve(3)
    log = world.log()
    assert check(world, log, project="world").exit_code == 0
    report = check(world, log, project="other")
    assert (report.exit_code, report.cells[0].uncompared) == (2, {"could not run": 1})
    assert "is of Feast project 'world', the repository is project 'other'" in str(report.cells[0].problem)


def test_one_service_of_a_directory_of_several_can_be_chosen(world: World) -> None:
    world.serve(3)
    log = world.log()
    world.contract = replace(world.contract, service="other")
    world.serve(4)
    world.log()
    for service in ("flights", "other"):
        (result,) = check(world, log, service=service).cells
        assert result.rows + sum(result.uncompared.values()) == 1
    with pytest.raises(InputError, match=r"no log of service 'third' under .* of: flights, other"):
        check(world, log, service="third")


def test_rows_after_now_are_from_the_future(world: World) -> None:
    world.serve(3)
    world.serve(5)
    (result,) = check(world, world.log(), now=at(4)).cells
    assert (result.rows, result.uncompared) == (1, {"from the future: served after now": 1})


def test_a_source_that_is_gone_could_not_run(world: World) -> None:
    world.serve(3)
    log = world.log()
    (world.path / "plane.parquet").unlink()
    report = check(world, log)
    assert (report.exit_code, report.cells[0].uncompared) == (2, {"could not run": 1})
    assert "feature view plane: table 'rows' cannot be read" in str(report.cells[0].problem)


def test_a_sample_leaves_out_whole_entities(world: World) -> None:
    for hour in range(2, 12):
        world.serve(hour, key=f"K{hour % 5}")
    log = world.log()
    seen = []
    for share in (0.2, 0.4, 0.6, 0.8):
        cells = check(world, log, sample=share).cells
        rows = sum(result.rows for result in cells)
        assert rows + sum(result.uncompared.get("left out of the sample", 0) for result in cells) == 10
        assert rows % 2 == 0
        seen.append(rows)
    assert seen == sorted(seen)
