"""What a training leaves in the store, and what the store gives back, as values; and the names it is kept under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pandas as pd

from trueup.models.bundle import Bundle
from trueup.models.card import ModelCard
from trueup.models.environment import Environment
from trueup.models.git import GitState
from trueup.models.tracking.estimator import load_estimator

EXPERIMENT = "trueup"
CARD_FILE = "trueup_card.json"
"""The card's name in the model's own folder."""
MODEL_FILE = "MLmodel"
"""MLflow's own description of a model."""
ENVIRONMENT_FILE = "environment.json"
"""The environment's name among the artifacts of the run that trained a model."""
RECIPE_FILE = "recipe.json"
RUN_CARD_FILE = "card.json"
DIFF_FILE = "working-tree.diff"
"""What made the commit the tree, among the artifacts of a run from a dirty tree."""
REPRODUCTIONS = "reproductions"
"""Folder among the artifacts of a run: one file each time it was trained again, named by the instant."""
REPRODUCED_TAG = "trueup.reproduced"
"""Of a run: the verdict that was kept last, for people; the record is what counts."""
GIT_PATH_TAG = "trueup.git_path"
"""Of a run: where in its git repository the Feast repository lay; `.` for the root itself."""
ADOPTED_TAG = "trueup.adopted"
"""Of a run and its model version: where a model came from that trueup did not train."""
REQUIREMENTS = ("scikit-learn", "skops", "numpy", "pandas")
"""What a model needs to predict outside trueup. Named here, because MLflow's inference of them takes 17 s."""


@dataclass(frozen=True)
class Dataset:
    """A training set as MLflow lists it. digest: of its snapshot. source: how it was read. schema: column -> type."""

    name: str
    digest: str
    source: Mapping[str, Any]
    schema: Mapping[str, str]
    rows: int


@dataclass(frozen=True)
class TrainingRun:
    """Everything a finished training leaves behind.

    params: the recipe, flattened. recipe: the recipe as JSON. example: a few rows as the estimator eats them.
    files: name -> content of what else is kept in the model's own folder, beside its card (`load_file`).
    """

    bundle: Bundle
    params: Mapping[str, str]
    recipe: Mapping[str, Any]
    dataset: Dataset
    example: pd.DataFrame
    git: GitState
    environment: Environment
    started: datetime
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class LoggedModel:
    """A model that is in the store, but not yet registered under a name. location: URI of its folder."""

    run_id: str
    model_id: str
    location: str
    card: ModelCard


@dataclass(frozen=True)
class LoggedRun:
    """A finished training as the store has it: what `TrainingRun` left.

    files: name -> content of the run's own artifacts (`ENVIRONMENT_FILE`, `RECIPE_FILE`, `DIFF_FILE`...). kept: of what
    was asked for of `TrainingRun.files`; what the model was kept without is left out. estimator: its file, which only
    the libraries it was written with are sure to load.
    """

    run_id: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    files: Mapping[str, bytes]
    kept: Mapping[str, bytes]
    card: ModelCard
    estimator: bytes

    def bundle(self) -> Bundle:
        """Its model, ready to predict. Raises ModelError when its file cannot be loaded here."""
        return Bundle(self.card, load_estimator(self.estimator, self.card))


@dataclass(frozen=True)
class Registered:
    """One version of a registered model."""

    name: str
    version: int
    run_id: str | None

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"
