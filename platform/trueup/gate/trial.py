"""A server really started with one model version, asked about rows of its holdout, and stopped: what came of it."""

from __future__ import annotations

import base64
import http.client
import json
import math
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from trueup.contracts.contract import FeatureContract
from trueup.datasets.spec import INSTANT
from trueup.datasets.training_set import TrainingSet
from trueup.errors import InputError, StoreError
from trueup.eventlog.reader import find_logs, read_log
from trueup.eventlog.records import PREDICTION, REQUEST_ID, ROW, input_fields
from trueup.gate.facts import TrialFacts
from trueup.gate.server_process import HOST, ServerError, model_server
from trueup.instants import format_instant
from trueup.models.bundle import Bundle
from trueup.models.tracking import Registered

WARM_UP = 20
"""Requests of one row that are sent before latency counts: the first ones load what a server loads once."""
MANY = 50
"""Rows of a request of many."""
CONNECTIONS = 4
"""Requests of many rows at a time."""
_UNIT = "trueup_gate_row"
_TIMEOUT_SECONDS = 30.0

Answers = dict[tuple[str, int], float]
"""(request, row) -> prediction."""


@dataclass(frozen=True)
class _Request:
    """rows: as JSON. instant: what the features are read as of."""

    id: str
    rows: tuple[Mapping[str, Any], ...]
    instant: datetime


@dataclass(frozen=True)
class _Answer:
    """problem: what came instead, a sentence; None when it was answered."""

    request: _Request
    milliseconds: float
    predictions: tuple[float, ...] = ()
    problem: str | None = None


def try_serving(
    candidate: Registered, bundle: Bundle, data: TrainingSet, *, repo: Path, tracking_uri: str, requests: int
) -> TrialFacts:
    """Starts `trueup serve` with this version alone, on the repository's online store, which is only read.

    data: whose holdout is asked about, each row as of its own instant. requests: of one row; as many rows again are
    asked about in requests of many. The server's log is its own, and is gone afterwards.

    Raises InputError for a holdout without rows, StoreError when the server is not ready or does not stop in order.
    """
    sent = _requests(bundle.card.contract, data, requests)
    with tempfile.TemporaryDirectory(prefix="trueup-gate-") as folder:
        scratch = Path(folder)
        config = scratch / "serving.toml"
        config.write_text(_settings(candidate, repo, tracking_uri, scratch / "log"), encoding="utf-8")
        try:
            with model_server(config, scratch / "server.txt", {}) as port:
                answers = list(_ask(port, sent))
        except ServerError as error:
            if error.refused:
                return TrialFacts(refused=error.said)
            raise StoreError(f"a server with it could not be tried: {error.said}") from error
        return _facts(answers, bundle, scratch / "log")


def _requests(contract: FeatureContract, data: TrainingSet, count: int) -> tuple[list[_Request], list[_Request]]:
    """Of one row, warm-up first; and of many. Rows are taken evenly from the whole holdout."""
    if not (held := data.counts.holdout):
        raise InputError("holdout", "the snapshot has no holdout rows to ask about.")
    at = data.counts.train + np.linspace(0, held - 1, num=min(count, held)).astype(int)
    rows = data.rows.take(pa.array(at))
    names = [item.name for item in input_fields(contract)]
    entities = [{**row, _UNIT: f"row-{at}"} for at, row in enumerate(json_rows(rows.select(names)))]
    instants: list[datetime] = rows.column(INSTANT).to_pylist()
    single = [
        _Request(f"one-{number}", (entities[number % len(entities)],), instants[number % len(entities)])
        for number in range(WARM_UP + count)
    ]
    many = [
        _Request(f"many-{first}", tuple(entities[first : first + MANY]), instants[first])
        for first in range(0, len(entities), MANY)
    ]
    return single, many


def json_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Rows as a request brings them."""
    return [{name: _json(value) for name, value in row.items()} for row in table.to_pylist()]


def _json(value: Any) -> Any:
    if isinstance(value, datetime):
        return format_instant(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        return None  # no JSON can bring it
    return value


def _settings(candidate: Registered, repo: Path, tracking_uri: str, log: Path) -> str:
    """TOML. Strings are written as JSON has them, which TOML reads alike."""

    def quoted(value: object) -> str:
        return json.dumps(str(value), ensure_ascii=False)

    return f"""\
repo = {quoted(repo.resolve())}
tracking_uri = {quoted(tracking_uri)}
log_dir = {quoted(log)}
clock = "request"
alias_poll_seconds = 0
environment_check = "off"
allow_unverified = true
[experiment]
name = "gate"
unit = "{_UNIT}"
salt = "gate"
[[experiment.variants]]
name = "candidate"
model = {quoted(candidate.name)}
alias = "{candidate.version}"
weight = 1
"""


def _ask(port: int, sent: tuple[Sequence[_Request], Sequence[_Request]]) -> Iterator[_Answer]:
    single, many = sent
    connection = http.client.HTTPConnection(HOST, port, timeout=_TIMEOUT_SECONDS)
    try:
        for request in single:
            yield _ask_one(connection, request)
    finally:
        connection.close()
    with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="gate") as pool:
        yield from pool.map(lambda request: _ask_alone(port, request), many)


def _ask_alone(port: int, request: _Request) -> _Answer:
    connection = http.client.HTTPConnection(HOST, port, timeout=_TIMEOUT_SECONDS)
    try:
        return _ask_one(connection, request)
    finally:
        connection.close()


def _ask_one(connection: http.client.HTTPConnection, request: _Request) -> _Answer:
    body = json.dumps({"entities": request.rows, "request_id": request.id})
    headers = {"Content-Type": "application/json", "X-Trueup-Now": format_instant(request.instant)}
    started = time.perf_counter()
    try:
        connection.request("POST", "/v1/predict", body, headers)
        response = connection.getresponse()
        status, content = response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()  # it opens again for the next request
        return _Answer(request, _since(started), problem=f"no answer, {type(error).__name__}: {error}")
    took = _since(started)
    if status != http.HTTPStatus.OK:
        return _Answer(request, took, problem=f"status {status}: {_said(content)}")
    predictions = tuple(item["prediction"] for item in json.loads(content)["predictions"])
    return _Answer(request, took, predictions)


def _said(content: bytes) -> str:
    """The reason in a problem document (RFC 9457), or the beginning of what came instead of one."""
    try:
        problem = json.loads(content)
        return str(next((item["message"] for item in problem.get("errors", ())), problem["detail"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return content[:200].decode(errors="replace")


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000


def _facts(answers: Sequence[_Answer], bundle: Bundle, log: Path) -> TrialFacts:
    given: Answers = {
        (answer.request.id, row): prediction for answer in answers for row, prediction in enumerate(answer.predictions)
    }
    logged, again, known = _logged(log, bundle)
    differing = sum(
        key in logged and not value.hex() == logged[key].hex() == again[key].hex() for key, value in given.items()
    )
    return TrialFacts(
        requests=len(answers),
        rows=sum(len(answer.request.rows) for answer in answers),
        failed=tuple(answer.problem for answer in answers if answer.problem is not None),
        answered=len(given),
        differing=differing,
        unlogged=sum(key not in logged for key in given),
        known=known,
        milliseconds=tuple(
            answer.milliseconds
            for answer in answers[WARM_UP:]
            if answer.problem is None and len(answer.request.rows) == 1
        ),
    )


def _logged(log: Path, bundle: Bundle) -> tuple[Answers, Answers, dict[str, int]]:
    """The predictions in the server's log, those of the kept model from the features in it, and each view's rows that
    the online store knew."""
    logged: Answers = {}
    again: Answers = {}
    known = dict.fromkeys((view.name for view in bundle.card.contract.views), 0)
    for directory in find_logs(log):
        served = read_log(directory)
        if not served.num_rows:
            continue
        keys = list(zip(served.table.column(REQUEST_ID).to_pylist(), served.table.column(ROW).to_pylist(), strict=True))
        logged |= dict(zip(keys, served.table.column(PREDICTION).to_pylist(), strict=True))
        again |= dict(zip(keys, bundle.predict(served.frame).tolist(), strict=True))
        for view in known:
            times = served.frame.event_timestamps.column(view)  # null where the store has no row, and only there
            known[view] += len(times) - times.null_count
    return logged, again, known
