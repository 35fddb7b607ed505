"""Connection strings, and errors that say what to set and never show a password."""

from __future__ import annotations

import asyncio
import socket
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from trueup.errors import StoreError
from trueup.stores.local_redis import LocalRedis, stop_running
from trueup.stores.redis_connection import connect, connect_async, is_local, local_directory, resolve, store_errors

SECRET = "s3cr/et#?,=pass"


@pytest.fixture(scope="module")
def guarded_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that asks for the password `12e3`."""
    with LocalRedis(Path(tmp_path_factory.mktemp("guarded"))) as server:
        with redis.Redis.from_url(server.url) as client:
            client.config_set("requirepass", "12e3")
            yield server.url
            client.config_set("requirepass", "")


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost:6380", {"host": "localhost", "port": 6380}),
        ("localhost", {"host": "localhost", "port": 6379}),
        ("h:1,db=3,password=123,socket_timeout=2.5", {"port": 1, "db": 3, "password": "123", "socket_timeout": 2.5}),
        ("h:1,password=a=b", {"password": "a=b"}),
        ('h:1,password="quoted"', {"password": "quoted"}),
        ("h:1,username=null,password=true", {"username": "null", "password": "true"}),
        ("redis://user:p%2Fw@h:7/2", {"host": "h", "port": 7, "db": 2, "username": "user", "password": "p/w"}),
        ("unix:///a/b%20c.sock?db=4", {"path": "/a/b c.sock", "db": 4}),
    ],
)
def test_every_form_means_what_it_says(text: str, expected: dict[str, object]) -> None:
    for client in (connect(text), connect_async(text)):
        options = client.connection_pool.connection_kwargs
        assert {name: options.get(name) for name in expected} == expected


def test_tls_is_asked_for_by_either_form() -> None:
    for text in ("rediss://h:1", "h:1,ssl=true"):
        assert connect(text).connection_pool.connection_class is redis.SSLConnection


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",db=1",
        "h:port",
        "h:1,no_such_option=1",
        "redis://h:1?no_such_option=1",
        f"redis://u:{SECRET}@h:1",
        "redis://h/x?db=y",
    ],
)
def test_a_string_that_cannot_be_read_is_refused_without_being_shown(text: str) -> None:
    for make in (connect, connect_async):
        with pytest.raises(StoreError, match="cannot be read") as caught:
            make(text)
        shown = "".join(traceback.format_exception(caught.value, chain=True))
        message = shown[shown.index("StoreError") :]
        assert "s3cr" not in message
        assert "connection_string" in str(caught.value)


def test_text_replies_are_refused() -> None:
    with pytest.raises(StoreError, match="decode_responses"):
        connect("redis://h:1?decode_responses=True")


def test_the_server_is_reached_and_a_wrong_password_is_named_but_not_shown(guarded_url: str) -> None:
    path = guarded_url.removeprefix("unix://")
    client = connect(f"unix://:12e3@{path}")
    with store_errors(client):
        assert client.ping()
    client.close()
    for text in (f"unix://:{'wrong'}@{path}", guarded_url):
        client = connect(text)
        with (
            pytest.raises(StoreError, match=r"refused the user or password.*connection_string") as caught,
            store_errors(client),
        ):
            client.get("key")
        assert "wrong" not in str(caught.value)
        client.close()


def test_nobody_listening_is_an_error_that_says_what_to_set(closed_port: int, tmp_path: Path) -> None:
    for text in (f"127.0.0.1:{closed_port},password=hidden", f"unix://:hidden@{tmp_path}/no.sock"):
        client = connect(text)
        with pytest.raises(StoreError, match=r"cannot be reached.*connection_string") as caught, store_errors(client):
            client.ping()
        assert "hidden" not in str(caught.value)

        async def ping(text: str = text) -> None:
            client = connect_async(text)
            try:
                with store_errors(client):
                    await client.get("key")
            finally:
                await client.aclose()

        with pytest.raises(StoreError, match="cannot be reached"):
            asyncio.run(ping())


def test_a_refused_command_is_a_store_error(redis_client: redis.Redis) -> None:
    redis_client.set("text", "x")
    with pytest.raises(StoreError, match="WRONGTYPE"), store_errors(redis_client):
        redis_client.hget("text", "f")


def test_auto_is_the_variable_if_set_and_else_the_repositorys_own_server(tmp_path: Path) -> None:
    assert resolve("auto", repo_path=None, env={"TRUEUP_REDIS_URL": "redis://h:1"}) == "redis://h:1"
    assert not is_local("auto", {"TRUEUP_REDIS_URL": "redis://h:1"})
    assert is_local("auto", {})
    assert not is_local("redis://h:1", {})
    with pytest.raises(StoreError, match="TRUEUP_REDIS_URL"):
        resolve("auto", repo_path=tmp_path, env={"TRUEUP_REDIS_URL": "auto"})
    with pytest.raises(StoreError, match="no feature repository"):
        resolve("auto", repo_path=None, env={})
    try:
        for _ in range(2):
            with connect("auto", repo_path=tmp_path, env={}) as client:
                client.incr("starts")
                found = client.get("starts")
        assert found == b"2"
    finally:
        assert stop_running(local_directory(tmp_path))


def test_auto_takes_the_url_from_a_secrets_file(tmp_path: Path) -> None:
    secret = tmp_path / "redis_url"
    secret.write_text("redis://:hunter2@h:7/2\n")
    env = {"TRUEUP_REDIS_URL_FILE": str(secret)}
    assert resolve("auto", repo_path=tmp_path, env=env) == "redis://:hunter2@h:7/2"
    assert not is_local("auto", env)
    assert resolve("auto", repo_path=tmp_path, env={**env, "TRUEUP_REDIS_URL": "redis://other"}) == "redis://other"


@pytest.mark.parametrize(
    ("content", "said"), [(None, "no such file"), (b"", "is empty"), (b" \n", "is empty"), (b"\xff", "no text")]
)
def test_a_secrets_file_that_says_nothing_is_an_error_that_names_it(
    content: bytes | None, said: str, tmp_path: Path
) -> None:
    secret = tmp_path / "redis_url"
    if content is not None:
        secret.write_bytes(content)
    with pytest.raises(StoreError, match=rf"TRUEUP_REDIS_URL_FILE: .*redis_url.*{said}"):
        resolve("auto", repo_path=tmp_path, env={"TRUEUP_REDIS_URL_FILE": str(secret)})
