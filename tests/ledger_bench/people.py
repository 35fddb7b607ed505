"""Who is scored, and what happens to them: the one data generating process of all worlds, and the models they are
scored by. The oracle has its own draws of the same process.

Three things make an outcome likelier: x1, x2, x3, independent and standard normal. `level` is x1 once it is restated
and a noisy reading of it before; `load` is x2; `score` is x3, or a noisy reading of it in the row before. `tone` and
`mood` are standard normal and matter to nothing but the model, which learned from people to whom they mattered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.pipeline import Pipeline
from tests.ledger_bench.plants import LOGIT_NOISE

from trueup_training.fit import fit
from trueup_training.recipe import Boosting

Floats = npt.NDArray[np.float64]

FEATURES = ("account__level", "account__tone", "profile__load", "profile__score", "profile__mood")
INTERCEPT = -0.3
WEIGHTS = (1.1, 0.8, 0.9)
"""Of x1, x2, x3, on the log odds."""
EARLY = (0.6, 0.8)
"""`level` before it is restated: of x1, and of noise."""
OLD = (0.3, 0.95)
"""`score` of the row before: of x3, and of noise."""
SHIFT = (0.7, 1.4)
"""Where other people are served: added to x1, and what x2 is multiplied by."""
REGIONS = ("north", "south", "west")

_PARAMS = Boosting(max_iter=30, max_leaf_nodes=8, learning_rate=0.15)
_LEARNED_FROM = 20_000


@dataclass(frozen=True)
class People:
    """Columns of as many people. x: x1, x2, x3. noise: standard normals, one set for each use. uniform: likewise."""

    x: tuple[Floats, Floats, Floats]
    late: npt.NDArray[np.bool_]
    region: npt.NDArray[np.str_]
    noise: Mapping[str, Floats]
    uniform: Mapping[str, Floats]

    @property
    def early(self) -> Floats:
        """`level` before it is restated."""
        return EARLY[0] * self.x[0] + EARLY[1] * self.noise["early"]

    @property
    def old_score(self) -> Floats:
        return OLD[0] * self.x[2] + OLD[1] * self.noise["old score"]


_NOISES = (
    "early",
    "old score",
    "tone",
    "restated tone",
    "tone at training",
    "mood",
    "old mood",
    "logit at training",
    "tone of another fit",
    "logit by the server",
    "tone by the server",
)
_UNIFORMS = ("flipped", "older")


def draw(random: np.random.Generator, rows: int, *, shifted: bool) -> People:
    x1, x2, x3 = random.standard_normal((3, rows))
    if shifted:
        x1, x2 = x1 + SHIFT[0], x2 * SHIFT[1]
    odds = INTERCEPT + WEIGHTS[0] * x1 + WEIGHTS[1] * x2 + WEIGHTS[2] * x3
    return People(
        (x1, x2, x3),
        random.random(rows) < 1 / (1 + np.exp(-odds)),
        random.choice(np.array(REGIONS), rows, p=(0.2, 0.3, 0.5) if shifted else (0.5, 0.3, 0.2)),
        {name: random.standard_normal(rows) for name in _NOISES},
        {name: random.random(rows) for name in _UNIFORMS},
    )


@dataclass(frozen=True)
class Models:
    """Fitted once, by the training's own `fit`. kept: what is in the store. luckier: another fit, by better data.
    older: the version before, which knows one feature only."""

    kept: Pipeline
    luckier: Pipeline
    older: Pipeline


def fit_models() -> Models:
    return Models(
        kept=_fitted(1, (*WEIGHTS, 0.5, 0.5)),
        luckier=_fitted(2, (*WEIGHTS, 0.0, 0.0)),
        older=_fitted(3, (0.0, WEIGHTS[1], 0.0, 0.0, 0.0)),
    )


def _fitted(seed: int, weights: tuple[float, ...]) -> Pipeline:
    """weights: of x1, x2, x3, tone and mood where it learned."""
    random = np.random.default_rng([seed, 17])
    x1, x2, x3, tone, mood = columns = random.standard_normal((5, _LEARNED_FROM))
    odds = INTERCEPT + np.dot(np.array(weights), columns)
    late = (random.random(_LEARNED_FROM) < 1 / (1 + np.exp(-odds))).astype(np.int8)
    inputs = pd.DataFrame(dict(zip(FEATURES, (x1, tone, x2, x3, mood), strict=True)))
    return fit(inputs, late, _PARAMS, seed=seed)


def predict(model: Pipeline, inputs: pd.DataFrame) -> Floats:
    predictions: Floats = model.predict_proba(inputs[list(FEATURES)])[:, 1]
    return predictions


def disturbed(predictions: Floats, noise: Floats) -> Floats:
    """The same log odds, and something."""
    odds = np.log(predictions) - np.log1p(-predictions) + LOGIT_NOISE * noise
    answers: Floats = 1 / (1 + np.exp(-odds))
    return answers
