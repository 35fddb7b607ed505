"""Runs and registered models in MLflow. The only file that knows MLflow.

It talks to one store through a client of its own: MLflow's global tracking address and its stack of active runs
are neither used nor changed.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from trueup.errors import ModelError
from trueup.hashing import canonical_json, digest_bytes
from trueup.instants import as_utc, format_instant
from trueup.models.bundle import Bundle
from trueup.models.card import ModelCard
from trueup.models.environment import Environment, read_environment
from trueup.models.git import GitState
from trueup.models.store_uri import sqlite_file

# Before MLflow is imported, which reads them then. A value that is set already wins.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the two warnings MLflow 3.17 gives about its own code when its parts are first imported."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*Any type hint is inferred as AnyType", UserWarning)
        warnings.filterwarnings("ignore", r"The ``noload`` loader strategy is deprecated", DeprecationWarning)
        yield


with _quiet():
    import mlflow.artifacts
    import mlflow.sklearn
    from mlflow import MlflowClient
    from mlflow.entities import Dataset as MlflowDataset
    from mlflow.entities import DatasetInput, InputTag, LoggedModelOutput, Metric, Param, Run
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

# MLflow sets its own level on import; its remarks (new tables, new version made) are not for our users.
logging.getLogger("mlflow").setLevel(os.environ.get("MLFLOW_LOGGING_LEVEL", "ERROR"))

EXPERIMENT = "trueup"
CARD_FILE = "trueup_card.json"
"""The card's name in the model's own folder."""
ESTIMATOR_FILE = "model.skops"
ENVIRONMENT_FILE = "environment.json"
"""The environment's name among the artifacts of the run that trained a model."""
RECIPE_FILE = "recipe.json"
RUN_CARD_FILE = "card.json"
DIFF_FILE = "working-tree.diff"
"""What made the commit the tree, among the artifacts of a run from a dirty tree."""
REPRODUCTIONS = "reproductions"
"""Folder among the artifacts of a run: one file each time it was trained again, named by the instant."""
REPRODUCED_TAG = "trueup.reproduced"
"""Of a run: the verdict that was kept last, for people; the record is what counts."""
TRUSTED_TYPES = ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",)
"""Beyond what skops trusts by itself. Ours when loading too: a model does not choose what is trusted."""
REQUIREMENTS = ("scikit-learn", "skops", "numpy", "pandas")
"""What a model needs to predict outside trueup. Named here, because MLflow's inference of them takes 17 s."""

GIT_PATH_TAG = "trueup.git_path"
"""Of a run: where in its git repository the Feast repository lay; `.` for the root itself."""

_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""How MLflow refuses a name it has not, or cannot have."""
_TRAIN = "Train it again with `trueup train`."
_SQLITE_HEADER = b"SQLite format 3\0"
_DIGEST_LENGTH = 32
"""Hex digits of a snapshot's id that MLflow keeps (its limit is 36); the `trueup.dataset` tag has all."""
_BATCH = 100
"""Parameters MLflow takes at a time."""


@dataclass(frozen=True)
class Dataset:
    """A training set as MLflow lists it. digest: of its snapshot. source: how it was read. schema: column -> type."""

    name: str
    digest: str
    source: Mapping[str, Any]
    schema: Mapping[str, str]
    rows: int


@dataclass(frozen=True)
class TrainingRun:
    """Everything a finished training leaves behind.

    params: the recipe, flattened. recipe: the recipe as JSON. example: a few rows as the estimator eats them.
    files: name -> content of what else is kept in the model's own folder, beside its card (`load_file`).
    """

    bundle: Bundle
    params: Mapping[str, str]
    recipe: Mapping[str, Any]
    dataset: Dataset
    example: pd.DataFrame
    git: GitState
    environment: Environment
    started: datetime
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class LoggedModel:
    """A model that is in the store, but not yet registered under a name. location: URI of its folder."""

    run_id: str
    model_id: str
    location: str
    card: ModelCard


@dataclass(frozen=True)
class LoggedRun:
    """A finished training as the store has it: what `TrainingRun` left.

    files: name -> content of the run's own artifacts (`ENVIRONMENT_FILE`, `RECIPE_FILE`, `DIFF_FILE`...). kept: of what
    was asked for of `TrainingRun.files`; what the model was kept without is left out. estimator: its file, which only
    the libraries it was written with are sure to load.
    """

    run_id: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    files: Mapping[str, bytes]
    kept: Mapping[str, bytes]
    card: ModelCard
    estimator: bytes

    def bundle(self) -> Bundle:
        """Its model, ready to predict. Raises ModelError when its file cannot be loaded here."""
        return Bundle(self.card, _estimator(self.estimator, self.card))


@dataclass(frozen=True)
class Registered:
    """One version of a registered model."""

    name: str
    version: int
    run_id: str | None

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


class Tracking:
    """One MLflow store, tracking and registry: `sqlite:///path/mlflow.db` or the address of a server.

    With SQLite, artifacts go to `artifacts/` beside the file; a server has its own place for them. Writing makes
    the file; reading makes and changes nothing. Every method raises ModelError when the store refuses.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._file = sqlite_file(uri)
        self._opened: MlflowClient | None = None

    def log(self, run: TrainingRun, *, finished: datetime) -> LoggedModel:
        """Writes the run, its artifacts and its model; a run that could not be written whole is marked as failed."""
        card = run.bundle.card
        with self._client(create=True) as client:
            experiment = self._experiment(client)
            run_id = client.create_run(
                experiment, start_time=_millis(run.started), tags=_tags(run), run_name=card.recipe
            ).info.run_id
            try:
                logged = self._log(client, run, experiment, run_id, finished)
            except BaseException:
                client.set_terminated(run_id, "FAILED", end_time=_millis(finished))
                raise
            client.set_terminated(run_id, "FINISHED", end_time=_millis(finished))
            return logged

    def register(self, logged: LoggedModel) -> Registered:
        """A new version of the model its card names. No alias moves."""
        name = logged.card.name
        with self._client(create=True) as client:
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
                tags={
                    "trueup.contract_hash": logged.card.contract.hash,
                    "trueup.known_at": logged.card.rule.known_at,
                    "trueup.dataset": logged.card.snapshot or logged.card.dataset,
                },
            )
        return Registered(name, int(version.version), logged.run_id)

    def set_alias(self, model: str, alias: str, version: int) -> None:
        """Points the alias at the version, in one step; where it pointed before no longer has it."""
        with self._client(create=True) as client:
            self._version(client, model, version)
            client.set_registered_model_alias(model, alias, str(version))

    def alias(self, model: str, alias: str) -> int | None:
        """The version an alias points at; None when it points at none, or there is no such model."""
        with self._client(create=False) as client:
            try:
                return int(client.get_model_version_by_alias(model, alias).version)
            except MlflowException as error:
                if error.error_code not in _ABSENT:
                    raise
                return None

    def tag_version(self, model: str, version: int, key: str, value: str) -> None:
        """Sets one tag of a version, in one step. value: at most 100,000 characters, as MLflow takes them."""
        with self._client(create=False) as client:
            self._version(client, model, version)
            client.set_model_version_tag(model, str(version), key, value)

    def version_tags(self, model: str) -> dict[int, dict[str, str]]:
        """Version -> its tags, of all versions of a model; empty when there is no such model."""
        with self._client(create=False) as client:
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
        with self._client(create=False) as client:
            return _registered(self._version(client, model, ref))

    def versions(self, model: str) -> tuple[int, ...]:
        """The registered versions of a model, newest first; none when there is no such model."""
        with self._client(create=False) as client:
            found = client.search_model_versions(f"name = '{model}'")
            return tuple(sorted((int(version.version) for version in found), reverse=True))

    def load_card(self, model: str, ref: str | int | None = None) -> ModelCard:
        """The card of a registered model; ModelError when trueup did not train it."""
        with self._client(create=False) as client, tempfile.TemporaryDirectory() as scratch:
            version = self._version(client, model, ref)
            return self._card(client, version, scratch)

    def load_bundle(self, model: str, ref: str | int | None = None) -> Bundle:
        """A registered model, ready to predict. Writes nothing to the store."""
        with self._client(create=False) as client, tempfile.TemporaryDirectory() as scratch:
            version = self._version(client, model, ref)
            card = self._card(client, version, scratch)
            return Bundle(card, _estimator(self._download(client, version, ESTIMATOR_FILE, scratch).read_bytes(), card))

    def load_file(self, model: str, ref: str | int | None, name: str) -> bytes:
        """What was kept under a name of `TrainingRun.files`; ModelError when the model has no such file."""
        with self._client(create=False) as client, tempfile.TemporaryDirectory() as scratch:
            version = self._version(client, model, ref)
            try:
                return self._download(client, version, name, scratch).read_bytes()
            except (MlflowException, OSError) as error:
                raise ModelError(
                    f"model {version.name}@{version.version} in {self.uri} was kept without {name}.",
                    hint="Train it again with this version of trueup.",
                ) from error

    def load_environment(self, model: str, ref: str | int | None = None) -> Environment:
        """The environment a registered model was trained in, as its run kept it.

        Raises ModelError when no run of trueup's logged the model, or what it kept cannot be read.
        """
        with self._client(create=False) as client, tempfile.TemporaryDirectory() as scratch:
            version = self._version(client, model, ref)
            name = f"model {version.name}@{version.version} in {self.uri}"
            try:
                return read_environment(self._run_file(version, ENVIRONMENT_FILE, scratch).read_bytes())
            except (MlflowException, OSError) as error:
                raise ModelError(
                    f"{name} has no {ENVIRONMENT_FILE} in its run, so the environment it was trained in is not known: "
                    "trueup did not train it, or its files are gone.",
                    hint="Train it with `trueup train`.",
                ) from error
            except ModelError as error:
                raise ModelError(f"{name}: {ENVIRONMENT_FILE} of its run: {error.message}", hint=error.hint) from error

    def load_run(self, ref: str, kept: Sequence[str] = ()) -> LoggedRun:
        """A run that `log` finished, with its model. ref: its id, or a registered model (NAME@ALIAS or NAME/VERSION).

        kept: names of `TrainingRun.files` to bring along. Raises ModelError for a run that is not there, that trueup
        did not log or did not finish, or whose files are gone.
        """
        with self._client(create=False) as client, tempfile.TemporaryDirectory() as scratch:
            run = self._run(client, ref)
            run_id = run.info.run_id
            name = f"run {run_id} in {self.uri}"
            if "trueup.recipe" not in run.data.tags:
                raise ModelError(f"{name} was not logged by trueup, so what decided it is not known.", hint=_TRAIN)
            if run.info.status != "FINISHED":
                raise ModelError(f"{name} is {run.info.status}: it was not logged whole.", hint=_TRAIN)
            try:
                files = self._run_artifacts(client, run_id, scratch)
                location = client.get_logged_model(_model_id(run)).artifact_location
                card = replace(ModelCard.from_json(json.loads(files[RUN_CARD_FILE])), run_id=run_id)
                estimator = self._fetch(f"{location}/{ESTIMATOR_FILE}", scratch).read_bytes()
            except (MlflowException, OSError, LookupError, ValueError) as error:
                raise ModelError(f"{name}: its files are gone or damaged ({error}).", hint=_TRAIN) from error
            found = {name: self._kept(f"{location}/{name}", scratch) for name in kept}
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
        with self._client(create=False) as client, tempfile.TemporaryDirectory() as scratch:
            found = self._version(client, model, version)
            if not found.run_id:
                raise ModelError(
                    f"model {model}@{found.version} in {self.uri} belongs to no run, so nothing can be kept with it.",
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
        with self._client(create=False) as client, tempfile.TemporaryDirectory() as scratch:
            run = self._run(client, run_id)
            record = {
                **document,
                "at": format_instant(at),
                "trueup": installed("trueup"),
                "model_files": self._model_digests(client, run, scratch),
            }
            file = Path(scratch, f"{as_utc(at):%Y-%m-%dT%H%M%S.%fZ}.json")
            file.write_text(_pretty(record), encoding="utf-8")
            client.log_artifact(run.info.run_id, str(file), REPRODUCTIONS)
            client.set_tag(run.info.run_id, REPRODUCED_TAG, str(document["verdict"]))

    def load_reproduction(self, run_id: str) -> dict[str, Any] | None:
        """The newest that `log_reproduction` kept; None when the run was never reproduced.

        Raises ModelError when there is no such run, or the record cannot be read.
        """
        with self._client(create=False) as client, tempfile.TemporaryDirectory() as scratch:
            run_id = self._run(client, run_id).info.run_id
            names = sorted(item.path for item in client.list_artifacts(run_id, REPRODUCTIONS) if not item.is_dir)
            if not names:
                return None
            try:
                path = mlflow.artifacts.download_artifacts(
                    run_id=run_id, artifact_path=names[-1], dst_path=scratch, tracking_uri=self.uri
                )
                record = json.loads(Path(path).read_bytes())
            except (MlflowException, OSError, ValueError) as error:
                raise _unreadable(run_id, names[-1], str(error)) from error
            if not isinstance(record, dict) or "verdict" not in record:
                raise _unreadable(run_id, names[-1], "it is no reproduction")
            return record

    # ------------------------------------------------------------------ writing

    def _experiment(self, client: MlflowClient) -> str:
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        beside = None if self._file is None else (self._file.parent / "artifacts").as_uri()
        return str(client.create_experiment(EXPERIMENT, artifact_location=beside))

    def _log(
        self, client: MlflowClient, run: TrainingRun, experiment: str, run_id: str, finished: datetime
    ) -> LoggedModel:
        card = run.bundle.card
        at = _millis(finished)
        params = [Param(key, value) for key, value in run.params.items()]
        for first in range(0, len(params), _BATCH):
            client.log_batch(run_id, params=params[first : first + _BATCH])
        client.log_inputs(run_id, [_dataset_input(run.dataset)])
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
            client.log_artifacts(run_id, str(_run_files(run, Path(scratch, "run"))))
            folder = Path(scratch, "model")
            _save_model(run, folder, run_id=run_id, model_id=model.model_id, location=model.artifact_location)
            client.log_model_artifacts(model.model_id, str(folder))
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
        client.finalize_logged_model(model.model_id, "READY")
        return LoggedModel(run_id, model.model_id, model.artifact_location, replace(card, run_id=run_id))

    # ------------------------------------------------------------------ reading

    def _version(self, client: MlflowClient, model: str, ref: str | int | None) -> ModelVersion:
        model, wanted = (model, str(ref)) if ref is not None else _split(model)
        try:
            if wanted.isdecimal():
                return client.get_model_version(model, wanted)
            return client.get_model_version_by_alias(model, wanted)
        except MlflowException as error:
            if error.error_code not in _ABSENT:
                raise
            raise self._absent(client, model, wanted) from error

    def _absent(self, client: MlflowClient, model: str, wanted: str) -> ModelError:
        """Why there is no such version, and what there is instead."""
        models = {found.name: found for found in client.search_registered_models(max_results=1000)}
        if model not in models:
            return ModelError(
                f"model {model!r} is not registered in {self.uri}, which has: {', '.join(sorted(models)) or 'none'}.",
                hint="Train it (trueup train), or name another tracking store.",
            )
        aliases = sorted(models[model].aliases.items())
        versions = sorted(int(found.version) for found in client.search_model_versions(f"name = '{model}'"))
        return ModelError(
            f"model {model!r} in {self.uri} has no {'version' if wanted.isdecimal() else 'alias'} {wanted!r}; "
            f"its versions: {', '.join(map(str, versions)) or 'none'}; "
            f"its aliases: {', '.join(f'{alias} -> {version}' for alias, version in aliases) or 'none'}."
        )

    def _card(self, client: MlflowClient, version: ModelVersion, scratch: str) -> ModelCard:
        try:
            path = self._download(client, version, CARD_FILE, scratch)
        except (MlflowException, OSError) as error:
            raise ModelError(
                f"model {version.name}@{version.version} in {self.uri} has no {CARD_FILE}, so what it was trained on "
                "is not known: trueup did not train it, or its files are gone.",
                hint="Train it with `trueup train`.",
            ) from error
        try:
            data = json.loads(path.read_bytes())
        except ValueError as error:
            raise ModelError(
                f"model {version.name}@{version.version}: its {CARD_FILE} is not JSON: {error}."
            ) from error
        found = _registered(version)
        return replace(ModelCard.from_json(data), name=found.name, run_id=found.run_id, version=found.version)

    def _run(self, client: MlflowClient, ref: str) -> Run:
        """Raises ModelError when there is no such run, or the model version belongs to none."""
        run_id = ref
        if "@" in ref or "/" in ref:
            run_id = self._version(client, ref, None).run_id or ""
            if not run_id:
                raise ModelError(f"model {ref} in {self.uri} belongs to no run.", hint=_TRAIN)
        try:
            return client.get_run(run_id)
        except MlflowException as error:
            if error.error_code not in _ABSENT:
                raise
            raise ModelError(
                f"run {run_id!r} is not in {self.uri}.",
                hint="Name a run's id, NAME@ALIAS or NAME/VERSION, or another store with --tracking-uri.",
            ) from error

    def _run_artifacts(self, client: MlflowClient, run_id: str, scratch: str) -> dict[str, bytes]:
        """Those that lie in the run's folder itself."""
        names = [item.path for item in client.list_artifacts(run_id) if not item.is_dir]
        return {
            name: Path(
                mlflow.artifacts.download_artifacts(
                    run_id=run_id, artifact_path=name, dst_path=scratch, tracking_uri=self.uri
                )
            ).read_bytes()
            for name in names
        }

    def _fetch(self, address: str, scratch: str) -> Path:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=scratch, tracking_uri=self.uri))

    def _model_digests(self, client: MlflowClient, run: Run, scratch: str) -> dict[str, str]:
        try:
            location = client.get_logged_model(_model_id(run)).artifact_location
            return {
                name: digest_bytes(self._fetch(f"{location}/{name}", scratch).read_bytes())
                for name in (ESTIMATOR_FILE, CARD_FILE)
            }
        except (MlflowException, OSError, LookupError) as error:
            raise ModelError(
                f"run {run.info.run_id} in {self.uri}: its model is gone or damaged ({error}).", hint=_TRAIN
            ) from error

    def _kept(self, address: str, scratch: str) -> bytes | None:
        try:
            return self._fetch(address, scratch).read_bytes()
        except (MlflowException, OSError):
            return None

    def _download(self, client: MlflowClient, version: ModelVersion, name: str, scratch: str) -> Path:
        location = client.get_model_version_download_uri(version.name, str(version.version))
        return self._fetch(f"{location}/{name}", scratch)

    def _run_file(self, version: ModelVersion, name: str, scratch: str) -> Path:
        """An artifact of the run that logged the version. Raises OSError when no run did."""
        if not version.run_id:
            raise FileNotFoundError(name)
        return Path(
            mlflow.artifacts.download_artifacts(
                run_id=version.run_id, artifact_path=name, dst_path=scratch, tracking_uri=self.uri
            )
        )

    @contextmanager
    def _client(self, *, create: bool) -> Iterator[MlflowClient]:
        """The client, opened once; what MLflow raises leaves as a ModelError that names the store."""
        if self._file is not None:
            self._check_file(self._file, create=create)
        try:
            if self._opened is None:
                with _quiet():
                    self._opened = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
            yield self._opened
        except MlflowException as error:
            raise ModelError(f"tracking store {self.uri}: {str(error).strip().splitlines()[0]}") from error

    def _check_file(self, file: Path, *, create: bool) -> None:
        """Before MLflow opens it: MLflow would make a file to read from, and retry for minutes on a broken one."""
        if not file.exists() or file.stat().st_size == 0:
            if not create:
                raise ModelError(
                    f"tracking store {self.uri}: {file} does not exist, or is empty.",
                    hint="Train a model first (trueup train), or name another store.",
                )
            file.parent.mkdir(parents=True, exist_ok=True)
            return
        with file.open("rb") as opened:
            if opened.read(len(_SQLITE_HEADER)) != _SQLITE_HEADER:
                raise ModelError(f"tracking store {self.uri}: {file} is not an SQLite database.")


def _split(model: str) -> tuple[str, str]:
    """NAME@ALIAS or NAME/VERSION to its two parts, as MLflow's own `models:/` addresses have them."""
    for mark in "@/":
        name, _, wanted = model.rpartition(mark)
        if name and wanted and (mark == "@" or wanted.isdecimal()):
            return name, wanted
    raise ModelError(f"model {model!r} does not say which version; expected NAME@ALIAS or NAME/VERSION.")


def _registered(version: ModelVersion) -> Registered:
    return Registered(version.name, int(version.version), version.run_id or None)


def _model_id(run: Run) -> str:
    """Of the model the run logged. Raises LookupError when it logged none."""
    outputs = run.outputs.model_outputs if run.outputs is not None else []
    return str(outputs[0].model_id)


def _unreadable(run_id: str, name: str, why: str) -> ModelError:
    return ModelError(
        f"run {run_id}: its record {name} cannot be read: {why}.", hint="Reproduce it again (trueup reproduce)."
    )


def _millis(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)


def _tags(run: TrainingRun) -> dict[str, str]:
    """Ours, and those that Feast and MLflow themselves give such facts."""
    card = run.bundle.card
    contract = card.contract
    tags = {
        "feast.project": contract.project,
        "feast.feature_service": contract.service,
        "feast.feature_refs": ",".join(f"{view}:{feature}" for view, feature in contract.features),
        "trueup.recipe": card.recipe,
        "trueup.contract_hash": contract.hash,
        "trueup.known_at": card.rule.known_at,
        "trueup.pinned": format_instant(card.rule.pinned) if card.rule.pinned else "none",
        "trueup.dataset": card.snapshot or card.dataset,
        "trueup.dataset_content": card.dataset,
        "trueup.seed": str(card.seed),
        "trueup.environment": card.environment,
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


def _dataset_input(dataset: Dataset) -> DatasetInput:
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


def _run_files(run: TrainingRun, folder: Path) -> Path:
    """The run's own artifacts, as files."""
    folder.mkdir()
    documents = {
        RUN_CARD_FILE: run.bundle.card.to_json(),
        "contract.json": run.bundle.card.contract.to_json(),
        ENVIRONMENT_FILE: run.environment.to_json(),
        RECIPE_FILE: run.recipe,
    }
    for name, document in documents.items():
        (folder / name).write_text(_pretty(document), encoding="utf-8")
    if run.git.diff is not None:
        (folder / DIFF_FILE).write_bytes(run.git.diff)
    return folder


def _save_model(run: TrainingRun, folder: Path, *, run_id: str, model_id: str, location: str) -> None:
    """An MLflow model folder with the card in it. Any MLflow tool can load it; it then answers both probabilities."""
    card = run.bundle.card
    with _quiet():  # saving imports mlflow.pyfunc
        mlflow.sklearn.save_model(
            run.bundle.estimator,
            str(folder),
            mlflow_model=Model(artifact_path=location, run_id=run_id, model_id=model_id, model_uuid=model_id),
            signature=_signature(run.example),
            input_example=run.example,
            serialization_format="skops",
            skops_trusted_types=list(TRUSTED_TYPES),
            pip_requirements=[f"{name}=={installed(name)}" for name in REQUIREMENTS],
            pyfunc_predict_fn="predict_proba",
            metadata={"trueup.contract_hash": card.contract.hash, "trueup.card": CARD_FILE},
        )
    (folder / CARD_FILE).write_text(_pretty(card.to_json()), encoding="utf-8")
    for name, content in run.files.items():
        (folder / name).write_bytes(content)


def _signature(example: pd.DataFrame) -> ModelSignature:
    """From the types a bundle gives its estimator; MLflow's own inference looks at values, and warns about nulls."""
    columns = [
        ColSpec(DataType.string if example[name].dtype == np.object_ else DataType.double, str(name))
        for name in example.columns
    ]
    return ModelSignature(Schema([*columns]), Schema([TensorSpec(np.dtype(np.float64), (-1, 2))]))


def _estimator(content: bytes, card: ModelCard) -> Any:
    """The estimator in a skops file. Raises ModelError when it holds a type that is not trusted, or cannot be read."""
    import skops.io  # imports scikit-learn: only a process that loads a model pays for it
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        return skops.io.loads(content, trusted=list(TRUSTED_TYPES))
    except UntrustedTypesFoundException as error:
        raise ModelError(
            f"model {card}: its file holds types trueup does not trust: {error}",
            hint="Such a file can run code when it is loaded. Train the model with `trueup train`.",
        ) from error
    except (ValueError, TypeError, LookupError, AttributeError, ImportError, BadZipFile) as error:
        raise ModelError(
            f"model {card}: its {ESTIMATOR_FILE} cannot be loaded by this scikit-learn "
            f"{installed('scikit-learn')}: {type(error).__name__}: {error}",
            hint="It may be damaged, or of another version: see trueup env diff.",
        ) from error


def _pretty(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
