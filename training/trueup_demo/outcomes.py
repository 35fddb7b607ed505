"""What became of the flights that were asked about, and how right each model was about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.metrics import log_loss, roc_auc_score

from trueup.errors import InputError


@dataclass(frozen=True)
class OnlineScore:
    """One model's score on served requests. All models are scored on the same requests, so they are paired.

    requests: how many this model's variant answered. scored: how many it scored, as a shadow too.
    auc_answered: on the answered ones alone, as a plain A/B read-out would have it.
    """

    requests: int
    scored: int
    auc: float
    log_loss: float
    auc_answered: float


def online_scores(served: pa.Table, flights: pa.Table, models: tuple[str, ...]) -> Mapping[str, OnlineScore]:
    """Model -> its score. served: rows of the served log. flights: `flight_id` and `late`.

    Raises InputError when a model did not score every flight exactly once: the pairs would not be pairs.
    """
    labels = dict(zip(flights.column("flight_id").to_pylist(), flights.column("late").to_pylist(), strict=True))
    scores: dict[str, OnlineScore] = {}
    for model in models:
        rows = served.filter(pc.equal(served.column("__model"), model))
        units = rows.column("__request_id").to_pylist()
        if len(units) != len(labels) or set(units) != set(labels):
            raise InputError(
                "served",
                f"model {model} has {len(units):,} served rows of {len(set(units)):,} requests in the log, "
                f"but {len(labels):,} flights were asked about. The server's log is not whole; see its /metrics.",
            )
        truth = np.array([labels[unit] for unit in units], dtype=bool)
        predicted = rows.column("__prediction").to_numpy()
        answered = np.array([role == "answer" for role in rows.column("__role").to_pylist()])
        scores[model] = OnlineScore(
            requests=int(answered.sum()),
            scored=len(units),
            auc=float(roc_auc_score(truth, predicted)),
            log_loss=float(log_loss(truth, predicted)),
            auc_answered=float(roc_auc_score(truth[answered], predicted[answered])),
        )
    return scores
