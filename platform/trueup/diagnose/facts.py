"""What the ledger is computed from, as values. What could not be had is a value too, and says why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from trueup.diagnose.metrics import Floats
from trueup.frame import FeatureFrame
from trueup.parity.case import take

Bits = npt.NDArray[np.uint64]
"""Causes of each cell of a feature (`trueup.parity.causes.BIT`); 0: none was found."""
Mask = npt.NDArray[np.bool_]
Texts = npt.NDArray[np.object_]
Predict = Callable[[FeatureFrame], Floats]


@dataclass(frozen=True)
class Missing:
    """Why something is not known, as the end of a sentence."""

    why: str


T = TypeVar("T")
Known: TypeAlias = T | Missing


@dataclass(frozen=True)
class Predicted:
    """Holdout rows: their ids (text), labels (0 or 1) and P(label)."""

    ids: Texts
    labels: Floats
    predictions: Floats


@dataclass(frozen=True)
class HoldoutFacts:
    """The promise, and what becomes of it here and today.

    logged: metric -> what the run recorded. recorded: the predictions it kept, on the labels of its snapshot. kept:
    the model in the store, here, on the same rows. same_fit: whether the kept model learned what the run recorded; None
    where the run recorded nothing of it. today: the kept model on the holdout rows as the sources and the recorded
    definitions give them now. as_served: the same under the definitions that rows were served by; None where those are
    the recorded ones. segments: column -> the level of each row of the last of them. culprits: what the newest
    `trueup reproduce` named; None: there was none. evidence: factor -> sentences.
    """

    logged: Known[Mapping[str, float]]
    recorded: Known[Predicted]
    kept: Known[Predicted]
    today: Known[Predicted]
    same_fit: bool | None = None
    as_served: Known[Predicted] | None = None
    segments: Mapping[str, Texts] = field(default_factory=dict)
    culprits: tuple[str, ...] | None = None
    evidence: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class ServedFacts:
    """The rows a model scored, as they were served and as they are recomputed.

    unit: of each row, what is drawn together (text). labels: the outcome, NaN where it is not known. mature: rows whose
    label delay is over. offline: features under the model's own rule; where parity sees no difference, as served. None
    where they could not be recomputed, and `offline_missing` says why. causes: feature -> causes of its cells, for
    mismatching features. mismatches: feature -> its mismatching cells. predictions: as served. version: of the model
    that gave them (text). predict: the kept model. segments: column -> level of each row. counts: rows that are not in
    here, by reason, and what was found of the outcomes. compared: feature -> cells that were compared.
    """

    unit: Texts
    labels: Floats
    mature: Mask
    served: FeatureFrame
    offline: Known[FeatureFrame]
    predictions: Floats
    version: Texts
    predict: Predict
    causes: Mapping[str, Bits] = field(default_factory=dict)
    mismatches: Mapping[str, Mask] = field(default_factory=dict)
    compared: Mapping[str, int] = field(default_factory=dict)
    segments: Mapping[str, Texts] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def num_rows(self) -> int:
        return len(self.predictions)

    def where(self, mask: Mask) -> ServedFacts:
        """These rows alone. `compared` and `counts` stay what they were."""
        rows = np.flatnonzero(mask)
        return replace(
            self,
            unit=self.unit[rows],
            labels=self.labels[rows],
            mature=self.mature[rows],
            served=take(self.served, rows),
            offline=self.offline if isinstance(self.offline, Missing) else take(self.offline, rows),
            predictions=self.predictions[rows],
            version=self.version[rows],
            causes={name: bits[rows] for name, bits in self.causes.items()},
            mismatches={name: cells[rows] for name, cells in self.mismatches.items()},
            segments={name: values[rows] for name, values in self.segments.items()},
        )


@dataclass(frozen=True)
class Facts:
    """model, version: that promised. inputs: the features it eats. served: or why there is no such row."""

    model: str
    version: str
    inputs: tuple[str, ...]
    known_at: str
    holdout: HoldoutFacts
    served: Known[ServedFacts]
    notes: tuple[str, ...] = ()
