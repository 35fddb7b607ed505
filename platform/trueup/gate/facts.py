"""What the gate knows of a candidate, as values. `gather` reads them; `evidence` judges them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trueup.contracts.contract import FeatureContract
from trueup.gate.auc import Floats
from trueup.models.card import ModelCard
from trueup.models.golden import Golden
from trueup.parity.results import AnyResult


@dataclass(frozen=True)
class Unknown:
    """A fact that could not be had. why: a sentence."""

    why: str


@dataclass(frozen=True)
class SnapshotFacts:
    """The snapshot the candidate was trained from, as it is kept.

    id, content: as its manifest has them. bytes: of all its parts. problems: what is wrong with it, a sentence each.
    """

    id: str
    content: str
    rows: int
    bytes: int
    problems: tuple[str, ...]


@dataclass(frozen=True)
class HoldoutFacts:
    """Predictions on the holdout rows of the candidate's snapshot, features as the candidate's rule has them.

    positive: which rows have the label. champion: of the model that has the alias now. None: no model has it.
    champion_name: NAME@VERSION of it.
    """

    positive: npt.NDArray[np.bool_]
    candidate: Floats
    champion: Floats | None
    champion_name: str | None


@dataclass(frozen=True)
class GoldenFacts:
    """recorded: at training. replayed: predictions of the same rows in this process."""

    recorded: Golden
    replayed: Floats


@dataclass(frozen=True)
class Facts:
    """card: of the candidate. live: the registry's contract of its service. files: name -> SHA-256 of what decides its
    predictions. environment: hash of the one that asks. transforms: a result for each on-demand view of the service;
    none when it has none. expectations: of the candidate's holdout.
    """

    card: ModelCard
    files: Mapping[str, str]
    environment: str
    live: FeatureContract | Unknown
    snapshot: SnapshotFacts | Unknown
    holdout: HoldoutFacts | Unknown
    transforms: tuple[AnyResult, ...] | Unknown
    expectations: AnyResult | Unknown
    golden: GoldenFacts | Unknown
