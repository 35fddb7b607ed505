"""The truth: what each cause does to the metric in the population, not in a world's own sample.

The process of `people.py` drawn again, a thousand times larger, in numpy alone, and the states of the ledger written
down one by one as who is scored by what. It shares the sizes of the plants and the fitted models with the worlds, and
nothing with the ledger: no joins, no weights, no Shapley code (two players have two orders).

What is harmless changes no distribution, so it is not in here: its truth is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.pipeline import Pipeline
from tests.ledger_bench import people, plants
from tests.ledger_bench.plants import KNOWN, MATURE, MISSED, UNANSWERED, Plan

Floats = npt.NDArray[np.float64]
ROWS = 2_000_000


@dataclass(frozen=True)
class Truth:
    """In the metric's own units. causes: the planted ones. steps: all five. gap: their sum. untold: what belongs to no
    cause, though one was planted."""

    causes: Mapping[str, float]
    steps: Mapping[str, float]
    gap: float
    untold: float = 0.0


@dataclass(frozen=True)
class Scene:
    """Who is scored by what, in one state of the ledger.

    model: what predicts. restated: whether `level` is. load: `load` as it is, with the leak, or clipped. missed,
    unanswered: shares of rows with the older `score`, and without features. spared: share of rows, of those that may be
    unanswered, whose `level` is restated whatever the others' is. noise: whose other numbers these are, of the rows
    that no older version may answer. not_older: share of those. older: share of rows that an older version answers.
    wrong_labels: as they were at first.
    """

    model: str = "kept"
    restated: bool = False
    load: str = "plain"
    missed: float = 0.0
    unanswered: float = 0.0
    spared: float = 0.0
    older: float = 0.0
    not_older: float = 0.0
    noise: str | None = None
    wrong_labels: bool = False


class Crowd:
    """A very large sample of one population, and the metrics of scenes on it."""

    def __init__(self, models: people.Models, rows: int, seed: int, *, shifted: bool) -> None:
        random = np.random.default_rng([seed, 99, shifted])
        x1, x2, x3 = (random.standard_normal(rows) for _ in range(3))
        if shifted:
            x1 += people.SHIFT[0]
            x2 *= people.SHIFT[1]
        a, b, c = people.WEIGHTS
        odds = people.INTERCEPT + a * x1 + b * x2 + c * x3
        self._late = random.random(rows) * (1 + np.exp(-odds)) < 1
        self._wrong = self._late ^ (random.random(rows) < plants.FLIPPED)
        self._columns = {
            "restated": x1,
            "early": people.EARLY[0] * x1 + people.EARLY[1] * random.standard_normal(rows),
            "tone": random.standard_normal(rows),
            "plain": x2,
            "leak": np.where(self._late, x2 + plants.LEAK / 2, x2 - plants.LEAK / 2),
            "clip": np.minimum(x2, plants.CLIP),
            "new": x3,
            "old": people.OLD[0] * x3 + people.OLD[1] * random.standard_normal(rows),
            "mood": random.standard_normal(rows),
        }
        self._noise = {name: random.standard_normal(rows) for name in ("training", "server")}
        self._dice = {name: random.random(rows) for name in ("missed", "unanswered", "older")}
        self._models: dict[str, Pipeline] = {"kept": models.kept, "luckier": models.luckier, "older": models.older}
        self._predicted = cache(self._predicted_anew)
        self.measure: Callable[[Scene], dict[str, float]] = cache(self._measure)

    def _measure(self, scene: Scene) -> dict[str, float]:
        return metrics(self._wrong if scene.wrong_labels else self._late, self._answers(scene))

    def _answers(self, scene: Scene) -> Floats:
        answers = self._of_features(scene)
        if scene.noise is not None:
            disturbed = self._disturbed(answers, scene.noise)
            answers = np.where(self._dice["older"] < scene.not_older, answers, disturbed)
        if scene.older:
            old = self._of_features(replace(scene, model="older", noise=None, older=0.0))
            answers = np.where(self._dice["older"] < scene.older, old, answers)
        return answers

    def _of_features(self, scene: Scene) -> Floats:
        level = "restated" if scene.restated else "early"
        answers = self._predicted(scene.model, level, scene.load, "new")
        if scene.missed:
            older = self._predicted(scene.model, level, scene.load, "old")
            answers = np.where(self._dice["missed"] < scene.missed, older, answers)
        if scene.spared:
            restated = self._predicted(scene.model, "restated", scene.load, "new")
            answers = np.where(self._dice["unanswered"] < scene.spared, restated, answers)
        if scene.unanswered:
            nothing = pd.DataFrame({name: [np.nan] for name in people.FEATURES})
            of_nothing = self._models[scene.model].predict_proba(nothing)[0, 1]
            answers = np.where(self._dice["unanswered"] < scene.unanswered, of_nothing, answers)
        return answers

    def _predicted_anew(self, model: str, level: str, load: str, score: str) -> Floats:
        columns = (self._columns[name] for name in (level, "tone", load, score, "mood"))
        inputs = pd.DataFrame(dict(zip(people.FEATURES, columns, strict=True)), copy=False)
        predicted: Floats = self._models[model].predict_proba(inputs)[:, 1]
        return predicted

    def _disturbed(self, answers: Floats, whose: str) -> Floats:
        disturbed: Floats = 1 / (1 + (1 - answers) / answers * np.exp(-plants.LOGIT_NOISE * self._noise[whose]))
        return disturbed


class Oracle:
    """Truths of plans. rows: drawn of each population; the standard error of a truth is a thousandth of a world's."""

    def __init__(self, models: people.Models, rows: int = ROWS, seed: int = 0) -> None:
        self._crowd = cache(lambda shifted: Crowd(models, rows, seed, shifted=shifted))

    def truth(self, plan: Plan) -> Truth:
        holdout, served = self._crowd(False), self._crowd(plan.shifted)

        def of(crowd: Crowd, scene: Scene) -> float:
            return crowd.measure(scene)[plan.metric]

        planted = set(plan.plants)
        causes = dict.fromkeys(plan.causes, 0.0)
        untold = 0.0
        restated = "late arrival" in planted
        kept = Scene(
            restated=restated,
            load="leak" if "a leak put right" in planted else "plain",
            wrong_labels="labels put right" in planted,
        )
        recorded = replace(
            kept,
            model="luckier" if "a luckier fit" in planted else "kept",
            noise="training" if "other numbers at training" in planted else None,
        )
        today = replace(kept, load="plain", wrong_labels=False)
        here = replace(today, load="clip" if "another definition served" in planted else "plain")
        too_good = plants.TOO_GOOD[plan.metric] if "a wrong number logged" in planted else 0.0
        logged = of(holdout, recorded) + too_good
        if "code" in causes:
            causes["code"] = of(holdout, here) - of(holdout, today) - too_good
        if "a luckier fit" in planted:
            causes["randomness"] = of(holdout, kept) - of(holdout, recorded)
        if "other numbers at training" in planted:
            causes["environment"] = of(holdout, kept) - of(holdout, recorded)
        if "data" in causes:
            causes["data"] = of(holdout, today) - of(holdout, kept)

        missed = MISSED / KNOWN if "missed materialization" in planted else 0.0
        unanswered = UNANSWERED / KNOWN if "answered without features" in planted else 0.0
        features = replace(here, restated=False, missed=missed, unanswered=unanswered)
        late_alone = replace(here, restated=False, spared=unanswered)
        serving_alone = replace(here, missed=missed, unanswered=unanswered)
        if restated:
            causes["feature logic"] = _shapley(served, plan, here, late_alone, serving_alone, features)
        if missed or unanswered:
            causes["serving"] = _shapley(served, plan, here, serving_alone, late_alone if restated else here, features)

        older = plants.OLDER if "an older version" in planted else 0.0
        noise = "server" if "other numbers by the server" in planted else None
        answers = replace(features, older=older, noise=noise, not_older=older)
        noise_alone = replace(features, noise=noise, not_older=older)
        older_alone = replace(features, older=older)
        if older:
            causes["serving"] = _shapley(served, plan, features, older_alone, noise_alone, answers)
        if noise:
            value = _shapley(served, plan, features, noise_alone, older_alone, answers)
            if "a luckier fit" in planted:
                untold = value
            else:
                causes["environment"] = value
        # A run that came late was missed by the first requests alone; the last of the known are not mature.
        mature = replace(answers, missed=MISSED / MATURE) if missed and restated else answers
        states = [
            logged,
            of(holdout, here),
            of(served, here),
            of(served, features),
            of(served, answers),
            of(served, mature),
        ]
        names = ("reproduction", "population shift", "feature skew", "serving", "label delay")
        steps = {name: states[at + 1] - states[at] for at, name in enumerate(names)}
        return Truth(causes, steps, states[-1] - states[0], untold)


def _shapley(crowd: Crowd, plan: Plan, nothing: Scene, alone: Scene, others: Scene, both: Scene) -> float:
    """Of one of two players: what it adds when it comes first, and when it comes last, halved."""
    first = crowd.measure(alone)[plan.metric] - crowd.measure(nothing)[plan.metric]
    last = crowd.measure(both)[plan.metric] - crowd.measure(others)[plan.metric]
    return (first + last) / 2


def metrics(late: npt.NDArray[np.bool_], answers: Floats) -> dict[str, float]:
    """auc: by counting pairs level by level of the answers, ties as half. brier, log_loss: means over rows."""
    order = np.argsort(answers)
    values, positive = answers[order], late[order].astype(np.float64)
    ends = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
    positives = np.diff(np.cumsum(positive)[ends], prepend=0.0)
    negatives = np.diff(np.cumsum(1 - positive)[ends], prepend=0.0)
    below = np.cumsum(negatives) - negatives
    pairs = float(np.sum(positives * (below + negatives / 2)))
    return {
        "auc": pairs / (float(positives.sum()) * float(negatives.sum())),
        "brier": float(np.mean((answers - late) ** 2)),
        "log_loss": float(-np.mean(np.log(np.where(late, answers, 1 - answers)))),
    }
