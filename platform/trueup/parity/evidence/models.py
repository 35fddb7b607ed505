"""What parity must be told of the world it reads: models, progress, how to read an online store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import pyarrow as pa

from trueup.contracts.contract import FeatureContract
from trueup.frame import FeatureFrame
from trueup.instants import AsOfRule

Progress = Callable[[str], None]
"""Told what is being done now."""

ReadOnline = Callable[[FeatureContract, pa.Table, datetime], FeatureFrame]
"""Reads entity rows from the online store as of an instant: `trueup.features.online`, or any other store's."""


class TrainedModel(Protocol):
    """What parity must know of a model: `trueup.models.card.ModelCard` has it."""

    @property
    def contract(self) -> FeatureContract: ...

    @property
    def rule(self) -> AsOfRule: ...


CardOf = Callable[[str, str], TrainedModel]
"""Card of a registered model by name and version; raises a TrueupError when there is none."""


@dataclass(frozen=True)
class Unreadable:
    """A model in the log that cannot be checked, and why. It could not run; the others still do."""

    model: str
    version: str
    rows: int
    problem: str


def nothing(_now: str) -> None:
    """A progress that nobody watches."""
