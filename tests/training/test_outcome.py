"""Laws of what a training leaves to compare, and of naming the factor. No training but tiny ones."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import skops.io
from tests.training.shop import RECIPE

from trueup.errors import ModelError
from trueup.models.environment import take_environment
from trueup.models.environment_diff import diff
from trueup.models.fitted import (
    fitted_bytes,
    fitted_state,
    predictions_bytes,
    read_fitted,
    read_predictions,
)
from trueup.models.tracking import TRUSTED_TYPES
from trueup_training.factors import FACTORS, Swap, try_factors, why_not_reproduced
from trueup_training.fit import fit, predict
from trueup_training.outcome import Outcome, compare_outcomes
from trueup_training.recipe import Boosting, Recipe
from trueup_training.recipe_toml import to_toml

SMALL = Boosting(max_iter=3, min_samples_leaf=3, max_features=0.5)


def _data(rows: int = 80) -> tuple[pd.DataFrame, np.ndarray]:
    random = np.random.default_rng(2)
    inputs = pd.DataFrame({"a": random.normal(size=rows), "b": random.normal(size=rows)})
    inputs["kind"] = np.array(["hub", "depot", np.nan, "hub"] * (rows // 4), dtype=object)
    return inputs, (inputs["a"] + random.normal(size=rows) > 0).to_numpy(np.int8)


def _outcome(**changes: object) -> Outcome:
    base = Outcome(
        snapshot="s1",
        content="c1",
        contract="k1",
        params={"seed": "1"},
        fitted={"trees": "t1"},
        predictions=np.array([0.25, 0.5]),
        metrics={"auc": 0.75},
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def test_the_fitted_state_is_the_same_for_the_same_fit_and_for_what_is_loaded_from_its_file() -> None:
    inputs, labels = _data()
    one = fit(inputs, labels, SMALL, seed=4)
    expected = fitted_state(one)
    assert list(expected) == ["encoder categories", "classes", "baseline", "bin thresholds", "trees"]
    assert fitted_state(fit(inputs, labels, SMALL, seed=4, threads=2)) == expected
    loaded = skops.io.loads(skops.io.dumps(one), trusted=list(TRUSTED_TYPES))
    assert fitted_state(loaded) == expected
    assert read_fitted(fitted_bytes(one)) == expected


def test_the_fitted_state_says_which_part_is_another() -> None:
    inputs, labels = _data()
    first = fitted_state(fit(inputs, labels, SMALL, seed=4))

    def changed(inputs: pd.DataFrame, labels: np.ndarray, seed: int = 4) -> set[str]:
        other = fitted_state(fit(inputs, labels, SMALL, seed=seed))
        return {part for part in first if first[part] != other[part]}

    assert "trees" in changed(inputs, labels, seed=5)
    renamed = inputs.assign(kind=inputs["kind"].replace({"hub": "yard"}))
    assert "encoder categories" in changed(renamed, labels)
    assert "baseline" in changed(inputs, 1 - labels)


def test_an_estimator_without_trees_is_refused() -> None:
    with pytest.raises(ModelError, match="no fitted state"):
        fitted_state(object())


def test_predictions_are_kept_bit_for_bit() -> None:
    inputs, labels = _data()
    predictions = predict(fit(inputs, labels, SMALL, seed=4), inputs)
    assert read_predictions(predictions_bytes(predictions)).tobytes() == predictions.tobytes()
    with pytest.raises(ModelError, match=r"holdout_predictions\.npy cannot be read"):
        read_predictions(b"not an array")
    with pytest.raises(ModelError, match=r"fitted_state\.json cannot be read"):
        read_fitted(b"[]")


def test_a_recipe_as_toml_is_the_same_recipe(recipe: Recipe) -> None:
    document = recipe.to_json()
    assert Recipe.model_validate(tomllib.loads(to_toml(document))) == recipe
    assert "max_iter = 20" in RECIPE
    odd = {"name": 'a "b" \\ \n \x7f Łódź', "rows": {"n": 1e-05, "none": None, "yes": True, "t": {"a b": "c"}}}
    assert tomllib.loads(to_toml(odd)) == {
        "name": odd["name"],
        "rows": {"n": 1e-05, "yes": True, "t": {"a b": "c"}},
    }


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "bit-identical"),
        ({"predictions": np.array([0.25, 0.5 + 1e-10])}, "within tolerance"),
        ({"fitted": {"trees": "t2"}}, "within tolerance"),
        ({"fitted": {"trees": "t1", "encoder categories": "e2"}}, "different"),
        ({"metrics": {"auc": 0.75 + 1e-13}}, "within tolerance"),
        ({"predictions": np.array([0.25, 0.5 + 1e-8]), "fitted": {"trees": "t2"}}, "different"),
        ({"predictions": np.array([0.25])}, "different"),
        ({"metrics": {"auc": 0.75 + 1e-11}}, "different"),
        ({"metrics": {"auc": 0.75, "brier": 0.1}}, "different"),
        ({"predictions": np.array([0.25, np.nan])}, "different"),
        ({"metrics": {"auc": float("nan")}}, "different"),
        ({"predictions": None}, "bit-identical"),
        ({"params": {"seed": "2"}}, "different"),
        ({"contract": "k2"}, "different"),
        ({"snapshot": "s2"}, "within tolerance"),
        ({"snapshot": "s2", "content": "c2"}, "different"),
    ],
)
def test_the_verdict_is_that_of_the_worst_line(changes: dict[str, object], verdict: str) -> None:
    assert compare_outcomes(_outcome(), _outcome(**changes)).verdict == verdict


def test_what_was_not_recorded_is_said_and_not_taken_for_the_same() -> None:
    line = compare_outcomes(_outcome(), _outcome(predictions=None)).line("predictions")
    assert (line.verdict, line.detail) == ("not compared", "not recorded")


def test_inputs_alone_do_not_make_another_model() -> None:
    found = compare_outcomes(_outcome(), _outcome(params={"seed": "2"}))
    assert found.verdict == "different"
    assert found.same


def _world(*guilty: str) -> object:
    """A training whose predictions move by a step of its own for each guilty factor."""

    def train(swap: Swap) -> Outcome:
        moved = sum(0.01 * 2**number for number, factor in enumerate(FACTORS) if factor in swap and factor in guilty)
        return _outcome(predictions=np.array([0.25 + moved, 0.5]), fitted={"trees": str(moved)})

    return train


@pytest.mark.parametrize("guilty", [*((factor,) for factor in FACTORS), ("data", "threads"), ()])
def test_the_factors_whose_swap_matters_are_named_and_putting_them_back_restores(guilty: tuple[str, ...]) -> None:
    found = try_factors(FACTORS, _world(*guilty), recorded=_outcome(fitted={"trees": "0"}))  # type: ignore[arg-type]
    assert found.culprits == guilty
    assert found.together.same is not bool(guilty)
    assert found.put_back.same


def test_a_swap_that_needs_the_sources_is_measured_from_them() -> None:
    recorded = _outcome(fitted={"trees": "0"})
    found = try_factors(("data", "code"), _world("data"), recorded=recorded, on_sources=frozenset({"code"}))  # type: ignore[arg-type]
    assert found.culprits == ("data",)
    assert found.trials[1].on_sources


def test_a_run_that_todays_factor_reproduces_names_that_factor() -> None:
    recorded = _world("seed")(frozenset({"seed"}))  # type: ignore[operator]
    trials = try_factors(FACTORS, _world("seed"), recorded=recorded)  # type: ignore[arg-type]
    here = take_environment()
    assert why_not_reproduced(trials, diff(here, here), deterministic=True) == ("seed",)


def test_what_no_swap_reproduces_is_the_environment_if_its_arithmetic_differs() -> None:
    here = take_environment()
    elsewhere = replace(here, machine="riscv64")
    assert why_not_reproduced(None, diff(here, elsewhere), deterministic=True) == ("environment",)
    assert why_not_reproduced(None, diff(here, replace(here, cpus=99)), deterministic=True) == ("unexplained",)
    assert why_not_reproduced(None, diff(here, elsewhere), deterministic=False) == ("randomness",)
