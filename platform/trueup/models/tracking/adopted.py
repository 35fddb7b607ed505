"""Models that trueup did not train, in the store: how one is read, how it is kept, and what is said of it later."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from trueup.errors import ModelError
from trueup.models.bundle import Bundle
from trueup.models.tracking.estimator import load_estimator
from trueup.models.tracking.quiet import quiet
from trueup.models.tracking.records import ADOPTED_TAG, CARD_FILE, MODEL_FILE, LoggedModel
from trueup.models.tracking.saving import estimator_file, save_model
from trueup.models.tracking.store import Store, millis, whole

with quiet():
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModelOutput
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.exceptions import MlflowException


def others_estimator(store: Store, client: MlflowClient, version: ModelVersion, scratch: str) -> Any:
    """See `Tracking.load_others_estimator`."""
    name = f"{version.name}@{version.version}"
    if store.has(client, version, CARD_FILE, scratch):
        raise ModelError(f"model {name} has a card of trueup's already: there is nothing to adopt.")
    try:
        described = store.download(client, version, MODEL_FILE, scratch)
    except (MlflowException, OSError) as error:
        raise store.gone(
            error,
            f"model {name} in {store.name} has no {MODEL_FILE}: its files are gone.",
            hint="Name another version, or a .skops file.",
        ) from store.cause(error)
    try:
        file = estimator_file(described)
    except ModelError as error:
        raise ModelError(f"model {name} cannot be adopted: {error.message}", hint=error.hint) from error
    return load_estimator(store.download(client, version, file, scratch).read_bytes(), name)


def log_adopted(store: Store, client: MlflowClient, bundle: Bundle, example: pd.DataFrame, at: datetime) -> LoggedModel:
    """See `Tracking.adopt`. The run has no recipe, environment or metrics: those would be ours."""
    card = bundle.card
    experiment = store.experiment(client)
    tags = {ADOPTED_TAG: str(card.adopted), "trueup.contract_hash": card.contract.hash}
    run = client.create_run(experiment, start_time=millis(at), tags=tags, run_name=f"adopt {card.name}")
    run_id = run.info.run_id
    with whole(client, run_id, at), tempfile.TemporaryDirectory() as scratch:
        model = client.create_logged_model(
            experiment, name=card.name, source_run_id=run_id, model_type="binary_classifier"
        )
        folder = Path(scratch, "model")
        location = model.artifact_location
        save_model(bundle, example, {}, folder, run_id=run_id, model_id=model.model_id, location=location)
        client.log_model_artifacts(model.model_id, str(folder))
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
        client.finalize_logged_model(model.model_id, "READY")
    return LoggedModel(run_id, model.model_id, location, replace(card, run_id=run_id))


def not_known(version: ModelVersion, why: str) -> str:
    return f"not known: adopted. {version.name}@{version.version} came from {version.tags[ADOPTED_TAG]}; {why}."
