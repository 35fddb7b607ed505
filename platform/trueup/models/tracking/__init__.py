"""Runs and registered models in MLflow. The only package that knows MLflow.

It talks to one store through a client of its own: MLflow's global tracking address and its stack of active runs
are neither used nor changed.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import pandas as pd

from trueup.errors import ModelError
from trueup.hashing import digest_bytes
from trueup.instants import as_utc, format_instant
from trueup.models.bundle import Bundle
from trueup.models.card import ModelCard
from trueup.models.environment import Environment, read_environment
from trueup.models.tracking.adopted import log_adopted, not_known, others_estimator
from trueup.models.tracking.estimator import ESTIMATOR_FILE, TRUSTED_TYPES, load_estimator
from trueup.models.tracking.quiet import quiet
from trueup.models.tracking.records import (
    ADOPTED_TAG,
    CARD_FILE,
    DIFF_FILE,
    ENVIRONMENT_FILE,
    EXPERIMENT,
    GIT_PATH_TAG,
    RECIPE_FILE,
    REPRODUCED_TAG,
    REPRODUCTIONS,
    REQUIREMENTS,
    RUN_CARD_FILE,
    Dataset,
    LoggedModel,
    LoggedRun,
    Registered,
    TrainingRun,
)
from trueup.models.tracking.saving import dataset_input, pretty, run_tags, save_model, version_tags, write_run_files
from trueup.models.tracking.store import ABSENT, TRAIN, Store, millis, model_id, registered, whole

with quiet():
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModelOutput, Metric, Param
    from mlflow.exceptions import MlflowException

__all__ = [
    "CARD_FILE",
    "DIFF_FILE",
    "ENVIRONMENT_FILE",
    "ESTIMATOR_FILE",
    "EXPERIMENT",
    "GIT_PATH_TAG",
    "RECIPE_FILE",
    "REPRODUCED_TAG",
    "REPRODUCTIONS",
    "REQUIREMENTS",
    "RUN_CARD_FILE",
    "TRUSTED_TYPES",
    "Dataset",
    "LoggedModel",
    "LoggedRun",
    "Registered",
    "Tracking",
    "TrainingRun",
    "load_estimator",
]

REPRODUCE = "Reproduce it again (trueup reproduce)."
_BATCH = 100
"""Parameters MLflow takes at a time."""


class Tracking:
    """One MLflow store, tracking and registry: `sqlite:///path/mlflow.db` or the address of a server.

    With SQLite, artifacts go to `artifacts/` beside the file; a server has its own place for them. Writing makes
    the file; reading makes and changes nothing. Every method raises ModelError when the store refuses.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._store = Store(uri)

    def check(self) -> None:
        """Raises ModelError when the store does not answer: for who is about to do long work for it. Makes nothing."""
        if self._store.can_be_made():
            return
        with self._store.client(create=False) as client:
            client.get_experiment_by_name(EXPERIMENT)

    def log(self, run: TrainingRun, *, finished: datetime) -> LoggedModel:
        """Writes the run, its artifacts and its model; a run that could not be written whole is marked as failed."""
        card = run.bundle.card
        with self._store.client(create=True) as client:
            experiment = self._store.experiment(client)
            run_id = client.create_run(
                experiment, start_time=millis(run.started), tags=run_tags(run), run_name=card.recipe
            ).info.run_id
            with whole(client, run_id, finished):
                return self._log(client, run, experiment, run_id, finished)

    def load_others_estimator(self, ref: str) -> Any:
        """The scikit-learn estimator of a registered model that somebody else logged. ref: NAME@ALIAS or NAME/VERSION.

        Raises ModelError when trueup trained it, when it is no scikit-learn model, and when its file could run code.
        """
        with self._store.client(create=False) as client, tempfile.TemporaryDirectory() as scratch:
            return others_estimator(self._store, client, self._store.version(client, ref, None), scratch)

    def adopt(self, bundle: Bundle, example: pd.DataFrame, *, at: datetime) -> Registered:
        """Keeps a model with the card that `models.adoption` gave it as a new version. No alias moves.

        example: a few rows as the estimator eats them. Its run says that it was adopted.
        """
        with self._store.client(create=True) as client:
            logged = log_adopted(self._store, client, bundle, example, at)
        return self.register(logged)

    def register(self, logged: LoggedModel) -> Registered:
        """A new version of the model its card names. No alias moves."""
        name = logged.card.name
        with self._store.client(create=True) as client:
            try:
                client.create_registered_model(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            # The folder's own address: MLflow would look `models:/<id>` up in its global store, not in this one.
            version = client.create_model_version(
                name,
                logged.location,
                run_id=logged.run_id,
                model_id=logged.model_id,
                tags=version_tags(logged.card),
            )
        return Registered(name, int(version.version), logged.run_id)

    def set_alias(self, model: str, alias: str, version: int) -> None:
        """Points the alias at the version, in one step; where it pointed before no longer has it."""
        with self._store.client(create=True) as client:
            self._store.version(client, model, version)
            client.set_registered_model_alias(model, alias, str(version))

    def alias(self, model: str, alias: str) -> int | None:
        """The version an alias points at; None when it points at none, or there is no such model."""
        with self._store.client(create=False) as client:
            try:
                return int(client.get_model_version_by_alias(model, alias).version)
            except MlflowException as error:
                if error.error_code not in ABSENT:
                    raise
                return None

    def tag_version(self, model: str, version: int, key: str, value: str) -> None:
        """Sets one tag of a version, in one step. value: at most 100,000 characters, as MLflow takes them."""
        with self._store.client(create=False) as client:
            self._store.version(client, model, version)
            client.set_model_version_tag(model, str(version), key, value)

    def version_tags(self, model: str) -> dict[int, dict[str, str]]:
        """Version -> its tags, of all versions of a model; empty when there is no such model."""
        with self._store.client(create=False) as client:
            found = client.search_model_versions(f"name = '{model}'")
            return {int(version.version): dict(version.tags) for version in found}

    def file_digests(self, model: str, ref: str | int | None = None) -> dict[str, str]:
        """SHA-256 in hex of what decides a model's predictions: its estimator's file and its card."""
        return {name: digest_bytes(self.load_file(model, ref, name)) for name in (ESTIMATOR_FILE, CARD_FILE)}

    def resolve(self, model: str, ref: str | int | None = None) -> Registered:
        """The version behind an alias, or a version (a number, or text of digits) itself.

        Without `ref`, `model` brings it: NAME@ALIAS or NAME/VERSION. Raises ModelError that lists what there is,
        when there is no such model, alias or version.
        """
        with self._store.client(create=False) as client:
            return registered(self._store.version(client, model, ref))

    def versions(self, model: str) -> tuple[int, ...]:
        """The registered versions of a model, newest first; none when there is no such model."""
        with self._store.client(create=False) as client:
            found = client.search_model_versions(f"name = '{model}'")
            return tuple(sorted((int(version.version) for version in found), reverse=True))

    def load_card(self, model: str, ref: str | int | None = None) -> ModelCard:
        """The card of a registered model; ModelError when trueup did not train it."""
        with self._store.client(create=False) as client, tempfile.TemporaryDirectory() as scratch:
            version = self._store.version(client, model, ref)
            return self._store.card(client, version, scratch)

    def load_bundle(self, model: str, ref: str | int | None = None) -> Bundle:
        """A registered model, ready to predict. Writes nothing to the store."""
        with self._store.client(create=False) as client, tempfile.TemporaryDirectory() as scratch:
            version = self._store.version(client, model, ref)
            card = self._store.card(client, version, scratch)
            return Bundle(
                card, load_estimator(self._store.download(client, version, ESTIMATOR_FILE, scratch).read_bytes(), card)
            )

    def load_file(self, model: str, ref: str | int | None, name: str) -> bytes:
        """What was kept under a name of `TrainingRun.files`; ModelError when the model has no such file."""
        with self._store.client(create=False) as client, tempfile.TemporaryDirectory() as scratch:
            version = self._store.version(client, model, ref)
            try:
                return self._store.download(client, version, name, scratch).read_bytes()
            except (MlflowException, OSError) as error:
                said = f"model {version.name}@{version.version} in {self._store.name} was kept without {name}."
                hint = "Train it again with this version of trueup."
                if ADOPTED_TAG in version.tags:
                    said, hint = not_known(version, f"{name} is made at training"), TRAIN
                raise self._store.gone(error, said, hint=hint) from self._store.cause(error)

    def load_environment(self, model: str, ref: str | int | None = None) -> Environment:
        """The environment a registered model was trained in, as its run kept it.

        Raises ModelError when no run of trueup's logged the model, or what it kept cannot be read.
        """
        with self._store.client(create=False) as client, tempfile.TemporaryDirectory() as scratch:
            version = self._store.version(client, model, ref)
            name = f"model {version.name}@{version.version} in {self._store.name}"
            try:
                content = self._store.run_file(client, version, ENVIRONMENT_FILE, scratch)
            except (MlflowException, OSError) as error:
                said = (
                    f"{name} has no {ENVIRONMENT_FILE} in its run, so the environment it was trained in is not known: "
                    "trueup did not train it, or its files are gone."
                )
                if ADOPTED_TAG in version.tags:
                    said = not_known(version, "the environment it was trained in was not recorded")
                raise self._store.gone(error, said, hint="Train it with `trueup train`.") from self._store.cause(error)
            try:
                return read_environment(content)
            except ModelError as error:
                raise ModelError(f"{name}: {ENVIRONMENT_FILE} of its run: {error.message}", hint=error.hint) from error

    def load_run(self, ref: str, kept: Sequence[str] = ()) -> LoggedRun:
        """A run that `log` finished, with its model. ref: its id, or a registered model (NAME@ALIAS or NAME/VERSION).

        kept: names of `TrainingRun.files` to bring along. Raises ModelError for a run that is not there, that trueup
        did not log or did not finish, or whose files are gone.
        """
        with self._store.client(create=False) as client, tempfile.TemporaryDirectory() as scratch:
            run = self._store.run(client, ref)
            run_id = run.info.run_id
            name = f"run {run_id} in {self._store.name}"
            if ADOPTED_TAG in run.data.tags:
                raise ModelError(
                    f"not known: adopted. {name} keeps a model from {run.data.tags[ADOPTED_TAG]}; what decided it was "
                    "not recorded.",
                    hint=TRAIN,
                )
            if "trueup.recipe" not in run.data.tags:
                raise ModelError(f"{name} was not logged by trueup, so what decided it is not known.", hint=TRAIN)
            if run.info.status != "FINISHED":
                raise ModelError(f"{name} is {run.info.status}: it was not logged whole.", hint=TRAIN)
            try:
                files = self._store.run_artifacts(client, run_id, scratch)
                location = client.get_logged_model(model_id(run)).artifact_location
                card = replace(ModelCard.from_json(json.loads(files[RUN_CARD_FILE])), run_id=run_id)
                estimator = self._store.fetch(f"{location}/{ESTIMATOR_FILE}", scratch).read_bytes()
            except (MlflowException, OSError, LookupError, ValueError) as error:
                raise self._store.gone(
                    error, f"{name}: its files are gone or damaged ({error}).", hint=TRAIN
                ) from self._store.cause(error)
            found = {name: self._store.kept(f"{location}/{name}", scratch) for name in kept}
            return LoggedRun(
                run_id=run_id,
                params=run.data.params,
                tags=run.data.tags,
                files=files,
                kept={name: content for name, content in found.items() if content is not None},
                card=card,
                estimator=estimator,
            )

    def log_parity(
        self, model: str, version: str | int, *, files: Mapping[str, bytes], tags: Mapping[str, str]
    ) -> None:
        """Keeps a parity run with a model: files (path -> content) as artifacts of its run, tags on its version.

        The tags come last, so that they never speak of files that are not there. Raises ModelError when the version is
        not registered, or belongs to no run.
        """
        with self._store.client(create=False) as client, tempfile.TemporaryDirectory() as scratch:
            found = self._store.version(client, model, version)
            if not found.run_id:
                raise ModelError(
                    f"model {model}@{found.version} in {self._store.name} belongs to no run, so nothing can be kept "
                    "with it.",
                    hint="Register a model that a run logged (trueup train), or leave --mlflow out.",
                )
            for path, content in files.items():
                place = Path(scratch, path)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
            client.log_artifacts(found.run_id, scratch)
            for key, value in tags.items():
                client.set_model_version_tag(found.name, found.version, key, value)

    def log_reproduction(self, run_id: str, document: Mapping[str, Any], *, at: datetime) -> None:
        """Keeps what came of training a run again, as `reproductions/<instant>.json` of that run, and tags its verdict.

        document: `trueup_training.reproduce.Reproduction.to_json`. Added to it: `at`, the version of `trueup`, and
        `model_files` (name -> SHA-256 in hex, as `file_digests` has them), so that a model that was exchanged since is
        seen. The tag comes last. Raises ModelError when there is no such run, or it kept no model.
        """
        with self._store.client(create=False) as client, tempfile.TemporaryDirectory() as scratch:
            run = self._store.run(client, run_id)
            record = {
                **document,
                "at": format_instant(at),
                "trueup": installed("trueup"),
                "model_files": self._store.model_digests(client, run, scratch),
            }
            file = Path(scratch, f"{as_utc(at):%Y-%m-%dT%H%M%S.%fZ}.json")
            file.write_text(pretty(record), encoding="utf-8")
            client.log_artifact(run.info.run_id, str(file), REPRODUCTIONS)
            client.set_tag(run.info.run_id, REPRODUCED_TAG, str(document["verdict"]))

    def load_reproduction(self, run_id: str) -> dict[str, Any] | None:
        """The newest that `log_reproduction` kept; None when the run was never reproduced.

        Raises ModelError when there is no such run, or the record cannot be read.
        """
        with self._store.client(create=False) as client, tempfile.TemporaryDirectory() as scratch:
            run_id = self._store.run(client, run_id).info.run_id
            names = sorted(item.path for item in client.list_artifacts(run_id, REPRODUCTIONS) if not item.is_dir)
            if not names:
                return None
            try:
                record = json.loads(self._store.run_artifact(client, run_id, names[-1], scratch))
            except (MlflowException, OSError, ValueError) as error:
                raise self._store.gone(
                    error, _unreadable(run_id, names[-1], str(error)), hint=REPRODUCE
                ) from self._store.cause(error)
            if not isinstance(record, dict) or "verdict" not in record:
                raise ModelError(_unreadable(run_id, names[-1], "it is no reproduction"), hint=REPRODUCE)
            return record

    # ------------------------------------------------------------------ writing

    def _log(
        self, client: MlflowClient, run: TrainingRun, experiment: str, run_id: str, finished: datetime
    ) -> LoggedModel:
        card = run.bundle.card
        at = millis(finished)
        params = [Param(key, value) for key, value in run.params.items()]
        for first in range(0, len(params), _BATCH):
            client.log_batch(run_id, params=params[first : first + _BATCH])
        client.log_inputs(run_id, [dataset_input(run.dataset)])
        model = client.create_logged_model(
            experiment,
            name=card.name,
            source_run_id=run_id,
            params=dict(run.params),
            model_type="binary_classifier",
        )
        # Metrics that name the model and the dataset: MLflow then shows which model earned them on what.
        client.log_batch(
            run_id,
            metrics=[
                Metric(key, value, at, 0, model_id=model.model_id, run_id=run_id) for key, value in card.metrics.items()
            ],
        )
        with tempfile.TemporaryDirectory() as scratch:
            client.log_artifacts(run_id, str(write_run_files(run, Path(scratch, "run"))))
            folder = Path(scratch, "model")
            save_model(
                run.bundle,
                run.example,
                run.files,
                folder,
                run_id=run_id,
                model_id=model.model_id,
                location=model.artifact_location,
            )
            client.log_model_artifacts(model.model_id, str(folder))
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
        client.finalize_logged_model(model.model_id, "READY")
        return LoggedModel(run_id, model.model_id, model.artifact_location, replace(card, run_id=run_id))


def _unreadable(run_id: str, name: str, why: str) -> str:
    return f"run {run_id}: its record {name} cannot be read: {why}."
