"""Each cause in a world where exactly it happens, and beside it the world where it must not be named.

Every fault is one that the real stores can commit: rows that become known late, runs that come late or are not in
the ledger, another writer, a reader with another TTL, lost keys, lost sources.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from feast.protos.feast.types.Value_pb2 import Value
from tests.trueup.parity.world import World, causes_of

from trueup import parity
from trueup.frame import FeatureFrame, Status
from trueup.instants import AsOfRule
from trueup.parity.causes import BY_NAME, CAUSES, UNEXPLAINED
from trueup.parity.compare import Cells
from trueup.parity.distortions import narrowed, through_float
from trueup.parity.reading import Reading, paths

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:feast", "ignore::UserWarning:feast")


def test_a_world_without_faults_has_no_mismatch(world: World) -> None:
    world.know("plane", 2, speed=410.0, seats=180)
    world.serve(2.5)
    world.materialize(3)
    world.serve(3)
    world.serve(3, key="nobody")
    world.serve(20)
    result = world.check_served()
    assert (result.verdict, result.mismatched, result.compared) == ("pass", 0, 20)


def test_late_arrival_is_a_value_that_became_known_after_it_was_served(world: World) -> None:
    world.serve(3)
    world.know("plane", 2, created=4, speed=500.0, seats=180)
    assert causes_of(world.check_served("unbounded")) == {
        "plane__speed": {"late_arrival": 1},
        "plane__seats": {"late_arrival": 1},
        "flight__ground": {"late_arrival": 1},
    }


def test_a_late_row_is_nothing_to_a_model_that_did_not_learn_from_late_rows(world: World) -> None:
    world.serve(3)
    world.know("plane", 2, created=4, speed=500.0, seats=180)
    assert world.check_served("label").verdict == "pass"
    assert world.check_served("served").verdict == "pass"


def test_lag_is_a_value_that_was_known_and_not_yet_online(world: World) -> None:
    world.know("plane", 2, speed=500.0, seats=180)
    world.serve(3)
    lag = {"plane__speed": {"lag": 1}, "plane__seats": {"lag": 1}, "flight__ground": {"lag": 1}}
    assert causes_of(world.check_served("label")) == lag
    # For an unbounded rule too, and without late_arrival: knowing later rows changes nothing here.
    assert causes_of(world.check_served("unbounded")) == lag


def test_lag_is_expected_by_a_model_that_learned_as_served(world: World) -> None:
    world.know("plane", 2, speed=500.0, seats=180)
    world.serve(3)
    assert world.check_served("served").verdict == "pass"


def test_a_row_known_late_over_one_that_lagged_has_both_causes(world: World) -> None:
    world.know("plane", 2, speed=500.0, seats=2**53 + 1)
    world.serve(3)
    world.know("plane", 2.5, created=4, speed=600.0, seats=180)
    result = world.check_served("unbounded")
    # The lagging row had the same seats as the one before it, so lag did not change those.
    assert causes_of(result) == {
        "plane__speed": {"late_arrival": 1, "lag": 1},
        "plane__seats": {"late_arrival": 1},
        "flight__ground": {"late_arrival": 1, "lag": 1},
    }
    assert result.mismatched == 3
    assert result.by_cause == {"late_arrival": 3, "lag": 2}


def test_a_write_that_the_ledger_does_not_have_is_ahead_of_it(world: World) -> None:
    world.know("plane", 2, speed=500.0, seats=180)
    world.materialize(2.5, ledger="another.sqlite")
    world.serve(3)
    assert causes_of(world.check_served())["plane__speed"] == {"ahead_of_ledger": 1}


def test_a_value_older_than_its_ttl_that_was_served_all_the_same_is_ttl_not_enforced(world: World) -> None:
    world.serve(7, ttl=None)
    assert causes_of(world.check_served()) == {
        "plane__speed": {"ttl_not_enforced": 1},
        "plane__seats": {"ttl_not_enforced": 1},
        "flight__ground": {"ttl_not_enforced": 1},
    }


def test_a_value_as_old_as_its_ttl_is_neither_expired_nor_served_too_long(world: World) -> None:
    world.serve(6, ttl=None)
    world.serve(6)
    assert world.check_served().verdict == "pass"


def test_an_old_value_that_also_lagged_has_both_causes(world: World) -> None:
    world.know("plane", 2, speed=500.0, seats=180)
    world.serve(7, ttl=None)
    assert causes_of(world.check_served("label"))["plane__speed"] == {"lag": 1, "ttl_not_enforced": 1}


def test_a_row_taken_for_too_old_that_is_not_is_expired(world: World) -> None:
    world.serve(3, ttl=timedelta(hours=1))
    assert causes_of(world.check_served()) == {
        "plane__speed": {"expired": 1},
        "plane__seats": {"expired": 1},
        "flight__ground": {"expired": 1},
    }


def test_a_row_that_expired_because_a_newer_one_lagged_is_lag_and_not_expired(world: World) -> None:
    world.know("plane", 5, speed=500.0, seats=180)
    world.serve(7)
    assert causes_of(world.check_served("label"))["plane__speed"] == {"lag": 1}


def test_a_key_that_is_gone_is_missing_online_and_so_is_what_is_made_of_it(world: World) -> None:
    world.lose("plane")
    world.serve(3)
    assert causes_of(world.check_served()) == {
        "plane__speed": {"missing_online": 1},
        "plane__seats": {"missing_online": 1},
        "flight__ground": {"missing_online": 1},
    }


def test_an_input_that_is_not_logged_gives_its_views_cause(world: World) -> None:
    world.lose("airport")
    world.serve(3)
    assert causes_of(world.check_served()) == {
        "airport__wind": {"missing_online": 1},
        "flight__ground": {"missing_online": 1},
        "flight__gusty": {"missing_online": 1},
    }


def test_an_entity_that_was_never_written_yet_is_lag_and_not_missing(world: World) -> None:
    world.know("plane", 2, tailnum="Y", speed=1.0, seats=2)
    world.know("airport", 0, origin="Y", wind=10.25, gust=20.0)
    world.serve(3, key="Y")
    assert causes_of(world.check_served("label"))["plane__speed"] == {"lag": 1}


def test_an_entity_that_expired_may_be_gone(world: World) -> None:
    world.lose("plane")
    world.serve(7)
    result = world.check_served()
    assert (result.verdict, result.counts.forgotten) == ("pass", 2)


def test_a_source_that_lost_what_a_run_had_brought_leaves_a_tombstone_missing(world: World) -> None:
    world.serve(3)
    world.forget("plane")
    assert causes_of(world.check_served()) == {
        "plane__speed": {"tombstone_missing": 1},
        "plane__seats": {"tombstone_missing": 1},
        "flight__ground": {"tombstone_missing": 1},
    }


def test_a_row_that_no_run_can_have_brought_is_missing_offline(world: World) -> None:
    """It was written online past the ledger, and the source never had it."""
    world.know("plane", 2, tailnum="Y", speed=1.0, seats=2)
    world.know("airport", 0, origin="Y", wind=10.25, gust=20.0)
    world.materialize(2.5, ledger="another.sqlite")
    world.materialize(2.6, view="airport")
    world.serve(3, key="Y")
    world.rows["plane"] = [row for row in world.rows["plane"] if row["tailnum"] != "Y"]
    world.write()
    assert causes_of(world.check_served()) == {
        "plane__speed": {"missing_offline": 1},
        "plane__seats": {"missing_offline": 1},
        "flight__ground": {"missing_offline": 1},
    }


def test_an_entity_known_only_later_is_not_missing_offline(world: World) -> None:
    """The source has it: what is odd is when it was online."""
    world.know("plane", 2, tailnum="Y", speed=1.0, seats=2)
    world.know("airport", 0, origin="Y", wind=10.25, gust=20.0)
    world.materialize(2.5, ledger="another.sqlite")
    world.serve(3, key="Y")
    assert causes_of(world.check_served())["plane__speed"] == {"ahead_of_ledger": 1}


def test_a_float64_rounded_to_float32_is_dtype_narrowing(world: World) -> None:
    world.know("plane", 2, speed=0.1, seats=1)
    world.materialize(2.5)
    world.overwrite("plane", "speed", Value(double_val=float(np.float32(0.1))))
    world.serve(3)
    assert causes_of(world.check_served()) == {
        "plane__speed": {"dtype_narrowing": 1},
        "flight__ground": {"dtype_narrowing": 1},
    }


def test_a_value_beside_the_rounded_one_is_unexplained(world: World) -> None:
    world.know("plane", 2, speed=0.1, seats=1)
    world.materialize(2.5)
    world.overwrite("plane", "speed", Value(double_val=float(np.nextafter(np.float32(0.1), np.float32(1)))))
    world.serve(3)
    assert causes_of(world.check_served()) == {
        "plane__speed": {"unexplained": 1},
        "flight__ground": {"unexplained": 1},
    }


def test_an_integer_that_went_through_a_float_is_int_precision(world: World) -> None:
    world.overwrite("plane", "seats", Value(int64_val=2**53))
    world.serve(3)
    assert causes_of(world.check_served()) == {"plane__seats": {"int_precision": 1}}


def test_an_integer_off_by_more_than_rounding_is_unexplained(world: World) -> None:
    world.overwrite("plane", "seats", Value(int64_val=2**53 + 2))
    world.serve(3)
    assert causes_of(world.check_served()) == {"plane__seats": {"unexplained": 1}}


def test_a_rounded_value_that_also_lagged_has_both_causes(world: World) -> None:
    world.know("plane", 2, speed=500.0, seats=180)
    world.overwrite("plane", "seats", Value(int64_val=2**53))
    world.serve(3)
    assert causes_of(world.check_served("label"))["plane__seats"] == {"lag": 1, "int_precision": 1}


def test_a_value_that_nothing_reproduces_is_unexplained_and_has_a_sample(world: World) -> None:
    world.overwrite("plane", "seats", Value(int64_val=7))
    world.serve(3)
    result = world.check_served()
    assert (result.verdict, result.unexplained, result.by_cause) == ("fail", 1, {})
    (sample,) = result.samples
    assert (sample.causes, sample.served.value, sample.recomputed.value) == ((), "7", str(2**53 + 1))


def test_a_right_value_from_a_wrong_row_is_not_taken_for_the_right_rule(world: World) -> None:
    """The value of the older row, but at another event time: reproduced means in every respect."""
    world.know("plane", 2, speed=500.0, seats=180)

    def an_hour_later(frame: FeatureFrame) -> FeatureFrame:
        times = frame.event_timestamps
        column = pa.array([times["plane"][0].as_py() + timedelta(hours=1)], times.schema.field("plane").type)
        return FeatureFrame(frame.values, frame.statuses, times.set_column(0, "plane", column))

    world.serve(3, tamper=an_hour_later)
    assert causes_of(world.check_served("label"))["plane__speed"] == {"unexplained": 1}


def test_two_inputs_with_two_faults_give_an_on_demand_feature_both(world: World) -> None:
    world.lose("plane")
    world.know("airport", 2, wind=30.0, gust=20.0)
    world.serve(3)
    found = causes_of(world.check_served("label"))
    assert found["airport__wind"] == {"lag": 1}
    assert found["flight__ground"] == {"missing_online": 1, "lag": 1}


def test_a_row_read_while_a_run_was_under_way_may_be_from_before_or_after(world: World) -> None:
    world.know("plane", 2, speed=500.0, seats=180)
    world.serve(3)
    world.materialize(2.9, took=0.2)
    world.serve(3)
    result = world.check_served()
    assert (result.verdict, result.mismatched) == ("pass", 0)
    assert {name: feature.during_materialization for name, feature in result.features.items()} == {
        "plane__speed": 1,
        "plane__seats": 1,
        "airport__wind": 0,
        "flight__ground": 1,
        "flight__gusty": 0,
    }


def test_an_on_demand_feature_may_mix_a_view_from_before_with_one_from_after(world: World) -> None:
    world.know("plane", 2, speed=500.0, seats=180)
    world.know("airport", 2, wind=30.0, gust=20.0)
    world.materialize(2.9, took=0.2, view="plane")
    world.serve(3)
    world.materialize(2.9, took=0.2, view="airport")
    result = world.check_served()
    assert result.verdict == "pass"
    assert result.features["flight__ground"].during_materialization == 1


def test_a_run_that_was_over_excuses_nothing(world: World) -> None:
    world.know("plane", 2, speed=500.0, seats=180)
    world.serve(3)
    world.materialize(2.5, took=0.5)
    # Finished at hour 3: the row is read at that very instant, and the run had landed.
    result = world.check_served()
    assert (result.verdict, result.during_materialization) == ("fail", 0)


def test_lag_is_named_whatever_a_run_under_way_had_written(world: World) -> None:
    world.know("plane", 2, speed=500.0, seats=180)
    world.know("plane", 2.95, speed=600.0, seats=190)
    world.materialize(2.9, took=0.2)
    world.serve(3)
    assert causes_of(world.check_served("label"))["plane__speed"] == {"lag": 1}


def test_causes_are_named_once_and_say_what_they_are_and_what_to_do() -> None:
    assert len(BY_NAME) == len(CAUSES)
    for cause in CAUSES:
        assert cause.name.isidentifier()
        assert cause.meaning.endswith(".")
        assert len(cause.advice) > 40


def test_every_cause_has_its_section_of_the_documentation() -> None:
    sections = set(re.findall(r"^## (\w+)$", Path(parity.__file__).with_name("README.md").read_text(), re.MULTILINE))
    assert sections == {*BY_NAME, UNEXPLAINED}


def test_fewer_changes_are_tried_first_and_no_reading_twice() -> None:
    for known_at in ("served", "label", "unbounded"):
        ways = list(paths(Reading(AsOfRule(known_at))))
        assert [len(path.steps) for some in ways for path in some] == sorted(
            index for index, some in enumerate(ways) for _ in some
        )
        readings = [path.reading for some in ways for path in some]
        assert len(readings) == len(set(readings)) > 10


def test_distortions_do_to_a_column_what_the_faults_do() -> None:
    def column(values: list[object], kind: pa.DataType) -> Cells:
        return Cells(pa.array(values, kind), np.full(len(values), Status.PRESENT, np.int8), None)

    floats = column([0.1, None, 1e300, float("nan")], pa.float64())
    rounded = narrowed(floats, floats)
    assert rounded is not None
    assert rounded.values.to_pylist()[:3] == [float(np.float32(0.1)), None, float("inf")]
    lists = narrowed(column([[0.1, None], []], pa.list_(pa.float64())), floats)
    assert lists is not None
    assert lists.values.to_pylist() == [[float(np.float32(0.1)), None], []]
    assert narrowed(column([1], pa.int64()), floats) is None
    assert narrowed(floats, column([1], pa.int64())) is None  # coerced: of the two, what says more
    whole = through_float(column([2**53 + 1, None, 2**63 - 1, -(2**63)], pa.int64()))
    assert whole is not None
    assert whole.values.to_pylist() == [2**53, None, 2**63 - 1, -(2**63)]
