"""Laws of the difference of two snapshots: every input, row and cell that differs, and each reason there can be."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.trueup.datasets.examples import ROWS, SPEC, START, kept, training_set
from tests.trueup.models.examples import CONTRACT, PINNED

from trueup.contracts.contract import FeatureContract, Field, OnDemand
from trueup.datasets.changes import MEANING, Reason
from trueup.datasets.entity_rows import Counts
from trueup.datasets.ledger_state import LedgerState
from trueup.datasets.snapshot import Snapshot
from trueup.datasets.training_set import TrainingSet
from trueup.frame import STATUS, FeatureFrame, Status
from trueup.instants import AsOfRule, Schedule
from trueup.parity.snapshots import SnapshotDifference, compare_snapshots

SPENT = "buyer__spent"
VIEW = CONTRACT.views[0]


def diff(a: Snapshot, b: Snapshot) -> SnapshotDifference:
    found = compare_snapshots((a.manifest, b.manifest), (a.load(), b.load()))
    json.dumps(found.to_json())
    assert set(found.reasons) <= MEANING.keys()
    return found


def with_value(data: TrainingSet, column: str, row: int, value: Any, *, hours: int = 0) -> TrainingSet:
    """One cell changed, and its row's event time by hours."""
    frame = data.features
    index = frame.columns.index(column)
    values = frame.values.column(column).to_pylist()
    values[row] = value
    states = frame.statuses.column(column).to_pylist()
    states[row] = int(Status.NULL if value is None else Status.PRESENT)
    times = frame.event_timestamps.column("buyer").to_pylist()
    times[row] += timedelta(hours=hours)
    type_ = frame.values.schema.field(column).type
    return replace(
        data,
        features=FeatureFrame(
            frame.values.set_column(index, column, pa.array(values, type_)),
            frame.statuses.set_column(index, column, pa.array(states, STATUS)),
            pa.table({"buyer": pa.array(times, pa.timestamp("us", tz="UTC"))}),
        ),
    )


def without(data: TrainingSet, *rows: int) -> TrainingSet:
    left = pa.array([row for row in range(ROWS) if row not in rows])
    frame = data.features
    parts = (table.take(left) for table in (frame.values, frame.statuses, frame.event_timestamps))
    train = sum(row < 30 for row in left.to_pylist())
    return TrainingSet(
        data.rows.take(left), FeatureFrame(*parts), data.label, Counts(train, len(left) - train, 0, None)
    )


def with_rows(data: TrainingSet, column: str, change: Callable[[list[Any]], list[Any]]) -> TrainingSet:
    field = data.rows.schema.field(column)
    values = pa.array(change(data.rows.column(column).to_pylist()), field.type)
    return replace(data, rows=data.rows.set_column(data.rows.schema.get_field_index(column), field, values))


def other_view(**changes: Any) -> FeatureContract:
    return replace(CONTRACT, views=(replace(VIEW, **changes),))


CHANGED = with_value(training_set(), SPENT, 5, -1.0)


def reasons_of(a: Snapshot, b: Snapshot, column: str = SPENT) -> tuple[Reason, ...]:
    found = diff(a, b)
    return next(each.reasons for each in found.columns if each.column == column)


def test_a_snapshot_is_the_same_as_itself(tmp_path: Path) -> None:
    found = diff(kept(tmp_path), kept(tmp_path))
    assert (found.same, found.content_same) == (True, True)
    assert (found.changes, found.columns, found.reasons, found.rows) == ((), (), (), ROWS)


def test_a_name_is_no_difference_and_what_a_sample_left_out_is(tmp_path: Path) -> None:
    data = training_set()
    assert diff(kept(tmp_path), kept(tmp_path, name="others")).same
    found = diff(kept(tmp_path), kept(tmp_path, replace(data, counts=replace(data.counts, not_sampled=4))))
    assert (found.same, found.content_same, found.reasons) == (False, True, ("late_data",))


def test_a_differing_cell_is_shown_with_id_instant_and_both_values(tmp_path: Path) -> None:
    found = diff(kept(tmp_path), kept(tmp_path, CHANGED))
    (column,) = found.columns
    assert (column.column, column.compared, column.differ, column.other_row) == (SPENT, ROWS, 1, 0)
    (cell,) = column.samples
    before = training_set().features.values.column(SPENT)[5].as_py()
    assert (cell.id, cell.event_timestamp, cell.a, cell.b) == ("v005", "2024-01-06T00:00:00Z", repr(before), "-1.0")


def test_same_inputs_and_other_content_is_late_data(tmp_path: Path) -> None:
    found = diff(kept(tmp_path), kept(tmp_path, CHANGED))
    assert found.changes == ()
    assert found.reasons == ("late_data",)
    landed = diff(kept(tmp_path), kept(tmp_path, with_value(training_set(), SPENT, 5, -1.0, hours=1)))
    assert landed.columns[0].reasons == ("late_data",)
    assert next(each for each in landed.columns if each.column == SPENT).other_row == 1


@pytest.mark.parametrize(
    ("contract", "part"),
    [
        (other_view(ttl=timedelta(days=3)), "view buyer"),
        (other_view(source=replace(VIEW.source, query="SELECT * FROM buyers WHERE spent > 0")), "source buyer"),
    ],
)
def test_another_definition_of_the_features_view_is_named(tmp_path: Path, contract: FeatureContract, part: str) -> None:
    a, b = kept(tmp_path), kept(tmp_path, CHANGED, contract=contract)
    assert [(change.reason, change.part) for change in diff(a, b).changes] == [("definition", part)]
    assert reasons_of(a, b) == ("definition",)


def test_a_feature_added_beside_it_is_no_other_definition_of_a_feature(tmp_path: Path) -> None:
    contract = other_view(features=(*VIEW.features, Field("age", "Int64")))
    a, b = kept(tmp_path), kept(tmp_path, CHANGED, contract=contract)
    assert [change.reason for change in diff(a, b).changes] == ["definition"]
    assert reasons_of(a, b) == ("late_data",)


@pytest.mark.parametrize(
    ("rule", "part"),
    [(AsOfRule("unbounded", PINNED), "known_at"), (AsOfRule("served", PINNED - timedelta(hours=1)), "pinned")],
)
def test_another_as_of_rule_is_named(tmp_path: Path, rule: AsOfRule, part: str) -> None:
    a, b = kept(tmp_path), kept(tmp_path, CHANGED, rule=rule)
    assert [(change.reason, change.part) for change in diff(a, b).changes] == [("as_of", part)]
    assert reasons_of(a, b) == ("as_of",)


def test_another_schedule_is_named_where_served_asks_for_it(tmp_path: Path) -> None:
    contract = other_view(schedule=Schedule(timedelta(hours=2), timedelta(minutes=5)))
    a, b = kept(tmp_path), kept(tmp_path, CHANGED, contract=contract)
    (change,) = diff(a, b).changes
    assert (change.reason, change.detail) == ("schedule", "every 1h, 5m later -> every 2h, 5m later")
    assert reasons_of(a, b) == ("schedule",)
    label = AsOfRule("label", PINNED)
    assert reasons_of(kept(tmp_path, rule=label), kept(tmp_path, CHANGED, contract=contract, rule=label)) == (
        "late_data",
    )


def test_another_ledger_is_named(tmp_path: Path) -> None:
    a, b = kept(tmp_path), kept(tmp_path, CHANGED, ledger={"buyer": LedgerState(3, "e" * 64)})
    assert diff(a, b).changes[0].detail.startswith("no runs -> 3 runs")
    assert reasons_of(a, b) == ("ledger",)


def test_another_entity_query_is_named_where_it_asks_otherwise(tmp_path: Path) -> None:
    rows = replace(SPEC.rows, query=SPEC.rows.query.replace("visits", "more_visits"))
    moved = with_rows(CHANGED, "buyer_id", lambda ids: [*ids[:5], 77, *ids[6:]])
    a, b = kept(tmp_path), kept(tmp_path, moved, rows=rows)
    (change,) = diff(a, b).changes
    assert (change.reason, change.part) == ("entity_query", "query")
    assert reasons_of(a, b) == ("entity_query",)
    assert reasons_of(a, b, "buyer_id") == ("entity_query",)
    # Where every row asks the same, the query cannot have changed a feature.
    assert reasons_of(a, kept(tmp_path, CHANGED, rows=rows)) == ("late_data",)


def test_a_long_query_is_shown_where_it_begins_to_differ(tmp_path: Path) -> None:
    long = [replace(SPEC.rows, query=f"SELECT {'x, ' * 100}{end} FROM visits") for end in ("left", "right")]
    (change,) = diff(*(kept(tmp_path, rows=rows) for rows in long)).changes
    assert "left FROM visits -> " in change.detail
    assert "right FROM visits" in change.detail
    assert len(change.detail) < 200


def test_several_changed_inputs_are_all_named(tmp_path: Path) -> None:
    a = kept(tmp_path)
    b = kept(tmp_path, CHANGED, contract=other_view(ttl=None), rule=AsOfRule("unbounded", PINNED))
    assert reasons_of(a, b) == ("definition", "as_of")


TWICE = OnDemand(
    "twice",
    "python",
    (("buyer", "spent"),),
    (),
    (Field("spent", "Float64"),),
    "def twice(inputs):\n    return {'spent': [None if x is None else 2 * x for x in inputs['spent']]}\n",
)


def test_a_function_of_the_same_inputs_with_another_answer_is_unexplained(tmp_path: Path) -> None:
    contract = replace(CONTRACT, on_demand=(TWICE,), features=(*CONTRACT.features, ("twice", "spent")))

    def with_twice(data: TrainingSet, answer: float) -> TrainingSet:
        frame, name = data.features, "twice__spent"
        values = frame.values.append_column(name, pa.array([answer] * ROWS))
        statuses = frame.statuses.append_column(name, pa.array([1] * ROWS, STATUS))
        return replace(data, features=FeatureFrame(values, statuses, frame.event_timestamps))

    a = kept(tmp_path, with_twice(training_set(), 1.0), contract=contract)
    found = diff(a, kept(tmp_path, with_twice(training_set(), 2.0), contract=contract))
    assert found.reasons == ("unexplained",)
    # Where its input differs too, the input's reason is its own.
    everywhere = training_set(seed=1)
    b = kept(tmp_path, with_twice(replace(training_set(), features=everywhere.features), 2.0), contract=contract)
    assert reasons_of(a, b, "twice__spent") == ("late_data",)


def test_rows_outside_of_the_others_windows_are_the_windows(tmp_path: Path) -> None:
    shorter = replace(SPEC.train, start=START + timedelta(days=2))
    found = diff(kept(tmp_path), kept(tmp_path, without(training_set(), 0, 1), train=shorter))
    assert [change.reason for change in found.changes] == ["window"]
    assert (found.rows, found.only_a.rows, found.only_a.reasons, found.only_a.examples) == (
        ROWS - 2,
        2,
        {"window": 2},
        ("v000", "v001"),
    )
    assert (found.only_b.rows, found.columns) == (0, ())


def test_rows_that_a_sample_leaves_out_are_the_samples(tmp_path: Path) -> None:
    rows = replace(SPEC.rows, sample=28)
    found = diff(kept(tmp_path, without(training_set(), 0, 1), rows=rows), kept(tmp_path))
    assert [(change.reason, change.detail) for change in found.changes] == [("sample", "28 -> all rows")]
    assert found.only_b.reasons == {"sample": 2}


def test_rows_whose_answer_came_after_the_others_pinned_instant_are_the_as_of_rules(tmp_path: Path) -> None:
    early = AsOfRule("served", START + timedelta(days=37, hours=12))
    found = diff(kept(tmp_path), kept(tmp_path, without(training_set(), 38, 39), rule=early))
    assert found.only_a.reasons == {"as_of": 2}


def test_rows_of_another_query_are_the_queries_and_of_the_same_inputs_late_data(tmp_path: Path) -> None:
    rows = replace(SPEC.rows, tables={"visits": "data/other.parquet"})
    assert diff(kept(tmp_path), kept(tmp_path, without(training_set(), 3), rows=rows)).only_a.reasons == {
        "entity_query": 1
    }
    assert diff(kept(tmp_path), kept(tmp_path, without(training_set(), 3))).only_a.reasons == {"late_data": 1}


def test_ids_of_another_name_have_no_partner(tmp_path: Path) -> None:
    found = diff(kept(tmp_path), kept(tmp_path, rows=replace(SPEC.rows, id="buyer_id")))
    assert (found.rows, found.only_a.reasons, found.only_b.reasons) == (
        0,
        {"entity_query": ROWS},
        {"entity_query": ROWS},
    )


def test_rows_are_paired_by_id_in_any_order_and_width(tmp_path: Path) -> None:
    data = training_set()
    back = pa.array(list(reversed(range(ROWS))))
    frame = data.features
    turned = TrainingSet(
        data.rows.take(back),
        FeatureFrame(*(table.take(back) for table in (frame.values, frame.statuses, frame.event_timestamps))),
        data.label,
        data.counts,
    )
    rows = replace(SPEC.rows, id="buyer_id")
    narrow = turned.rows.set_column(1, "buyer_id", turned.rows.column("buyer_id").cast(pa.int32()))
    found = diff(kept(tmp_path, rows=rows), kept(tmp_path, replace(turned, rows=narrow), rows=rows))
    assert (found.rows, found.columns, found.content_same) == (ROWS, (), False)


def test_a_restated_label_is_a_difference(tmp_path: Path) -> None:
    flipped = with_rows(training_set(), "bought", lambda labels: [not labels[0], *labels[1:]])
    (column,) = diff(kept(tmp_path), kept(tmp_path, flipped)).columns
    assert (column.column, column.differ, column.reasons) == ("bought", 1, ("late_data",))
    assert (column.samples[0].a, column.samples[0].b) == ("true", "false")


def test_states_are_told_apart_and_an_expired_value_is_not_a_missing_one(tmp_path: Path) -> None:
    def with_state(status: Status) -> TrainingSet:
        data = with_value(training_set(), SPENT, 5, None)
        states = data.features.statuses.column(SPENT).to_pylist()
        states[5] = int(status)
        index = data.features.columns.index(SPENT)
        statuses = data.features.statuses.set_column(index, SPENT, pa.array(states, STATUS))
        return replace(data, features=replace(data.features, statuses=statuses))

    found = diff(kept(tmp_path, with_state(Status.MISSING)), kept(tmp_path, with_state(Status.EXPIRED)))
    (cell,) = found.columns[0].samples
    assert (cell.a, cell.b) == ("missing", "expired")
    assert found.content_same
    assert not found.same


def test_a_value_of_another_row_and_the_bits_of_a_zero_are_shown_though_no_value_differs(tmp_path: Path) -> None:
    value = training_set().features.values.column(SPENT)[5].as_py()
    landed = diff(kept(tmp_path), kept(tmp_path, with_value(training_set(), SPENT, 5, value, hours=1)))
    assert {column.differ for column in landed.columns} == {0}
    assert {column.other_row for column in landed.columns} == {1}
    zeros = [kept(tmp_path, with_value(training_set(), SPENT, 5, zero)) for zero in (0.0, -0.0)]
    (column,) = diff(*zeros).columns
    assert (column.differ, column.bits) == (0, True)


def test_the_same_content_in_other_bytes_is_the_writers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = kept(tmp_path)
    monkeypatch.setattr("trueup.datasets.snapshot.WRITER", {"pyarrow": "1.0"})
    found = diff(before, kept(tmp_path))
    assert (found.same, found.content_same, found.reasons) == (False, True, ("writer",))


def test_columns_of_one_side_are_named(tmp_path: Path) -> None:
    names = [name for name in CONTRACT.columns if name != SPENT]
    data = training_set()
    fewer = replace(CONTRACT, features=tuple(pair for pair in CONTRACT.features if pair[1] != "spent"))
    found = diff(kept(tmp_path), kept(tmp_path, replace(data, features=data.features.select(names)), contract=fewer))
    assert (found.only_columns_a, found.only_columns_b) == ((SPENT,), ())
    assert found.reasons == ("definition",)
