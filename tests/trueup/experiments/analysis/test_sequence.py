"""Confidence sequences hold at every look; fixed intervals do not. Simulated, with fixed seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trueup.experiments.analysis.sequence import FIRST_LOOK, difference_sequence, margins, mean_sequence, rho_for

STREAMS, LENGTH, ALPHA = 400, 3000, 0.05


def test_the_margin_is_equation_9_of_the_paper() -> None:
    rho, t, alpha = 0.1, 500, 0.05
    by_hand = math.sqrt(2 * (t * rho**2 + 1) / (t**2 * rho**2) * math.log(math.sqrt(t * rho**2 + 1) / alpha))
    assert float(margins(np.array([t]), rho, alpha)[0]) == pytest.approx(by_hand)


def test_it_is_tightest_where_it_was_meant_to_be() -> None:
    at = np.array([1000])
    best = float(margins(at, rho_for(1000, ALPHA), ALPHA)[0])
    for factor in (0.5, 0.8, 1.25, 2.0):
        assert float(margins(at, factor * rho_for(1000, ALPHA), ALPHA)[0]) > best


@pytest.mark.parametrize("kind", ["normal", "skewed", "binary"])
def test_the_mean_stays_inside_at_every_look_at_once_where_fixed_intervals_lose_it(kind: str) -> None:
    rng = np.random.default_rng(7)
    lost = lost_fixed = 0
    for _ in range(STREAMS):
        values, mean = {
            "normal": lambda: (rng.normal(size=LENGTH), 0.0),
            "skewed": lambda: (rng.exponential(size=LENGTH), 1.0),
            "binary": lambda: ((rng.random(LENGTH) < 0.2).astype(float), 0.2),
        }[kind]()
        found = mean_sequence(values, intended=1000, alpha=ALPHA)
        looks = slice(FIRST_LOOK - 1, None)
        lost += bool(((found.low[looks] > mean) | (found.high[looks] < mean)).any())
        t = np.arange(1, LENGTH + 1)
        centre = np.cumsum(values) / t
        error = 1.96 * np.sqrt(np.maximum(np.cumsum(values**2) / t - centre**2, 0) / t)
        lost_fixed += bool((np.abs(centre - mean) > error)[looks].any())
    assert lost / STREAMS <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / STREAMS)
    assert lost_fixed / STREAMS > 0.2, "looking at a fixed interval until it says what one likes"


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_the_difference_of_two_variants_stays_inside_at_every_look(share: float) -> None:
    rng = np.random.default_rng(11)
    lost = 0
    for _ in range(STREAMS):
        treated = rng.random(LENGTH) < share
        values = 3 + rng.normal(size=LENGTH) + 0.3 * treated
        found = difference_sequence(values, treated, share, intended=1000, alpha=ALPHA)
        looks = slice(FIRST_LOOK - 1, None)
        lost += bool(((found.low[looks] > 0.3) | (found.high[looks] < 0.3)).any())
    assert lost / STREAMS <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / STREAMS)


def test_a_large_mean_costs_the_difference_nothing() -> None:
    rng = np.random.default_rng(3)
    treated = rng.random(LENGTH) < 0.5
    noise = rng.normal(size=LENGTH)
    near, far = (difference_sequence(noise + mean, treated, 0.5, intended=1000) for mean in (0.0, 1000.0))
    assert near.last is not None
    assert far.last is not None
    assert far.last[1] - far.last[0] == pytest.approx(near.last[1] - near.last[0])


def test_before_the_first_look_there_is_no_interval() -> None:
    assert mean_sequence(np.arange(10.0), intended=100).last is None
    assert np.isnan(mean_sequence(np.arange(200.0), intended=100).low[: FIRST_LOOK - 1]).all()
