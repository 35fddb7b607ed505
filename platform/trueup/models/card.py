"""`ModelCard`: what a model was made of. It travels with the model, so that serving and parity need nothing else.

Serving checks its contract against the live registry; parity recomputes served rows under its rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trueup.contracts.contract import FeatureContract
from trueup.errors import ModelError
from trueup.instants import AsOfRule

FORMAT = 1
"""Version of the JSON form; bump it when a field changes its meaning."""


@dataclass(frozen=True)
class ModelCard:
    """name: the registered model. recipe: name of the recipe it was trained by.

    contract: the features as they were defined then. rule: which feature rows training could see.
    inputs: the columns the estimator eats, in order. label: the column it learned; a prediction is P(label).
    metrics: on the holdout (`auc`, `log_loss`, `brier`, `rows`, `positive_rate`). seed: of everything random.
    adopted: where the model came from, when it was not trained by trueup (`trueup adopt`). Then nobody knows what
    made it: recipe, label, seed, environment, commit and metrics are not there, and dataset and snapshot are what
    was said at adoption, if anything was. None: trained by trueup, and all of that is known.
    dataset: content hash of the training set. snapshot: id of the snapshot it was trained from; None in a card from
    before there were any. environment: hash of the `Environment` it was trained in.
    git_commit: None when unknown. git_dirty: files differed from that commit.
    run_id, version: the MLflow run and the registered version. Not part of the JSON form: `Tracking` fills
    them when it loads a card.
    """

    name: str
    recipe: str | None
    contract: FeatureContract
    rule: AsOfRule
    inputs: tuple[str, ...]
    label: str | None
    metrics: Mapping[str, float]
    seed: int | None
    dataset: str | None
    environment: str | None
    git_commit: str | None
    git_dirty: bool
    snapshot: str | None = None
    adopted: str | None = None
    run_id: str | None = None
    version: int | None = None

    def __str__(self) -> str:
        """`name@version`, as messages name a model."""
        return self.name if self.version is None else f"{self.name}@{self.version}"

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "name": self.name,
            "recipe": self.recipe,
            "contract": self.contract.to_json(),
            "rule": self.rule.to_json(),
            "inputs": list(self.inputs),
            "label": self.label,
            "metrics": dict(self.metrics),
            "seed": self.seed,
            "dataset": self.dataset,
            "snapshot": self.snapshot,
            "environment": self.environment,
            "git": {"commit": self.git_commit, "dirty": self.git_dirty},
            **({"adopted": self.adopted} if self.adopted is not None else {}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ModelCard:
        """Raises ModelError for another format or a missing part, ContractError for a damaged contract."""
        if data.get("format") != FORMAT:
            raise ModelError(
                f"model card format {data.get('format')!r} cannot be read; this version reads {FORMAT}.",
                hint="Train the model again, or use the version of trueup that trained it.",
            )
        try:
            return cls(
                name=data["name"],
                recipe=data["recipe"],
                contract=FeatureContract.from_json(data["contract"]),
                rule=AsOfRule.from_json(data["rule"]),
                inputs=tuple(data["inputs"]),
                label=data["label"],
                metrics=dict(data["metrics"]),
                seed=data["seed"],
                dataset=data["dataset"],
                environment=data["environment"],
                git_commit=data["git"]["commit"],
                git_dirty=data["git"]["dirty"],
                snapshot=data.get("snapshot"),
                adopted=data.get("adopted"),
            )
        except (KeyError, TypeError) as error:
            raise ModelError(
                f"model card of {data.get('name')!r} is incomplete ({type(error).__name__}: {error}).",
                hint="It was edited by hand or damaged; train the model again.",
            ) from error
