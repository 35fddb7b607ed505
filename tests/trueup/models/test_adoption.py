"""Laws of adoption: what predicts a feature service's columns gets a card, which claims nothing it cannot know."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from tests.trueup.models.examples import CONTRACT, fitted, frame, many_rows

from trueup.errors import ModelError
from trueup.instants import AsOfRule
from trueup.models.adoption import adopt
from trueup.models.bundle import Bundle, matrix
from trueup.models.card import ModelCard

ROWS = many_rows(300)
NUMBERS = ("buyer__spent", "buyer__orders")


def adopted(estimator: Any, **options: Any) -> Bundle:
    return adopt(estimator, CONTRACT, AsOfRule("served"), name="buyers", source="elsewhere.skops", **options)


def on_numbers(estimator: Any, labels: Any = None) -> Any:
    """Fitted on two of the columns, in another order than the contract's."""
    table = matrix(frame(ROWS), NUMBERS)
    return estimator.fit(table, (table["buyer__spent"] > 100).to_numpy() if labels is None else labels)


def test_a_card_says_what_is_known_and_nothing_else() -> None:
    estimator = fitted(ROWS)
    card = adopted(estimator).card
    assert (card.adopted, card.contract, card.rule) == ("elsewhere.skops", CONTRACT, AsOfRule("served"))
    assert card.inputs == CONTRACT.columns
    unknown = (card.recipe, card.label, card.seed, card.environment, card.git_commit, card.dataset, card.snapshot)
    assert set(unknown) == {None}
    assert card.metrics == {}
    assert ModelCard.from_json(json.loads(json.dumps(card.to_json()))) == card
    named = adopted(estimator, snapshot=("s" * 64, "d" * 64)).card
    assert (named.snapshot, named.dataset) == ("s" * 64, "d" * 64)


def test_it_predicts_the_bits_it_did_elsewhere_with_the_columns_it_was_fitted_on() -> None:
    estimator = on_numbers(HistGradientBoostingClassifier(max_iter=5))
    bundle = adopted(estimator)
    assert bundle.card.inputs == NUMBERS
    assert np.array_equal(bundle.predict(frame(ROWS)), estimator.predict_proba(matrix(frame(ROWS), NUMBERS))[:, 1])


class Together(DummyClassifier):
    """Predicts a row by how many are asked about."""

    def predict_proba(self, X: Any) -> Any:  # noqa: N803
        return np.full((len(X), 2), 1 / (1 + len(X)))


THREE = np.arange(len(ROWS)) % 3


@pytest.mark.parametrize(
    ("estimator", "said"),
    [
        (lambda: fitted(ROWS).set_params(classifier="passthrough"), "of classes none; expected a fitted classifier"),
        (
            lambda: on_numbers(HistGradientBoostingRegressor(max_iter=2)),
            "HistGradientBoostingRegressor of classes none",
        ),
        (lambda: on_numbers(HistGradientBoostingClassifier(max_iter=2), THREE), "of classes 0, 1, 2; expected"),
        (
            lambda: on_numbers(HistGradientBoostingClassifier(max_iter=2), np.where(THREE == 0, "yes", "no")),
            "of classes no, yes; expected",
        ),
        (
            lambda: LogisticRegression().fit(np.eye(2), [0, 1]),
            "fitted on columns without names, so which feature is which is not known. Fit it on a DataFrame",
        ),
        (
            lambda: HistGradientBoostingClassifier(max_iter=2).fit(
                matrix(frame(ROWS), NUMBERS).rename(columns=lambda name: name.removeprefix("buyer__")), THREE > 0
            ),
            "fitted on spent, orders, which feature service 'buyers_v1' has not; it has buyer__city, .* and 1 more",
        ),
        (
            lambda: LogisticRegression().fit(matrix(frame(ROWS), NUMBERS).fillna(0), THREE > 0),
            "cannot predict a row whose features are all missing: Input X contains NaN",
        ),
        (lambda: on_numbers(Together()), "predicts a row otherwise when another row is asked about with it"),
    ],
)
def test_what_cannot_answer_for_the_features_is_refused(estimator: Any, said: str) -> None:
    with pytest.raises(ModelError, match=f"elsewhere.skops.*{said}"):
        adopted(estimator())
