"""Laws of the seeds' band: what it says it holds, it holds; and a gap is judged by what two trainings differ by."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trueup_training.seeds import SeedBand, other_seeds, seed_bands

DRAWS = 4000


@given(st.integers(0, 2**32 - 1), st.integers(0, 40))
def test_other_seeds_are_others_and_more_of_them_begin_with_the_same(seed: int, count: int) -> None:
    found = other_seeds(seed, count)
    assert len({*found, seed}) == count + 1
    assert all(0 <= other < 2**32 for other in found)
    assert other_seeds(seed, count + 3)[:count] == found


def test_a_band_is_students_prediction_interval() -> None:
    values = [0.71, 0.74, 0.72, 0.75, 0.70]
    band = SeedBand(dict(enumerate(values)))
    low, high = stats.t.interval(0.95, 4, np.mean(values), np.std(values, ddof=1) * np.sqrt(1 + 1 / 5))
    assert band.band == pytest.approx((low, high), rel=1e-9)
    said = band.to_json()
    assert (said["min"], said["max"], said["seeds"], said["observed"]) == (0.70, 0.75, 5, None)


@pytest.mark.parametrize("count", [2, 5, 20])
def test_the_band_holds_one_more_and_the_gap_band_the_difference_of_two_in_95_of_100(count: int) -> None:
    random = np.random.default_rng(count)
    held = {"one more": 0, "two": 0}
    for _ in range(DRAWS):
        band = SeedBand(dict(enumerate(random.normal(0.7, 0.01, size=count).tolist())))
        one, other = random.normal(0.7, 0.01, size=2)
        low, high = band.band
        held["one more"] += low <= one <= high
        held["two"] += abs(one - other) <= band.gap_band
    assert all(0.935 < number / DRAWS < 0.965 for number in held.values()), held


def test_a_gap_inside_the_band_and_one_outside_are_told_apart() -> None:
    metrics = {seed: {"auc": auc, "brier": 0.2, "rows": 10.0} for seed, auc in enumerate((0.70, 0.71, 0.72, 0.73))}
    recorded = {"auc": 0.72, "brier": 0.2, "rows": 10.0}
    found = seed_bands(metrics, recorded, {"auc": 0.74, "brier": 0.2}, against="shop/3", same_data=False)
    assert set(found) == {"auc", "brier"}
    assert found["auc"].inside is True
    assert found["auc"].to_json()["observed"]["against"] == "shop/3"
    assert found["brier"].inside is True  # no spread, and no gap
    assert seed_bands(metrics, recorded, {"auc": 0.90, "brier": 0.2001})["auc"].inside is False
    assert seed_bands(metrics, recorded, {"auc": 0.90, "brier": 0.2001})["brier"].inside is False
    assert seed_bands(metrics, recorded)["auc"].inside is None
