"""The ledger's arithmetic against slow, obvious references."""

from __future__ import annotations

import math
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles import scored as oracle

from trueup.diagnose import samples
from trueup.diagnose.games import EXACT_PLAYERS, shapley
from trueup.diagnose.metrics import METRICS, metric_kind, weighted
from trueup.diagnose.samples import Sample, Scored, estimate, measure, measure_pooled
from trueup.errors import InputError

ROWS = st.integers(2, 25)
TRUE_DIFFERENCE = -0.0722
"""Of four million rows."""


@st.composite
def rows(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """labels, predictions with ties, whole weights with zeros."""
    count = draw(ROWS)
    labels = draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=count, max_size=count))
    predictions = draw(st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]), min_size=count, max_size=count))
    weights = draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    return np.array(labels), np.array(predictions), np.array(weights, dtype=np.float64)


@pytest.mark.parametrize("name", METRICS)
@given(rows())
def test_each_metric_is_scikit_learns_in_every_weighting_with_ties_and_nothing(
    name: str, data: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    labels, predictions, weights = data
    both = np.stack([np.ones(len(labels)), weights])
    found = weighted(METRICS[name], labels, predictions, lambda at: both[:, at])
    for got, weighting in zip(found, both, strict=True):
        expected = oracle.metric(name, labels, predictions, weighting)
        assert math.isnan(got) if math.isnan(expected) else got == pytest.approx(expected, abs=1e-12)


def test_a_metric_there_is_not_is_named() -> None:
    with pytest.raises(InputError, match="auc, log_loss, brier, accuracy"):
        metric_kind("f1")


@settings(max_examples=30)
@given(st.integers(1, EXACT_PLAYERS), st.integers(0, 2**32 - 1))
def test_shapley_values_are_the_average_over_every_order(players: int, seed: int) -> None:
    players = min(players, 5)  # 6! orders of the definition are slow
    worths = np.random.default_rng(seed).normal(size=1 << players)

    def worth(coalition: frozenset[int]) -> float:
        return float(worths[sum(1 << player for player in coalition)])

    found = shapley(players, lambda sets: [np.array([worth(one)]) for one in sets])
    assert [float(each[0]) for each in found] == pytest.approx(oracle.shapley(players, worth), abs=1e-12)


@pytest.mark.parametrize("players", [1, 3, 6, 9])
def test_the_values_add_up_and_who_does_nothing_gets_nothing(players: int) -> None:
    weights = np.random.default_rng(players).normal(size=players)
    weights[0] = 0

    def worth(sets: object) -> list[np.ndarray]:
        return [np.array([sum(weights[list(one)]) ** 2, float(len(one) > 1)]) for one in sets]  # type: ignore[attr-defined]

    found = shapley(players, worth)
    assert sum(float(each[0]) for each in found) == pytest.approx(sum(weights) ** 2, abs=1e-9)
    assert float(found[0][0]) == pytest.approx(0, abs=1e-12)


def test_units_are_drawn_with_all_their_rows_and_the_first_draw_is_what_was_measured() -> None:
    sample = Sample(np.array([0, 0, 1, 2], dtype=np.int64), 3, (7,))
    drawn = np.concatenate(list(sample.weights(500)))
    assert drawn.shape == (501, 3)
    assert (drawn[0] == 1).all()
    assert (drawn.sum(axis=1) == 3).all()
    assert abs(drawn[1:].mean() - 1) < 1e-9
    assert drawn[1:].var(axis=0) == pytest.approx([2 / 3] * 3, abs=0.12)  # multinomial: n p (1 - p)


def test_a_sample_drawn_in_parts_of_any_size_with_another_is_that_sample() -> None:
    rng = np.random.default_rng(0)
    units = np.arange(40, dtype=np.int64)
    one, other = Sample(units[:30], 30, (1,)), Sample(units[:40], 40, (2,))
    labels, predictions = (rng.random(40) < 0.5).astype(np.float64), rng.random(40)
    alone = measure(METRICS["auc"], one, [Scored(units[:30], labels[:30], predictions[:30])], 60)[0]
    nothing = Scored(units[:0], labels[:0], predictions[:0])
    with mock.patch.object(samples, "_CELLS", 40 * 7):
        pooled = measure_pooled(
            METRICS["auc"], [(one, [Scored(units[:30], labels[:30], predictions[:30])]), (other, [nothing])], 60
        )[0]
    # Seven replicates at a time come from other draws than all at once; the number itself never depends on it.
    assert pooled[0] == alone[0]
    assert len(pooled) == len(alone) == 61


def test_an_interval_is_of_percentiles_and_there_is_none_where_the_metric_is_often_undefined() -> None:
    draws = np.concatenate([[0.5], np.arange(1000) / 1000])
    found = estimate(draws)
    assert (found.value, found.low, found.high) == (0.5, pytest.approx(0.024975), pytest.approx(0.974025))
    draws[1:100] = np.nan
    assert estimate(draws).low is None


def test_the_interval_of_a_difference_of_two_aucs_covers_it() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(100):
        score = rng.normal(size=300)
        labels = (rng.random(300) < 1 / (1 + np.exp(-score))).astype(np.float64)
        at = np.arange(300, dtype=np.int64)
        noisy = score + rng.normal(size=300)
        good, bad = measure(
            METRICS["auc"], Sample(at, 300, (1,)), [Scored(at, labels, score), Scored(at, labels, noisy)], 200
        )
        found = estimate(bad - good)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= TRUE_DIFFERENCE <= found.high
    assert covered >= 88, "95 of 100 are due; 88 or fewer come by chance once in a thousand times"
