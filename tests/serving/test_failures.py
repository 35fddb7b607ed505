"""What the server does while something it stands on fails: it answers what it can, and says what it cannot."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tests.serving import world as worlds
from tests.serving.conftest import Serve, serving, settings, until
from tests.serving.test_bad_requests import problem
from tests.serving.world import NOON, World, entity

from trueup.errors import UnavailableError
from trueup.eventlog.layout import log_directory
from trueup.eventlog.writer import LogLimits, LogWriter, write_parquet
from trueup.frame import Status
from trueup.stores.local_redis import LocalRedis
from trueup_serving.app import app_of, create_app
from trueup_serving.loading import load_service


def test_without_redis_requests_get_a_503_until_it_is_back(serve: Serve, own_redis: tuple[World, LocalRedis]) -> None:
    mine, redis = own_redis
    live = serve(world=mine)
    live.predict([entity()]).raise_for_status()
    redis.stop()
    for response in (live.predict([entity()], request_id="mine"), live.features([entity()], request_id="mine")):
        body = problem(response, 503, "online-store-unavailable")
        assert body.request_id == "mine"
        assert response.headers["Retry-After"] == "1"
        assert str(redis.socket) not in response.text  # where it stands is not the client's business
    ready = live.http.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
    assert str(redis.socket) in ready.json()["online_store"]
    assert live.http.get("/healthz").status_code == 200
    assert live.metric("trueup_requests_total", route="/v1/predict", code="503") == 1
    problem(live.predict([{}]), 422)  # a client's mistake is still its own

    redis.start()
    worlds.fill(mine.store)
    assert live.http.get("/readyz").status_code == 200
    live.predict([entity()], request_id="back").raise_for_status()
    logged = [row["__request_id"] for row in live.logged(mine.contracts["both_v1"])]
    assert logged.count("back") == 2
    assert "mine" not in logged


def test_a_redis_that_does_not_answer_is_given_up_in_time(serve: Serve, own_redis: tuple[World, LocalRedis]) -> None:
    import os
    import signal

    mine, redis = own_redis
    live = serve(world=mine, online_timeout_seconds=0.05)
    assert redis._process is not None
    os.kill(redis._process.pid, signal.SIGSTOP)
    try:
        problem(live.predict([entity()]), 503, "online-store-unavailable")
        assert live.http.get("/healthz").status_code == 200
    finally:
        os.kill(redis._process.pid, signal.SIGCONT)
    live.predict([entity()]).raise_for_status()


def test_requests_that_waited_behind_a_read_that_was_given_up_wait_no_time_of_their_own(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = load_service(settings(world, tmp_path / "log"))
    asked = []

    def away(*_: object) -> None:
        asked.append(1)
        raise UnavailableError("no answer in time")

    (reader,) = service.readers.values()
    monkeypatch.setattr(reader, "read", away)
    monkeypatch.setattr(service, "_ticks", lambda: 100.0)  # when the first read is given up
    for arrived, so_far in ((90.0, 1), (99.0, 1), (100.0, 2), (101.0, 3)):
        with pytest.raises(UnavailableError, match="no answer in time"):
            service.predict([entity()], "r", NOON, arrived=arrived)
        assert len(asked) == so_far


def test_more_requests_at_once_than_the_limit_are_refused_and_health_is_not(
    serve: Serve, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = serve(limits={"concurrency": 2})
    (reader,) = live.service.readers.values()
    begun, go_on = threading.Event(), threading.Event()
    read = reader.read

    def slow(*asked: Any) -> Any:
        begun.set()
        go_on.wait()
        return read(*asked)

    monkeypatch.setattr(reader, "read", slow)
    with ThreadPoolExecutor(8) as clients:
        asking = [clients.submit(live.predict, [entity(number)], request_id=f"r-{number}") for number in range(8)]
        begun.wait()
        until(lambda: live.metric("trueup_overloaded_requests_total") == 6, "six refused")
        assert live.http.get("/healthz").status_code == 200
        refused = live.features([entity()], request_id="mine")
        problem(refused, 503, "overloaded")
        assert refused.headers["Retry-After"] == "1"
        go_on.set()
        codes = sorted(each.result().status_code for each in asking)
    assert codes == [200] * 2 + [503] * 6
    live.predict([entity()]).raise_for_status()  # there is room again
    logged = {row["__request_id"] for row in live.logged(world.contracts["both_v1"])}
    assert len(logged) == 3


def test_a_fallback_answers_without_features_and_everything_says_so(
    serve: Serve, own_redis: tuple[World, LocalRedis]
) -> None:
    mine, redis = own_redis
    live = serve(world=mine, fallback="missing")
    redis.stop()
    (away,) = live.predict([entity()], request_id="away").json()["predictions"]
    redis.start()
    worlds.fill(mine.store)
    (back,) = live.predict([entity()], request_id="back").json()["predictions"]
    (unknown,) = live.predict([entity(tailnum=None, dest=None)], request_id="unknown").json()["predictions"]
    assert [item["fallback"] for item in (away, back, unknown)] == [True, False, False]
    assert away["prediction"] == unknown["prediction"] != back["prediction"]

    rows = live.logged(mine.contracts["both_v1"])
    assert {(row["__request_id"], row["__fallback"]) for row in rows} == {
        ("away", True),
        ("back", False),
        ("unknown", False),
    }
    for row in (row for row in rows if row["__request_id"] == "away"):
        assert {row[f"{name}__status"] for name in ("plane__seats", "plane__maker", "route__flights")} == {
            Status.MISSING
        }
        assert row["tailnum"] == "FRESH"
        assert (row["clock__hour"], row["clock__hour__status"]) == (12, Status.PRESENT)  # of the request alone
    variant = away["variant"]
    assert live.metric("trueup_fallback_rows_total", experiment="ab", variant=variant) == 1


def test_with_a_fallback_a_server_without_redis_is_degraded_and_only_features_are_refused(
    serve: Serve, own_redis: tuple[World, LocalRedis]
) -> None:
    mine, redis = own_redis
    live = serve(world=mine, fallback="missing")
    redis.stop()
    ready = live.http.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    assert str(redis.socket) in ready.json()["online_store"]
    problem(live.features([entity()]), 503, "online-store-unavailable")
    problem(live.predict([entity(sched=10**15)]), 422, "on-demand-failed")


def test_a_fallback_hides_no_defect_of_the_store(serve: Serve, own_redis: tuple[World, LocalRedis]) -> None:
    """What answers nonsense is not away: predicted without features, nobody would look for it."""
    import redis as redis_client

    mine, redis = own_redis
    live = serve(world=mine, fallback="missing")
    with redis_client.Redis.from_url(redis.url) as client:
        for key in client.keys("*"):
            client.delete(key)
            client.set(key, "no hash")
    problem(live.predict([entity()]), 503, "online-store-unavailable")


def test_a_log_that_cannot_keep_up_drops_and_counts_and_no_request_waits(world: World, tmp_path: Path) -> None:
    begun, opened = threading.Event(), threading.Event()

    def write(table: pa.Table, path: Path) -> None:
        begun.set()
        opened.wait()
        write_parquet(table, path)

    config = settings(world, tmp_path / "log")
    service = load_service(config)
    service.log = LogWriter(config.log_dir, [world.contracts["both_v1"]], LogLimits(4, 1, 3600.0), write=write)
    with serving(app_of(service, config)) as live:
        live.predict([entity(0)], request_id="in-hand").raise_for_status()
        begun.wait()
        live.predict([entity(1)], request_id="waits").raise_for_status()
        for number in range(5):
            live.predict([entity(number)], request_id="dropped").raise_for_status()
        assert live.metric("trueup_log_rows_total", outcome="dropped") == 10
        assert live.metric("trueup_log_queue_rows") == 4
        assert live.http.get("/readyz").json()["log"]["dropped"] == 10
        opened.set()
        logged = [row["__request_id"] for row in live.logged(world.contracts["both_v1"])]
        assert sorted(logged) == ["in-hand", "in-hand", "waits", "waits"]
        assert live.metric("trueup_log_queue_rows") == 0


def test_a_log_that_cannot_be_written_stops_no_answer_and_readyz_tells(serve: Serve, world: World) -> None:
    live = serve()
    directory = log_directory(live.service.log.root, world.contracts["both_v1"])
    live.predict([entity()], request_id="kept").raise_for_status()
    live.service.log.flush()
    shutil.move(directory, directory.with_name("away"))
    directory.write_text("in the way")
    live.predict([entity()], request_id="lost").raise_for_status()
    live.service.log.flush()

    ready = live.http.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    assert (ready.json()["log"]["failed"], ready.json()["log"]["healthy"]) == (2, False)
    assert "date=2013-11-01" in ready.json()["log"]["error"]
    assert live.metric("trueup_log_rows_total", outcome="failed") == 2
    assert live.metric("trueup_log_healthy") == 0
    live.predict([entity()]).raise_for_status()

    live.service.log.flush()
    directory.unlink()
    shutil.move(directory.with_name("away"), directory)
    live.predict([entity()], request_id="again").raise_for_status()
    live.service.log.flush()
    assert live.http.get("/readyz").json()["status"] == "ready"
    assert {row["__request_id"] for row in live.logged(world.contracts["both_v1"])} == {"kept", "again"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here (it takes root): {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def _fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_a_full_disk_loses_rows_and_counts_them_and_no_answer(small_disk: Path, world: World) -> None:
    config = settings(world, small_disk / "log")
    with serving(create_app(config)) as live:
        live.predict([entity()], request_id="kept").raise_for_status()
        live.service.log.flush()
        filler = small_disk / "filler"
        _fill(filler)
        live.predict([entity()], request_id="lost").raise_for_status()
        live.service.log.flush()
        ready = live.http.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert "No space left on device" in ready.json()["log"]["error"]
        assert live.metric("trueup_log_rows_total", outcome="failed") == 2
        assert live.metric("trueup_log_healthy") == 0

        filler.unlink()
        live.predict([entity()], request_id="again").raise_for_status()
        live.service.log.flush()
        assert live.http.get("/readyz").json()["status"] == "ready"
        # What could not be written whole is not there in part.
        logged = {row["__request_id"] for row in live.logged(world.contracts["both_v1"])}
    assert logged == {"kept", "again"}


class Nonsense:
    """A model that predicts NaN of a plane that flies, and passes the check at the start."""

    classes_ = np.array([0, 1])

    def predict_proba(self, X: pd.DataFrame, /) -> np.ndarray:  # noqa: N803
        known = X["plane__speed"].notna().to_numpy()
        return np.column_stack([np.where(known, np.nan, 0.5)] * 2)


def test_a_model_that_predicts_no_number_is_the_servers_defect_and_is_not_logged(world: World, tmp_path: Path) -> None:
    config = settings(world, tmp_path / "log")
    service = load_service(config)
    honest = service.models["honest"]
    object.__setattr__(honest.bundle, "estimator", Nonsense())
    with serving(app_of(service, config)) as live:
        body = problem(live.predict([entity()]), 500, "defect")
        assert body.request_id
        assert live.metric("trueup_requests_total", route="/v1/predict", code="500") == 1
        live.predict([entity(tailnum="unknown")]).raise_for_status()
        assert len(live.logged(world.contracts["both_v1"])) == 2
