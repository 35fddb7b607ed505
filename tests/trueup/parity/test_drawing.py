"""Laws of what the page draws: to scale, within its box, and no label on another."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations

import jsonschema
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.browser.example import example
from tests.trueup.parity.world import World

from trueup.parity.report import Report
from trueup.parity.results import Bin, Bucket, Cell, Drift, Profile, Sample
from trueup.parity.sinks import schema
from trueup.parity.sinks.charts import COLOURS, MOST_BARS, STEP, nice_top, overlay, palette, timeline
from trueup.parity.sinks.clocks import CHAR, LEFT, RIGHT, Clocks, Label, clocks
from trueup.parity.sinks.html import render_html
from trueup.parity.sinks.json import render_json
from trueup.parity.sinks.words import span

NOON = datetime(2013, 11, 1, 12, tzinfo=UTC)
SIDES = ("served", "training")

durations = st.one_of(
    st.timedeltas(timedelta(days=-40_000), timedelta(days=40_000)),
    st.timedeltas(timedelta(hours=-30), timedelta(hours=30)),
    st.timedeltas(timedelta(seconds=-2), timedelta(seconds=2)),
)
cells = st.builds(
    lambda event, known: Cell("1", "present", *(None if each is None else NOON + each for each in (event, known))),
    st.none() | durations,
    st.none() | durations,
)
samples = st.builds(
    lambda served, recomputed, ttl: Sample("f", (), {}, NOON, served, recomputed, ttl=ttl),
    cells,
    cells,
    st.none() | st.timedeltas(timedelta(0), timedelta(days=4_000)),
)


def overlap(one: Label, other: Label) -> bool:
    return one.baseline == other.baseline and one.left < other.right and other.left < one.right


@given(samples)
def test_no_label_of_a_sample_lies_on_another_or_leaves_the_picture(sample: Sample) -> None:
    drawn = clocks(sample, SIDES)
    if drawn is None:
        return
    for one, other in combinations(drawn.labels, 2):
        assert not overlap(one, other), (one, other)
    for label in drawn.labels:
        assert label.left >= LEFT
        assert label.right <= RIGHT
        assert label.width == pytest.approx(CHAR * len(label.text), abs=0.01)


@given(samples)
def test_distances_on_the_time_line_are_to_scale(sample: Sample) -> None:
    drawn = clocks(sample, SIDES)
    assume(drawn is not None)
    assert drawn is not None
    instants = [0.0]
    places = [drawn.served.x]
    for cell, lane in zip((sample.served, sample.recomputed), drawn.lanes, strict=True):
        known = [at for at in (cell.event_time, cell.created) if at is not None]
        assert len(lane.marks) == len(known)
        instants += [(at - NOON).total_seconds() for at in known]
        places += [mark.x for mark in lane.marks]
    if drawn.ttl is not None and not drawn.ttl.off_scale:
        assert sample.ttl is not None
        instants.append(-sample.ttl.total_seconds())
        places.append(drawn.ttl.x)
    low, high = min(instants), max(instants)
    assume(high > low)
    scale = (max(places) - min(places)) / (high - low)
    for instant, place in zip(instants, places, strict=True):
        assert place - min(places) == pytest.approx(scale * (instant - low), abs=0.05)
    assert min(places) >= LEFT
    assert max(places) <= RIGHT


def test_an_event_older_than_the_ttl_lies_in_the_shade_and_one_within_does_not() -> None:
    old, young = (Cell("1", "present", NOON - timedelta(hours=hours)) for hours in (25, 23))
    drawn = clocks(Sample("f", (), {}, NOON, old, young, ttl=timedelta(hours=24)), SIDES)
    assert drawn is not None
    assert drawn.ttl is not None
    ((first,), (second,)) = (lane.marks for lane in drawn.lanes)
    assert first.x < drawn.ttl.x < second.x


def test_a_ttl_far_back_is_an_arrow_and_does_not_press_the_rest_together() -> None:
    cell = Cell("1", "present", NOON - timedelta(hours=1))
    drawn = clocks(Sample("f", (), {}, NOON, cell, cell, ttl=timedelta(days=365)), SIDES)
    assert drawn is not None
    assert drawn.ttl is not None
    assert drawn.ttl.off_scale
    assert drawn.ttl.label.text == "◂ TTL 365 d"
    assert drawn.served.x - drawn.lanes[0].marks[0].x > (RIGHT - LEFT) * 0.9


def test_a_sample_without_clocks_is_not_drawn_and_one_without_a_row_says_so() -> None:
    none = Cell("1", "present", None)
    assert clocks(Sample("f", (), {}, NOON, none, none), SIDES) is None
    row = Cell("1", "present", NOON - timedelta(hours=2), NOON + timedelta(minutes=90))
    drawn = clocks(Sample("f", (), {}, NOON, replace(none, status="missing"), row), SIDES)
    assert drawn is not None
    assert drawn.told == "served row: none, missing; training row: event -2 h, known +1 h 30 min"


def test_ticks_stand_at_round_instants() -> None:
    drawn: Sequence[Clocks | None] = [clocks(each, SIDES) for result in example().cells for each in result.samples]
    texts = [tick.label.text for each in drawn if each for tick in each.ticks if tick.label]
    assert texts
    assert all(re.fullmatch(r"\d\d:00|\d\d:\d[05]|\d\d-\d\d|\d{4}-\d\d|\d\d:\d\d:\d\d", text) for text in texts)


@given(st.timedeltas(timedelta(0), timedelta(days=99)))
def test_a_length_of_time_is_told_to_its_second_unit(duration: timedelta) -> None:
    units = {"d": 86_400.0, "h": 3600.0, "min": 60.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6}
    words = span(duration).split()
    parts = [(float(count), units[unit]) for count, unit in zip(words[::2], words[1::2], strict=True)]
    rest = duration.total_seconds() - sum(count * unit for count, unit in parts)
    assert -1e-6 < rest < parts[-1][1] + 1e-6


# ------------------------------------------------------------------ charts


@given(st.floats(1e-12, 1e12))
def test_an_axis_ends_at_a_round_number_that_is_not_far_above(largest: float) -> None:
    top = nice_top(largest)
    assert largest * (1 - 1e-9) <= top <= 2.5 * largest
    assert float(f"{top:.0e}") == pytest.approx(top, rel=0.3)


counts = st.integers(0, 500)
buckets = st.lists(
    st.builds(
        lambda lag, late, unexplained, equal: (
            lag + late + unexplained + equal,
            {
                name: count
                for name, count in {"lag": lag, "late_arrival": late, "unexplained": unexplained}.items()
                if count
            },
        ),
        *[counts] * 4,
    ),
    min_size=2,
    max_size=40,
).map(
    lambda found: tuple(
        Bucket(NOON + index * timedelta(hours=6), 1, compared, sum(causes.values()), causes)
        for index, (compared, causes) in enumerate(found)
    )
)


@given(buckets)
def test_a_column_is_as_high_as_its_share_and_its_parts_fill_it(found: tuple[Bucket, ...]) -> None:
    chart = timeline(found, palette(["late_arrival", "lag", "unexplained"]))
    if chart is None:
        assert not any(bucket.mismatched for bucket in found)
        return
    top = float(chart.ys[0].text.removesuffix(" %")) / 100
    for bucket, column in zip(found, chart.columns, strict=True):
        share = bucket.mismatched / bucket.compared if bucket.compared else 0.0
        height = sum(part.height for part in column.segments)
        assert height / 100 * top == pytest.approx(share, abs=0.002)
        assert height <= 100.1
        assert len(column.segments) == len(bucket.by_cause)
        for lower, upper in zip(column.segments, column.segments[1:], strict=False):
            assert upper.y + upper.height == pytest.approx(lower.y, abs=0.02)


@pytest.mark.parametrize(
    ("width", "count", "start", "ticks"),
    [
        (1, 8, 0, ["00:00", "02:00", "04:00", "06:00"]),
        (1, 20, 18, ["11-01 18:00", "11-02 04:00"]),
        (6, 28, 0, ["11-01", "11-03", "11-05", "11-07"]),
        (24, 3, 6, ["11-01 06:00", "11-03 06:00"]),
        (24, 61, 0, ["11-01", "11-17", "12-03", "12-19"]),
        (24 * 28, 6, 0, ["2013-11-01", "2014-01-24"]),
    ],
)
def test_the_time_axis_has_as_many_labels_as_there_is_room_for(
    width: int, count: int, start: int, ticks: list[str]
) -> None:
    first = datetime(2013, 11, 1, start, tzinfo=UTC)
    buckets = tuple(Bucket(first + index * timedelta(hours=width), 1, 2, 1, {"lag": 1}) for index in range(count))
    chart = timeline(buckets, palette(["lag"]))
    assert chart is not None
    assert [tick.text for tick in chart.xs] == ticks
    assert (chart.since, chart.legend) == ("2013-11-01", (("lag", "c0"),))


def test_each_cause_keeps_one_colour_and_the_many_share_the_last() -> None:
    names = [f"cause {index}" for index in range(12)]
    colours = palette([*names, "unexplained"])
    assert len({colours[name] for name in names[:COLOURS]}) == COLOURS
    assert {colours[name] for name in names[COLOURS:]} == {"c-rest"}
    assert colours["unexplained"] == "c-unexplained"


def drift_of(bins: Sequence[Bin], **options: object) -> Drift:
    sides = [Profile(sum(getattr(each, side) for each in bins)) for side in ("reference", "current")]
    return replace(Drift("Float64", sides[0], sides[1], True, 0.0, 0.0, bins=tuple(bins)), **options)  # type: ignore[arg-type]


def test_ranges_are_a_histogram_in_order_and_everything_else_is_a_bar_of_its_own() -> None:
    drift = drift_of(
        [
            Bin("null", 10, 30),
            Bin("[5, ∞)", 10, 40, 5.0, None),
            Bin("(-∞, 0)", 40, 20, None, 0.0),
            Bin("= 0", 20, 0, 0.0, 0.0),
            Bin("[0, 5)", 20, 10, 0.0, 5.0),
        ]
    )
    drawn = overlay("f", drift)
    assert drawn.histogram is not None
    assert drawn.histogram.width == 3 * STEP
    assert [title.partition(":")[0] for _, title in drawn.histogram.titles] == ["(-∞, 0)", "[0, 5)", "[5, ∞)"]
    assert drawn.histogram.reference == "M0 100v-80h12V100zM12 100v-40h12V100zM24 100v-20h12V100z"
    assert [(tick.at, tick.text) for tick in drawn.histogram.edges] == [(33.33, "0"), (66.67, "5")]
    assert [(pair.name, pair.shares) for pair in drawn.pairs] == [
        ("null", ("10.0 %", "30.0 %")),
        ("= 0", ("20.0 %", "0 %")),
    ]


def test_the_bars_that_are_not_shown_are_counted() -> None:
    drawn = overlay("f", drift_of([Bin(f"category {index}", 100 - index, 100) for index in range(MOST_BARS + 5)]))
    assert len(drawn.pairs) == MOST_BARS
    assert drawn.left_out.startswith("5 more values: ")


def test_new_and_vanished_categories_are_marked() -> None:
    bins = [Bin("old", 5, 0), Bin("new", 0, 5), Bin("both", 5, 5)]
    drawn = overlay("f", drift_of(bins, new_categories=(("new", 5),), vanished_categories=(("old", 5),)))
    assert {pair.name: pair.tag for pair in drawn.pairs} == {"old": "gone", "new": "new", "both": ""}


# ------------------------------------------------------------------ from a run


def test_the_buckets_of_a_run_know_their_causes_and_a_sample_its_ttl(world: World) -> None:
    world.serve(3)
    world.know("plane", 2, created=4, speed=500.0, seats=180)
    result = world.check_served("unbounded")
    totals: dict[str, int] = {}
    for bucket in result.timeline:
        for cause, count in bucket.by_cause.items():
            totals[cause] = totals.get(cause, 0) + count
    unexplained = {"unexplained": result.unexplained} if result.unexplained else {}
    assert totals == {**result.by_cause, **unexplained}
    assert totals
    ttls = {sample.feature: sample.ttl for sample in result.samples}
    views = {view.name: view.ttl for view in world.contract.views}
    assert ttls["plane__speed"] == views["plane"]
    report = Report(NOON, NOON, (result, *world.check_online(3).values()))
    jsonschema.Draft202012Validator(schema.committed()).validate(json.loads(render_json(report)))
    page = render_html(report)
    for cause in result.by_cause:
        assert cause in page
    assert page.count('<svg class="clocks"') == sum(
        clocks(sample, SIDES) is not None for each in report.cells for sample in each.samples
    )
