"""Model servers, asked over HTTP: how they stand, and for predictions. The only file that asks them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import requests

from trueup.errors import InputError, UnavailableError
from trueup.instants import format_instant
from trueup.models.tracking import Registered
from trueup.rollout.facts import Answers, Standing

TIMEOUT_SECONDS = 30.0
POLL_SECONDS = 0.2
REQUEST_ID = "trueup-verify-"
"""How the ids of the requests begin: whoever reads the log can tell them from everybody else's."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for what servers do by themselves. ticks: monotonic seconds. sleep: waits so many."""

    seconds: float
    ticks: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class ModelServer:
    """One server, by its address. Use it as a context manager: its connection stays open."""

    def __init__(self, url: str) -> None:
        """Raises InputError for what is no http(s) address."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(
                "server", f"server: {url!r} is no address.", hint="Name one such as http://127.0.0.1:8080."
            )
        self.url = url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy of the environment is not the way to one's own servers

    def __enter__(self) -> ModelServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def ready(self) -> Mapping[str, Any]:
        """What /readyz says, whatever its status. Raises UnavailableError when that is not a server's answer."""
        try:
            answer = self._session.get(f"{self.url}/readyz", timeout=TIMEOUT_SECONDS)
            said = answer.json()
        except requests.RequestException as error:  # also of what is not JSON
            raise UnavailableError(f"it does not answer ({type(error).__name__}).") from error
        if not isinstance(said, dict) or not {"status", "variants", "log", "serving", "online_store"} <= said.keys():
            raise UnavailableError(f"/readyz answered {answer.status_code}, and not as trueup's server does.")
        return said

    def predict(self, entity: Mapping[str, Any], request_id: str, at: datetime | None) -> Mapping[str, Any]:
        """The prediction of one row. at: of a server whose clock is the request. Raises UnavailableError."""
        headers = {} if at is None else {"X-Trueup-Now": format_instant(at)}
        body: dict[str, Any] = {"entities": [dict(entity)], "request_id": request_id}
        try:
            answer = self._session.post(f"{self.url}/v1/predict", json=body, headers=headers, timeout=TIMEOUT_SECONDS)
            said = answer.json()
        except requests.RequestException as error:
            raise UnavailableError(f"no answer ({type(error).__name__})") from error
        if answer.status_code != HTTPStatus.OK:
            raise UnavailableError(f"status {answer.status_code}: {_problem(said)}")
        prediction: Mapping[str, Any] = said["predictions"][0]
        return prediction


def follow(server: ModelServer, candidate: Registered, alias: str, patience: Patience) -> Standing:
    """Asks until the server serves the version under the alias and is ready, or patience ends."""
    started = patience.ticks()
    while True:
        standing = _standing(server, candidate, alias, patience.ticks() - started)
        if standing.problem is None or patience.ticks() - started >= patience.seconds:
            return standing
        patience.sleep(POLL_SECONDS)


def ask(
    servers: Sequence[ModelServer], entities: Sequence[Mapping[str, Any]], name: str, at: datetime | None
) -> Answers:
    """One request for each entity, one after the other, the servers taking turns. name: ends the requests' ids."""
    failed: list[str] = []
    milliseconds: list[float] = []
    by_model: Counter[str] = Counter()
    for number, entity in enumerate(entities):
        server = servers[number % len(servers)]
        started = time.perf_counter()
        try:
            prediction = server.predict(entity, f"{REQUEST_ID}{name}-{number}", at)
        except UnavailableError as error:
            failed.append(error.message)
            continue
        milliseconds.append((time.perf_counter() - started) * 1000)
        by_model[f"{prediction['model']}@{prediction['model_version']}"] += 1
        if prediction["fallback"]:
            failed.append("answered without a feature: its online store was not read")
    return Answers(len(entities), tuple(failed), by_model, tuple(milliseconds))


def wait_for_log(server: ModelServer, patience: Patience) -> str | None:
    """Until every row that the server has taken by now is in its log, or lost. Why it is not; None when it is.

    Other requests go on meanwhile: rows that come later are not waited for.
    """
    started = patience.ticks()
    wanted: int | None = None
    while True:
        try:
            log = server.ready()["log"]
        except UnavailableError as error:
            return error.message
        ended = log["written"] + log["dropped"] + log["failed"]
        wanted = ended + log["queued"] if wanted is None else wanted
        if ended >= wanted:
            return None
        if patience.ticks() - started >= patience.seconds:
            why = f": {log['error']}" if log["error"] else ""
            return f"{wanted - ended:,} rows are not in its log after {patience.seconds:g} s{why}."
        patience.sleep(POLL_SECONDS)


def _standing(server: ModelServer, candidate: Registered, alias: str, seconds: float) -> Standing:
    try:
        said = server.ready()
    except UnavailableError as error:
        return Standing(server.url, error.message)
    mine = [each for each in said["variants"] if (each["model"], each["alias"]) == (candidate.name, alias)]
    return Standing(
        url=server.url,
        problem=_why_not(said, mine, candidate),
        followed=tuple(each["name"] for each in mine if each["version"] == str(candidate.version)),
        answers=any(each["weight"] > 0 for each in mine),
        seconds=seconds,
        clock=said["serving"]["settings"]["clock"],
    )


def _why_not(said: Mapping[str, Any], mine: Sequence[Mapping[str, Any]], candidate: Registered) -> str | None:
    for each in mine:
        if each["problem"] is not None:
            return f"variant {each['name']}: {each['problem']}"
        if each["version"] != str(candidate.version):
            return f"variant {each['name']} is {each['model']}@{each['version']} still."
    if said["status"] == "ready":
        return None
    others = (f"variant {each['name']}: {each['problem']}" for each in said["variants"] if each["problem"] is not None)
    log = f"its log fails: {said['log']['error']}" if said["log"]["error"] else None
    store = None if said["online_store"] == "reachable" else f"its online store: {said['online_store']}"
    return f"{said['status']}; {store or log or next(others, 'it does not say why')}"


def _problem(said: Any) -> str:
    """The reason in a problem document (RFC 9457)."""
    if not isinstance(said, dict):
        return "no problem document"
    errors = said.get("errors") or [{}]
    field, message = errors[0].get("field"), errors[0].get("message")
    return f"{field}: {message}" if message else str(said.get("detail", "it does not say why"))
