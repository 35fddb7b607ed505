"""Laws of `Tracking`: what is logged comes back, and reading writes nothing; on every kind of store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import mlflow.sklearn
import numpy as np
import pytest
import skops.io
from mlflow.artifacts import download_artifacts
from tests.trueup.models.examples import CONTRACT, card
from tests.trueup.models.tracking.conftest import ON_POSTGRESQL, ON_SQLITE, server_of
from tests.trueup.models.tracking.stores import ESTIMATOR, FINISHED, ROWS, Store, training_run

from trueup.errors import ModelError
from trueup.hashing import digest_bytes
from trueup.instants import AsOfRule
from trueup.models.adoption import adopt, example_matrix
from trueup.models.bundle import Bundle, matrix
from trueup.models.tracking import CARD_FILE, Registered, Tracking

SQLITE = "sqlite"


@pytest.fixture(scope="module", params=[SQLITE, ON_SQLITE, ON_POSTGRESQL])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("tracking")
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(elsewhere)
        if request.param == SQLITE:
            yield Store(f"sqlite:///{folder}/mlflow/mlflow.db", folder / "mlflow" / "artifacts", folder)
        else:
            server = server_of(request.getfixturevalue("servers"), request.param)
            yield Store(server.uri, server.artifacts, folder)
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
        ("sellers", "champion", r"'sellers' is not registered in .*, which has: buyers, foreign, runless.*\. Train it"),
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


def test_an_alias_moves_and_is_none_where_there_is_none(store: Store) -> None:
    tracking = store.tracking
    assert (tracking.alias("buyers", "shadow"), tracking.alias("nobody", "shadow")) == (None, None)
    for version in (1, 2):
        tracking.set_alias("buyers", "challenger", version)
        assert tracking.alias("buyers", "challenger") == version
        assert tracking.alias("buyers", "champion") == 1


def test_a_versions_tags_are_its_own_and_as_long_as_they_were(store: Store) -> None:
    value = "ł" * 100_000
    store.tracking.tag_version("buyers", 2, "trueup.verdict.x", value)
    tags = store.tracking.version_tags("buyers")
    assert tags[2]["trueup.verdict.x"] == value
    assert tags[1].keys() == {"trueup.contract_hash", "trueup.known_at", "trueup.dataset"}
    assert store.tracking.version_tags("nobody") == {}
    with pytest.raises(ModelError, match="has no version '9'"):
        store.tracking.tag_version("buyers", 9, "k", "v")


def test_files_kept_with_a_model_come_back_and_one_that_was_not_is_named(store: Store) -> None:
    content = bytes(range(256)) * 40
    kept = training_run(bundle=Bundle(card(name="kept"), ESTIMATOR), files={"golden.parquet": content})
    logged = store.tracking.log(kept, finished=FINISHED)
    version = store.tracking.register(logged).version
    assert store.tracking.load_file("kept", version, "golden.parquet") == content
    with pytest.raises(ModelError, match=r"kept@1 in .* was kept without fitted\.json"):
        store.tracking.load_file("kept", version, "fitted.json")
    run = store.tracking.load_run(logged.run_id, ["golden.parquet", "fitted.json"])
    assert run.kept == {"golden.parquet": content}
    assert run.params == dict(kept.params)
    assert run.bundle().predict(ROWS).tobytes() == kept.bundle.predict(ROWS).tobytes()
    assert set(run.files) == {"card.json", "contract.json", "environment.json", "recipe.json", "working-tree.diff"}
    digests = store.tracking.file_digests("kept", version)
    folder = store.path(logged.location)
    assert digests == {name: digest_bytes((folder / name).read_bytes()) for name in ("model.skops", CARD_FILE)}
    (folder / CARD_FILE).write_bytes(b"{}")
    assert store.tracking.file_digests("kept", version)[CARD_FILE] == digest_bytes(b"{}")


def test_a_run_that_is_not_there_not_ours_or_not_whole_is_refused(store: Store) -> None:
    somebodys = store.client.create_run(store.experiment).info.run_id
    open_one = store.client.create_run(store.experiment, tags={"trueup.recipe": "buyers"}).info.run_id
    for ref, said in (
        ("0" * 32, "is not in "),
        ("not a run", "is not in "),
        ("runless/1", "belongs to no run"),
        ("foreign/1", "was not logged by trueup"),
        (somebodys, "was not logged by trueup"),
        (open_one, "is RUNNING: it was not logged whole"),
    ):
        with pytest.raises(ModelError, match=said):
            store.tracking.load_run(ref)


def test_a_model_of_somebody_else_is_refused_and_the_reason_told(store: Store) -> None:
    with pytest.raises(ModelError, match=rf"foreign@1 .* has no {CARD_FILE}.* trueup did not train it"):
        store.tracking.load_bundle("foreign", 1)


def test_a_model_of_somebody_else_can_be_read_to_be_adopted_and_one_of_ours_cannot(store: Store) -> None:
    assert store.tracking.load_others_estimator("foreign/1").predict([[5.0]]).tolist() == [1]
    with pytest.raises(ModelError, match=r"buyers@1 has a card of trueup's already"):
        store.tracking.load_others_estimator("buyers@champion")


def test_an_adopted_model_is_a_version_with_a_run_of_its_own_that_claims_nothing(store: Store) -> None:
    bundle = adopt(ESTIMATOR, CONTRACT, AsOfRule("label"), name="ours", source="elsewhere.skops")
    found = store.tracking.adopt(bundle, example_matrix(bundle), at=FINISHED)
    loaded = store.tracking.load_bundle("ours", found.version)
    assert loaded.predict(ROWS).tobytes() == bundle.predict(ROWS).tobytes()
    assert loaded.card == replace(bundle.card, run_id=found.run_id, version=1)
    run = store.client.get_run(found.run_id)
    assert (run.info.status, run.data.params, run.data.metrics) == ("FINISHED", {}, {})
    assert {name for name in run.data.tags if name.startswith("trueup.")} == {"trueup.adopted", "trueup.contract_hash"}
    assert store.tracking.version_tags("ours")[1]["trueup.adopted"] == "elsewhere.skops"
    with pytest.raises(ModelError, match=r"not known: adopted\. run .* keeps a model from elsewhere\.skops"):
        store.tracking.load_run("ours/1")


def test_a_model_file_with_a_type_that_is_not_trusted_is_refused(store: Store) -> None:
    class_of_nowhere = Bundle(card(name="odd"), _Odd())
    logged = store.tracking.log(training_run(bundle=Bundle(card(name="odd"), ESTIMATOR)), finished=FINISHED)
    skops.io.dump(class_of_nowhere.estimator, store.path(logged.location) / "model.skops")
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
    kept = store.path(run.info.artifact_uri) / "environment.json"
    kept.write_text('{"format": 99}')
    with pytest.raises(ModelError, match=r"moved@1 .*: environment\.json of its run: environment format 99 cannot"):
        store.tracking.load_environment("moved", version)
    kept.unlink()
    with pytest.raises(ModelError, match=r"moved@1 .* has no environment\.json in its run"):
        store.tracking.load_environment("moved", version)


def test_reading_writes_nothing(store: Store) -> None:
    before, runs = store.files(), store.client.search_runs([store.experiment])
    fresh = Tracking(store.uri)
    fresh.check()
    fresh.load_bundle("buyers", "champion")
    fresh.load_card("buyers", 2)
    fresh.load_environment("buyers", 2)
    fresh.load_run("buyers@champion", ["golden.parquet"])
    assert store.files() == before
    assert [run.to_dictionary() for run in store.client.search_runs([store.experiment])] == [
        run.to_dictionary() for run in runs
    ]


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
    artifacts = store.path(run.info.artifact_uri)
    assert (artifacts / "working-tree.diff").read_bytes() == store.run.git.diff
    assert json.loads((artifacts / "contract.json").read_text())["hash"] == CONTRACT.hash
    assert json.loads((artifacts / "environment.json").read_text()) == store.run.environment.to_json()
    assert json.loads((artifacts / "recipe.json").read_text()) == store.run.recipe
    assert artifacts.is_relative_to(store.artifacts)


def test_any_mlflow_tool_can_use_the_model_and_sees_its_signature(store: Store) -> None:
    model = store.client.get_logged_model(store.logged.model_id)
    assert str(model.status) == "READY"
    assert {metric.key: metric.value for metric in model.metrics} == dict(store.run.bundle.card.metrics)
    loaded = mlflow.pyfunc.load_model(download_artifacts(model.artifact_location, tracking_uri=store.uri))
    assert [column.name for column in loaded.metadata.signature.inputs] == list(CONTRACT.columns)
    inputs = matrix(ROWS.slice(0, 50), CONTRACT.columns)
    complete = inputs["buyer__city"].notna().to_numpy()  # MLflow's schema has no null among strings
    assert np.array_equal(loaded.predict(inputs[complete])[:, 1], store.run.bundle.predict(ROWS)[:50][complete])


def test_a_run_that_could_not_be_written_is_marked_as_failed(store: Store) -> None:
    before = {run.info.run_id for run in store.client.search_runs([store.experiment])}
    with pytest.raises(ModelError, match=r"tracking store .*Invalid value"):
        store.tracking.log(training_run(params={"a key\0": "x"}), finished=FINISHED)
    (failed,) = [run for run in store.client.search_runs([store.experiment]) if run.info.run_id not in before]
    assert failed.info.status == "FAILED"


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
        ("runless", 1, "runless@1 in .* belongs to no run"),
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
    (file,) = store.path(store.client.get_run(run_id).info.artifact_uri).rglob("reproductions/*.json")
    for content in ("{", "[]", "{}"):
        file.write_text(content)
        with pytest.raises(ModelError, match=r"reproductions/2024-03-01T000130\.000000Z\.json cannot be read"):
            store.tracking.load_reproduction(run_id)
    with pytest.raises(ModelError, match="is not in "):
        store.tracking.log_reproduction("0" * 32, {"verdict": "bit-identical"}, at=FINISHED)
    with pytest.raises(ModelError, match="is not in "):
        store.tracking.load_reproduction("0" * 32)
