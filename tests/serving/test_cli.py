"""`trueup serve` as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from tests.serving import world as worlds
from tests.serving.conftest import AB, REPLAY
from tests.serving.world import World, entity

from trueup.eventlog.layout import log_directory
from trueup.eventlog.reader import read_log

COMMAND = [sys.executable, "-m", "trueup", "serve"]


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}


def _config(world: World, tmp_path: Path, **changes: object) -> Path:
    path = tmp_path / "serving.toml"
    path.write_text(worlds.config_text(world, tmp_path / "log", AB, **changes), encoding="utf-8")
    return path


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_process_serves_and_a_stop_writes_its_log_to_the_end(
    world: World, tmp_path: Path, stop: signal.Signals
) -> None:
    config = _config(world, tmp_path, log={"batch_seconds": 3600.0})
    socket = tmp_path / "s"
    command = [*COMMAND, "--config", str(config), "--uds", str(socket)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=_environment()) as process:
        try:
            assert process.stderr is not None
            printed = []
            for line in process.stderr:  # until it listens, or ends
                printed.append(line)
                if "Uvicorn running" in line:
                    break
            with httpx.Client(
                transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://x", timeout=60
            ) as client:
                assert client.get("/readyz").json()["status"] == "ready", printed
                for number in range(5):
                    body = {"entities": [entity(number)], "request_id": f"r-{number}"}
                    client.post("/v1/predict", json=body, headers=REPLAY).raise_for_status()
                assert client.get("/readyz").json()["log"]["written"] == 0
            process.send_signal(stop)
            rest = process.stderr.read()
            assert process.wait() == 0, rest
        finally:
            process.kill()
    assert "Traceback" not in rest
    assert "leaked" not in rest
    logged = read_log(log_directory(tmp_path / "log", world.contracts["both_v1"])).table
    assert logged.num_rows == 10


def test_a_server_that_cannot_start_says_why_in_one_message_and_exits_with_2(world: World, tmp_path: Path) -> None:
    changed = worlds.copy(world, tmp_path)
    worlds.define(changed.store, hours=12)
    config = _config(changed, tmp_path)
    done = subprocess.run([*COMMAND, "--config", str(config)], capture_output=True, text=True, env=_environment())
    assert done.returncode == 2
    assert "honest@1" in done.stderr
    assert "on_demand clock" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_of_another_environment_is_refused_by_one_message_and_exit_code_2(world: World, tmp_path: Path) -> None:
    config = _config(world, tmp_path, environment_check="refuse")
    changed = {**_environment(), "MKL_CBWR": "AVX2", "OMP_NUM_THREADS": "3"}
    done = subprocess.run([*COMMAND, "--config", str(config)], capture_output=True, text=True, env=changed)
    assert done.returncode == 2
    assert "honest@1: " in done.stderr
    assert "openmp libgomp threads: 1 -> 3" in done.stderr
    assert "MKL_CBWR: none -> AVX2" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_log_that_cannot_be_written_ends_the_process_with_2(world: World, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("in the way")
    command = [*COMMAND, "--config", str(_config(world, tmp_path)), "--uds", str(tmp_path / "s")]
    done = subprocess.run(command, capture_output=True, text=True, env=_environment())
    assert done.returncode == 2
    assert "the event log cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_gate_key_the_process_does_not_start_unless_it_is_told_to(world: World, tmp_path: Path) -> None:
    config = _config(world, tmp_path, allow_unverified=False)
    command = [*COMMAND, "--config", str(config), "--uds", str(tmp_path / "s")]
    done = subprocess.run(command, capture_output=True, text=True, env=_environment())
    assert done.returncode == 2
    assert "no gate key is set" in done.stderr
    assert "--allow-unverified" in done.stderr
    assert "Traceback" not in done.stderr
