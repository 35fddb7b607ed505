"""Laws of `Tracking`, against a real MLflow store on SQLite: what is logged comes back, and reading writes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow.sklearn
import numpy as np
import pytest
from mlflow import MlflowClient
from sklearn.linear_model import LogisticRegression
from tests.trueup.models.examples import CONTRACT, card, fitted, frame, many_rows

from trueup.errors import ModelError
from trueup.models.bundle import Bundle, matrix
from trueup.models.environment import take_environment
from trueup.models.git import GitState
from trueup.models.tracking import CARD_FILE, Dataset, Registered, Tracking, TrainingRun

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
    """A store with `buyers` 1 (alias champion) and 2, and a model by somebody else."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "mlflow" / "mlflow.db"
        self.uri = f"sqlite:///{self.file}"
        self.tracking = Tracking(self.uri)
        self.run = training_run()
        self.logged = self.tracking.log(self.run, finished=FINISHED)
        assert self.tracking.register(self.logged) == Registered("buyers", 1, self.logged.run_id)
        self.tracking.set_alias("buyers", "champion", 1)
        assert self.tracking.register(self.tracking.log(self.run, finished=FINISHED)).version == 2
        self.client = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        foreign = folder / "foreign"
        mlflow.sklearn.save_model(
            LogisticRegression().fit([[0.0], [1.0]], [0, 1]), str(foreign), pip_requirements=["scikit-learn"]
        )
        self.client.create_registered_model("foreign")
        self.client.create_model_version("foreign", foreign.as_uri())

    def files(self) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in self.file.parent.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("tracking")
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(elsewhere)
        yield Store(folder)
    assert list(elsewhere.iterdir()) == []  # MLflow's own defaults would leave a database here


def test_a_registered_model_predicts_the_same_bits(store: Store) -> None:
    loaded = store.tracking.load_bundle("buyers", "champion")
    assert loaded.predict(ROWS).tobytes() == store.run.bundle.predict(ROWS).tobytes()


def test_versions_come_newest_first_and_none_of_a_model_that_is_not_there(store: Store) -> None:
    assert store.tracking.versions("buyers") == (2, 1)
    assert store.tracking.versions("nobody") == ()


def test_its_card_comes_back_with_where_it_is_registered(store: Store) -> None:
    expected = replace(store.run.bundle.card, run_id=store.logged.run_id, version=1)
    assert store.tracking.load_card("buyers", "champion") == expected
    assert store.tracking.load_bundle("buyers", 1).card == expected


def test_a_version_is_a_number_its_digits_or_an_alias(store: Store) -> None:
    first = Registered("buyers", 1, store.logged.run_id)
    for model, ref in (
        ("buyers", 1),
        ("buyers", "1"),
        ("buyers", "champion"),
        ("buyers@champion", None),
        ("buyers/1", None),
    ):
        assert store.tracking.resolve(model, ref) == first
    assert store.tracking.resolve("buyers", 2).version == 2


@pytest.mark.parametrize(
    ("model", "ref", "expected"),
    [
        ("sellers", "champion", r"'sellers' is not registered in sqlite:.*, which has: buyers, foreign\. Train it"),
        ("buyers", "shadow", r"has no alias 'shadow'; its versions: 1, 2; its aliases: champion -> 1"),
        ("buyers", "not an alias!", r"has no alias 'not an alias!'; its versions: 1, 2"),
        ("buyers", 9, r"has no version '9'; its versions: 1, 2; its aliases: champion -> 1"),
        ("foreign", "champion", r"has no alias 'champion'; its versions: 1; its aliases: none"),
        ("buyers", None, r"'buyers' does not say which version; expected NAME@ALIAS or NAME/VERSION"),
        ("not/a:name", "x", r"'not/a:name' is not registered"),
    ],
)
def test_what_does_not_exist_is_named_with_what_does(store: Store, model: str, ref: Any, expected: str) -> None:
    for ask in (store.tracking.resolve, store.tracking.load_card, store.tracking.load_bundle):
        with pytest.raises(ModelError, match=expected):
            ask(model, ref)


def test_an_alias_does_not_move_to_a_version_that_is_not_there(store: Store) -> None:
    with pytest.raises(ModelError, match="has no version '9'"):
        store.tracking.set_alias("buyers", "champion", 9)
    assert store.tracking.resolve("buyers", "champion").version == 1


def test_a_model_of_somebody_else_is_refused_and_the_reason_told(store: Store) -> None:
    with pytest.raises(ModelError, match=rf"foreign@1 .* has no {CARD_FILE}.* trueup did not train it"):
        store.tracking.load_bundle("foreign", 1)


def test_a_model_file_with_a_type_that_is_not_trusted_is_refused(store: Store) -> None:
    class_of_nowhere = Bundle(card(name="odd"), _Odd())
    logged = store.tracking.log(training_run(bundle=Bundle(card(name="odd"), ESTIMATOR)), finished=FINISHED)
    import skops.io

    skops.io.dump(class_of_nowhere.estimator, Path(logged.location.removeprefix("file://")) / "model.skops")
    version = store.tracking.register(logged).version
    assert store.tracking.load_card("odd", version).name == "odd"
    with pytest.raises(ModelError, match=r"model odd@1: its file holds types trueup does not trust: .*_Odd"):
        store.tracking.load_bundle("odd", version)


class _Odd:
    classes_ = np.array([0, 1])

    def predict_proba(self, X: Any, /) -> Any:  # noqa: N803
        raise NotImplementedError


def test_its_environment_comes_back_from_its_run(store: Store) -> None:
    for model, ref in (("buyers", "champion"), ("buyers", 2), ("buyers/1", None)):
        assert store.tracking.load_environment(model, ref) == store.run.environment


def test_an_environment_that_is_not_there_or_cannot_be_read_is_said_so(store: Store) -> None:
    with pytest.raises(ModelError, match=r"foreign@1 .* has no environment\.json in its run.* did not train it"):
        store.tracking.load_environment("foreign", 1)
    logged = store.tracking.log(training_run(bundle=Bundle(card(name="moved"), ESTIMATOR)), finished=FINISHED)
    version = store.tracking.register(logged).version
    run = store.client.get_run(logged.run_id)
    kept = Path(run.info.artifact_uri.removeprefix("file://"), "environment.json")
    kept.write_text('{"format": 99}')
    with pytest.raises(ModelError, match=r"moved@1 .*: environment\.json of its run: environment format 99 cannot"):
        store.tracking.load_environment("moved", version)
    kept.unlink()
    with pytest.raises(ModelError, match=r"moved@1 .* has no environment\.json in its run"):
        store.tracking.load_environment("moved", version)


def test_reading_writes_nothing(store: Store) -> None:
    before = store.files()
    fresh = Tracking(store.uri)
    fresh.load_bundle("buyers", "champion")
    fresh.load_card("buyers", 2)
    fresh.load_environment("buyers", 2)
    assert store.files() == before


def test_a_store_that_cannot_be_written_can_be_read(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # MLflow takes `file:` for a folder and makes it
    loaded = Tracking(f"sqlite:///file:{store.file}?mode=ro&uri=true").load_bundle("buyers", "champion")
    assert loaded.card.version == 1


def test_reading_from_nowhere_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"mlflow\.db does not exist, or is empty\. Train a model first"):
        Tracking(f"sqlite:///{tmp_path}/new/mlflow.db").load_card("buyers", 1)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_said_so_at_once(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("hello")
    tracking = Tracking(f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(ModelError, match="is not an SQLite database"):
        tracking.load_card("buyers", 1)
    with pytest.raises(ModelError, match="is not an SQLite database"):
        tracking.log(training_run(), finished=FINISHED)


def test_the_run_holds_all_that_decided_the_model(store: Store) -> None:
    run = store.client.get_run(store.logged.run_id)
    assert (run.info.status, run.info.start_time, run.info.end_time) == ("FINISHED", 1709251200000, 1709251290000)
    assert run.data.params == dict(store.run.params)
    assert run.data.metrics == dict(store.run.bundle.card.metrics)
    tags = run.data.tags
    assert tags["trueup.contract_hash"] == CONTRACT.hash
    assert tags["trueup.known_at"] == "served"
    assert tags["trueup.pinned"] == "2024-03-01T12:30:00.000005Z"
    assert tags["trueup.dataset"] == "d" * 64
    assert tags["trueup.seed"] == "7"
    assert tags["trueup.environment"] == "e" * 64
    assert (tags["trueup.git_commit"], tags["trueup.git_dirty"]) == ("c" * 40, "true")
    assert tags["mlflow.source.git.commit"] == "c" * 40
    assert tags["feast.feature_service"] == "buyers_v1"
    (given,) = run.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("buyers", "d" * 32)
    assert json.loads(given.dataset.source) == {"query": "SELECT 'é'"}
    artifacts = Path(run.info.artifact_uri.removeprefix("file://"))
    assert (artifacts / "working-tree.diff").read_bytes() == store.run.git.diff
    assert json.loads((artifacts / "contract.json").read_text())["hash"] == CONTRACT.hash
    assert json.loads((artifacts / "environment.json").read_text()) == store.run.environment.to_json()
    assert json.loads((artifacts / "recipe.json").read_text()) == store.run.recipe
    assert artifacts.is_relative_to(store.file.parent / "artifacts")


def test_any_mlflow_tool_can_use_the_model_and_sees_its_signature(store: Store) -> None:
    model = store.client.get_logged_model(store.logged.model_id)
    assert str(model.status) == "READY"
    assert {metric.key: metric.value for metric in model.metrics} == dict(store.run.bundle.card.metrics)
    loaded = mlflow.pyfunc.load_model(model.artifact_location)
    assert [column.name for column in loaded.metadata.signature.inputs] == list(CONTRACT.columns)
    inputs = matrix(ROWS.slice(0, 50), CONTRACT.columns)
    complete = inputs["buyer__city"].notna().to_numpy()  # MLflow's schema has no null among strings
    assert np.array_equal(loaded.predict(inputs[complete])[:, 1], store.run.bundle.predict(ROWS)[:50][complete])


def test_a_run_that_could_not_be_written_is_marked_as_failed(store: Store) -> None:
    before = {run.info.run_id for run in store.client.search_runs(["1"])}
    with pytest.raises(ModelError, match="tracking store sqlite:"):
        store.tracking.log(training_run(params={"a key\0": "x"}), finished=FINISHED)
    (failed,) = [run for run in store.client.search_runs(["1"]) if run.info.run_id not in before]
    assert failed.info.status == "FAILED"


@pytest.mark.slow
def test_it_is_quiet_in_a_process_of_its_own(tmp_path: Path) -> None:
    code = (
        "import sys; from trueup.models.tracking import Tracking; from tests.trueup.models.test_tracking import *; "
        "tracking = Tracking(sys.argv[1]); tracking.register(tracking.log(training_run(), finished=FINISHED)); "
        "Tracking(sys.argv[1]).load_bundle('buyers', 1)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "default::UserWarning", "-c", code, f"sqlite:///{tmp_path}/mlflow.db"],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "")


# ------------------------------------------------------------------ parity runs


def test_a_parity_run_is_kept_with_the_models_run_and_told_by_its_versions_tags(store: Store, tmp_path: Path) -> None:
    files = {"parity/1/report.html": b"<p>", "parity/1/report.json": b"{}"}
    store.tracking.log_parity("buyers", 1, files=files, tags={"trueup.parity.verdict": "fail"})
    store.tracking.log_parity(
        "buyers", "1", files={"parity/2/report.json": b"[]"}, tags={"trueup.parity.verdict": "pass"}
    )
    run_id = store.tracking.resolve("buyers", 1).run_id
    assert run_id is not None
    kept = Path(store.client.download_artifacts(run_id, "parity", str(tmp_path)))
    found = {str(path.relative_to(kept.parent)): path.read_bytes() for path in kept.rglob("*") if path.is_file()}
    assert found == {**files, "parity/2/report.json": b"[]"}
    tags = [store.client.get_model_version("buyers", str(version)).tags for version in (1, 2)]
    assert [each.get("trueup.parity.verdict") for each in tags] == ["pass", None]


@pytest.mark.parametrize(
    ("model", "version", "said"),
    [
        ("foreign", 1, "foreign@1 in sqlite:.* belongs to no run"),
        ("buyers", 9, "has no version '9'"),
        ("nobody", 1, "is not registered"),
    ],
)
def test_a_parity_run_of_a_model_that_has_no_run_is_refused(store: Store, model: str, version: int, said: str) -> None:
    before = store.files()
    with pytest.raises(ModelError, match=said):
        store.tracking.log_parity(model, version, files={"parity/1/r": b""}, tags={"t": "1"})
    assert store.files().keys() == before.keys()


def test_a_reproduction_is_kept_with_its_run_and_the_newest_is_read(store: Store) -> None:
    tracking, run_id = store.tracking, store.logged.run_id
    again = tracking.log(store.run, finished=FINISHED).run_id
    assert tracking.load_reproduction(run_id) is None
    later = FINISHED + timedelta(microseconds=1)
    tracking.log_reproduction(run_id, {"schema": "s", "verdict": "bit-identical"}, at=later)
    tracking.log_reproduction(run_id, {"schema": "s", "verdict": "different"}, at=FINISHED)  # an older one comes late
    record = tracking.load_reproduction(run_id)
    assert record is not None
    assert (record["verdict"], record["at"]) == ("bit-identical", "2024-03-01T00:01:30.000001Z")
    assert record["model_files"] == tracking.file_digests("buyers", 1)
    assert record["trueup"]
    assert store.client.get_run(run_id).data.tags["trueup.reproduced"] == "different"
    assert tracking.load_reproduction(again) is None
    assert not [name for name in tracking.load_run(run_id).files if "reproduction" in name]


def test_a_reproduction_that_cannot_be_read_or_kept_is_said(store: Store) -> None:
    run_id = store.tracking.log(store.run, finished=FINISHED).run_id
    store.tracking.log_reproduction(run_id, {"verdict": "bit-identical"}, at=FINISHED)
    (file,) = (store.file.parent / "artifacts" / run_id).rglob("reproductions/*.json")
    for content in ("{", "[]", "{}"):
        file.write_text(content)
        with pytest.raises(ModelError, match=r"reproductions/2024-03-01T000130\.000000Z\.json cannot be read"):
            store.tracking.load_reproduction(run_id)
    with pytest.raises(ModelError, match="is not in sqlite"):
        store.tracking.log_reproduction("0" * 32, {"verdict": "bit-identical"}, at=FINISHED)
    with pytest.raises(ModelError, match="is not in sqlite"):
        store.tracking.load_reproduction("0" * 32)
