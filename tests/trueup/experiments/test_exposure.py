"""Who takes part in an experiment, and what may change without changing anybody's variant."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare
from tests.oracles import assignment as oracle

from trueup.errors import InputError
from trueup.experiments.assign import assign, assign_among
from trueup.experiments.design import Experiment, Layer, Portfolio, Variant

UNITS = [f"unit {number}" for number in range(20_000)]
NOON = datetime(2013, 11, 1, 12, tzinfo=UTC)
ALPHA = 1e-4
"""The units are always the same: a test that holds once holds for ever."""


def experiment(name: str = "ab", *, salt: str | None = None, **more: object) -> Experiment:
    variants = (Variant(f"{name}-a", "m", "champion", 1), Variant(f"{name}-b", "n", "champion", 1))
    return Experiment(name, "unit", salt or name, variants, **more)  # type: ignore[arg-type]


def test_variants_are_assigned_by_their_weights_without_bias() -> None:
    one = replace(
        experiment(), variants=(Variant("a", "m", "c", 7), Variant("b", "m", "c", 2), Variant("c", "m", "c", 1))
    )
    found = [assign(one, unit).variant.name for unit in UNITS]
    observed = [found.count(name) for name in "abc"]
    assert chisquare(observed, [0.7 * len(UNITS), 0.2 * len(UNITS), 0.1 * len(UNITS)]).pvalue > ALPHA


@pytest.mark.parametrize("purpose", ["variant", "traffic", "holdout", "layer"])
def test_experiments_of_two_salts_are_independent_of_each_other_in_everything(purpose: str) -> None:
    def decided(salt: str, unit: str) -> bool:
        match purpose:
            case "variant":
                return assign(experiment(salt=salt), unit).variant.name == "ab-a"
            case "layer":
                return assign(experiment(layer=Layer("l", salt, 0, 0.5)), unit).exposure == "assigned"
            case _:
                return assign(experiment(salt=salt, **{purpose: 0.5}), unit).exposure == "assigned"

    table = [[0, 0], [0, 0]]
    for unit in UNITS:
        table[decided("one", unit)][decided("two", unit)] += 1
    assert chi2_contingency(table).pvalue > ALPHA


def test_who_takes_part_says_nothing_about_the_variant() -> None:
    design = experiment(traffic=0.5)
    everyone = replace(design, traffic=1.0)
    table = [[0, 0], [0, 0]]
    for unit in UNITS:
        takes_part = assign(design, unit).exposure == "assigned"
        table[takes_part][assign(everyone, unit).variant.name == "ab-a"] += 1
    assert chi2_contingency(table).pvalue > ALPHA


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.floats(0, 1), st.floats(0, 1))
def test_a_ramp_takes_units_in_and_never_gives_one_another_variant(unit: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    before, after = (assign(experiment(traffic=share), unit) for share in (low, high))
    if before.exposure == "assigned":
        assert (after.exposure, after.variant) == ("assigned", before.variant)
    else:
        assert before.variant.name == "ab-a", "the control answers who does not take part"


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_the_share_that_takes_part_is_the_one_that_was_asked_for(share: float) -> None:
    def assigned(**who: float) -> int:
        return sum(assign(experiment(**who), unit).exposure == "assigned" for unit in UNITS)

    for found in (assigned(traffic=share), len(UNITS) - assigned(holdout=share)):
        assert abs(found - share * len(UNITS)) <= 4 * (share * (1 - share) * len(UNITS)) ** 0.5


def test_a_units_holdout_is_that_of_its_layer_in_every_experiment_of_it() -> None:
    layer = Layer("main", "main")
    first, second = (experiment(name, layer=layer, holdout=0.2) for name in ("one", "two"))
    for unit in UNITS[:2000]:
        assert (assign(first, unit).exposure == "holdout") == (assign(second, unit).exposure == "holdout")


def test_an_experiment_runs_from_its_start_to_before_its_end() -> None:
    design = experiment(start=NOON, end=NOON + timedelta(days=1))
    tick = timedelta(microseconds=1)
    found = [assign(design, "u", at).exposure for at in (NOON - tick, NOON, design.end - tick, design.end)]  # type: ignore[operator]
    assert found == ["not started", "assigned", "assigned", "ended"]
    assert assign(design, "u").exposure == "assigned", "without an instant: whenever it runs"


def test_experiments_of_one_layer_share_no_unit_and_together_have_all_of_it() -> None:
    portfolio = Portfolio(
        (
            experiment("one", layer=Layer("main", "m", 0, 0.3)),
            experiment("two", layer=Layer("main", "m", 0.3, 0.8)),
        )
    )
    found = {"one": 0, "two": 0, "neither": 0}
    for unit in UNITS:
        each = [assign(one, unit).exposure == "assigned" for one in portfolio.experiments]
        assert sum(each) <= 1
        among = assign_among(portfolio, unit)
        found[among.experiment.name if among.exposure == "assigned" else "neither"] += 1
        if among.exposure == "outside layer":
            assert among.variant.name == "one-a"
        else:
            assert among == assign(among.experiment, unit), "what `trueup experiment assign` says of its file"
    expected = [0.3 * len(UNITS), 0.5 * len(UNITS), 0.2 * len(UNITS)]
    assert chisquare(list(found.values()), expected).pvalue > ALPHA


def test_whom_an_experiment_keeps_out_of_its_part_is_answered_by_its_own_control() -> None:
    kept_out = {"holdout": {"holdout": 1.0}, "not in traffic": {"traffic": 0.0}, "ended": {"end": NOON}}
    for exposure, who in kept_out.items():
        portfolio = Portfolio(
            (
                experiment("one", layer=Layer("main", "m", 0, 0.5)),
                experiment("two", layer=Layer("main", "m", 0.5, 1), **who),
            )
        )
        outside = [found for unit in UNITS[:50] if (found := assign_among(portfolio, unit, NOON)).exposure == exposure]
        assert {(found.experiment.name, found.variant.name) for found in outside} == {("two", "two-a")}


SHARES = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1, allow_subnormal=False))
INSTANTS = st.none() | st.datetimes(datetime(2013, 10, 31), datetime(2013, 11, 3), timezones=st.just(UTC))


@st.composite
def designs(draw: st.DrawFn) -> Experiment:
    weights = draw(st.lists(st.integers(0, 5), min_size=1, max_size=4).filter(any))
    lower, upper = sorted(draw(st.lists(SHARES, min_size=2, max_size=2, unique=True)))
    return Experiment(
        "ab",
        "unit",
        draw(st.sampled_from(["s", "Ωμέγα", '"'])),
        tuple(Variant(f"v{at}", "m", "champion", weight) for at, weight in enumerate(weights)),
        start=draw(st.none() | st.just(NOON)),
        end=draw(st.none() | st.just(NOON + timedelta(days=1))),
        traffic=draw(SHARES),
        holdout=draw(SHARES),
        layer=draw(st.none() | st.just(Layer("main", "l", lower, upper))),
    )


@given(designs(), st.text(alphabet=st.characters(exclude_categories=["Cs"])), INSTANTS)
def test_an_assignment_is_what_the_split_that_the_log_keeps_says(
    design: Experiment, unit: str, at: datetime | None
) -> None:
    found = assign(design, unit, at)
    document = json.loads(json.dumps(design.split()))
    assert (found.variant.name, found.exposure) == oracle.assigned(document, unit, at)


def test_a_shadow_variant_gets_no_unit() -> None:
    shadowed = replace(experiment(), variants=(*experiment().variants, Variant("s", "x", "champion", 0, shadow=True)))
    assert "s" not in {assign(shadowed, unit).variant.name for unit in UNITS[:5000]}
    assert shadowed.shares["s"] == 0


@pytest.mark.parametrize(
    ("others", "says"),
    [
        ([experiment("one"), experiment("two")], "give each a \\[layer\\]"),
        (
            [experiment("one", layer=Layer("l", "s", 0, 0.6)), experiment("two", layer=Layer("l", "s", 0.5, 1))],
            "share a part",
        ),
        (
            [experiment("one", layer=Layer("l", "s", 0, 0.5)), experiment("two", layer=Layer("k", "s", 0.5, 1))],
            "two layers",
        ),
        (
            [experiment("one", layer=Layer("l", "s", 0, 0.5)), experiment("one", layer=Layer("l", "s", 0.5, 1))],
            "two are named",
        ),
        ([], "no model answers"),
    ],
)
def test_experiments_that_cannot_be_served_together_are_refused(others: list[Experiment], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Portfolio(tuple(others))


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"traffic": 1.5}, "traffic"),
        ({"holdout": -0.1}, "holdout"),
        ({"control": "c"}, "variant"),
        ({"start": NOON, "end": NOON}, "end"),
    ],
)
def test_a_design_that_cannot_be_is_refused(wrong: dict[str, object], field: str) -> None:
    with pytest.raises(InputError) as refused:
        experiment(**wrong)  # type: ignore[arg-type]
    assert refused.value.field == field


def test_the_split_has_a_hash_that_metrics_do_not_change_and_everything_else_does() -> None:
    design = experiment()
    assert replace(design, traffic=0.5).hash != design.hash
    assert replace(design, salt="other").hash != design.hash
    assert replace(design, shadow=True).hash == design.hash, "who watches decides nobody's variant"
