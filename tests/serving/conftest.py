"""A world built once a session, and servers over real HTTP on free ports."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from tests.serving import world as worlds
from tests.serving.world import NOON, World

from trueup.contracts.contract import FeatureContract
from trueup.eventlog.layout import log_directory
from trueup.eventlog.reader import read_log
from trueup.instants import format_instant
from trueup.stores.local_redis import LocalRedis
from trueup_serving.app import create_app
from trueup_serving.config import ServingConfig, load_config
from trueup_serving.service import Service

PATIENCE_SECONDS = 60.0
REPLAY = {"X-Trueup-Now": format_instant(NOON)}
AB = (("honest", "honest", 50), ("leaky", "leaky", 50))


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRedis]:
    with LocalRedis(Path(tmp_path_factory.mktemp("redis"))) as server:
        yield server


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, redis_server: LocalRedis) -> World:
    """Shared by all tests: nobody may change it. `worlds.copy` makes one that may be changed."""
    return worlds.build(tmp_path_factory.mktemp("world"), redis_server.url)


def settings(world: World, log_dir: Path, variants: Any = AB, **changes: Any) -> ServingConfig:
    path = log_dir.parent / f"{log_dir.name}.toml"
    path.write_text(worlds.config_text(world, log_dir, variants, **changes), encoding="utf-8")
    return load_config(path, env={})


def until(condition: Callable[[], bool], what: str) -> None:
    """Returns when the condition holds; an error when it does not in time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"in {PATIENCE_SECONDS:.0f} s: not {what}"
        time.sleep(0.02)


class Server(uvicorn.Server):
    """Says when it answers, and on which port."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(uvicorn.Config(app, host="127.0.0.1", port=0, lifespan="on", log_level="warning"))
        self.up = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.up.set()

    @property
    def url(self) -> str:
        host, port = self.servers[0].sockets[0].getsockname()
        return f"http://{host}:{port}"


@dataclass(frozen=True)
class Live:
    """A running server: its client, and the service inside it."""

    http: httpx.Client
    service: Service

    def predict(self, entities: list[dict[str, Any]], **body: Any) -> httpx.Response:
        return self.http.post("/v1/predict", json={"entities": entities, **body})

    def features(self, entities: list[dict[str, Any]], **body: Any) -> httpx.Response:
        return self.http.post("/v1/features", json={"entities": entities, **body})

    def logged(self, contract: FeatureContract) -> list[dict[str, Any]]:
        """What the log holds of a contract, in the order of `read_log`."""
        self.service.log.flush()
        rows: list[dict[str, Any]] = read_log(log_directory(self.service.log.root, contract)).table.to_pylist()
        return rows

    def metric(self, name: str, **labels: str) -> float:
        """One sample of /metrics."""
        found = self.samples(name)
        for having, value in found:
            if having == labels:
                return value
        raise AssertionError(f"/metrics has no {name} {labels}")

    def samples(self, name: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each sample of a metric."""
        families = text_string_to_metric_families(self.http.get("/metrics").text)
        return [(each.labels, each.value) for family in families for each in family.samples if each.name == name]

    def versions(self) -> dict[str, str]:
        """Variant -> the version that is served; asked of the event loop, which no request keeps busy."""
        return {labels["variant"]: labels["version"] for labels, _ in self.samples("trueup_model_info")}


@contextmanager
def serving(app: FastAPI, *, headers: Mapping[str, str] = REPLAY) -> Iterator[Live]:
    """The app over real HTTP; stopped gracefully at the end of the block."""
    server = Server(app)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        server.up.wait()
        with httpx.Client(base_url=server.url, headers=dict(headers), timeout=60) as client:
            yield Live(client, app.state.service)
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def own_redis(world: World, tmp_path: Path) -> Iterator[tuple[World, LocalRedis]]:
    """The world on a Redis that may be stopped."""
    server = LocalRedis(tmp_path / "redis")
    server.start()
    mine = worlds.copy(world, tmp_path)
    path = mine.repo / "feature_store.yaml"
    shared = path.read_text().partition("connection_string: ")
    path.write_text(f"{shared[0]}connection_string: {server.url!r}}}\n")
    worlds.fill(mine.store)
    try:
        yield mine, server
    finally:
        server.stop()


Serve = Callable[..., Live]


@pytest.fixture
def serve(world: World, tmp_path: Path) -> Iterator[Serve]:
    """`serve(variants, ...settings)` starts a server that logs to `tmp_path / "log"`; all stop with the test."""
    with ExitStack() as running:

        def start(variants: Any = AB, *, headers: Mapping[str, str] = REPLAY, **changes: Any) -> Live:
            config = settings(changes.pop("world", world), tmp_path / "log", variants, **changes)
            return running.enter_context(serving(create_app(config), headers=headers))

        yield start


@pytest.fixture(scope="module")
def server(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """One server for the tests that only ask."""
    log_dir = tmp_path_factory.mktemp("shared") / "log"
    with serving(create_app(settings(world, log_dir, limits={"max_rows": 50, "max_body_bytes": 20_000}))) as live:
        yield live
