"""From a training set to a fitted estimator and its metrics. Pure: the same input gives the same bits.

The number of threads does not change a bit of it: histogram boosting sums each feature's histogram in row order. It
is one by default all the same: on processors that others use too, OpenMP's threads wait for each other so long that
two were measured seven times slower than one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder
from threadpoolctl import threadpool_limits

from trueup.errors import InputError
from trueup_training.recipe import Boosting


def fit(
    inputs: pd.DataFrame, labels: npt.NDArray[np.int8], params: Boosting, *, seed: int, threads: int = 1
) -> Pipeline:
    """A gradient boosting classifier over what `bundle.matrix` gives: numbers with NaN for null, and strings.

    A string never seen in training, and a null, is a missing value to the trees. Early stopping stays off: it would
    hold out rows of its own, at random instead of by time.

    Raises InputError for a column that is null in every row: there is nothing to learn from it (scikit-learn would
    fail on it), and such a column is mostly a feature that did not exist yet.
    """
    if empty := [str(name) for name in inputs.columns if inputs[name].isna().all()]:
        raise InputError(
            "train",
            f"train: all {len(inputs):,} training rows have null in {', '.join(empty)}.",
            hint="Train on a later window, or leave such features out of the feature service.",
        )
    strings = [name for name in inputs.columns if inputs[name].dtype == np.object_]
    classifier = HistGradientBoostingClassifier(**params.model_dump(), early_stopping=False, random_state=seed)
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    columns = ColumnTransformer(
        [("strings", encoder, strings)], remainder="passthrough", verbose_feature_names_out=False
    )
    # Without strings the encoder would only copy the row: most of the time that one prediction takes.
    steps = [("columns", columns)] if strings else []
    with threadpool_limits(threads):
        return Pipeline([*steps, ("classifier", classifier)]).fit(inputs, labels)


def predict(estimator: Pipeline, inputs: pd.DataFrame, *, threads: int = 1) -> npt.NDArray[np.float64]:
    """P(label) of each row, as `Bundle.predict` gives it."""
    with threadpool_limits(threads):
        probabilities: npt.NDArray[np.float64] = estimator.predict_proba(inputs)[:, 1]
    return probabilities


def holdout_metrics(labels: npt.NDArray[np.int8], predictions: npt.NDArray[np.float64]) -> dict[str, float]:
    """auc, log_loss (nats) and brier of predicted probabilities, with the rows and the positive rate behind them."""
    return {
        "auc": float(roc_auc_score(labels, predictions)),
        "log_loss": float(log_loss(labels, predictions, labels=[0, 1])),
        "brier": float(brier_score_loss(labels, predictions)),
        "rows": float(len(labels)),
        "positive_rate": float(np.mean(labels)),
    }
