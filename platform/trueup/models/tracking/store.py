"""One MLflow store opened: names resolved to runs and versions, files fetched, refusals said as `ModelError`s."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from trueup.errors import ModelError
from trueup.hashing import digest_bytes
from trueup.models.card import ModelCard
from trueup.models.store_uri import check_address, is_database, is_server, masked, sqlite_file
from trueup.models.tracking.estimator import ESTIMATOR_FILE
from trueup.models.tracking.quiet import quiet
from trueup.models.tracking.records import CARD_FILE, EXPERIMENT, Registered
from trueup.models.tracking.refusals import is_refusal, refusal

with quiet():
    import mlflow.artifacts
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.exceptions import MlflowException

ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""How MLflow refuses a name it has not, or cannot have."""
TRAIN = "Train it again with `trueup train`."
_SQLITE_HEADER = b"SQLite format 3\0"


class Store:
    """See `Tracking`, whose inner half this is. name: the address as messages have it, without credentials."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.name = masked(uri)
        self._file = sqlite_file(uri)
        self._opened: MlflowClient | None = None

    def experiment(self, client: MlflowClient) -> str:
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        beside = None if self._file is None else (self._file.parent / "artifacts").as_uri()
        return str(client.create_experiment(EXPERIMENT, artifact_location=beside))

    def version(self, client: MlflowClient, model: str, ref: str | int | None) -> ModelVersion:
        model, wanted = (model, str(ref)) if ref is not None else _split(model)
        try:
            if wanted.isdecimal():
                return client.get_model_version(model, wanted)
            return client.get_model_version_by_alias(model, wanted)
        except MlflowException as error:
            if error.error_code not in ABSENT:
                raise
            raise self._absent(client, model, wanted) from error

    def _absent(self, client: MlflowClient, model: str, wanted: str) -> ModelError:
        """Why there is no such version, and what there is instead."""
        models = {found.name: found for found in client.search_registered_models(max_results=1000)}
        if model not in models:
            return ModelError(
                f"model {model!r} is not registered in {self.name}, which has: {', '.join(sorted(models)) or 'none'}.",
                hint="Train it (trueup train), or name another tracking store.",
            )
        aliases = sorted(models[model].aliases.items())
        versions = sorted(int(found.version) for found in client.search_model_versions(f"name = '{model}'"))
        return ModelError(
            f"model {model!r} in {self.name} has no {'version' if wanted.isdecimal() else 'alias'} {wanted!r}; "
            f"its versions: {', '.join(map(str, versions)) or 'none'}; "
            f"its aliases: {', '.join(f'{alias} -> {version}' for alias, version in aliases) or 'none'}."
        )

    def card(self, client: MlflowClient, version: ModelVersion, scratch: str) -> ModelCard:
        try:
            path = self.download(client, version, CARD_FILE, scratch)
        except (MlflowException, OSError) as error:
            raise self.gone(
                error,
                f"model {version.name}@{version.version} in {self.name} has no {CARD_FILE}, so what it was trained on "
                "is not known: trueup did not train it, or its files are gone.",
                hint="Train it with `trueup train`.",
            ) from self.cause(error)
        try:
            data = json.loads(path.read_bytes())
        except ValueError as error:
            raise ModelError(
                f"model {version.name}@{version.version}: its {CARD_FILE} is not JSON: {error}."
            ) from error
        found = registered(version)
        return replace(ModelCard.from_json(data), name=found.name, run_id=found.run_id, version=found.version)

    def run(self, client: MlflowClient, ref: str) -> Run:
        """Raises ModelError when there is no such run, or the model version belongs to none."""
        run_id = ref
        if "@" in ref or "/" in ref:
            run_id = self.version(client, ref, None).run_id or ""
            if not run_id:
                raise ModelError(f"model {ref} in {self.name} belongs to no run.", hint=TRAIN)
        try:
            return client.get_run(run_id)
        except MlflowException as error:
            if error.error_code not in ABSENT:
                raise
            raise ModelError(
                f"run {run_id!r} is not in {self.name}.",
                hint="Name a run's id, NAME@ALIAS or NAME/VERSION, or another store with --tracking-uri.",
            ) from error

    def run_artifacts(self, client: MlflowClient, run_id: str, scratch: str) -> dict[str, bytes]:
        """Those that lie in the run's folder itself."""
        names = [item.path for item in client.list_artifacts(run_id) if not item.is_dir]
        return {name: self.run_artifact(client, run_id, name, scratch) for name in names}

    def run_artifact(self, client: MlflowClient, run_id: str, name: str, scratch: str) -> bytes:
        return self.fetch(f"{client.get_run(run_id).info.artifact_uri}/{name}", scratch).read_bytes()

    def fetch(self, address: str, scratch: str) -> Path:
        """A file, brought here. Raises MlflowException or OSError when it is not there, ModelError when a server does
        not say so, or does not give it."""
        try:
            return Path(
                mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=scratch, tracking_uri=self.uri)
            )
        except (MlflowException, OSError) as error:
            if is_server(self.uri) and (is_refusal(error) or not self._is_gone(address)):
                raise self.refusal(error) from self.cause(error)
            raise

    def _is_gone(self, address: str) -> bool:
        """Asked of its folder: why a download failed is but a text, which MLflow wrote for people."""
        folder, _, name = address.rpartition("/")
        try:
            found = mlflow.artifacts.list_artifacts(artifact_uri=folder, tracking_uri=self.uri)
        except (MlflowException, OSError) as error:
            raise self.refusal(error) from self.cause(error)
        return name not in {item.path.rpartition("/")[2] for item in found}

    def model_digests(self, client: MlflowClient, run: Run, scratch: str) -> dict[str, str]:
        try:
            location = client.get_logged_model(model_id(run)).artifact_location
            return {
                name: digest_bytes(self.fetch(f"{location}/{name}", scratch).read_bytes())
                for name in (ESTIMATOR_FILE, CARD_FILE)
            }
        except (MlflowException, OSError, LookupError) as error:
            raise self.gone(
                error, f"run {run.info.run_id} in {self.name}: its model is gone or damaged ({error}).", hint=TRAIN
            ) from self.cause(error)

    def kept(self, address: str, scratch: str) -> bytes | None:
        try:
            return self.fetch(address, scratch).read_bytes()
        except (MlflowException, OSError) as error:
            if is_server(self.uri) and is_refusal(error):
                raise
            return None

    def download(self, client: MlflowClient, version: ModelVersion, name: str, scratch: str) -> Path:
        location = client.get_model_version_download_uri(version.name, str(version.version))
        return self.fetch(f"{location}/{name}", scratch)

    def has(self, client: MlflowClient, version: ModelVersion, name: str, scratch: str) -> bool:
        location = client.get_model_version_download_uri(version.name, str(version.version))
        return self.kept(f"{location}/{name}", scratch) is not None

    def run_file(self, client: MlflowClient, version: ModelVersion, name: str, scratch: str) -> bytes:
        """An artifact of the run that logged the version. Raises OSError when no run did."""
        if not version.run_id:
            raise FileNotFoundError(name)
        return self.run_artifact(client, version.run_id, name, scratch)

    @contextmanager
    def client(self, *, create: bool) -> Iterator[MlflowClient]:
        """The client, opened once; what MLflow raises leaves as a ModelError that names the store."""
        check_address(self.uri)
        if self._file is not None:
            self._check_file(self._file, create=create)
        try:
            if self._opened is None:
                if is_database(self.uri):
                    self._check_database()
                with quiet():
                    self._opened = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
            yield self._opened
        except (MlflowException, OSError) as error:
            raise self.refusal(error) from self.cause(error)

    def refusal(self, error: Exception) -> ModelError:
        return refusal(self.uri, error)

    def gone(self, error: Exception, message: str, *, hint: str) -> ModelError:
        """With the message, for something that is not there; what a server refuses says nothing about that."""
        if is_server(self.uri) and is_refusal(error):
            return self.refusal(error)
        return ModelError(masked(message), hint=hint)

    def cause(self, error: Exception) -> Exception | None:
        """The error, for tracebacks; None where the address, and so its text, has credentials in it."""
        return error if self.name == self.uri else None

    def _check_database(self) -> None:
        """Before MLflow opens it: it would try for a minute and a half."""
        import sqlalchemy  # MLflow brings it; mlflow-skinny, which knows servers only, does not

        try:
            engine = sqlalchemy.create_engine(self.uri)
            with engine.connect():
                pass
            engine.dispose()
        except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
            raise self.refusal(error) from self.cause(error)

    def can_be_made(self) -> bool:
        """Whether it is an SQLite file that is not there yet."""
        return self._file is not None and _is_new(self._file)

    def _check_file(self, file: Path, *, create: bool) -> None:
        """Before MLflow opens it: MLflow would make a file to read from, and retry for minutes on a broken one."""
        if _is_new(file):
            if not create:
                raise ModelError(
                    f"tracking store {self.name}: {file} does not exist, or is empty.",
                    hint="Train a model first (trueup train), or name another store.",
                )
            file.parent.mkdir(parents=True, exist_ok=True)
            return
        with file.open("rb") as opened:
            if opened.read(len(_SQLITE_HEADER)) != _SQLITE_HEADER:
                raise ModelError(f"tracking store {self.name}: {file} is not an SQLite database.")


def _is_new(file: Path) -> bool:
    return not file.exists() or file.stat().st_size == 0


def _split(model: str) -> tuple[str, str]:
    """NAME@ALIAS or NAME/VERSION to its two parts, as MLflow's own `models:/` addresses have them."""
    for mark in "@/":
        name, _, wanted = model.rpartition(mark)
        if name and wanted and (mark == "@" or wanted.isdecimal()):
            return name, wanted
    raise ModelError(f"model {model!r} does not say which version; expected NAME@ALIAS or NAME/VERSION.")


def registered(version: ModelVersion) -> Registered:
    return Registered(version.name, int(version.version), version.run_id or None)


def model_id(run: Run) -> str:
    """Of the model the run logged. Raises LookupError when it logged none."""
    outputs = run.outputs.model_outputs if run.outputs is not None else []
    return str(outputs[0].model_id)


@contextmanager
def whole(client: MlflowClient, run_id: str, at: datetime) -> Iterator[None]:
    """Marks a run as finished, or as failed when it could not be written whole."""
    try:
        yield
    except BaseException:
        with suppress(MlflowException):  # a store that is gone cannot be told; what is raised says why
            client.set_terminated(run_id, "FAILED", end_time=millis(at))
        raise
    client.set_terminated(run_id, "FINISHED", end_time=millis(at))


def millis(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)
