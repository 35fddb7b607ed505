"""Whether a model that was trained elsewhere can answer for a feature service, and the card it then gets.

Its file says what it predicts with; what made it, nobody can say any more. The card says so, too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from trueup.contracts.contract import FeatureContract
from trueup.errors import ContractError, ModelError
from trueup.frame import EVENT_TIME, STATUS, FeatureFrame, Status
from trueup.instants import EPOCH, AsOfRule
from trueup.models.bundle import Bundle, check_inputs, matrix
from trueup.models.card import ModelCard

NOT_KNOWN = ("recipe", "label", "seed", "environment", "commit", "metrics")
"""What an adopted model's card cannot say."""
_SHOWN = 5


def adopt(
    estimator: Any,
    contract: FeatureContract,
    rule: AsOfRule,
    *,
    name: str,
    source: str,
    snapshot: tuple[str, str] | None = None,
) -> Bundle:
    """The estimator with a card. source: where it came from, for people. snapshot: id and content of the one it is said
    to be trained from.

    Raises ModelError when it is no binary classifier of exactly such columns, or cannot predict them;
    ContractError for a feature that no model eats.
    """
    check_inputs(contract)
    card = ModelCard(
        name=name,
        recipe=None,
        contract=contract,
        rule=rule,
        inputs=_inputs(estimator, contract, source),
        label=None,
        metrics={},
        seed=None,
        dataset=None if snapshot is None else snapshot[1],
        environment=None,
        git_commit=None,
        git_dirty=False,
        snapshot=None if snapshot is None else snapshot[0],
        adopted=source,
    )
    classes = [str(each) for each in getattr(estimator, "classes_", ())]
    if classes not in (["0", "1"], ["False", "True"]) or not hasattr(estimator, "predict_proba"):
        raise ModelError(
            f"{source} holds a {type(estimator).__name__} of classes {', '.join(classes) or 'none'}; expected a fitted "
            "classifier of 0 and 1 with predict_proba."
        )
    bundle = Bundle(card, estimator)
    _check_predicts(bundle, source)
    return bundle


def example(contract: FeatureContract) -> FeatureFrame:
    """Two rows: one of which nothing is known, as any server will meet, and one of zeros."""
    values = [pa.array([None, _zero(item.type)], item.type) for item in contract.schema]
    known = pa.array([int(Status.MISSING), int(Status.PRESENT)], STATUS)
    return FeatureFrame(
        values=pa.table(values, schema=contract.schema),
        statuses=pa.table(dict.fromkeys(contract.columns, known)),
        event_timestamps=pa.table({view.name: pa.array([None, EPOCH], EVENT_TIME) for view in contract.views}),
    )


def _inputs(estimator: Any, contract: FeatureContract, source: str) -> tuple[str, ...]:
    """The columns it was fitted on, by the names it kept."""
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        raise ModelError(
            f"{source} was fitted on columns without names, so which feature is which is not known.",
            hint="Fit it on a DataFrame with the names Feast gives columns: VIEW__FEATURE (full_feature_names).",
        )
    inputs = tuple(str(each) for each in names)
    if others := [each for each in inputs if each not in contract.columns]:
        raise ModelError(
            f"{source} was fitted on {_few(others)}, which feature service {contract.service!r} has not; it has "
            f"{_few(list(contract.columns))}.",
            hint="Name the feature service it was trained on. Feast names columns VIEW__FEATURE (full_feature_names).",
        )
    return inputs


def _check_predicts(bundle: Bundle, source: str) -> None:
    rows = example(bundle.card.contract)
    for what, asked in (
        ("a row whose features are all missing", rows.slice(0, 1)),
        ("a row of zeros", rows.slice(1, 1)),
    ):
        try:
            predicted = bundle.predict(asked)
        except ContractError:
            raise
        except Exception as error:
            raise ModelError(
                f"{source} cannot predict {what}: {_first(error)}",
                hint="Features are numbers, strings, or null where nothing is known: it has to take them as they come.",
            ) from error
        if predicted.shape != (1,) or not 0 <= float(predicted[0]) <= 1:
            raise ModelError(f"{source} predicts {predicted} for {what}; expected one probability.")
    alone = np.concatenate([bundle.predict(rows.slice(at, 1)) for at in (0, 1)])
    if alone.tobytes() != bundle.predict(rows).tobytes():
        raise ModelError(f"{source} predicts a row otherwise when another row is asked about with it.")


def example_matrix(bundle: Bundle) -> Any:
    """Rows as the estimator eats them, for MLflow's signature."""
    return matrix(example(bundle.card.contract), bundle.card.inputs)


def _zero(dtype: pa.DataType) -> Any:
    if pa.types.is_string(dtype):
        return ""
    if pa.types.is_timestamp(dtype):
        return EPOCH
    if pa.types.is_boolean(dtype):
        return False
    return 0 if pa.types.is_integer(dtype) or pa.types.is_floating(dtype) else None


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
