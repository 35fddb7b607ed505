"""`trueup rollback` and the gate's later verdicts, followed by a running server."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.serving import world as worlds
from tests.serving.conftest import REPLAY, Serve, until
from tests.serving.gated import keep_verdict, promoted
from tests.serving.test_following import QUICK, SMALL, problem_of, ready, train
from tests.serving.world import World
from tests.trueup.gate.examples import AT, REFUSED

from trueup.eventlog.layout import log_directory
from trueup.eventlog.reader import read_log
from trueup.gate.keys import SigningKey, new_key


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, SigningKey]:
    """The public half's path, and the private key."""
    path = tmp_path_factory.mktemp("keys") / "gate.pem"
    made = new_key(path)
    return f"{path}.pub", made


@pytest.fixture
def own(world: World, tmp_path: Path) -> World:
    return worlds.with_own_models(world, tmp_path)


def test_a_rollback_is_followed_by_a_started_server_without_a_request_lost(
    own: World, tmp_path: Path, key: tuple[str, SigningKey]
) -> None:
    public, private = key
    first, second = promoted(own, "m", private), promoted(own, "m", private)
    config, socket = tmp_path / "serving.toml", tmp_path / "s"
    variants = [("a", "m", 1)]
    config.write_text(
        worlds.config_text(own, tmp_path / "log", variants, gate_key=public, alias_poll_seconds=0.2), encoding="utf-8"
    )
    command = [sys.executable, "-m", "trueup", "serve", "--config", str(config), "--uds", str(socket)]
    answers: list[tuple[str, int, Any]] = []
    stop = threading.Event()

    def client() -> httpx.Client:
        return httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://x", timeout=60)

    def ask(number: int) -> None:
        with client() as mine:
            while not stop.is_set():
                request = f"c{number}-{time.monotonic_ns()}"
                body = {"entities": [SMALL], "request_id": request}
                response = mine.post("/v1/predict", json=body, headers=REPLAY)
                answers.append((request, response.status_code, response.json()))

    def answered_by(version: int) -> bool:
        *_, (_, status, body) = answers
        return status == 200 and body["predictions"][0]["model_version"] == str(version)

    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            until(lambda: socket.exists() or process.poll() is not None, "listening")
            assert process.poll() is None
            with ThreadPoolExecutor(2) as clients:
                asking = [clients.submit(ask, number) for number in range(2)]
                try:
                    until(lambda: bool(answers) and answered_by(second), "an answer of the second version")
                    rollback = [sys.executable, "-m", "trueup", "rollback", "m", "--key", public]
                    done = subprocess.run(
                        rollback,
                        env={**os.environ, "TRUEUP_TRACKING_URI": own.tracking_uri},
                        capture_output=True,
                        text=True,
                    )
                    assert done.returncode == 0, done.stderr
                    until(lambda: answered_by(first), "an answer of the first version")
                finally:
                    stop.set()
                for each in asking:
                    each.result()
            with client() as mine:
                found = mine.get("/readyz").json()
            process.terminate()
            assert process.stderr is not None
            printed = process.stderr.read()
            assert process.wait() == 0, printed
        finally:
            process.kill()

    assert {status for _, status, _ in answers} == {200}
    assert (found["status"], found["variants"][0]["version"]) == ("ready", str(first))
    assert found["variants"][0]["verdict"]["status"] == "valid"
    assert f"variant a: m@{first} is served now, m@{second} was" in printed
    assert "Traceback" not in printed
    said = {request: body["predictions"][0]["model_version"] for request, _, body in answers}
    logged = read_log(log_directory(tmp_path / "log", own.contracts["small_v1"])).table.to_pylist()
    assert {row["__request_id"]: row["__model_version"] for row in logged} == said


def test_a_version_that_the_gate_did_not_let_through_is_not_followed(
    own: World, serve: Serve, key: tuple[str, SigningKey]
) -> None:
    public, private = key
    first, second = promoted(own, "m", private), train(own, "m", alias="spare")
    live = serve([("a", "m", 1)], world=own, gate_key=public, alias_poll_seconds=QUICK)
    own.tracking.set_alias("m", "champion", second)  # by hand
    until(lambda: problem_of(live) is not None, "a problem told")
    assert f"m@{second} has no verdict for champion" in str(problem_of(live))
    assert ready(live)["status"] == "degraded"
    assert live.predict([SMALL]).json()["predictions"][0]["model_version"] == str(first)
    keep_verdict(own, "m", second, private)
    until(lambda: live.versions() == {"a": str(second)}, "followed with its verdict")
    assert ready(live)["status"] == "ready"


def test_a_verdict_taken_back_is_told_and_the_version_answers_on(
    own: World, serve: Serve, key: tuple[str, SigningKey]
) -> None:
    public, private = key
    first = promoted(own, "m", private)
    live = serve([("a", "m", 1)], world=own, gate_key=public, alias_poll_seconds=QUICK)
    keep_verdict(own, "m", first, private, REFUSED, at=AT + timedelta(days=1))
    until(lambda: problem_of(live) is not None, "a problem told")
    (variant,) = ready(live)["variants"]
    assert variant["problem"].startswith(f"m@{first} was refused as champion on 2024-06-02T00:00:00Z: snapshot.")
    assert "a start would refuse it" in variant["problem"]
    assert (variant["verdict"]["status"], ready(live)["status"]) == ("unverified", "degraded")
    assert live.metric("trueup_alias_followed", variant="a") == 0
    assert live.predict([SMALL]).json()["predictions"][0]["model_version"] == str(first)
    keep_verdict(own, "m", first, private, at=AT + timedelta(days=2))
    until(lambda: ready(live)["variants"][0]["verdict"]["at"] == "2024-06-03T00:00:00Z", "the newest verdict told")
    assert (ready(live)["status"], problem_of(live)) == ("ready", None)
    assert ready(live)["aliases"]["swaps"] == 0


def test_a_model_served_unverified_is_valid_once_the_gate_says_so(
    own: World, serve: Serve, key: tuple[str, SigningKey]
) -> None:
    public, private = key
    first = train(own, "m", alias="champion")
    live = serve([("a", "m", 1)], world=own, gate_key=public, allow_unverified=True, alias_poll_seconds=QUICK)
    assert (ready(live)["variants"][0]["verdict"]["status"], ready(live)["status"]) == ("unverified", "ready")
    keep_verdict(own, "m", first, private)
    until(lambda: ready(live)["variants"][0]["verdict"]["status"] == "valid", "the verdict told")
