"""A finished training as MLflow keeps it: tags, dataset, artifacts, and the model's folder with its card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trueup.errors import ModelError
from trueup.hashing import canonical_json
from trueup.instants import format_instant
from trueup.models.bundle import Bundle
from trueup.models.card import ModelCard
from trueup.models.tracking.estimator import SAFE, TRUSTED_TYPES
from trueup.models.tracking.quiet import quiet
from trueup.models.tracking.records import (
    ADOPTED_TAG,
    CARD_FILE,
    DIFF_FILE,
    ENVIRONMENT_FILE,
    GIT_PATH_TAG,
    RECIPE_FILE,
    REQUIREMENTS,
    RUN_CARD_FILE,
    Dataset,
    TrainingRun,
)

with quiet():
    import mlflow.sklearn
    from mlflow.entities import Dataset as MlflowDataset
    from mlflow.entities import DatasetInput, InputTag
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

_DIGEST_LENGTH = 32
"""Hex digits of a snapshot's id that MLflow keeps (its limit is 36); the `trueup.dataset` tag has all."""


def run_tags(run: TrainingRun) -> dict[str, str]:
    """Ours, and those that Feast and MLflow themselves give such facts."""
    card = run.bundle.card
    contract = card.contract
    tags = {
        "feast.project": contract.project,
        "feast.feature_service": contract.service,
        "feast.feature_refs": ",".join(f"{view}:{feature}" for view, feature in contract.features),
        "trueup.recipe": str(card.recipe),
        "trueup.contract_hash": contract.hash,
        "trueup.known_at": card.rule.known_at,
        "trueup.pinned": format_instant(card.rule.pinned) if card.rule.pinned else "none",
        "trueup.dataset": str(card.snapshot or card.dataset),
        "trueup.dataset_content": str(card.dataset),
        "trueup.seed": str(card.seed),
        "trueup.environment": str(card.environment),
        "trueup.git_commit": card.git_commit or "unknown",
        "trueup.git_dirty": str(card.git_dirty).lower(),
    }
    if run.git.inside is not None:
        tags[GIT_PATH_TAG] = run.git.inside
    if run.git.problem is not None:
        tags["trueup.git_problem"] = run.git.problem
    if card.git_commit is not None:
        tags["mlflow.source.git.commit"] = card.git_commit
    return tags


def version_tags(card: ModelCard) -> dict[str, str]:
    """Of a registered version, for people and for looking it up."""
    tags = {"trueup.contract_hash": card.contract.hash, "trueup.known_at": card.rule.known_at}
    if (dataset := card.snapshot or card.dataset) is not None:
        tags["trueup.dataset"] = dataset
    if card.adopted is not None:
        tags[ADOPTED_TAG] = card.adopted
    return tags


def dataset_input(dataset: Dataset) -> DatasetInput:
    return DatasetInput(
        MlflowDataset(
            name=dataset.name,
            digest=dataset.digest[:_DIGEST_LENGTH],
            source_type="trueup",
            source=canonical_json(dataset.source).decode(),
            schema=canonical_json(
                {"mlflow_colspec": [{"name": name, "type": dtype} for name, dtype in dataset.schema.items()]}
            ).decode(),
            profile=canonical_json({"num_rows": dataset.rows}).decode(),
        ),
        tags=[InputTag("mlflow.data.context", "training")],
    )


def write_run_files(run: TrainingRun, folder: Path) -> Path:
    """The run's own artifacts, as files."""
    folder.mkdir()
    documents = {
        RUN_CARD_FILE: run.bundle.card.to_json(),
        "contract.json": run.bundle.card.contract.to_json(),
        ENVIRONMENT_FILE: run.environment.to_json(),
        RECIPE_FILE: run.recipe,
    }
    for name, document in documents.items():
        (folder / name).write_text(pretty(document), encoding="utf-8")
    if run.git.diff is not None:
        (folder / DIFF_FILE).write_bytes(run.git.diff)
    return folder


def save_model(
    bundle: Bundle,
    example: pd.DataFrame,
    files: Mapping[str, bytes],
    folder: Path,
    *,
    run_id: str,
    model_id: str,
    location: str,
) -> None:
    """An MLflow model folder with the card in it. Any MLflow tool can load it; it then answers both probabilities.

    example: a few rows as the estimator eats them. files: name -> content of what is kept beside the card.
    """
    card = bundle.card
    with quiet():  # saving imports mlflow.pyfunc
        mlflow.sklearn.save_model(
            bundle.estimator,
            str(folder),
            mlflow_model=Model(artifact_path=location, run_id=run_id, model_id=model_id, model_uuid=model_id),
            signature=_signature(example),
            input_example=example,
            serialization_format="skops",
            skops_trusted_types=list(TRUSTED_TYPES),
            pip_requirements=[f"{name}=={installed(name)}" for name in REQUIREMENTS],
            pyfunc_predict_fn="predict_proba",
            metadata={"trueup.contract_hash": card.contract.hash, "trueup.card": CARD_FILE},
        )
    (folder / CARD_FILE).write_text(pretty(card.to_json()), encoding="utf-8")
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _signature(example: pd.DataFrame) -> ModelSignature:
    """From the types a bundle gives its estimator; MLflow's own inference looks at values, and warns about nulls."""
    columns = [
        ColSpec(DataType.string if example[name].dtype == np.object_ else DataType.double, str(name))
        for name in example.columns
    ]
    return ModelSignature(Schema([*columns]), Schema([TensorSpec(np.dtype(np.float64), (-1, 2))]))


def estimator_file(model: Path) -> str:
    """The name of the estimator's file, from an MLflow model's `MLmodel`. Raises ModelError for what is not loaded."""
    flavors = Model.load(str(model)).flavors
    sklearn = flavors.get("sklearn")
    if sklearn is None:
        raise ModelError(f"it is no scikit-learn model: its flavors are {', '.join(sorted(flavors)) or 'none'}.")
    if sklearn.get("serialization_format") != "skops":
        raise ModelError(
            f"its estimator is kept as {sklearn.get('serialization_format')}, which runs code when it is loaded.",
            hint=SAFE,
        )
    return str(sklearn["pickled_model"])


def pretty(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
