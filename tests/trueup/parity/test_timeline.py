"""Time lines and repeats of rows in pieces are those of all rows."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from trueup.contracts.contract import FeatureContract
from trueup.eventlog.logged import LoggedRows
from trueup.frame import EVENT_TIME, FeatureFrame
from trueup.instants import EPOCH
from trueup.parity.compare import Comparison, Outcome
from trueup.parity.evidence.repeats import Repeats
from trueup.parity.evidence.sample import in_sample
from trueup.parity.explain import Findings
from trueup.parity.tally import Labels
from trueup.parity.timeline import MOST_BUCKETS, Timeline, timeline

BEGIN = datetime(2013, 11, 1, tzinfo=UTC)
SECONDS = st.integers(0, 90 * 86_400) | st.integers(0, 4_000)


def findings(codes: list[int]) -> Findings:
    array = np.array(codes, np.int8)
    empty = FeatureFrame(pa.table({}), pa.table({}), pa.table({}))
    causes = {"f": np.zeros(len(codes), np.uint64)}
    return Findings(empty, Comparison({"f": array}, {}), causes, {})


def line(rows: list[tuple[int, int]]) -> Timeline:
    at = np.array([(BEGIN + timedelta(seconds=s) - EPOCH) // timedelta(microseconds=1) for s, _ in rows], np.int64)
    return timeline(findings([code for _, code in rows]), Labels(at))


@given(st.lists(st.tuples(SECONDS, st.sampled_from([Outcome.EQUAL, Outcome.VALUE, Outcome.NOT_COMPARED]))), st.data())
def test_a_time_line_of_pieces_is_that_of_all_and_counts_every_row_once(
    rows: list[tuple[int, int]], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(rows)))
    whole = line(rows).buckets()
    assert (line(rows[:cut]) + line(rows[cut:])).buckets() == whole
    assert sum(bucket.rows for bucket in whole) == len(rows)
    assert len(whole) <= MOST_BUCKETS
    widths = {later.start - earlier.start for earlier, later in pairwise(whole)}
    assert len(widths) <= 1
    for index, bucket in enumerate(whole):
        end = whole[index + 1].start if index + 1 < len(whole) else datetime.max.replace(tzinfo=UTC)
        mine = [code for s, code in rows if bucket.start <= BEGIN + timedelta(seconds=s) < end]
        assert bucket.rows == len(mine)
        assert bucket.compared == sum(code != Outcome.NOT_COMPARED for code in mine)
        assert bucket.mismatched == bucket.by_cause.get("unexplained", 0) == sum(code == Outcome.VALUE for code in mine)


def logged(rows: list[tuple[int, str | None, float]]) -> LoggedRows:
    """Rows of (hour, request, value)."""
    at = pa.array([BEGIN + timedelta(hours=hour) for hour, _, _ in rows], EVENT_TIME)
    none = pa.nulls(len(rows), pa.string())
    labels = {"__request_id": pa.array([name for _, name, _ in rows], pa.string()), "__row": none.cast(pa.int32())}
    return LoggedRows(
        FeatureContract("p", "s", (), ()),
        pa.table({"key": pa.array([1] * len(rows), pa.int64())}),
        FeatureFrame(
            pa.table({"v__f": pa.array([value for *_, value in rows], pa.float64())}),
            pa.table({"v__f": pa.array([1] * len(rows), pa.int8())}),
            pa.table({}),
        ),
        at,
        pa.table({**labels, "__model": none, "__model_version": none, "__role": none}),
    )


ROW = st.tuples(st.integers(0, 100), st.none() | st.sampled_from("ab"), st.sampled_from([0.5, 1.5, math.inf]))


@settings(max_examples=25)  # each piece opens a DuckDB
@given(st.lists(ROW), st.integers(1, 10))
def test_copies_and_contradictions_are_those_that_a_look_at_all_rows_finds(
    rows: list[tuple[int, str | None, float]], size: int
) -> None:
    rows = sorted(rows, key=lambda row: row[0])
    seen: set[tuple[int, str | None, float]] = set()
    named: set[tuple[int, str | None]] = set()
    expected = []
    for hour, name, value in rows:
        copy = name is not None and (hour, name, value) in seen
        expected.append((copy, name is not None and not copy and (hour // 24, name) in named))
        seen.add((hour, name, value))
        named.add((hour // 24, name))
    repeats, got = Repeats(), []
    for begin in range(0, len(rows), size):
        piece = logged(rows[begin : begin + size])
        at = np.asarray(piece.at.cast(pa.int64()))
        repeats.forget_before(int(at[0]))
        found = repeats.look(piece, at)
        got += list(zip(found.copies.tolist(), found.contradicting.tolist(), strict=True))
    assert got == expected


@given(st.lists(st.tuples(st.integers(), st.text())), st.floats(0, 1), st.floats(0, 1))
def test_a_sample_goes_by_the_key_alone_and_a_larger_one_holds_it(
    keys: list[tuple[int, str]], one: float, other: float
) -> None:
    small, large = sorted((one, other))
    table = pa.table(
        {
            "a": pa.array([number % 2**62 for number, _ in keys], pa.int64()),
            "b": pa.array([text for _, text in keys], pa.string()),
        }
    )
    inner, outer = in_sample(table, small), in_sample(table, large)
    assert not (inner & ~outer).any()
    turned = in_sample(table.take(pa.array(range(len(keys) - 1, -1, -1), pa.int64())), small)
    assert turned[::-1].tolist() == inner.tolist()
    assert in_sample(table, 1.0).all()
