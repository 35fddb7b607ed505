"""What a fit learned, as one digest a part: two fits with the same digests predict the same bits. Pure.

Of the arrays the estimator predicts by, not of its pickle, whose bytes change with library versions and with attributes
that decide nothing.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.pipeline import Pipeline

from trueup.errors import ModelError
from trueup.hashing import canonical_json, digest_bytes

FITTED_FILE = "fitted_state.json"
"""Part -> digest, kept beside the model."""
PREDICTIONS_FILE = "holdout_predictions.npy"
"""P(label) of each holdout row in the snapshot's order, float64, kept beside the model."""

Floats = npt.NDArray[np.float64]


def fitted_state(estimator: Pipeline) -> dict[str, str]:
    """Part -> SHA-256 in hex, of what `fit` returned or what was loaded from a model's file.

    Parts: `encoder categories` (absent without strings), `classes`, `baseline`, `bin thresholds`, `trees`. Raises
    ModelError for an estimator that `fit` did not make.
    """
    try:
        classifier = estimator.named_steps["classifier"]
        trees = [tree for iteration in classifier._predictors for tree in iteration]
        parts: dict[str, Iterable[Any]] = {
            "classes": [classifier.classes_],
            "baseline": [classifier._baseline_prediction],
            "bin thresholds": classifier._bin_mapper.bin_thresholds_,
            "trees": [
                array
                for tree in trees
                for array in (tree.nodes, tree.binned_left_cat_bitsets, tree.raw_left_cat_bitsets)
            ],
        }
        if "columns" in estimator.named_steps:
            encoder = estimator.named_steps["columns"].named_transformers_["strings"]
            parts = {"encoder categories": encoder.categories_, **parts}
    except (AttributeError, KeyError) as error:
        raise ModelError(f"the estimator has no fitted state that can be read ({error}).") from error
    return {name: _digest(arrays) for name, arrays in parts.items()}


def fitted_bytes(estimator: Pipeline) -> bytes:
    """`fitted_state` as a file."""
    return canonical_json(fitted_state(estimator))


def read_fitted(content: bytes) -> dict[str, str]:
    """Raises ModelError when it is no such file."""
    try:
        return {str(name): str(found) for name, found in json.loads(content).items()}
    except (ValueError, AttributeError) as error:
        raise ModelError(f"{FITTED_FILE} cannot be read: {error}.") from error


def predictions_bytes(predictions: Floats) -> bytes:
    """An `.npy` file: the same predictions are the same bytes."""
    file = io.BytesIO()
    np.save(file, predictions, allow_pickle=False)
    return file.getvalue()


def read_predictions(content: bytes) -> Floats:
    """Raises ModelError when it is no such file."""
    try:
        found: Floats = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ModelError(f"{PREDICTIONS_FILE} cannot be read: {error}.") from error
    return found


def _digest(arrays: Iterable[Any]) -> str:
    found = hashlib.sha256()
    for array in arrays:
        found.update(_array(np.asarray(array)).encode())
    return found.hexdigest()


def _array(array: npt.NDArray[Any]) -> str:
    """A record by its fields, so that padding between them does not count."""
    if array.dtype.names is not None:
        return "".join(f"{name}:{_array(array[name])}" for name in array.dtype.names)
    if array.dtype == np.object_:
        texts = [value if isinstance(value, str) else None for value in array.tolist()]
        return digest_bytes(canonical_json(texts))
    return f"{array.dtype.str}{array.shape}{digest_bytes(np.ascontiguousarray(array).tobytes())}"
