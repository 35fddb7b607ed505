"""What parity must be told of the world it reads: models and progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from trueup.contracts.contract import FeatureContract
from trueup.instants import AsOfRule

Progress = Callable[[str], None]
"""Told what is being done now."""


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
