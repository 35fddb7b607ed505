"""The waterfall and the bars as geometry."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.trueup.diagnose.ledgers import every, flights_leaky, gain, in_pieces, no_outcomes
from tests.trueup.diagnose.worlds import facts, ledger, served, skewed

from trueup.diagnose.gap_ledger import GapLedger
from trueup.diagnose.sinks.axis import Axis
from trueup.diagnose.sinks.parts import draw_causes, draw_split
from trueup.diagnose.sinks.rows import splits
from trueup.diagnose.sinks.waterfall import Bar, draw

LEDGERS = {**every(), "world": ledger(facts(rows=skewed(served(1000))))}
every_ledger = pytest.mark.parametrize("found", LEDGERS.values(), ids=LEDGERS)


def measured(found: GapLedger) -> list[Bar]:
    return [bar for bar in draw(found).bars if bar.kind != "gap" and bar.start is not None]


@every_ledger
def test_a_line_leads_from_each_mark_to_the_bar_after_it_and_on(found: GapLedger) -> None:
    bars = measured(found)
    assert bars[0].leads[0] is None
    assert bars[-1].leads[1] is None
    for before, after in pairwise(bars):
        assert before.end == pytest.approx(after.start, abs=0.02)
        assert before.leads[1] == pytest.approx(after.leads[0], abs=0.02)


@every_ledger
def test_everything_lies_within_the_drawing_in_the_order_of_its_numbers(found: GapLedger) -> None:
    drawn = draw(found)
    for bar in drawn.bars:
        for place in (bar.start, bar.end, *(bar.whisker or ())):
            assert place is None or 0 <= place <= 100
    levels = sorted((float(bar.value), bar.start) for bar in measured(found) if bar.kind == "level")
    assert [place for _, place in levels] == sorted(place for _, place in levels if place is not None)


def test_worse_is_to_the_left_of_an_auc_and_to_the_right_of_a_brier_score() -> None:
    (skew,) = (bar for bar in draw(flights_leaky()).bars if bar.title == "feature skew")
    assert (skew.moved, skew.clear) == ("worse", True)
    assert skew.start is not None
    assert skew.end is not None
    assert skew.end < skew.start
    worse, better = (bar for bar in draw(gain()).bars if bar.kind == "step" and bar.moved)
    assert (worse.title, worse.moved, better.title, better.moved) == ("reproduction", "worse", "feature skew", "better")
    assert worse.start is not None
    assert worse.end is not None
    assert worse.end > worse.start


def test_the_gap_leads_from_the_first_state_to_the_last() -> None:
    bars = draw(flights_leaky()).bars
    assert bars[-1].kind == "gap"
    assert (bars[-1].start, bars[-1].end) == (bars[0].start, bars[-2].end)
    assert all(bar.kind != "gap" for bar in draw(no_outcomes()).bars)


def test_what_has_no_number_has_no_place() -> None:
    bars = draw(no_outcomes()).bars
    assert [bar.start is None for bar in bars] == [False, False, False, True, True]
    assert [bar.is_split for bar in draw(in_pieces()).bars if bar.kind == "step"] == [False, True, True]


@every_ledger
def test_bars_of_parts_begin_at_zero_on_the_side_of_their_sign(found: GapLedger) -> None:
    drawn = [draw_causes(found), *(draw_split(found, split) for _, split in splits(found))]
    for each in drawn:
        assert 0 <= each.zero <= 100
        for part in each.parts:
            if part.left is None:
                assert part.value == "-"
            elif part.value.startswith("-"):
                assert part.left + part.width == pytest.approx(each.zero, abs=0.02)
            else:
                assert part.left == each.zero


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=9))
def test_ticks_are_few_round_numbers_where_they_say(values: list[float]) -> None:
    axis = Axis.around(values)
    ticks = axis.ticks()
    assert 1 <= len(ticks) <= 6
    assert len({tick.text for tick in ticks}) == len(ticks)
    for tick in ticks:
        assert 0 <= tick.at <= 100
        assert tick.at == pytest.approx(axis.at(float(tick.text)), abs=0.02)
