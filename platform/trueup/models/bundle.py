"""`Bundle`: a model with its card, and the one way to predict: training, serving and replay all call it.

What the estimator sees of a row depends on that row and the contract alone, never on the rows around it, so
that a batch and its rows one by one give the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from trueup.contracts.contract import FeatureContract
from trueup.contracts.dtypes import document_kind
from trueup.errors import ContractError, ModelError
from trueup.frame import FeatureFrame
from trueup.models.card import ModelCard

Floats = npt.NDArray[np.float64]


class Classifier(Protocol):
    """A fitted scikit-learn classifier, or anything that answers like one."""

    @property
    def classes_(self) -> Any: ...

    def predict_proba(self, X: pd.DataFrame, /) -> Any: ...  # noqa: N803 - scikit-learn's name


@dataclass(frozen=True)
class Bundle:
    """A fitted binary classifier over the columns of its card."""

    card: ModelCard
    estimator: Classifier

    def __post_init__(self) -> None:
        classes = [int(item) for item in self.estimator.classes_]
        if classes != [0, 1]:
            raise ModelError(f"model {self.card}: its classes are {classes}; a bundle needs exactly 0 and 1.")

    def predict(self, frame: FeatureFrame) -> Floats:
        """P(label) of each row, in row order: float64, shape (rows,). Raises ContractError for a missing column."""
        if frame.num_rows == 0:
            return np.empty(0, dtype=np.float64)
        probabilities = self.estimator.predict_proba(matrix(frame, self.card.inputs))
        return np.ascontiguousarray(probabilities[:, 1], dtype=np.float64)


def check_inputs(contract: FeatureContract) -> None:
    """Raises ContractError for a feature that is text in a frame and stands for something else: a map, a decimal."""
    for column in contract.columns:
        dtype = contract.dtypes[column]
        if document_kind(dtype) is not None or "Decimal" in dtype:
            raise _not_eaten(column, dtype)


def matrix(frame: FeatureFrame, inputs: Sequence[str]) -> pd.DataFrame:
    """The columns `inputs`, in that order, as an estimator eats them.

    Numbers and booleans are float64 always (an integer beyond 2^53 is rounded), instants float64 seconds since
    1970, strings objects; null is NaN in all of them (scikit-learn's encoders take None for one more category).
    Raises ContractError for a column that is not there, or of a type a model cannot eat.
    """
    if missing := [name for name in inputs if name not in frame.columns]:
        raise ContractError(
            f"the model needs {', '.join(missing)}, which the features read do not have.",
            hint="Serve the feature service it was trained on, or train it again.",
        )
    return pd.DataFrame({name: _column(name, frame.values.column(name)) for name in inputs}, copy=False)


def is_string(dtype: pa.DataType) -> bool:
    """Whether `matrix` gives a column of this Arrow type as strings."""
    return bool(pa.types.is_string(dtype) or pa.types.is_large_string(dtype))


def _column(name: str, values: pa.ChunkedArray) -> npt.NDArray[Any]:
    dtype = values.type
    if is_string(dtype):
        strings: npt.NDArray[np.object_] = values.to_numpy()
        if values.null_count:
            strings = np.where(values.is_null().to_numpy(), np.nan, strings)
        return strings
    if pa.types.is_timestamp(dtype):
        micros: Floats = _floats(values.cast(pa.timestamp("us", tz=dtype.tz)).cast(pa.int64()))
        return micros / 1e6
    if pa.types.is_integer(dtype) or pa.types.is_floating(dtype) or pa.types.is_boolean(dtype):
        return _floats(values)
    raise _not_eaten(name, str(dtype))


def _not_eaten(name: str, dtype: str) -> ContractError:
    return ContractError(
        f"feature {name} is {dtype}; a model eats numbers, booleans, strings and instants.",
        hint="Leave it out of the feature service, or turn it into one of them in the feature's definition.",
    )


def _floats(values: pa.ChunkedArray) -> Floats:
    # safe=False: an integer that float64 cannot hold is rounded to the nearest, not refused.
    floats: Floats = pc.cast(values, pa.float64(), safe=False).to_numpy()
    return floats
