"""The server started for machines that have none running."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from trueup.errors import StoreError
from trueup.stores.local_redis import LocalRedis, ensure_running, server_binary, stop_running


def _get(url: str, key: str) -> bytes | None:
    with redis.Redis.from_url(url) as client:
        value = client.get(key)
    assert value is None or isinstance(value, bytes)
    return value


def _set(url: str, key: str, value: str) -> None:
    with redis.Redis.from_url(url) as client:
        client.set(key, value)


def test_a_server_answers_inside_the_block_and_is_gone_after_it(tmp_path: Path) -> None:
    with LocalRedis(tmp_path / "with a space") as server:
        _set(server.url, "key", "value")
        assert _get(server.url, "key") == b"value"
        assert server.socket.stat().st_mode & 0o077 == 0
    assert not server.socket.exists()
    with pytest.raises(redis.ConnectionError):
        _get(server.url, "key")


@pytest.mark.parametrize(("save", "found"), [(True, b"value"), (False, None)])
def test_data_is_kept_only_when_asked(tmp_path: Path, save: bool, found: bytes | None) -> None:
    for expected in (None, found):
        with LocalRedis(tmp_path, save=save) as server:
            assert _get(server.url, "key") == expected
            _set(server.url, "key", "value")


def test_a_second_server_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    with LocalRedis(tmp_path) as server:
        with pytest.raises(StoreError, match="already runs"):
            LocalRedis(tmp_path).start()
        _set(server.url, "key", "still here")


def test_a_path_too_long_for_a_socket_gets_a_short_private_one_that_is_cleaned(tmp_path: Path) -> None:
    with LocalRedis(tmp_path / ("long" * 40)) as server:
        assert server.socket.parent.stat().st_mode & 0o777 == 0o700
        _set(server.url, "key", "value")
    assert not server.socket.parent.exists()


def test_somebody_elses_directory_never_holds_the_socket(tmp_path: Path) -> None:
    server = LocalRedis(tmp_path / ("long" * 40))
    server.socket.parent.mkdir()
    server.socket.parent.chmod(0o755)
    try:
        with pytest.raises(StoreError, match="not a private directory"):
            server.start()
    finally:
        server.socket.parent.rmdir()


def test_a_detached_server_is_found_again_keeps_its_data_and_stops(tmp_path: Path) -> None:
    try:
        url = ensure_running(tmp_path)
        _set(url, "key", "value")
        assert ensure_running(tmp_path) == url
        assert stop_running(tmp_path)
        assert not stop_running(tmp_path)
        assert _get(ensure_running(tmp_path), "key") == b"value"
    finally:
        stop_running(tmp_path)


def test_processes_that_race_to_start_end_with_one_server(tmp_path: Path) -> None:
    code = (
        "import sys, redis; from pathlib import Path; from trueup.stores.local_redis import ensure_running\n"
        "client = redis.Redis.from_url(ensure_running(Path(sys.argv[1])))\n"
        "print(client.info('server')['process_id']); client.close()"
    )
    try:
        racers = [
            subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
            for _ in range(4)
        ]
        assert len({racer.communicate()[0] for racer in racers}) == 1
        assert [racer.returncode for racer in racers] == [0] * 4
    finally:
        stop_running(tmp_path)


def test_stopping_where_nothing_ever_ran_writes_nothing(tmp_path: Path) -> None:
    assert not stop_running(tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_a_server_left_behind_by_a_crash_does_not_stand_in_the_way(tmp_path: Path) -> None:
    first = LocalRedis(tmp_path)
    first.start()
    assert first._process is not None
    first._process.kill()
    first._process.wait()
    assert first.socket.exists()
    with LocalRedis(tmp_path) as server:
        _set(server.url, "key", "value")
    first.stop()


def test_the_binary_named_by_the_environment_comes_first_then_the_path_then_the_wheel(tmp_path: Path) -> None:
    named, on_path = tmp_path / "mine", tmp_path / "bin" / "redis-server"
    on_path.parent.mkdir()
    for program in (named, on_path):
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    everything = {"REDIS_SERVER": str(named), "PATH": str(on_path.parent)}
    assert server_binary(everything) == named
    assert server_binary({"PATH": everything["PATH"]}) == on_path
    assert server_binary({"PATH": str(tmp_path)}).name == "valkey-server"
    with pytest.raises(StoreError, match="REDIS_SERVER"):
        server_binary({"REDIS_SERVER": str(tmp_path / "nothing")})


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "redis.rdb").write_bytes(b"not a dump")
    with pytest.raises(StoreError, match=r"did not start: it exited.*redis\.log"):
        LocalRedis(tmp_path).start()
    with pytest.raises(StoreError, match=r"did not start: it exited.*redis\.log"):
        ensure_running(tmp_path)


def test_a_program_that_is_no_server_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="did not start"):
        ensure_running(tmp_path, env={"REDIS_SERVER": sys.executable, "PATH": os.environ["PATH"]})
