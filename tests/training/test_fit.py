"""Laws of the fit: the same rows, parameters and seed give the same bits, whatever the process was started with."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from trueup.errors import InputError
from trueup_training.fit import fit, holdout_metrics, predict
from trueup_training.recipe import Boosting

ROOT = Path(__file__).parents[2]
PARAMS = Boosting(max_iter=15, min_samples_leaf=5, max_features=0.6)
"""max_features under 1 draws columns at random: a seed that does not arrive shows."""
SCRIPT = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from feast import FeatureStore
from trueup.contracts.extract import extract_contract
from trueup.hashing import digest_bytes
from trueup.models.bundle import matrix
from trueup_training.dataset import build_training_set
from trueup_training.fit import fit, predict
from trueup_training.recipe import load_recipe

repo, recipe = Path(sys.argv[1]), load_recipe(Path(sys.argv[2]))
contract = extract_contract(FeatureStore(repo_path=str(repo)), recipe.feature_service)
data = build_training_set(recipe, contract, repo=repo, now=datetime(2024, 6, 1, tzinfo=UTC))
inputs = matrix(data.features, contract.columns)
model = fit(inputs[data.train], data.labels[data.train], recipe.model.params, seed=recipe.seed)
print(contract.hash, data.digest, digest_bytes(predict(model, inputs).tobytes()))
"""


def inputs(rows: int = 800) -> pd.DataFrame:
    random = np.random.default_rng(2)
    table = pd.DataFrame({f"v__{name}": random.normal(size=rows) for name in "abcdef"})
    table.loc[::9, "v__a"] = np.nan
    table["v__kind"] = pd.Series(random.choice(np.array(["x", "y", np.nan], dtype=object), rows), dtype=object)
    return table


def labels(table: pd.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.int8]]:
    noise = np.random.default_rng(3).normal(size=len(table))
    return np.asarray(table["v__b"] + (table["v__kind"] == "x") + noise > 0.5, dtype=np.int8)


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not() -> None:
    table = inputs()
    first, again, other = (predict(fit(table, labels(table), PARAMS, seed=seed), table) for seed in (1, 1, 2))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_the_state_of_global_random_numbers_is_neither_used_nor_changed() -> None:
    table = inputs()
    np.random.seed(0)
    first = predict(fit(table, labels(table), PARAMS, seed=1), table)
    before = np.random.get_state()[1].tobytes()  # type: ignore[index, union-attr] # the legacy state is a tuple
    np.random.seed(99)
    again = predict(fit(table, labels(table), PARAMS, seed=1), table)
    np.random.seed(0)
    assert np.random.get_state()[1].tobytes() == before  # type: ignore[index, union-attr]
    assert first.tobytes() == again.tobytes()


def test_the_number_of_threads_does_not_change_the_bits() -> None:
    table = inputs(5000)
    predictions = [
        predict(fit(table, labels(table), PARAMS, seed=1, threads=threads), table, threads=threads)
        for threads in (1, 2, 3)
    ]
    assert len({found.tobytes() for found in predictions}) == 1


@pytest.mark.slow
def test_hash_seed_time_zone_and_locale_do_not_change_the_bits(shop_repo: Path, recipe_file: Path) -> None:
    def start(variables: Mapping[str, str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(shop_repo), str(recipe_file)],
            env={**os.environ, **variables},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )

    processes = [
        start({"PYTHONHASHSEED": "0", "TZ": "UTC", "LC_ALL": "C.UTF-8"}),
        start({"PYTHONHASHSEED": "4711", "TZ": "Asia/Kathmandu", "LC_ALL": "C", "OMP_NUM_THREADS": "2"}),
    ]
    results = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert results[0] == results[1] != ""


def test_without_strings_there_is_no_encoder_and_a_model_all_the_same() -> None:
    numbers = inputs().drop(columns="v__kind")
    model = fit(numbers, labels(inputs()), PARAMS, seed=1)
    assert [name for name, _ in model.steps] == ["classifier"]
    assert np.isfinite(predict(model, numbers)).all()


@pytest.mark.parametrize("name", ["v__a", "v__kind"])
def test_a_column_that_is_null_in_every_training_row_is_named(name: str) -> None:
    table = inputs()
    table[name] = pd.Series(np.nan, index=table.index, dtype=table[name].dtype)
    with pytest.raises(InputError, match=f"all 800 training rows have null in {name}"):
        fit(table, labels(inputs()), PARAMS, seed=1)


def test_metrics_are_scikit_learns() -> None:
    truth, guess = np.array([0, 1, 1, 0], dtype=np.int8), np.array([0.1, 0.8, 0.4, 0.5])
    assert holdout_metrics(truth, guess) == {
        "auc": roc_auc_score(truth, guess),
        "log_loss": log_loss(truth, guess),
        "brier": brier_score_loss(truth, guess),
        "rows": 4.0,
        "positive_rate": 0.5,
    }
