"""Causes of values, of whole rows and of definitions: each where exactly it happens, and the near miss beside it.

Values of any type are compared without a store: a source that is a table, and a served frame beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.trueup.parity.tamper import put
from tests.trueup.parity.world import MODEL, START, TIMES, Card, World, at, causes_of

from trueup.contracts.contract import FeatureContract, Field, JoinKey, OnDemand, Source, View
from trueup.frame import STATUS, FeatureFrame, Status
from trueup.instants import AsOfRule, KnownAt
from trueup.parity.case import Case
from trueup.parity.causes import BIT, CAUSES
from trueup.parity.compare import Cells
from trueup.parity.distortions import (
    coerced,
    items_defaulted,
    items_dropped,
    shifted,
    whole_milliseconds,
    whole_seconds,
)
from trueup.parity.evidence.definitions import ledger_definitions, log_definition
from trueup.parity.evidence.recompute import INSTANT
from trueup.parity.evidence.recompute import Source as Recomputed
from trueup.parity.explain import examine
from trueup.parity.logged import AsLogged
from trueup.parity.reading import Reading
from trueup.stores.ledger import Ledger

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:feast", "ignore::UserWarning:feast")


@dataclass(frozen=True)
class Table:
    """A view `v` of features with a key `id` (and `other`, which a request has too), in one Parquet file."""

    path: Path
    dtypes: dict[str, str]
    rows: list[dict[str, Any]]
    types: dict[str, pa.DataType]
    ttl: timedelta | None = None
    on_demand: tuple[OnDemand, ...] = ()

    @property
    def view(self) -> View:
        return View(
            name="v",
            table="v",
            keys=(JoinKey("id", "String", "id"),),
            features=tuple(Field(name, dtype) for name, dtype in self.dtypes.items()),
            ttl=self.ttl,
            source=Source("test", "event", "created", None, {"t": "t.parquet"}, {}),
        )

    @property
    def contract(self) -> FeatureContract:
        features = [("v", name) for name in self.dtypes]
        features += [(view.name, item.name) for view in self.on_demand for item in view.outputs]
        return FeatureContract("p", "s", tuple(features), (self.view,), self.on_demand)

    def write(self) -> None:
        schema = pa.schema({"id": pa.string(), "event": TIMES, "created": TIMES, **self.types})
        rows = [{"created": row["event"], **row} for row in self.rows]
        pq.write_table(pa.Table.from_pylist(rows, schema), self.path / "t.parquet", write_statistics=False)

    def causes(
        self,
        served: list[dict[str, Any]],
        *,
        known_at: KnownAt = "label",
        declared_types: bool = True,
        ledger: Ledger | None = None,
        precision: int = 1,
        **more: Any,
    ) -> dict[str, list[set[str]]]:
        """served: one dict a row: `id`, `at` (hours), `event` (hours or None), a value for each feature; a status may
        stand under `feature:status`. Gives the causes of each feature's mismatching rows."""
        self.write()
        contract = self.contract
        inputs = pa.table({"id": [row["id"] for row in served]})
        for name in (item.name for view in self.on_demand for item in view.request):
            inputs = inputs.append_column(name, pa.array([row[name] for row in served]))
        asked = inputs.append_column(INSTANT, pa.array([at(row["at"]) for row in served], TIMES))
        values, statuses = {}, {}
        for column, (_, feature), field in zip(contract.columns, contract.features, contract.schema, strict=True):
            values[column] = pa.array([row[feature] for row in served], field.type)
            given = [
                row.get(f"{feature}:status", Status.NULL if row[feature] is None else Status.PRESENT) for row in served
            ]
            statuses[column] = pa.array([int(status) for status in given], STATUS)
        times = [None if row["event"] is None else at(row["event"]) for row in served]
        case = Case(
            contract=contract,
            reading=Reading(AsOfRule(known_at), declared_types=declared_types),
            inputs=inputs,
            served=FeatureFrame(pa.table(values), pa.table(statuses), pa.table({"v": pa.array(times, TIMES)})),
            under_way=np.zeros(len(served), np.bool_),
            recompute=AsLogged(Recomputed(asked, repo=self.path, ledger=ledger, project="p"), precision),
            **more,
        )
        findings = examine(case)
        return {
            name: [
                {cause.name for cause in CAUSES if bits & BIT[cause.name]}
                for bits in findings.causes[name][findings.comparison.mismatches()[name]]
            ]
            for name in findings.causes
        }


def one(path: Path, dtype: str, value: Any, kind: pa.DataType) -> Table:
    """One entity with one feature `f` at hour 0."""
    return Table(path, {"f": dtype}, [{"id": "X", "event": START, "f": value}], {"f": kind})


def served(value: Any, *, at: float = 1, event: float | None = 0, who: str = "X", **more: Any) -> dict[str, Any]:
    return {"id": who, "at": at, "event": event, "f": value, **more}


@pytest.mark.parametrize(
    ("dtype", "kind", "value", "default", "other"),
    [
        ("Int64", pa.int64(), None, 0, 7),
        ("Float64", pa.float64(), None, 0.0, 0.5),
        ("Float64", pa.float64(), None, -1.0, -2.0),
        ("String", pa.string(), None, "", "none"),
        ("Bool", pa.bool_(), None, False, True),
        ("Decimal", pa.string(), None, "0.00", "1"),
        ("Map", pa.string(), None, "{}", '{"a":1}'),
        ("Array(Struct({a: Int64}))", pa.string(), None, "[]", "[{}]"),
    ],
)
def test_a_default_where_there_is_a_null_is_null_default(
    tmp_path: Path, dtype: str, kind: pa.DataType, value: Any, default: Any, other: Any
) -> None:
    table = one(tmp_path, dtype, value, kind)
    assert table.causes([served(default), served(other)]) == {"v__f": [{"null_default"}, set()]}


def test_one_value_for_all_nulls_is_a_default_and_so_is_one_that_the_settings_name(tmp_path: Path) -> None:
    table = one(tmp_path, "Float64", None, pa.float64())
    assert table.causes([served(3.5)] * 3) == {"v__f": [{"null_default"}] * 3}
    assert table.causes([served(3.5)] * 2) == {"v__f": [set()] * 2}
    assert table.causes([served(3.5), served(4.5)], defaults={"v__f": 3.5}) == {"v__f": [{"null_default"}, set()]}


def test_a_default_of_an_entity_that_is_missing_has_no_event_time(tmp_path: Path) -> None:
    table = one(tmp_path, "Int64", 1, pa.int64())
    assert table.causes([served(0, who="Y", event=None), served(0, who="Z", event=0)]) == {
        "v__f": [{"null_default"}, {"missing_offline"}]
    }


def test_a_default_in_the_place_of_an_expired_value_is_null_default_and_the_value_itself_is_not(tmp_path: Path) -> None:
    table = replace(one(tmp_path, "Int64", 5, pa.int64()), ttl=timedelta(hours=2))
    assert table.causes([served(0, at=4), served(5, at=4)]) == {"v__f": [{"null_default"}, {"ttl_not_enforced"}]}


def test_a_zero_where_there_is_a_value_is_no_default(tmp_path: Path) -> None:
    table = one(tmp_path, "Int64", 5, pa.int64())
    assert table.causes([served(0)]) == {"v__f": [set()]}


@pytest.mark.parametrize(
    ("dtype", "value", "kind", "replaced", "dropped", "other"),
    [
        ("Array(Bool)", [True, None], pa.list_(pa.bool_()), [True, False], [True], [False, False]),
        ("Array(Int64)", [4, None, 6], pa.list_(pa.int64()), [4, 0, 6], [4, 6], [4, 1, 6]),
        ("Array(String)", [None, "a"], pa.list_(pa.string()), ["", "a"], ["a"], ["b", "a"]),
        ("Array(Json)", [None, "1"], pa.list_(pa.string()), ["null", "1"], ["1"], ["{}", "1"]),
        ("Array(Decimal)", [None, "1"], pa.list_(pa.string()), ["", "1"], ["1"], ["0", "1"]),
    ],
)
def test_nulls_within_lists_that_were_replaced_or_dropped_are_list_null(
    tmp_path: Path, dtype: str, value: Any, kind: pa.DataType, replaced: Any, dropped: Any, other: Any
) -> None:
    table = one(tmp_path, dtype, value, kind)
    assert table.causes([served(replaced), served(dropped), served(other)]) == {
        "v__f": [{"list_null"}, {"list_null"}, set()]
    }


def test_what_a_timestamp_has_below_the_second_is_lost_online_and_not_in_a_stock_offline_store(tmp_path: Path) -> None:
    exact = START + timedelta(seconds=5, microseconds=123456)
    table = one(tmp_path, "UnixTimestamp", exact, TIMES)
    cut = START + timedelta(seconds=5)
    assert table.causes([served(cut), served(cut + timedelta(seconds=1))], declared_types=False) == {
        "v__f": [{"ts_precision"}, set()]
    }
    # trueup's own offline store reads whole seconds too.
    assert table.causes([served(cut)]) == {}


def test_a_timestamp_off_by_a_zone_is_timezone_shift_and_by_less_is_not(tmp_path: Path) -> None:
    table = one(tmp_path, "UnixTimestamp", START, TIMES)
    hours = [timedelta(hours=-5), timedelta(hours=5, minutes=45), timedelta(minutes=7), timedelta(hours=15)]
    assert table.causes([served(START + off) for off in hours]) == {
        "v__f": [{"timezone_shift"}, {"timezone_shift"}, set(), set()]
    }


def test_a_float_declared_float32_is_narrowed_online_only(tmp_path: Path) -> None:
    table = one(tmp_path, "Float32", 0.1, pa.float64())
    assert table.causes([served(0.1)], declared_types=False) == {"v__f": [{"dtype_narrowing"}]}
    assert table.causes([served(0.1)]) == {}


def test_values_are_cast_as_feast_casts_them() -> None:
    def column(values: list[Any], kind: pa.DataType) -> Cells:
        return Cells(pa.array(values, kind), np.ones(len(values), np.int8), None)

    def cast(values: list[Any], kind: pa.DataType, to: pa.DataType) -> list[Any]:
        found = coerced(column(values, kind), column([None] * len(values), to))
        assert found is not None
        return found.values.to_pylist()  # type: ignore[no-any-return]

    assert cast([1.9, -1.9, None], pa.float64(), pa.int64()) == [1, -1, None]
    assert cast(["7", "x", None], pa.string(), pa.int64()) == [7, None, None]
    assert cast([2, 0], pa.int64(), pa.bool_()) == [True, False]
    assert cast([7, None], pa.int64(), pa.string()) == ["7", None]
    assert cast(["1.5"], pa.string(), pa.float64()) == [1.5]
    assert coerced(column([1], pa.int64()), column([1], pa.int64())) is None


def test_distortions_of_timestamps_and_lists_leave_nulls_alone() -> None:
    def column(values: list[Any], kind: pa.DataType) -> Cells:
        return Cells(pa.array(values, kind), np.ones(len(values), np.int8), None)

    # Towards 1970, which is later for an instant before it.
    before = START - timedelta(days=20000, microseconds=-1500)
    times = column([before, None], TIMES)
    for cut, expected in (
        (whole_seconds, START - timedelta(days=20000) + timedelta(seconds=1)),
        (whole_milliseconds, START - timedelta(days=20000) + timedelta(milliseconds=2)),
    ):
        found = cut(times)
        assert found is not None
        assert found.values.to_pylist() == [expected, None]
    lists = column([[1, None], None, []], pa.list_(pa.int64()))
    for change, expected_lists in ((items_defaulted, [[1, 0], None, []]), (items_dropped, [[1], None, []])):
        changed = change(lists)
        assert changed is not None
        assert changed.values.to_pylist() == expected_lists
    assert whole_seconds(column([1], pa.int64())) is None
    assert shifted(column([1], pa.int64()), column([1], pa.int64())) is None
    assert items_defaulted(column([1], pa.int64())) is None


def test_a_log_that_keeps_whole_seconds_only_tells_an_older_row_all_the_same(tmp_path: Path) -> None:
    exact = START + timedelta(microseconds=250_000)
    rows = [{"id": "X", "event": exact + timedelta(hours=hour), "f": float(hour)} for hour in (0, 1)]
    table = Table(tmp_path, {"f": "Float64"}, rows, {"f": pa.float64()})
    older = [served(0.0, at=2, event=0)]
    assert table.causes(older) == {"v__f": [set()]}
    assert table.causes(older, precision=1_000_000) == {"v__f": [{"lag"}]}
    assert table.causes([served(1.0, at=2, event=1)], precision=1_000_000) == {}


@pytest.mark.parametrize(
    ("dtype", "kind", "value", "cast", "other"),
    [
        ("Int64", pa.float64(), 2.75, 2, 3),
        ("Int64", pa.string(), "17", 17, 18),
        ("Bool", pa.int64(), 2, True, False),
        ("String", pa.int64(), 5, "5", "6"),
        ("Float64", pa.string(), "0.5", 0.5, 1.5),
    ],
)
def test_a_value_that_was_cast_online_and_not_offline_is_dtype_coercion(
    tmp_path: Path, dtype: str, kind: pa.DataType, value: Any, cast: Any, other: Any
) -> None:
    table = one(tmp_path, dtype, value, kind)
    assert table.causes([served(cast), served(other)], declared_types=False) == {"v__f": [{"dtype_coercion"}, set()]}


def people(path: Path, **features: str) -> Table:
    """Two people at one event time, with a float and an integer each."""
    rows = [
        {"id": "X", "event": START, "f": 1.25, "n": 1},
        {"id": "Y", "event": START, "f": 2.5, "n": 2},
        {"id": "Z", "event": START, "f": 3.75, "n": 1},
    ]
    return Table(path, {"f": "Float64", "n": "Int64"}, rows, {"f": pa.float64(), "n": pa.int64()})


def test_another_rows_answer_is_swapped_entity_and_half_of_it_is_not(tmp_path: Path) -> None:
    table = people(tmp_path)
    mine, theirs = {**served(2.5), "n": 2}, {**served(1.25, who="Y"), "n": 1}
    assert table.causes([mine, theirs]) == {
        "v__f": [{"swapped_entity"}, {"swapped_entity"}],
        "v__n": [{"swapped_entity"}, {"swapped_entity"}],
    }
    # One value of another's row, the rest one's own.
    assert table.causes([{**served(2.5), "n": 1}, {**served(2.5, who="Y"), "n": 2}]) == {"v__f": [set()]}


def test_a_row_that_differs_in_one_float_only_is_told_by_it_and_in_one_integer_only_is_not(tmp_path: Path) -> None:
    table = people(tmp_path)
    others = [{**served(2.5, who="Y"), "n": 2}, {**served(3.75, who="Z"), "n": 1}]
    assert table.causes([{**served(3.75), "n": 1}, *others]) == {"v__f": [{"swapped_entity"}]}
    alone = Table(tmp_path, {"n": "Int64"}, table.rows, {"n": pa.int64()})
    rows = [{"id": "X", "at": 1, "event": 0, "n": 2}, {"id": "Y", "at": 1, "event": 0, "n": 2}]
    assert alone.causes(rows) == {"v__n": [set()]}


def test_a_row_that_several_others_have_is_swapped_entity_where_nothing_else_explains_it(tmp_path: Path) -> None:
    table = people(tmp_path)
    table.rows.append({"id": "W", "event": START, "f": 2.5, "n": 2})
    assert table.causes([{**served(2.5), "n": 2}]) == {"v__f": [{"swapped_entity"}], "v__n": [{"swapped_entity"}]}
    # That others have a row like one that the entity itself may have lost does not make it theirs.
    table = replace(table, rows=[{**row, "event": START + timedelta(hours=row["id"] != "X")} for row in table.rows])
    found = table.causes([{**served(2.5, event=1, at=2), "n": 2}])
    assert found == {"v__f": [{"missing_offline"}], "v__n": [{"missing_offline"}]}


def test_a_row_that_only_one_other_has_is_swapped_entity_however_late_it_is(tmp_path: Path) -> None:
    table = people(tmp_path)
    table = replace(table, rows=[{**row, "event": START + timedelta(hours=row["id"] != "X")} for row in table.rows])
    found = table.causes([{**served(2.5, event=1, at=2), "n": 2}])
    assert found == {"v__f": [{"swapped_entity"}], "v__n": [{"swapped_entity"}]}


_SHARE = """
def share(inputs):
    total = sum(inputs["n"])
    return {"part": [n / total for n in inputs["n"]]}
"""


def test_a_function_of_the_batch_is_odfv_batch_dependent_and_a_wrong_value_is_not(tmp_path: Path) -> None:
    share = OnDemand("share", "python", (("v", "n"),), (), (Field("part", "Float64"),), _SHARE)
    table = replace(people(tmp_path), on_demand=(share,))
    rows = [
        {**served(1.25), "n": 1, "part": 1 / 3},
        {**served(2.5, who="Y"), "n": 2, "part": 2 / 3},
        {**served(3.75, who="Z"), "n": 1, "part": 1.0},
        {**served(3.75, who="Z", at=2), "n": 1, "part": 0.77},
    ]
    assert table.causes(rows, requests=np.array([0, 0, 1, 2])) == {
        "share__part": [{"odfv_batch_dependent"}] * 3 + [set()]
    }


def test_a_value_of_the_logs_contract_is_definition_changed_or_registry_stale(world: World) -> None:
    """The server is still on the old query; the model was trained on the new one, applied at hour 2."""
    new = replace(
        world.contract,
        views=(
            replace(
                world.contract.views[0],
                source=replace(world.contract.views[0].source, query="SELECT * REPLACE (speed * 2 AS speed) FROM rows"),
            ),
            world.contract.views[1],
        ),
    )
    world.serve(1.5)
    world.serve(3)
    cards = {MODEL: Card(new, AsOfRule())}
    (result,) = world.served_report(cards=cards).results
    both_rows = {"plane__speed": {"definition_changed": 2}, "flight__ground": {"definition_changed": 2}}
    assert causes_of(result) == both_rows
    (result,) = world.served_report(cards=cards, applied={"plane": at(2)}).results
    assert causes_of(result) == {
        "plane__speed": {"definition_changed": 1, "registry_stale": 1},
        "flight__ground": {"definition_changed": 1, "registry_stale": 1},
    }
    (result,) = world.served_report(cards=cards, applied={"airport": at(2)}).results
    assert causes_of(result) == both_rows


def test_a_value_of_an_on_demand_function_that_changed_is_definition_changed(world: World) -> None:
    (flight,) = world.contract.on_demand
    new = replace(world.contract, on_demand=(replace(flight, code=flight.code.replace("a - b", "a + b")),))
    world.serve(3)
    (result,) = world.served_report(cards={MODEL: Card(new, AsOfRule())}).results
    assert causes_of(result) == {
        "flight__ground": {"definition_changed": 1},
        "flight__gusty": {"definition_changed": 1},
    }


def test_a_row_written_under_an_older_definition_is_not_backfilled(world: World) -> None:
    """The query changes after the only run; server and model know the new one, the online row is of the old."""
    old = world.contract
    plane, airport = old.views
    source = replace(plane.source, query="SELECT * REPLACE (speed * 2 AS speed) FROM rows")
    world.contract = replace(old, views=(replace(plane, source=source), airport))
    world.serve(3)
    world.serve(3, tamper=put(plane__speed=1.0, flight__ground=-9.25))
    assert causes_of(world.check_served()) == {
        "plane__speed": {"definition_not_backfilled": 1, "unexplained": 1},
        "flight__ground": {"definition_not_backfilled": 1, "unexplained": 1},
    }


def test_a_feature_that_was_added_and_never_written_is_not_backfilled(world: World) -> None:
    world.serve(3, tamper=put(Status.MISSING, plane__seats=None))
    assert causes_of(world.check_served()) == {"plane__seats": {"definition_not_backfilled": 1}}


def test_a_null_is_not_backfilled_where_the_run_that_wrote_the_row_did_not_know_the_feature(tmp_path: Path) -> None:
    table = people(tmp_path)
    ledger = Ledger(tmp_path / "ledger.sqlite")
    older = replace(table.view, features=(Field("f", "Float64"),))

    def run(hour: float, view: View) -> None:
        begun = ledger.start(
            project="p",
            view="v",
            started_at=at(hour),
            known_at=at(hour),
            known_after=None,
            event_start=at(-10),
            event_end=at(hour),
            definition_hash=view.definition_hash,
            definition=view,
        )
        ledger.finish(begun, finished_at=at(hour), rows=3)

    run(1, older)
    definitions = ledger_definitions(table.contract, ledger)
    assert [(item.hash, item.contract.columns) for item in definitions] == [(older.definition_hash, ("v__f",))]
    null = {**served(1.25, at=2), "n": None}
    assert table.causes([null], known_at="served", ledger=ledger, definitions=definitions) == {
        "v__n": [{"definition_not_backfilled"}]
    }
    run(1.5, table.view)
    assert table.causes([null], known_at="served", ledger=ledger, definitions=definitions) == {"v__n": [set()]}


def test_a_feature_that_is_null_in_every_row_was_never_written_and_in_some_it_was(tmp_path: Path) -> None:
    table = people(tmp_path)
    nulls = [
        {**served(1.25), "n": None},
        {**served(2.5, who="Y"), "n": None},
        {**served(3.75, who="Z"), "n": None},
    ]
    assert table.causes(nulls) == {"v__n": [{"definition_not_backfilled"}] * 3}
    assert table.causes([*nulls, {**served(1.25, at=2), "n": 1}]) == {"v__n": [set()] * 3}


def test_definitions_that_are_the_models_own_are_none(world: World) -> None:
    instants = np.zeros(1, np.int64)
    assert log_definition(world.contract, world.contract, instants) == ()
    assert ledger_definitions(world.contract, world.ledger) == ()
    assert ledger_definitions(world.contract, None) == ()


def test_an_exchanged_key_column_is_swapped_entity(tmp_path: Path) -> None:
    """The view is keyed by the origin, and the server took the destination; nobody else asked for that one."""
    table = people(tmp_path)
    table.write()
    origin = replace(table.view, keys=(JoinKey("id", "String", "origin"),))
    dest = replace(table.view, name="w", keys=(JoinKey("id", "String", "dest"),))
    contract = FeatureContract("p", "s", (("v", "f"), ("v", "n"), ("w", "f")), (origin, dest))
    inputs = pa.table({"origin": ["X"], "dest": ["Y"]})
    present = pa.array([1], STATUS)
    times = pa.array([START], TIMES)
    case = Case(
        contract=contract,
        reading=Reading(AsOfRule("label")),
        inputs=inputs,
        served=FeatureFrame(
            pa.table({"v__f": [2.5], "v__n": [2], "w__f": [2.5]}),
            pa.table({"v__f": present, "v__n": present, "w__f": present}),
            pa.table({"v": times, "w": times}),
        ),
        under_way=np.zeros(1, np.bool_),
        recompute=Recomputed(
            inputs.append_column(INSTANT, pa.array([at(1)], TIMES)), repo=tmp_path, ledger=None, project="p"
        ),
    )
    findings = examine(case)
    assert {name: bits.tolist() for name, bits in findings.causes.items()} == {
        "v__f": [int(BIT["swapped_entity"])],
        "v__n": [int(BIT["swapped_entity"])],
    }
