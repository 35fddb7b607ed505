"""The two checks end to end: what passes, what fails, what could not run, and what is counted on the way."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from feast.protos.feast.types.Value_pb2 import Value
from hypothesis import given
from hypothesis import strategies as st
from tests.trueup.parity.world import MODEL, START, Card, World, at, causes_of

from trueup.errors import InputError
from trueup.eventlog.writer import LogWriter
from trueup.instants import AsOfRule
from trueup.parity.checks.online import NOT_LANDED
from trueup.parity.compare import Tolerance
from trueup.parity.evidence.online import view_contracts
from trueup.parity.evidence.recompute import distinct
from trueup.parity.results import Result
from trueup.stores.ledger import Ledger

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:feast", "ignore::UserWarning:feast")


# served


def test_an_empty_log_could_not_run_and_is_no_pass(world: World) -> None:
    report = world.served_report()
    assert (report.verdict, report.exit_code) == ("could not run", 2)
    (result,) = report.results
    assert (result.compared, result.problem is not None) == (0, True)


def test_a_log_without_rows_in_the_window_could_not_run(world: World) -> None:
    world.serve(3)
    report = world.served_report(start=at(4))
    assert (report.verdict, report.exit_code) == ("could not run", 2)


def test_no_log_at_all_is_an_error_that_says_what_to_do(world: World, tmp_path: Path) -> None:
    from trueup.parity.runs.served import run_served

    for directory in (tmp_path / "nothing", tmp_path):
        with pytest.raises(InputError, match=r"there is no served log under .* serve some requests first"):
            run_served(world.path, directory, lambda *_: Card(world.contract, AsOfRule()), ledger=None)


def test_a_pass_is_0_and_a_fail_is_1(world: World) -> None:
    world.serve(3)
    assert world.served_report().exit_code == 0
    world.overwrite("plane", "speed", Value(double_val=1.0))
    world.serve(3)
    assert world.served_report().exit_code == 1


def test_each_model_is_recomputed_under_its_own_rule(world: World) -> None:
    world.know("plane", 2, speed=500.0, seats=180)
    for model in ("honest", "leaky"):
        world.serve(3, model=model)
    cards = {
        "honest": Card(world.contract, AsOfRule("served")),
        "leaky": Card(world.contract, AsOfRule("unbounded")),
    }
    report = world.served_report(cards=cards)
    assert {r.subject: (r.known_at, r.verdict) for r in report.results} == {
        "honest": ("served", "pass"),
        "leaky": ("unbounded", "fail"),
    }
    assert report.verdict == "fail"
    assert list(report.summary()["served"]) == ["honest", "leaky"]


def test_any_other_rule_can_be_asked_for(world: World) -> None:
    world.know("plane", 2, speed=500.0, seats=180)
    world.serve(3)
    assert world.check_served("unbounded", rule=AsOfRule("served")).verdict == "pass"


def test_the_instant_a_training_set_was_pinned_to_says_nothing_of_rows_served_later(world: World) -> None:
    world.serve(3)
    cards = {MODEL: Card(world.contract, AsOfRule("served", pinned=START - timedelta(days=1)))}
    assert world.served_report(cards=cards).verdict == "pass"


def test_a_model_that_nobody_knows_could_not_run_and_the_others_still_do(world: World) -> None:
    world.serve(3)
    world.serve(3, model="stranger")
    report = world.served_report()
    known, stranger = report.results
    assert (known.verdict, stranger.verdict, stranger.uncompared) == ("pass", "could not run", {"could not run": 1})
    assert stranger.problem == "no model 'stranger', version 1."
    assert report.exit_code == 2


def test_rows_served_under_another_contract_are_compared_by_the_features_both_have(world: World) -> None:
    world.serve(3)
    plane, airport = world.contract.views
    other = replace(world.contract, views=(replace(plane, ttl=None), airport))
    (result,) = world.served_report(cards={MODEL: Card(other, AsOfRule())}).results
    assert (result.verdict, result.compared, result.uncompared) == ("pass", 5, {})


def test_a_contract_that_has_nothing_in_common_with_the_logs_is_counted_and_is_no_pass(world: World) -> None:
    world.serve(3)
    plane, _ = world.contract.views
    renamed = replace(plane, name="other", table="other")
    other = replace(world.contract, features=(("other", "speed"),), views=(renamed,), on_demand=())
    (result,) = world.served_report(cards={MODEL: Card(other, AsOfRule())}).results
    assert (result.verdict, result.compared) == ("could not run", 0)
    assert result.uncompared == {"served under another contract than the model's": 1}


def test_a_source_that_contradicts_itself_is_still_compared(world: World) -> None:
    """Training refuses it; parity says which cells rest on the contradiction."""
    world.serve(3)
    world.know("plane", 0, speed=1.0, seats=1)
    result = world.check_served()
    assert (result.verdict, result.by_cause) == ("fail", {"ambiguous_source": 3})


def test_answers_and_shadows_are_counted_apart_and_both_compared(world: World) -> None:
    world.overwrite("plane", "seats", Value(int64_val=7))
    for role in ("answer", "shadow", "shadow"):
        world.serve(3, role=role)
    roles = world.check_served().roles
    assert {name: (part.rows, part.compared, part.mismatched) for name, part in roles.items()} == {
        "answer": (1, 5, 1),
        "shadow": (2, 10, 2),
    }


def test_the_log_can_be_cut_to_a_window_and_to_some_models(world: World) -> None:
    for hours in (2, 3, 4):
        world.serve(hours)
    world.serve(3, model="other")
    (result,) = world.served_report(start=at(3), end=at(4), models=[MODEL]).results
    assert (result.subject, result.rows) == (MODEL, 1)


def test_a_tolerance_makes_near_values_equal_and_counts_them(world: World) -> None:
    world.overwrite("plane", "speed", Value(double_val=np.nextafter(400.5, 500)))
    world.serve(3)
    tolerances = {"plane__speed": Tolerance(ulps=1), "flight__ground": Tolerance(relative=1e-12)}
    result = world.check_served(tolerances=tolerances)
    assert (result.verdict, result.counts.within_tolerance) == ("pass", 2)


def test_a_value_that_stayed_the_same_while_its_row_did_not_is_counted_and_passes(world: World) -> None:
    world.know("plane", 2, speed=400.5, seats=2**53 + 1)
    world.serve(3)
    result = world.check_served("label")
    assert (result.verdict, result.counts.stale_equal) == ("pass", 2)


def test_without_a_ledger_the_declared_schedule_stands_in(world: World) -> None:
    world.serve(3)
    result = world.check_served(ledger=Ledger(world.path / "none.sqlite"))
    assert result.verdict == "pass"


def test_samples_have_both_clocks_of_both_sides(world: World) -> None:
    world.serve(3)
    world.know("plane", 2, created=4, speed=500.0, seats=180)
    samples = {sample.feature: sample for sample in world.check_served("unbounded").samples}
    sample = samples["plane__speed"]
    assert (sample.keys, sample.at, sample.request, sample.role) == ({"tailnum": "X"}, at(3), "r0", "answer")
    served, recomputed = sample.served, sample.recomputed
    assert (served.value, served.status, served.event_time, served.created) == ("400.5", "present", at(0), at(0))
    assert (recomputed.value, recomputed.event_time, recomputed.created) == ("500.0", at(2), at(4))
    assert samples["flight__ground"].served.event_time is None


def test_the_time_line_has_no_gaps_and_adds_up(world: World) -> None:
    for hours in (1, 1.5, 4):
        world.serve(hours)
    result = world.check_served()
    assert [bucket.start for bucket in result.timeline] == [at(hour) for hour in range(1, 5)]
    assert [bucket.rows for bucket in result.timeline] == [2, 0, 0, 1]
    assert sum(bucket.compared for bucket in result.timeline) == result.compared


def test_two_models_scored_on_one_request_are_read_once(world: World) -> None:
    world.serve(3, model="a")
    world.serve(3, model="b")
    cards = {name: Card(world.contract, AsOfRule()) for name in ("a", "b")}
    said: list[str] = []
    world.served_report(cards=cards, progress=said.append)
    assert [now for now in said if now.startswith("recompute")] == [
        "recompute plane as served, 1 row",
        "recompute airport as served, 1 row",
    ]


def test_the_same_log_gives_the_same_report(world: World) -> None:
    world.overwrite("plane", "seats", Value(int64_val=7))
    world.serve(3)
    with_log = world.served_report()
    assert world.served_report().to_json() == with_log.to_json()


def test_a_log_row_without_any_model_row_is_not_there(world: World) -> None:
    with LogWriter(world.path / "log", [world.contract]):
        pass
    (result,) = world.served_report().results
    assert (result.rows, result.verdict) == (0, "could not run")


# online


def test_an_online_store_that_holds_what_the_ledger_says_passes(world: World) -> None:
    world.know("plane", 2, speed=500.0, seats=180)
    found = world.check_online(3)
    assert {name: (result.verdict, result.rows) for name, result in found.items()} == {
        "plane": ("pass", 1),
        "airport": ("pass", 1),
    }


def test_inputs_of_on_demand_features_are_checked_online_too(world: World) -> None:
    assert list(world.check_online(3)["airport"].features) == ["airport__wind", "airport__gust"]


def test_an_overwritten_value_is_found_online(world: World) -> None:
    world.overwrite("airport", "wind", Value(double_val=99.0))
    found = world.check_online(3)
    assert causes_of(found["airport"]) == {"airport__wind": {"unexplained": 1}}
    assert found["plane"].verdict == "pass"


def test_an_entity_that_is_gone_online_is_missing_and_one_not_written_yet_is_counted(world: World) -> None:
    for tailnum in ("A", "B", "Z"):
        world.know("plane", 0.5, tailnum=tailnum, speed=1.0, seats=2)
    world.materialize(1.5)
    world.know("plane", 2, tailnum="C", speed=1.0, seats=2)
    world.lose("plane", "B")
    plane = world.check_online(3, batch_rows=2)["plane"]
    assert causes_of(plane) == {"plane__speed": {"missing_online": 1}, "plane__seats": {"missing_online": 1}}
    assert (plane.rows, plane.uncompared) == (4, {NOT_LANDED: 1})
    assert {sample.keys["tailnum"] for sample in plane.samples} == {"B"}


def test_batches_give_what_the_whole_gives(world: World) -> None:
    for number in range(7):
        world.know("plane", 0.5, tailnum=f"T{number}", speed=float(number), seats=number)
    world.materialize(1.5)
    for number in (1, 4):
        world.overwrite("plane", "seats", Value(int64_val=99), key=f"T{number}")

    def totals(result: Result) -> object:
        return replace(result, samples=())

    whole = world.check_online(3)["plane"]
    for size in (1, 3, 8):
        assert totals(world.check_online(3, batch_rows=size)["plane"]) == totals(whole)


def test_a_source_that_forgot_its_entities_leaves_them_online_which_is_found(world: World) -> None:
    world.forget("plane")
    plane = world.check_online(3)["plane"]
    assert (plane.rows, plane.mismatched, sum(plane.by_cause.values())) == (1, 2, 2)


def test_a_source_and_a_store_without_entities_could_not_run(world: World) -> None:
    world.forget("plane")
    world.lose("plane")
    assert world.check_online(3)["plane"].verdict == "could not run"


def test_only_the_views_asked_for_are_checked(world: World) -> None:
    assert list(world.check_online(3, views=["airport"])) == ["airport"]


def test_a_view_that_cannot_be_read_could_not_run_and_the_others_still_do(world: World) -> None:
    (world.path / "plane.parquet").unlink()
    found = world.check_online(3)
    assert found["plane"].verdict == "could not run"
    assert "plane.parquet" in str(found["plane"].problem)
    assert found["airport"].verdict == "pass"


def test_a_table_that_a_service_uses_twice_is_one_view_under_its_own_keys(world: World) -> None:
    plane, airport = world.contract.views
    key = replace(airport.keys[0], request="dest")
    twice = replace(airport, name="dest_airport", keys=(key,), features=airport.features[1:])
    alone = view_contracts(
        replace(world.contract, views=(plane, replace(airport, features=airport.features[:1]), twice))
    )
    assert [view.table for contract in alone for view in contract.views] == ["plane", "airport"]
    assert alone[1].columns == ("airport__wind", "airport__gust")
    assert [item.name for item in alone[1].entity_fields] == ["origin"]


# evidence


@given(st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from([1.0, None, float("nan")])), max_size=8))
def test_rows_that_ask_the_same_are_one_and_each_row_knows_which(rows: list[tuple[str | None, float | None]]) -> None:
    table = pa.table(
        {"k": pa.array([row[0] for row in rows], pa.string()), "v": pa.array([row[1] for row in rows], pa.float64())}
    )
    unique, number = distinct(table)
    assert unique.num_rows == len({str(row) for row in rows})
    assert str(unique.take(pa.array(number)).to_pylist()) == str(table.to_pylist())
