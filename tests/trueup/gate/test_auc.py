"""Laws of the noise band: DeLong's variance, pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.oracles import auc as oracle

from trueup.gate.auc import ONE_SIDED_95, auc_difference

SCORES = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5000000000000001, 0.9, 1.0])
ROWS = st.lists(st.tuples(st.booleans(), SCORES, SCORES), min_size=4, max_size=40)


@given(ROWS)
def test_it_is_what_its_definition_gives_pair_by_pair(rows: list[tuple[bool, float, float]]) -> None:
    positive, a, b = (list(column) for column in zip(*rows, strict=True))
    assume(2 <= sum(positive) <= len(positive) - 2)
    found = auc_difference(np.array(positive), np.array(a), np.array(b))
    assert (found.a, found.b, found.standard_error) == pytest.approx(
        oracle.auc_difference(positive, a, b), rel=1e-9, abs=1e-9
    )
    assert found.band == ONE_SIDED_95 * found.standard_error


def test_its_standard_error_is_that_of_a_bootstrap_of_the_rows() -> None:
    random = np.random.default_rng(7)
    positive = random.random(600) < 0.3
    a = positive + 1.2 * random.normal(size=600)
    b = 0.5 * a + positive + random.normal(size=600)
    found = auc_difference(positive, a, b)
    drawn = [auc_difference(positive[rows], a[rows], b[rows]) for rows in random.integers(0, 600, (400, 600))]
    assert found.standard_error == pytest.approx(np.std([each.a - each.b for each in drawn]), rel=0.15)


def test_a_model_is_not_worse_than_itself() -> None:
    positive = np.array([True, False] * 20)
    scores = np.random.default_rng(1).random(40)
    found = auc_difference(positive, scores, scores)
    assert (found.standard_error, found.a_is_worse) == (0.0, False)


def test_without_two_rows_of_each_kind_there_is_no_variance() -> None:
    positive = np.array([True, False, False])
    with pytest.raises(ValueError, match="1 rows with the label and 2 without; an AUC and its variance need two"):
        auc_difference(positive, np.arange(3.0), np.arange(3.0))
