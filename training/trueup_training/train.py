"""From a recipe to a registered model: the one function that `trueup train` and the demo call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from feast import FeatureStore
from threadpoolctl import threadpool_limits

from trueup.contracts.extract import extract_contract
from trueup.datasets.changes import input_changes
from trueup.datasets.entity_rows import Counts
from trueup.datasets.snapshot import Snapshot, build_snapshot
from trueup.datasets.training_set import Progress
from trueup.errors import InputError
from trueup.gate.standing import is_the_gates
from trueup.instants import Clock, utc_now
from trueup.models.bundle import Bundle, check_inputs, matrix
from trueup.models.card import ModelCard
from trueup.models.environment import take_environment
from trueup.models.fitted import FITTED_FILE, PREDICTIONS_FILE, fitted_bytes, predictions_bytes
from trueup.models.git import git_state
from trueup.models.golden import GOLDEN_FILE, golden_bytes
from trueup.models.reference import REFERENCE_FILE, reference_bytes
from trueup.models.store_uri import datasets_beside
from trueup.models.tracking import Dataset, Tracking, TrainingRun
from trueup.parity.suite import SUITE_FILE, suite_bytes
from trueup.stores.ledger import Ledger
from trueup_training.fit import fit, holdout_metrics, predict
from trueup_training.recipe import Recipe

EXAMPLE_ROWS = 2


@dataclass(frozen=True)
class TrainedModel:
    """A model in the registry. alias: the one that was pointed at it, if any. alias_left: the one that its recipe asks
    for and the gate speaks for, so that it stays where it is. metrics: on the holdout."""

    name: str
    version: int
    alias: str | None
    run_id: str
    metrics: Mapping[str, float]
    card: ModelCard
    counts: Counts
    alias_left: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.name,
            "version": self.version,
            "alias": self.alias,
            "alias_left": self.alias_left,
            "run_id": self.run_id,
            "recipe": self.card.recipe,
            "known_at": self.card.rule.known_at,
            "feature_service": self.card.contract.service,
            "contract_hash": self.card.contract.hash,
            "dataset": self.card.dataset,
            "snapshot": self.card.snapshot,
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
    datasets: Path | None = None,
    snapshot: Snapshot | None = None,
) -> TrainedModel:
    """Trains a recipe on a snapshot of a feature repository and registers the model; its alias moves last of all,
    unless the gate was ever asked about it: then only a promotion moves it.

    repo: the Feast repository, applied. ledger: what `known_at = "served"` asks; without one, the views' declared
    schedules stand in. threads: of the fit; they change how long it takes, not what comes out. datasets: where the
    snapshot is built; by default beside the tracking store. snapshot: train from this one instead, and read no source.

    Raises InputError for a recipe that does not fit the data or the snapshot, DatasetError for a snapshot that is
    damaged or cannot be written, ContractError for one that does not fit the registry,
    SourceError and ModelError for what cannot be read or written.
    """
    tell = progress or (lambda _: None)
    tracking.check()
    started = clock()
    git = git_state(repo)  # before the work, which may take long: the tree as it was when this code was loaded
    if snapshot is None:
        spec = recipe.dataset(started)
        contract = extract_contract(FeatureStore(repo_path=str(repo)), recipe.feature_service)
        check_inputs(contract)
        root = datasets or datasets_beside(tracking.uri)
        snapshot = build_snapshot(spec, contract, repo=repo, root=root, ledger=ledger, progress=progress)
    else:
        check_fit(recipe, snapshot)
        contract = snapshot.manifest.contract
        check_inputs(contract)
    data = snapshot.load()
    inputs = matrix(data.features, contract.columns)
    tell(f"{recipe.model.params.max_iter} trees on {data.counts.train:,} rows")
    estimator = fit(
        inputs.iloc[data.train], data.labels[data.train], recipe.model.params, seed=recipe.seed, threads=threads
    )
    tell(f"metrics on {data.counts.holdout:,} rows")
    predictions = predict(estimator, inputs.iloc[data.holdout], threads=threads)
    metrics = holdout_metrics(data.labels[data.holdout], predictions)
    with threadpool_limits(threads):  # as the fit had them
        environment = take_environment()
    card = ModelCard(
        name=recipe.model.name,
        recipe=recipe.name,
        contract=contract,
        rule=snapshot.manifest.spec.rule,
        inputs=contract.columns,
        label=recipe.rows.label,
        metrics=metrics,
        seed=recipe.seed,
        dataset=data.digest,
        snapshot=snapshot.id,
        environment=environment.hash,
        git_commit=git.commit,
        git_dirty=git.dirty,
    )
    bundle = Bundle(card, estimator)
    learned_from = data.features.slice(0, data.counts.train)
    with threadpool_limits(threads):
        golden = golden_bytes(bundle, data.features.slice(data.counts.train, data.counts.holdout), seed=recipe.seed)
    tell("MLflow")
    logged = tracking.log(
        TrainingRun(
            bundle=bundle,
            params=recipe.params(),
            recipe=recipe.to_json(),
            dataset=_dataset(snapshot),
            example=inputs.iloc[:EXAMPLE_ROWS],
            git=git,
            environment=environment,
            started=started,
            files={
                GOLDEN_FILE: golden,
                REFERENCE_FILE: reference_bytes(learned_from, seed=recipe.seed),
                SUITE_FILE: suite_bytes(contract, learned_from, model=recipe.model.name),
                FITTED_FILE: fitted_bytes(estimator),
                PREDICTIONS_FILE: predictions_bytes(predictions),
            },
        ),
        finished=clock(),
    )
    registered = tracking.register(logged)
    alias = recipe.model.alias
    left = None
    if alias is not None and is_the_gates(tracking.version_tags(registered.name).values(), alias):
        alias, left = None, alias
    if alias is not None:
        tracking.set_alias(registered.name, alias, registered.version)
    return TrainedModel(
        name=registered.name,
        version=registered.version,
        alias=alias,
        alias_left=left,
        run_id=logged.run_id,
        metrics=metrics,
        card=tracking.load_card(registered.name, registered.version),
        counts=data.counts,
    )


def check_fit(recipe: Recipe, snapshot: Snapshot) -> None:
    """Raises InputError when the snapshot is not of what the recipe says: the run would be logged under another's."""
    spec = snapshot.manifest.spec
    # A snapshot under an earlier pinned instant fits: it was built before the recipe's own.
    wanted = replace(recipe.dataset(spec.pinned), name=spec.name)
    if spec == wanted:
        return
    changes = input_changes(snapshot.manifest, replace(snapshot.manifest, spec=wanted))
    said = "; ".join(f"{change.part}: {change.detail}" for change in changes) or (
        f"feature service: {spec.feature_service} -> {wanted.feature_service}"
    )
    raise InputError(
        "dataset",
        f"snapshot {snapshot.manifest} is not of what recipe {recipe.name} says ({said}).",
        hint="Train without --dataset, which builds one, or with the recipe that it was built by.",
    )


def _dataset(snapshot: Snapshot) -> Dataset:
    manifest = snapshot.manifest
    return Dataset(
        name=manifest.spec.name,
        digest=snapshot.id,
        source={
            "snapshot": snapshot.id,
            "content": manifest.content,
            "feature_service": manifest.spec.feature_service,
            "contract_hash": manifest.contract.hash,
            "query": manifest.spec.rows.query,
            "tables": dict(manifest.spec.rows.tables),
            "as_of": manifest.spec.rule.to_json(),
        },
        schema=manifest.schema,
        rows=manifest.rows,
    )
