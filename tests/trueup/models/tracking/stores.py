"""MLflow stores of every kind trueup writes to, each with the same models in it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow.sklearn
from mlflow import MlflowClient
from sklearn.linear_model import LogisticRegression
from tests.trueup.models.examples import CONTRACT, card, fitted, frame, many_rows

from trueup.models.bundle import Bundle, matrix
from trueup.models.environment import take_environment
from trueup.models.git import GitState
from trueup.models.tracking import EXPERIMENT, Dataset, Registered, Tracking, TrainingRun

STARTED = datetime(2024, 3, 1, tzinfo=UTC)
FINISHED = STARTED + timedelta(seconds=90)
ROWS = frame(many_rows(400))
ESTIMATOR = fitted(many_rows(400))


def training_run(**changes: Any) -> TrainingRun:
    fields: dict[str, Any] = {
        "bundle": Bundle(card(), ESTIMATOR),
        "params": {f"params.p{i}": str(i) for i in range(230)} | {"rows.query": "SELECT " + "x" * 5000},
        "recipe": {"name": "buyers", "seed": 7},
        "dataset": Dataset("buyers", "d" * 64, {"query": "SELECT 'é'"}, {"buyer__city": "string"}, 400),
        "example": matrix(ROWS, CONTRACT.columns).iloc[:2],
        "git": GitState("c" * 40, dirty=True, diff=b"diff --git a/x b/x\n\xff"),
        "environment": take_environment(),
        "started": STARTED,
    }
    return TrainingRun(**{**fields, **changes})


class Store:
    """A store with `buyers` 1 (alias champion) and 2, and two by somebody else: `runless` came from no run.

    uri: an SQLite file's, or a server's, whose artifacts go to `artifacts`.
    """

    def __init__(self, uri: str, artifacts: Path, scratch: Path) -> None:
        self.uri = uri
        self.artifacts = artifacts
        self.tracking = Tracking(self.uri)
        self.run = training_run()
        self.logged = self.tracking.log(self.run, finished=FINISHED)
        assert self.tracking.register(self.logged) == Registered("buyers", 1, self.logged.run_id)
        self.tracking.set_alias("buyers", "champion", 1)
        assert self.tracking.register(self.tracking.log(self.run, finished=FINISHED)).version == 2
        self.client = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        self._foreign(scratch)

    def _foreign(self, scratch: Path) -> None:
        mlflow.sklearn.save_model(
            LogisticRegression().fit([[0.0], [1.0]], [0, 1]),
            str(scratch / "foreign"),
            pip_requirements=["scikit-learn"],
            serialization_format="skops",
        )
        run = self.client.create_run(self.experiment)
        self.client.log_artifacts(run.info.run_id, str(scratch / "foreign"), "foreign")
        self.client.create_registered_model("foreign")
        self.client.create_model_version("foreign", f"{run.info.artifact_uri}/foreign", run.info.run_id)
        self.client.create_registered_model("runless")
        self.client.create_model_version("runless", "s3://bucket/model")

    @property
    def experiment(self) -> str:
        return str(self.client.get_experiment_by_name(EXPERIMENT).experiment_id)

    def path(self, location: str) -> Path:
        """The folder that a URI of the store's means."""
        if location.startswith("file://"):
            return Path(location.removeprefix("file://"))
        assert location.startswith("mlflow-artifacts:/")
        return self.artifacts / location.removeprefix("mlflow-artifacts:/")

    def files(self) -> dict[str, bytes]:
        """All artifacts; of an SQLite store, its database too."""
        root = self.artifacts.parent if self.uri.startswith("sqlite:") else self.artifacts
        return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}
