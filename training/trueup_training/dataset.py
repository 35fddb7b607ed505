"""The training set of a recipe: what it says, pinned to an instant, read as `trueup.datasets` reads."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from trueup.contracts.contract import FeatureContract
from trueup.datasets.content import table_digest
from trueup.datasets.entity_rows import Counts
from trueup.datasets.training_set import Progress, TrainingSet, read_training_set
from trueup.stores.ledger import Ledger
from trueup_training.recipe import Recipe

__all__ = ["Counts", "Progress", "TrainingSet", "build_training_set", "table_digest"]


def build_training_set(
    recipe: Recipe,
    contract: FeatureContract,
    *,
    repo: Path,
    now: datetime,
    ledger: Ledger | None = None,
    progress: Progress | None = None,
) -> TrainingSet:
    """Entity rows and features of a recipe, in memory only (`snapshot.build_snapshot` keeps them).

    now: what became known later does not count (nor after `as_of.pinned`). Raises as `read_training_set` does.
    """
    return read_training_set(recipe.dataset(now), contract, repo=repo, ledger=ledger, progress=progress)
