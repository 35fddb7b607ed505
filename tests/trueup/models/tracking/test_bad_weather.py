"""A server that is not there, refuses, or goes away: one error that names the store, says what to do, and no secret."""

from __future__ import annotations

import base64
import importlib
import json
import os
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.training import shop
from tests.trueup.models.examples import card
from tests.trueup.models.tracking.gateway import Answer, Gateway, GoneError, Request, gateway
from tests.trueup.models.tracking.servers import MlflowServer
from tests.trueup.models.tracking.stores import ESTIMATOR, FINISHED, ROWS, training_run

from trueup.errors import ModelError
from trueup.models.bundle import Bundle
from trueup.models.tracking import Tracking
from trueup_training.recipe import load_recipe
from trueup_training.train import train

NAME = "weather"
NOT_LOGGED_IN = "You are not authenticated. Please see the documentation on how to authenticate."


def run_of(**changes: Any) -> Any:
    return training_run(
        bundle=Bundle(card(name=NAME), ESTIMATOR), params={"a": "1"}, files={"golden.parquet": b"gold"}, **changes
    )


@pytest.fixture(scope="module")
def run_id(server: MlflowServer) -> str:
    """Of version 1 of the model, alias champion, on the server itself."""
    tracking = Tracking(server.uri)
    logged = tracking.log(run_of(), finished=FINISHED)
    tracking.register(logged)
    tracking.set_alias(NAME, "champion", 1)
    tracking.log_reproduction(logged.run_id, {"verdict": "bit-identical"}, at=FINISHED)
    return logged.run_id


@pytest.fixture(autouse=True)
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")


# ------------------------------------------------------------------ not there


def test_where_nothing_listens_no_host_is_or_no_address_is_that_is_said() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and does not listen
        for uri, said in (
            (
                f"http://127.0.0.1:{closed.getsockname()[1]}",
                r": nothing listens there \(connection refused\)\. Start the",
            ),
            ("http://tracking.invalid:5000", r": there is no host of this name\. Start the server, or name another"),
            ("localhost:5000", r" is no address of an MLflow store; expected such as .* or http://localhost:5000\."),
            ("mlruns", " is no address of an MLflow store"),
            ("http://", " is no address of an MLflow store"),
            ("http://host:port", " is no address of an MLflow store"),
        ):
            for ask in (Tracking(uri).check, lambda uri=uri: Tracking(uri).load_bundle("buyers", "champion")):
                with pytest.raises(ModelError, match=f"tracking store '?{re.escape(uri)}'?{said}"):
                    ask()


def test_a_server_that_does_not_answer_is_given_up(
    server: MlflowServer, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with gateway(server.uri, lambda request: opened.released.wait() and None) as opened:
        with pytest.raises(ModelError, match=rf"{opened.uri}: no answer within 1 s \(MLFLOW_HTTP_REQUEST_TIMEOUT\)\."):
            Tracking(opened.uri).load_card(NAME, "champion")


def test_a_server_of_http_asked_by_https_is_said(server: MlflowServer) -> None:
    with pytest.raises(ModelError, match=r"no safe connection: .* or use http:// if it speaks that"):
        Tracking(server.uri.replace("http:", "https:")).check()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(200, "<!doctype html><title>Log in</title>"), "what answers there is no MLflow server"),
        (Answer(404, "<h1>Not Found</h1>"), "what answers there is no MLflow server"),
        (Answer(503, "starting"), "the server fails: too many 503 error responses. Its own log says why"),
    ],
)
def test_what_answers_and_is_no_mlflow_server_is_told_from_one_that_fails(answer: Answer, said: str) -> None:
    with gateway("http://nobody", lambda request: answer) as opened:
        for ask in (Tracking(opened.uri).check, lambda: Tracking(opened.uri).alias("buyers", "champion")):
            with pytest.raises(ModelError, match=f"{opened.uri}: {said}"):
                ask()


def test_training_for_a_store_that_is_not_there_ends_before_it_begins(tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text(shop.RECIPE, encoding="utf-8")
    with pytest.raises(ModelError, match="there is no host of this name"):
        train(
            load_recipe(tmp_path / "shop.toml"),
            repo=tmp_path / "not even a repository",
            tracking=Tracking("http://tracking.invalid"),
        )


def test_a_database_that_is_not_there_is_said_at_once_and_without_its_password() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and does not listen
        place = f"127.0.0.1:{closed.getsockname()[1]}/mlflow"
        for uri, shown in (
            (f"postgresql+psycopg://ann:s3cret@{place}", f"postgresql+psycopg://***@{place}"),
            (f"postgresql+psycopg://{place}?user=ann&password=s3cret", f"{place}?user=ann&password=***"),
        ):
            with pytest.raises(ModelError, match=rf"{re.escape(shown)}: .*[Cc]onnection refused") as caught:
                Tracking(uri).check()
            assert "s3cret" not in str(caught.value)
            assert caught.value.__cause__ is None


def test_how_patient_mlflow_is_is_the_users_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "9")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT")
    importlib.reload(importlib.import_module("trueup.models.tracking.quiet"))
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "9"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "10"


# ------------------------------------------------------------------ refused


def logged_in_as(user: str, password: str) -> Callable[[Request], Answer | None]:
    wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def rule(request: Request) -> Answer | None:
        if request.headers.get("Authorization") == wanted:
            return None
        return Answer(401, NOT_LOGGED_IN, {"WWW-Authenticate": 'Basic realm="mlflow"'})

    return rule


@pytest.fixture
def guarded(server: MlflowServer, run_id: str) -> Iterator[Gateway]:
    with gateway(server.uri, logged_in_as("ann", "s3cret")) as opened:
        yield opened


def test_credentials_in_the_address_or_the_environment_open_it_artifacts_too(
    guarded: Gateway, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run_of().bundle.predict(ROWS).tobytes()
    tracking = Tracking(f"http://ann:s3cret@{guarded.address}")
    assert tracking.load_bundle(NAME, "champion").predict(ROWS).tobytes() == expected
    assert tracking.load_run(run_id, ["golden.parquet"]).kept == {"golden.parquet": b"gold"}
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "s3cret")
    assert Tracking(guarded.uri).load_bundle(NAME, "champion").predict(ROWS).tobytes() == expected


@pytest.mark.parametrize("who", ["", "ann:wr0ng@", "t0ken@"])
def test_wrong_credentials_are_named_as_that_and_never_shown(guarded: Gateway, run_id: str, who: str) -> None:
    tracking = Tracking(f"http://{who}{guarded.address}")
    asked: tuple[Callable[[], object], ...] = (
        tracking.check,
        lambda: tracking.alias(NAME, "champion"),
        lambda: tracking.load_bundle(NAME, "champion"),
        lambda: tracking.load_run(run_id),
        lambda: tracking.log(run_of(), finished=FINISHED),
    )
    for ask in asked:
        with pytest.raises(ModelError) as caught:
            ask()
        shown = f"http://{'***@' if who else ''}{guarded.address}"
        assert str(caught.value).startswith(f"tracking store {shown}: the server wants to know who asks")
        assert "(401). Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in str(caught.value)
        assert (caught.value.__cause__ is None) == bool(who)  # its text has the address


def test_an_address_with_credentials_is_masked_when_a_name_is_not_there_too(guarded: Gateway) -> None:
    tracking = Tracking(f"http://ann:s3cret@{guarded.address}")
    for ask in (
        lambda: tracking.load_card("nobody", 1),
        lambda: tracking.load_card(NAME, "shadow"),
        lambda: tracking.load_run("0" * 32),
        lambda: tracking.load_file(NAME, 1, "nothing"),
    ):
        with pytest.raises(ModelError, match=rf" http://\*\*\*@{guarded.address}") as caught:
            ask()
        assert "s3cret" not in str(caught.value)


def test_what_one_may_not_do_is_told_from_a_server_that_does_not_know_its_name(server: MlflowServer) -> None:
    forbidden = json.dumps({"error_code": "PERMISSION_DENIED", "message": "Permission denied"})
    with gateway(server.uri, lambda request: Answer(403, forbidden)) as opened:
        with pytest.raises(
            ModelError, match=r"does not permit this \(403\): PERMISSION_DENIED: Permission denied\. Ask"
        ):
            Tracking(opened.uri).check()

    def named_otherwise(request: Request) -> None:
        request.host = "mlflow.example.com:5000"

    with gateway(server.uri, named_otherwise) as opened:  # MLflow's own answer
        with pytest.raises(ModelError, match=r"does not take requests under this name \(403\)\. .* --allowed-hosts"):
            Tracking(opened.uri).check()


# ------------------------------------------------------------------ gone in the middle


def gone_at(number: int) -> Callable[[Request], None]:
    def rule(request: Request) -> None:
        if request.number >= number:
            raise GoneError

    return rule


def refused(opened: Gateway, ask: Callable[[], object]) -> bool:
    """Whether asking ended with the one error there is for this."""
    try:
        ask()
    except ModelError as error:
        said = str(error)
    else:
        return False
    assert re.match(rf"tracking store {opened.uri}: (no connection, or it broke|nothing listens)", said)
    return True


READING: dict[str, Callable[[Tracking, str], object]] = {
    "card": lambda tracking, _: tracking.load_card(NAME, "champion"),
    "bundle": lambda tracking, _: tracking.load_bundle(NAME, "champion").card,
    "file": lambda tracking, _: tracking.load_file(NAME, 1, "golden.parquet"),
    "digests": lambda tracking, _: tracking.file_digests(NAME, 1),
    "environment": lambda tracking, _: tracking.load_environment(NAME, 1),
    "run": lambda tracking, run_id: tracking.load_run(run_id, ["golden.parquet"]).kept,
    "reproduction": lambda tracking, run_id: tracking.load_reproduction(run_id),
    "alias": lambda tracking, _: tracking.alias(NAME, "champion"),
    "tags": lambda tracking, _: tracking.version_tags(NAME),
}


@pytest.mark.parametrize("what", READING)
def test_wherever_it_goes_while_one_reads_one_gets_all_or_that_error(
    server: MlflowServer, run_id: str, what: str
) -> None:
    read = READING[what]
    whole = read(Tracking(server.uri), run_id)
    found: list[object] = []
    for number in range(1, 60):
        with gateway(server.uri, gone_at(number)) as opened:
            said = refused(opened, lambda opened=opened: found.append(read(Tracking(opened.uri), run_id)))
        if not said:
            break
    assert found == [whole]
    assert number > opened.asked > 0  # it was there for all that was asked


def test_wherever_it_goes_while_one_writes_no_half_a_model_is_registered(server: MlflowServer, run_id: str) -> None:
    before = Tracking(server.uri).versions(NAME)
    for number in (1, 2, 3, 5, 8, 12, 16, 20, 24, 28, 60):
        with gateway(server.uri, gone_at(number)) as opened:
            tracking = Tracking(opened.uri)
            if not refused(opened, lambda t=tracking: t.register(t.log(run_of(), finished=FINISHED))):
                break
        assert Tracking(server.uri).versions(NAME) == before
    assert number > opened.asked > 16
    whole = (before[0] + 1, *before)
    assert Tracking(server.uri).versions(NAME) == whole
