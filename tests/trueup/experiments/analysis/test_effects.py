"""Effects, power and sample ratios against formulas written out by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from trueup.experiments.analysis.aa import simulate
from trueup.experiments.analysis.effects import Effect, NoEffect, adjusted, effect_of
from trueup.experiments.analysis.power import Power, power_of
from trueup.experiments.analysis.sample_ratio import by_segment, sample_ratio
from trueup.experiments.analysis.units import MetricRows, Units, to_units
from trueup.experiments.design import Experiment, Variant
from trueup.experiments.metric import Metric

MEAN = Metric("m", "late")
CUPED = Metric("m", "late", covariate="v__x")
RATIO = Metric("r", "clicks", kind="ratio", denominator="views")
N = 2000


def units(seed: int = 0, effect: float = 0.2, rows: int = N) -> Units:
    rng = np.random.default_rng(seed)
    covariate = rng.normal(size=rows)
    treated = rng.random(rows) < 0.5
    value = 5 + covariate + rng.normal(size=rows) + effect * treated
    table = pd.DataFrame(
        {
            "unit": [f"u{number}" for number in range(rows)],
            "variant": np.where(treated, "b", "a"),
            "value": value,
            "denominator": rng.integers(1, 5, rows).astype(float),
            "covariate": covariate,
            "first": np.arange(rows),
        }
    )
    return Units(table, both=0, empty=0)


def split(found: Units) -> tuple[pd.DataFrame, pd.DataFrame]:
    table = found.table
    return table[table["variant"] == "a"], table[table["variant"] == "b"]


def computed(found: Effect | NoEffect) -> Effect:
    assert isinstance(found, Effect)
    return found


def test_an_effect_is_welchs_with_its_interval() -> None:
    data = units()
    a, b = (each["value"].to_numpy() for each in split(data))
    found = computed(effect_of(MEAN, data, "a", "b"))
    expected = stats.ttest_ind(b, a, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert found.effect == pytest.approx(b.mean() - a.mean())
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-9)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.relative == pytest.approx(b.mean() / a.mean() - 1)
    assert found.units == (len(a), len(b))


def test_cuped_takes_away_what_the_covariate_explains_and_moves_nothing_else() -> None:
    data = units()
    plain, found = (computed(effect_of(metric, data, "a", "b")) for metric in (MEAN, CUPED))
    a, b = split(data)
    both = data.table
    theta = np.cov(both["value"], both["covariate"])[0, 1] / both["covariate"].var()
    by_hand = (b["value"].mean() - a["value"].mean()) - theta * (b["covariate"].mean() - a["covariate"].mean())
    assert found.effect == pytest.approx(by_hand, abs=0.01)
    assert found.cuped == pytest.approx(0.5, abs=0.05), "half of the variance is the covariate's"
    assert found.high - found.low < 0.8 * (plain.high - plain.low)


def test_a_ratio_has_the_standard_error_of_the_delta_method() -> None:
    data = units()
    found = computed(effect_of(RATIO, data, "a", "b"))
    ratios, variances = [], []
    for part in split(data):
        value, size = part["value"].to_numpy(), part["denominator"].to_numpy()
        ratio = value.mean() / size.mean()
        ratios.append(ratio)
        variances.append(np.var(value - ratio * size, ddof=1) / size.mean() ** 2 / len(value))
    assert found.effect == pytest.approx(ratios[1] - ratios[0])
    half = stats.norm.ppf(0.975) * math.sqrt(sum(variances))
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.01)


def test_p_values_are_adjusted_by_holm() -> None:
    base = computed(effect_of(MEAN, units(), "a", "b"))
    from dataclasses import replace

    given = [replace(base, metric=name, p_value=p) for name, p in (("x", 0.01), ("y", 0.04), ("z", 0.03))]
    assert [each.adjusted for each in adjusted(given)] == pytest.approx([0.03, 0.06, 0.06])
    assert [each.significant for each in adjusted(given)] == [True, False, False]
    assert adjusted([]) == ()


@pytest.mark.parametrize(
    ("data", "says"),
    [(units(rows=20), "it takes 30"), (Units(units().table.assign(value=1.0), 0, 0), "the same value, 1")],
)
def test_what_cannot_be_computed_has_a_reason_and_no_number(data: Units, says: str) -> None:
    found = effect_of(MEAN, data, "a", "b")
    assert isinstance(found, NoEffect)
    assert says in found.why
    assert isinstance(power_of(MEAN, Units(data.table.head(20), 0, 0)), NoEffect)


def test_the_detectable_effect_is_found_as_often_as_its_power_says() -> None:
    power = power_of(MEAN, units(effect=0.0))
    assert isinstance(power, Power)
    a, b = split(units(effect=0.0))
    error = math.sqrt(np.var(np.r_[a["value"], b["value"]], ddof=1) * (1 / 1000 + 1 / 1000))
    assert power.detectable == pytest.approx((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * error, rel=0.02)
    hits = [computed(effect_of(MEAN, units(seed, power.detectable), "a", "b")).p_value < 0.05 for seed in range(200)]
    assert abs(np.mean(hits) - 0.8) < 0.09
    asked = power_of(MEAN, units(effect=0.0), relative=power.relative)
    assert isinstance(asked, Power)
    assert asked.needed == pytest.approx(N, rel=0.02)


def test_a_sample_ratio_is_binomial_and_alarms_below_a_thousandth() -> None:
    found = sample_ratio({"a": 50_000, "b": 50_700}, {"a": 0.5, "b": 0.5})
    assert found is not None
    assert found.p_value == pytest.approx(stats.binomtest(50_700, 100_700, 0.5).pvalue, rel=0.05)
    assert not found.off
    assert sample_ratio({"a": 50_000, "b": 51_500}, {"a": 0.5, "b": 0.5}).off  # type: ignore[union-attr]
    assert not sample_ratio({"a": 90_000, "b": 10_100}, {"a": 0.9, "b": 0.1}).off  # type: ignore[union-attr]
    three = sample_ratio({"a": 500, "b": 480, "c": 520}, {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3})
    assert three is not None
    assert three.p_value == pytest.approx(stats.chisquare([500, 480, 520]).pvalue)
    assert sample_ratio({"a": 1000}, {"a": 0.5, "b": 0.5}).off  # type: ignore[union-attr] # nobody got b
    assert sample_ratio({}, {"a": 0.5, "b": 0.5}) is None
    assert sample_ratio({"a": 3, "s": 0}, {"a": 1.0, "s": 0.0}) is None


def test_the_segment_that_lost_its_units_stands_first_and_even_ones_do_not_cry_wolf() -> None:
    rng = np.random.default_rng(1)
    levels = {
        f"l{number}": dict(zip("ab", rng.multinomial(1000, [0.5, 0.5]).tolist(), strict=True)) for number in range(30)
    }
    even = {"a": 0.5, "b": 0.5}
    assert not any(segment.off for segment in by_segment({"x": levels}, even))
    found = by_segment({"x": {**levels, "broken": {"a": 900, "b": 600}}}, even)
    assert [(segment.level, segment.off) for segment in found[:2]] == [("broken", True), (found[1].level, False)]


def test_rows_become_units_and_units_of_two_variants_are_left_out() -> None:
    nan = math.nan
    rows = MetricRows(
        unit=np.array(["u", "u", "v", "w", "w", "x"], dtype=object),
        variant=np.array(["a", "a", "b", "a", "b", "b"], dtype=object),
        at=np.array([3, 1, 2, 0, 0, 5]),
        value=np.array([1.0, 0.0, 1.0, 1.0, 1.0, nan]),
        covariate=np.array([2.0, 4.0, nan, 1.0, 1.0, 1.0]),
    )
    found = to_units(rows, "mean")
    assert (found.both, found.empty, found.without_covariate) == (1, 1, 1)
    assert found.table[["unit", "value", "covariate", "first"]].values.tolist() == [
        ["u", 0.5, 3.0, 1],
        ["v", 1.0, 3.0, 2],
    ]
    assert to_units(rows, "sum").table["value"].tolist() == [1.0, 1.0]


def test_an_a_a_simulation_finds_chance_and_a_wrong_unit_is_seen() -> None:
    design = Experiment("ab", "u", "s", (Variant("a", "m", "c", 1), Variant("b", "n", "c", 1)))
    rates = simulate(design, {"m": (CUPED, units(effect=0.0, rows=300))}, simulations=300, seed=1)
    assert [rate.name for rate in rates] == ["m", "sample ratio"]
    assert all(rate.right for rate in rates)
    # Ten rows of one user taken for ten users: their values are alike, and the test believes them ten times.
    table = units(effect=0.0, rows=40).table
    copies = pd.concat([table.assign(unit=table["unit"]) for _ in range(10)], ignore_index=True)
    wrong = simulate(design, {"m": (MEAN, Units(copies, 0, 0))}, simulations=300, seed=1)
    assert not wrong[0].right
