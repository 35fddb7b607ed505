"""The truth of the bench against what is known in closed form."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from tests.ledger_bench import people, plants
from tests.ledger_bench.oracle import Crowd, Oracle, Scene, Truth, metrics
from tests.ledger_bench.plants import Plan

ROWS = 100_000


@pytest.fixture(scope="module")
def models() -> people.Models:
    return people.fit_models()


@pytest.fixture(scope="module")
def oracle(models: people.Models) -> Oracle:
    return Oracle(models, ROWS)


def _truth(oracle: Oracle, *planted: str, shifted: bool = False, metric: plants.MetricName = "auc") -> Truth:
    return oracle.truth(Plan(planted, (), shifted, metric, 0))


def test_the_auc_of_two_normal_distributions_is_that_of_their_distance() -> None:
    random = np.random.default_rng(1)
    late = np.repeat([False, True], ROWS)
    scores = random.standard_normal(2 * ROWS) + 1.2 * late
    found = metrics(late, 1 / (1 + np.exp(-scores)))
    assert found["auc"] == pytest.approx(NormalDist().cdf(1.2 / math.sqrt(2)), abs=0.004)


def test_ties_count_half() -> None:
    late = np.array([True, False, True, False])
    assert metrics(late, np.full(4, 0.5))["auc"] == 0.5
    assert metrics(late, np.array([0.7, 0.7, 0.7, 0.2]))["auc"] == 0.75


def test_a_constant_answer_has_the_brier_score_and_the_log_loss_of_its_formula() -> None:
    late = np.array([True] * 3 + [False] * 7)
    found = metrics(late, np.full(10, 0.4))
    assert found["brier"] == pytest.approx(0.3 * 0.6**2 + 0.7 * 0.4**2)
    assert found["log_loss"] == pytest.approx(-0.3 * math.log(0.4) - 0.7 * math.log(0.6))


def test_labels_that_were_wrong_at_random_pull_the_auc_to_a_half_by_the_known_share(oracle: Oracle) -> None:
    """Menon et al. 2015, "Learning from corrupted binary labels": AUC' - 1/2 = (1 - a - b) (AUC - 1/2), where a and b
    are the shares of wrong ones among the seeming positives and the seeming negatives."""
    grid = np.linspace(-8, 8, 4001)
    spread = math.sqrt(sum(weight**2 for weight in people.WEIGHTS))
    density = np.exp(-(grid**2) / 2) / math.sqrt(2 * math.pi) * (grid[1] - grid[0])
    positive = float(np.sum(density / (1 + np.exp(-people.INTERCEPT - spread * grid))))
    wrong = plants.FLIPPED
    a = (1 - positive) * wrong / ((1 - positive) * wrong + positive * (1 - wrong))
    b = positive * wrong / (positive * wrong + (1 - positive) * (1 - wrong))
    today = oracle._crowd(False).measure(Scene())["auc"]
    found = _truth(oracle, "labels put right")
    assert found.causes["data"] == pytest.approx((a + b) * (today - 0.5), abs=0.003)
    assert found.gap == found.causes["data"]


def test_a_wrong_number_is_wrong_by_just_that(oracle: Oracle) -> None:
    for metric in plants.METRICS:
        found = _truth(oracle, "a wrong number logged", metric=metric)
        assert found.causes["code"] == pytest.approx(-plants.TOO_GOOD[metric], abs=1e-12)


@pytest.mark.parametrize("name", plants.PLANTS)
def test_without_other_people_one_plant_is_the_whole_gap_in_one_step(oracle: Oracle, name: str) -> None:
    found = _truth(oracle, name)
    assert found.causes == {plants.PLANTS[name]: pytest.approx(found.gap, abs=1e-12)}
    assert [abs(size) > 1e-6 for size in found.steps.values()].count(True) == 1


@pytest.mark.parametrize("pair", [plan.plants for plan in plants.plans(0, 6, 0)], ids=" + ".join)
def test_two_plants_share_the_gap_whatever_they_do_to_each_other(oracle: Oracle, pair: tuple[str, str]) -> None:
    found = _truth(oracle, *pair)
    known = sum(found.causes.values()) + found.untold
    # A late run is mature at another share than it is known: that is the label delay's, and no cause's.
    assert known == pytest.approx(found.gap - found.steps["label delay"], abs=1e-12)


def test_other_people_are_a_step_of_their_own(oracle: Oracle) -> None:
    alone, shifted = _truth(oracle), _truth(oracle, shifted=True)
    assert (alone.gap, alone.causes) == (0.0, {})
    assert shifted.gap == shifted.steps["population shift"] > 0.01


def test_what_is_harmless_changes_nothing_that_is_measured(models: people.Models) -> None:
    crowd = Crowd(models, ROWS, 3, shifted=False)
    before = crowd.measure(Scene())
    random = np.random.default_rng(4)
    for changes in (
        {"tone": random.standard_normal(ROWS)},
        {"mood": random.standard_normal(ROWS)},
        {"mood": -crowd._columns["mood"]},
    ):
        other = Crowd(models, ROWS, 3, shifted=False)
        other._columns |= changes
        after = other.measure(Scene())
        assert after == pytest.approx(before, abs=0.005)
        assert after != before
