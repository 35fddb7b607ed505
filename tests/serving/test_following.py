"""An alias that moves is followed while the server answers: between requests, and only to what may be served."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.serving import world as worlds
from tests.serving.conftest import Live, Serve, until
from tests.serving.test_bad_requests import problem
from tests.serving.world import World, entity

from trueup.eventlog.reader import find_logs, read_log

QUICK = 0.05
SMALL = {"tailnum": "FRESH", "flight": "f-0"}
LOGGER = "trueup_serving.following"

Train = Callable[..., str]


@pytest.fixture
def own(world: World, tmp_path: Path) -> World:
    """The world with a model registry that may be changed, and gone."""
    return worlds.with_own_models(world, tmp_path)


def train(world: World, name: str, service: str = "small_v1", alias: str = "spare") -> int:
    """Another version of a model, which answers otherwise than the ones before."""
    seed = 10 + len(world.tracking.versions(name))
    return worlds.register(world.tracking, name, world.contracts[service], seed=seed, alias=alias).version


def ready(live: Live) -> dict[str, Any]:
    found: dict[str, Any] = live.http.get("/readyz").json()
    return found


def problem_of(live: Live) -> str | None:
    (variant,) = ready(live)["variants"]
    said: str | None = variant["problem"]
    return said


def test_a_move_is_followed_under_load_and_no_request_is_lost(own: World, serve: Serve) -> None:
    first, second = train(own, "m", alias="champion"), train(own, "m")
    live = serve([("a", "m", 1)], world=own, alias_poll_seconds=QUICK)
    answers: list[tuple[str, int, Any]] = []
    stop = threading.Event()

    def ask(client: int) -> None:
        number = 0
        while not stop.is_set():
            request = f"c{client}-{number}"
            response = live.predict([SMALL], request_id=request)
            answers.append((request, response.status_code, response.json()))
            number += 1

    with ThreadPoolExecutor(3) as clients:
        asking = [clients.submit(ask, client) for client in range(3)]
        try:
            until(lambda: len(answers) > 20, "twenty answers of the first version")
            own.tracking.set_alias("m", "champion", second)
            until(lambda: live.versions() == {"a": str(second)}, "the second version served")
            before = len(answers)
            until(lambda: len(answers) > before + 20, "twenty answers of the second version")
            own.tracking.set_alias("m", "champion", first)
            until(lambda: live.versions() == {"a": str(first)}, "the first version served again")
        finally:
            stop.set()
        for each in asking:
            each.result()

    assert {status for _, status, _ in answers} == {200}
    said = {}
    for request, _, body in answers:
        (row,) = body["predictions"]
        said[request] = (row["model_version"], row["prediction"])
    assert {version for version, _ in said.values()} == {str(first), str(second)}
    assert len(set(said.values())) == 2  # a version's name never goes with the other's prediction
    logged = live.logged(own.contracts["small_v1"])
    assert {row["__request_id"]: (row["__model_version"], row["__prediction"]) for row in logged} == said
    assert (ready(live)["status"], ready(live)["aliases"]["swaps"]) == ("ready", 2)
    assert live.metric("trueup_model_swaps_total") == 2
    assert live.metric("trueup_alias_polls_total", outcome="failed") == 0


def test_a_running_request_ends_on_the_models_it_began_with(
    own: World, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = train(own, "m", alias="champion"), train(own, "m")
    live = serve([("a", "m", 1)], world=own, alias_poll_seconds=QUICK)
    (reader,) = live.service.readers.values()
    begun, go_on = threading.Event(), threading.Event()
    read = reader.read

    def slow(*asked: Any) -> Any:
        begun.set()
        go_on.wait()
        return read(*asked)

    monkeypatch.setattr(reader, "read", slow)
    with ThreadPoolExecutor(1) as client:
        asked = client.submit(live.predict, [SMALL])
        begun.wait()
        own.tracking.set_alias("m", "champion", second)
        until(lambda: live.versions() == {"a": str(second)}, "the second version served")
        go_on.set()
        assert asked.result().json()["predictions"][0]["model_version"] == str(first)
    assert live.predict([SMALL]).json()["predictions"][0]["model_version"] == str(second)


def test_another_contract_brings_its_request_schema_its_reader_and_its_log(own: World, serve: Serve) -> None:
    first, second = train(own, "m", alias="champion"), train(own, "m", service="both_v1")
    live = serve([("a", "m", 1)], world=own, alias_poll_seconds=QUICK)
    live.predict([SMALL], request_id="small").raise_for_status()
    problem(live.predict([entity()]), 422, "invalid-fields")

    own.tracking.set_alias("m", "champion", second)
    until(lambda: live.versions() == {"a": str(second)}, "the second version served")
    refused = problem(live.predict([SMALL]), 422, "invalid-fields")
    assert {error.field for error in refused.errors} == {
        f"entities[0].{name}" for name in ("origin", "dest", "sched", "price")
    }
    live.predict([entity()], request_id="both").raise_for_status()
    described = live.http.get("/openapi.json").json()
    content = described["paths"]["/v1/predict"]["post"]["requestBody"]["content"]["application/json"]
    live.http.post("/v1/predict", json=content["example"] | {"request_id": "example"}).raise_for_status()
    assert live.features([entity()]).json()["rows"][0]["contract_hash"] == own.contracts["both_v1"].hash

    own.tracking.set_alias("m", "champion", first)
    until(lambda: live.versions() == {"a": str(first)}, "the first version served again")
    live.predict([SMALL], request_id="small-again").raise_for_status()
    live.service.log.flush()
    assert live.service.log.state.failed == 0
    logged = {
        log.contract.service: [(row["__request_id"], row["__model_version"]) for row in log.table.to_pylist()]
        for log in map(read_log, find_logs(live.service.log.root))
    }
    assert sorted(logged["small_v1"]) == [("small", str(first)), ("small-again", str(first))]
    assert sorted(logged["both_v1"]) == [("both", str(second)), ("example", str(second))]


def test_what_cannot_be_served_is_not_followed_and_the_old_version_answers_on(
    own: World, serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine = worlds.copy(own, tmp_path)
    first = train(mine, "m", alias="champion")
    worlds.define(mine.store, plane_ttl=timedelta(hours=2))
    second = train(mine, "m")
    worlds.define(mine.store)
    live = serve([("a", "m", 1)], world=mine, alias_poll_seconds=QUICK)
    worlds.define(mine.store, plane_ttl=timedelta(hours=2))  # of which the models know nothing

    mine.tracking.set_alias("m", "champion", second)
    until(lambda: problem_of(live) is not None, "a problem told")
    said = ready(live)
    assert (said["status"], said["variants"][0]["version"]) == ("degraded", str(first))
    assert f"m@{second}: the registry's feature service 'small_v1' is not what it was trained on" in str(
        problem_of(live)
    )
    assert live.metric("trueup_alias_followed", variant="a") == 0
    until(lambda: live.metric("trueup_alias_polls_total", outcome="failed") > 3, "tried again")
    assert live.predict([SMALL]).json()["predictions"][0]["model_version"] == str(first)
    told = [record for record in caplog.records if record.name == LOGGER and record.levelno == logging.ERROR]
    assert len(told) == 1  # once, whatever the number of polls

    worlds.define(mine.store)
    until(lambda: live.versions() == {"a": str(second)}, "followed when it can be")
    assert (ready(live)["status"], problem_of(live)) == ("ready", None)
    assert live.metric("trueup_alias_followed", variant="a") == 1


def test_without_mlflow_the_server_answers_on_and_follows_when_it_is_back(own: World, serve: Serve) -> None:
    first, second = train(own, "m", alias="champion"), train(own, "m")
    live = serve([("a", "m", 1)], world=own, alias_poll_seconds=QUICK)
    database = Path(own.tracking_uri.removeprefix("sqlite:///"))
    own.tracking.set_alias("m", "champion", second)
    until(lambda: live.versions() == {"a": str(second)}, "the second version served")

    database.rename(database.with_name("away"))
    until(lambda: problem_of(live) is not None, "a problem told")
    assert f"{database} does not exist" in str(problem_of(live))
    assert live.predict([SMALL]).json()["predictions"][0]["model_version"] == str(second)
    database.with_name("away").rename(database)
    own.tracking.set_alias("m", "champion", first)
    until(lambda: live.versions() == {"a": str(first)}, "the first version served again")
    assert problem_of(live) is None


def test_variants_of_one_alias_move_together_and_others_stay(own: World, serve: Serve) -> None:
    train(own, "m", alias="champion")
    second = train(own, "m")
    live = serve([("a", "m", 1), ("b", "m", 1), ("c", "small", 1)], world=own, alias_poll_seconds=QUICK)
    own.tracking.set_alias("m", "champion", second)
    until(lambda: live.versions() == {"a": str(second), "b": str(second), "c": "1"}, "both variants served")
    answered = live.predict([{**SMALL, "flight": f"f-{number}"} for number in range(20)]).json()["predictions"]
    assert {(row["variant"], row["model_version"]) for row in answered} == {
        ("a", str(second)),
        ("b", str(second)),
        ("c", "1"),
    }
    assert ready(live)["aliases"]["swaps"] == 2


def test_an_alias_that_is_deleted_is_told_and_the_version_answers_on(own: World, serve: Serve) -> None:
    from mlflow import MlflowClient

    first = train(own, "m", alias="champion")
    live = serve([("a", "m", 1)], world=own, alias_poll_seconds=QUICK)
    MlflowClient(own.tracking_uri, own.tracking_uri).delete_registered_model_alias("m", "champion")
    until(lambda: problem_of(live) is not None, "a problem told")
    assert "has no alias 'champion'" in str(problem_of(live))
    assert live.predict([SMALL]).json()["predictions"][0]["model_version"] == str(first)


def test_zero_seconds_follow_nothing(own: World, serve: Serve) -> None:
    live = serve([("a", "small", 1)], world=own, alias_poll_seconds=0)
    assert not [thread for thread in threading.enumerate() if thread.name == "trueup-aliases"]
    assert ready(live)["aliases"] == {"poll_seconds": 0.0, "polled_at": None, "swaps": 0}
