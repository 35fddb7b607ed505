"""Served rows joined with outcomes: the join says what the obvious one says, and the laws it stands on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.oracles.outcomes import Named, Row, Timed, joined

from trueup.errors import InputError
from trueup.eventlog.labelled import LABEL_STATES, Labelled
from trueup.eventlog.outcomes import Outcomes, by_request, join
from trueup.eventlog.outcomes.joining import COUNTS
from trueup.eventlog.outcomes.kept import SCHEMA
from trueup.eventlog.outcomes.keys import entity_texts
from trueup.frame import EVENT_TIME

START = datetime(2013, 11, 24, 5, 0, tzinfo=UTC)


def moment(ticks: int) -> datetime:
    """Ticks are microseconds: the finest there is."""
    return START + timedelta(microseconds=ticks)


def table_of(rows: Sequence[Row]) -> pa.Table:
    """Origin is text, number an integer, as a log has them."""
    return pa.table(
        {
            "__request_id": pa.array([row.request for row in rows], pa.string()),
            "__row": pa.array([row.number for row in rows], pa.int32()),
            "__log_timestamp": pa.array([moment(row.at) for row in rows], EVENT_TIME),
            "origin": pa.array([row.keys["origin"] for row in rows], pa.string()),
            "line": pa.array([row.keys["line"] for row in rows], pa.int64()),
        }
    )


def outcomes_of(found: Sequence[Named | Timed]) -> Outcomes:
    rows: list[dict[str, Any]] = []
    for each in found:
        row: dict[str, Any] = {"value": each.value, "known_at": moment(each.known_at)}
        if isinstance(each, Named):
            row |= {"request_id": each.request, "row": each.number}
        else:
            columns = {name: pa.chunked_array([[value]]) for name, value in each.keys.items()}
            row |= {"keys": entity_texts(columns)[0].as_py(), "at": moment(each.at), "within": each.within}
        rows.append(row)
    return Outcomes("late", pa.Table.from_pylist(rows, SCHEMA))


def join_ticks(
    rows: Sequence[Row], found: Sequence[Named | Timed], *, now: int, delay: int = 0, absent: Any = "unknown"
) -> Labelled:
    return join(table_of(rows), outcomes_of(found), now=moment(now), delay=timedelta(microseconds=delay), absent=absent)


def states(labelled: Labelled) -> list[str]:
    return [LABEL_STATES[state] for state in labelled.states]


TICKS = st.integers(0, 6)
KEYS = st.fixed_dictionaries({"origin": st.sampled_from(["JFK", "LGA"]), "line": st.sampled_from([7, 8])})
ROWS = st.lists(
    st.builds(Row, st.sampled_from(["a", "b", "c", None]), st.integers(0, 1), TICKS, KEYS), min_size=1, max_size=8
)
VALUES = st.sampled_from([0.0, 1.0, 2.5])
NAMED = st.builds(Named, st.sampled_from(["a", "b", "d"]), st.integers(0, 1), VALUES, TICKS)
SOME_KEYS = st.one_of(KEYS, KEYS.map(lambda keys: {"origin": keys["origin"]}))
TIMED = st.builds(Timed, SOME_KEYS, TICKS, st.integers(0, 3), VALUES, TICKS)


@given(
    ROWS,
    st.lists(st.one_of(NAMED, TIMED), max_size=8),
    TICKS,
    st.integers(0, 3),
    st.sampled_from(["unknown", "zero"]),
)
def test_the_join_is_the_obvious_one(
    rows: list[Row], found: list[Named | Timed], now: int, delay: int, absent: str
) -> None:
    # A request id is one request: entities of rows without one cannot be told apart, and no log of ours has such rows.
    rows = [row for row in rows if row.request is not None or not any(isinstance(o, Timed) for o in found)]
    labelled = join_ticks(rows, found, now=now, delay=delay, absent=absent)
    values, said, counts = joined(rows, found, now=now, delay=delay, absent=absent)
    assert [None if math.isnan(value) else value for value in labelled.values] == values
    assert states(labelled) == said
    assert {name: count for name, count in labelled.counts.items() if count} == {n: c for n, c in counts.items() if c}


@given(ROWS, st.lists(st.one_of(NAMED, TIMED), max_size=8), TICKS)
def test_every_outcome_and_every_row_is_counted_once(rows: list[Row], found: list[Named | Timed], now: int) -> None:
    rows = [row for row in rows if row.request is not None]
    labelled = join_ticks(rows, found, now=now)
    counts = labelled.counts
    assert counts["matched"] + counts["orphans"] + counts["not yet known"] == len(found)
    assert sum(counts[f"rows {state}"] for state in LABEL_STATES) == labelled.rows.num_rows == len(rows)
    used = {
        (row.request, row.number) for row, value in zip(rows, labelled.values, strict=True) if not math.isnan(value)
    }
    rest = counts["duplicates"] + counts["restated"] + counts["ambiguous"]
    assert counts["matched"] == len(used) + rest


@given(ROWS, st.lists(st.one_of(NAMED, TIMED), max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_outcomes_changes_nothing(rows: list[Row], found: list[Named | Timed], random: Any) -> None:
    rows = [row for row in rows if row.request is not None]
    other = list(found)
    random.shuffle(other)
    one, two = join_ticks(rows, found, now=6), join_ticks(rows, other, now=6)
    assert one.values.tobytes() == two.values.tobytes()
    assert one.counts == two.counts


@given(ROWS, st.lists(TIMED, max_size=6), TICKS)
def test_resolved_with_all_requests_first_parts_join_as_the_whole(
    rows: list[Row], found: list[Named | Timed], now: int
) -> None:
    rows = [row for row in rows if row.request is not None]
    whole = join_ticks(rows, found, now=now)
    known = outcomes_of([each for each in found if each.known_at <= now])
    meant = by_request(known, table_of(rows))
    parts = [
        join(table_of([row]), meant, now=moment(now), delay=timedelta(), absent="unknown").values[0] for row in rows
    ]
    assert [repr(value) for value in parts] == [repr(value) for value in whole.values]


ROW = Row("a", 0, 0, {"origin": "JFK", "line": 7})


def test_one_outcome_serves_every_model_that_scored_the_row() -> None:
    assert join_ticks([ROW, ROW, ROW], [Named("a", 0, 1.0, 1)], now=2).values.tolist() == [1.0, 1.0, 1.0]


def test_a_replay_at_an_earlier_instant_knows_less() -> None:
    found = [Named("a", 0, 0.0, 1), Named("a", 0, 1.0, 3)]
    assert [states(join_ticks([ROW], found, now=now)) for now in (0, 1)] == [["missing"], ["mature"]]
    assert [join_ticks([ROW], found, now=now).values[0] for now in (1, 2, 3)] == [0.0, 0.0, 1.0]
    assert join_ticks([ROW], found, now=2).counts["not yet known"] == 1


def test_a_row_is_mature_when_its_delay_is_over_to_the_microsecond() -> None:
    known = [Named("a", 0, 1.0, 0)]
    assert [states(join_ticks([ROW], known, now=now, delay=3))[0] for now in (2, 3)] == ["early", "mature"]
    assert [states(join_ticks([ROW], [], now=now, delay=3))[0] for now in (2, 3)] == ["immature", "missing"]


def test_an_immature_row_is_no_negative_where_absent_means_zero() -> None:
    labelled = join_ticks([ROW, Row("b", 0, 5, ROW.keys)], [], now=5, delay=3, absent="zero")
    assert states(labelled) == ["mature", "immature"]
    assert labelled.values[0] == 0.0
    assert math.isnan(labelled.values[1])


def test_a_row_without_an_instant_is_never_mature() -> None:
    table = table_of([ROW]).set_column(2, "__log_timestamp", pa.nulls(1, EVENT_TIME))
    found = join(table, outcomes_of([]), now=moment(9), delay=timedelta(), absent="zero")
    assert states(found) == ["immature"]


def test_a_value_that_came_again_after_another_is_a_duplicate_and_the_other_restated() -> None:
    found = [Named("a", 0, 1.0, 0), Named("a", 0, 0.0, 1), Named("a", 0, 1.0, 2)]
    labelled = join_ticks([ROW], found, now=3)
    assert labelled.values[0] == 1.0
    assert {name: labelled.counts[name] for name in COUNTS if labelled.counts[name]} == {
        "matched": 3,
        "duplicates": 1,
        "restated": 1,
    }


def test_values_that_became_known_at_once_and_differ_leave_the_row_unknown() -> None:
    labelled = join_ticks([ROW], [Named("a", 0, 1.0, 1), Named("a", 0, 0.0, 1)], now=2)
    assert states(labelled) == ["missing"]
    assert labelled.counts["ambiguous"] == 2


def test_an_entity_means_the_last_row_before_and_never_a_later_one() -> None:
    rows = [Row(name, 0, at, ROW.keys) for name, at in (("a", 0), ("b", 3), ("c", 5))]
    found = [Timed({"origin": "JFK"}, 4, 2, 1.0, 4)]
    assert states(join_ticks(rows, found, now=6)) == ["missing", "mature", "missing"]
    out_of_reach = [Timed({"origin": "JFK"}, 2, 1, 1.0, 4)]
    assert join_ticks(rows, out_of_reach, now=6).counts["orphans"] == 1


def test_an_entity_with_two_rows_at_one_instant_is_ambiguous() -> None:
    labelled = join_ticks([ROW, Row("b", 0, 0, ROW.keys)], [Timed({"line": 7}, 0, 0, 1.0, 0)], now=1)
    assert states(labelled) == ["missing", "missing"]
    assert labelled.counts["ambiguous"] == labelled.counts["matched"] == 1


@pytest.mark.parametrize("text", ["7", "07", "7.0", "7.000"])
def test_a_whole_number_key_is_the_same_however_its_text_writes_it(text: str) -> None:
    assert join_ticks([ROW], [Timed({"line": text}, 0, 0, 1.0, 0)], now=1).values[0] == 1.0


@pytest.mark.parametrize("value", [7, 7.0, "7"])
def test_a_key_matches_whatever_type_it_came_as(value: Any) -> None:
    assert join_ticks([ROW], [Timed({"line": value, "origin": "JFK"}, 0, 0, 1.0, 0)], now=1).values[0] == 1.0


def test_text_keys_are_not_read_as_numbers() -> None:
    row = Row("a", 0, 0, {"origin": "007", "line": 7})
    assert join_ticks([row], [Timed({"origin": "7"}, 0, 0, 1.0, 0)], now=1).counts["orphans"] == 1


def test_a_row_with_a_null_key_is_no_entity() -> None:
    row = Row("a", 0, 0, {"origin": None, "line": 7})
    assert join_ticks([row], [Timed({"origin": "JFK"}, 0, 0, 1.0, 0)], now=1).counts["orphans"] == 1


def test_a_join_key_that_the_rows_do_not_have_is_named() -> None:
    with pytest.raises(InputError, match="keyed by 'dest', which the served rows do not have; they have origin, line"):
        join_ticks([ROW], [Timed({"dest": "BOS"}, 0, 0, 1.0, 0)], now=1)


def test_without_rows_every_outcome_is_an_orphan() -> None:
    labelled = join_ticks([], [Named("a", 0, 1.0, 0), Timed({"origin": "JFK"}, 0, 0, 1.0, 0)], now=1)
    assert labelled.values.tolist() == []
    assert labelled.counts["orphans"] == 2
