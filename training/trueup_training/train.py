"""From a recipe to a registered model: the one function that `trueup train` and the demo call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feast import FeatureStore
from threadpoolctl import threadpool_limits

from trueup.contracts.extract import extract_contract
from trueup.instants import Clock, utc_now
from trueup.models.bundle import Bundle, check_inputs, matrix
from trueup.models.card import ModelCard
from trueup.models.environment import take_environment
from trueup.models.git import git_state
from trueup.models.reference import REFERENCE_FILE, reference_bytes
from trueup.models.tracking import Dataset, Tracking, TrainingRun
from trueup.parity.suite import SUITE_FILE, suite_bytes
from trueup.stores.ledger import Ledger
from trueup_training.dataset import Counts, Progress, TrainingSet, build_training_set
from trueup_training.fit import fit, holdout_metrics, predict
from trueup_training.recipe import Recipe

EXAMPLE_ROWS = 2


@dataclass(frozen=True)
class TrainedModel:
    """A model in the registry. alias: the one that was pointed at it, if any. metrics: on the holdout."""

    name: str
    version: int
    alias: str | None
    run_id: str
    metrics: Mapping[str, float]
    card: ModelCard
    counts: Counts

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.name,
            "version": self.version,
            "alias": self.alias,
            "run_id": self.run_id,
            "recipe": self.card.recipe,
            "known_at": self.card.rule.known_at,
            "feature_service": self.card.contract.service,
            "contract_hash": self.card.contract.hash,
            "dataset": self.card.dataset,
            "train_rows": self.counts.train,
            "not_sampled": self.counts.not_sampled,
            "label_unknown": self.counts.label_unknown,
            "metrics": dict(self.metrics),
        }


def train(
    recipe: Recipe,
    *,
    repo: Path,
    tracking: Tracking,
    clock: Clock = utc_now,
    progress: Progress | None = None,
    ledger: Ledger | None = None,
    threads: int = 1,
) -> TrainedModel:
    """Trains a recipe on a feature repository and registers the model; its alias moves last of all.

    repo: the Feast repository, applied. ledger: what `known_at = "served"` asks; without one, the views' declared
    schedules stand in. threads: of the fit; they change how long it takes, not what comes out.

    Raises InputError for a recipe that does not fit the data, ContractError for one that does not fit the registry,
    SourceError and ModelError for what cannot be read or written.
    """
    tell = progress or (lambda _: None)
    started = clock()
    git = git_state(repo)  # before the work, which may take long: the tree as it was when this code was loaded
    contract = extract_contract(FeatureStore(repo_path=str(repo)), recipe.feature_service)
    check_inputs(contract)
    data = build_training_set(recipe, contract, repo=repo, now=started, ledger=ledger, progress=progress)
    inputs = matrix(data.features, contract.columns)
    tell(f"{recipe.model.params.max_iter} trees on {data.counts.train:,} rows")
    estimator = fit(
        inputs.iloc[data.train], data.labels[data.train], recipe.model.params, seed=recipe.seed, threads=threads
    )
    tell(f"metrics on {data.counts.holdout:,} rows")
    metrics = holdout_metrics(data.labels[data.holdout], predict(estimator, inputs.iloc[data.holdout], threads=threads))
    with threadpool_limits(threads):  # as the fit had them
        environment = take_environment()
    card = ModelCard(
        name=recipe.model.name,
        recipe=recipe.name,
        contract=contract,
        rule=recipe.as_of.rule,
        inputs=contract.columns,
        label=recipe.rows.label,
        metrics=metrics,
        seed=recipe.seed,
        dataset=data.digest,
        environment=environment.hash,
        git_commit=git.commit,
        git_dirty=git.dirty,
    )
    learned_from = data.features.slice(0, data.counts.train)
    tell("MLflow")
    logged = tracking.log(
        TrainingRun(
            bundle=Bundle(card, estimator),
            params=recipe.params(),
            recipe=recipe.to_json(),
            dataset=_dataset(recipe, data),
            example=inputs.iloc[:EXAMPLE_ROWS],
            git=git,
            environment=environment,
            started=started,
            files={
                REFERENCE_FILE: reference_bytes(learned_from, seed=recipe.seed),
                SUITE_FILE: suite_bytes(contract, learned_from, model=recipe.model.name),
            },
        ),
        finished=clock(),
    )
    registered = tracking.register(logged)
    if recipe.model.alias is not None:
        tracking.set_alias(registered.name, recipe.model.alias, registered.version)
    return TrainedModel(
        name=registered.name,
        version=registered.version,
        alias=recipe.model.alias,
        run_id=logged.run_id,
        metrics=metrics,
        card=tracking.load_card(registered.name, registered.version),
        counts=data.counts,
    )


def _dataset(recipe: Recipe, data: TrainingSet) -> Dataset:
    columns = [*data.rows.schema, *data.features.values.schema]
    return Dataset(
        name=recipe.name,
        digest=data.digest,
        source={
            "feature_service": recipe.feature_service,
            "query": recipe.rows.query,
            "tables": recipe.rows.tables,
            "as_of": recipe.as_of.rule.to_json(),
        },
        schema={field.name: str(field.type) for field in columns},
        rows=data.counts.train + data.counts.holdout,
    )
