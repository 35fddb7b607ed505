"""What the gate knows of a candidate, as values. `gather` reads them; `evidence` judges them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
    """Predictions on the holdout rows of the candidate's snapshot, features as a server would have had them.

    positive: which rows have the label. champion: of the model that has the alias now. None: no model has it.
    champion_name: NAME@VERSION of it. note: what else must be said of its features, a clause.
    """

    positive: npt.NDArray[np.bool_]
    candidate: Floats
    champion: Floats | None
    champion_name: str | None
    note: str = ""


@dataclass(frozen=True)
class ReproductionFacts:
    """What `trueup reproduce` kept last with the candidate's run. culprits: why it was not reproduced.

    files: name -> SHA-256 of the model's files it was about. kept: whether the model in the store is the one its run
    recorded, and what is said of it. seed_band: how much lower seeds alone put the AUC of one of two trainings, at
    one-sided 95 %; None when `SEEDS` of them or more were not tried.
    """

    verdict: str
    culprits: tuple[str, ...]
    files: Mapping[str, str]
    at: str
    kept: tuple[str, str]
    seed_band: float | None = None
    seeds: int = 0


@dataclass(frozen=True)
class Budget:
    """What a server with the candidate may take. latency_p99_ms: of a request of one row, milliseconds. error_rate:
    share of requests that are not answered with a 200. requests: how many of one row are sent. auc_band: the widest
    noise band of the holdout metric that still decides something."""

    latency_p99_ms: float = 250.0
    error_rate: float = 0.001
    requests: int = 200
    auc_band: float = 0.05


@dataclass(frozen=True)
class TrialFacts:
    """A server started with the candidate alone, asked about rows of its holdout, and stopped.

    refused: why it did not start; nothing else is known then. requests: sent, of one row and of many. rows: in all of
    them. failed: what came instead of an answer, a sentence each. answered: rows whose answer, whose logged prediction
    and whose prediction by the kept model from the logged features were compared. differing: where these are not the
    same bits. unlogged: answered rows that are not in the server's log. known: feature view -> answered rows that the
    online store had a row for, fresh or expired. milliseconds: of each answered request of one
    row, the first ones (warm-up) left out.
    """

    refused: str | None = None
    requests: int = 0
    rows: int = 0
    failed: tuple[str, ...] = ()
    answered: int = 0
    differing: int = 0
    unlogged: int = 0
    known: Mapping[str, int] = field(default_factory=dict)
    milliseconds: tuple[float, ...] = ()


@dataclass(frozen=True)
class NotAsked:
    """A fact there is no need of. why: a sentence."""

    why: str


@dataclass(frozen=True)
class GoldenFacts:
    """recorded: at training. replayed: predictions of the same rows in this process. as_drawn: the rows are those that
    training draws of the snapshot's holdout, all of them."""

    recorded: Golden
    replayed: Floats
    as_drawn: bool


@dataclass(frozen=True)
class SuiteFacts:
    """found: what the suite kept with the candidate says of its holdout. as_made: it is the one that training makes of
    the snapshot, byte for byte."""

    found: AnyResult
    as_made: bool


@dataclass(frozen=True)
class Facts:
    """card: of the candidate. live: the registry's contract of its service. files: name -> SHA-256 of what decides its
    predictions. environment: hash of the one that asks. transforms: a result for each on-demand view of the service;
    none when it has none. expectations: of the candidate's holdout.
    trial: not asked where the server would refuse the candidate's contract. shadow: the parity of rows the candidate
    scored on live traffic, and files of it that cannot be read; not asked where there are none.
    """

    card: ModelCard
    files: Mapping[str, str]
    environment: str
    live: FeatureContract | Unknown
    snapshot: SnapshotFacts | Unknown
    reproduction: ReproductionFacts | Unknown
    holdout: HoldoutFacts | Unknown
    transforms: tuple[AnyResult, ...] | Unknown
    expectations: SuiteFacts | Unknown
    golden: GoldenFacts | Unknown
    budget: Budget
    trial: TrialFacts | NotAsked | Unknown
    shadow: tuple[AnyResult, ...] | NotAsked | Unknown
