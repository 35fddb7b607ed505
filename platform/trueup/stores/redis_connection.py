"""From a connection string to a Redis client, and from Redis errors to messages that name what to set.

Accepted: Feast's own `host:port,db=0,password=...,ssl=true`; the URLs `redis://`, `rediss://` and
`unix:///path`; and `auto`: `$TRUEUP_REDIS_URL` if set, else what the file that `$TRUEUP_REDIS_URL_FILE` names holds (a
secret of Docker or Kubernetes), else a server of the feature repository's own, started on a private unix socket and
left running. No message ever shows a password.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import redis
import redis.asyncio
import redis.asyncio.retry
import redis.retry
from redis import exceptions
from redis.backoff import ExponentialBackoff

from trueup.errors import StoreError, UnavailableError
from trueup.stores.local_redis import ensure_running

AUTO = "auto"
URL_VARIABLE = "TRUEUP_REDIS_URL"
URL_FILE_VARIABLE = "TRUEUP_REDIS_URL_FILE"

Client = redis.Redis
AsyncClient = redis.asyncio.Redis
_RETRIES = 3
_BACKOFF = ExponentialBackoff(cap=0.2, base=0.02)
"""A broken connection is tried again at once: redis-py's own seconds of patience would hold a request up."""

_Any = TypeVar("_Any", redis.Redis, redis.asyncio.Redis)

_SETTING = f"connection_string under online_store in feature_store.yaml (or {URL_VARIABLE}, if that says auto)"
_URLS = ("redis://", "rediss://", "unix://")


def local_directory(repo_path: Path) -> Path:
    """Where the server that `auto` starts for a feature repository lives."""
    return repo_path / "data" / "redis"


def connect(connection_string: str, *, repo_path: Path | None = None, env: Mapping[str, str] = os.environ) -> Client:
    """A client; nothing is sent yet, but `auto` may start a server. Raises StoreError."""
    retry = redis.retry.Retry(_BACKOFF, _RETRIES)
    return _build(redis.Redis, resolve(connection_string, repo_path=repo_path, env=env), retry)


def connect_async(
    connection_string: str, *, repo_path: Path | None = None, env: Mapping[str, str] = os.environ
) -> AsyncClient:
    """The same, for the event loop that first uses it."""
    retry = redis.asyncio.retry.Retry(_BACKOFF, _RETRIES)
    return _build(redis.asyncio.Redis, resolve(connection_string, repo_path=repo_path, env=env), retry)


def is_local(connection_string: str, env: Mapping[str, str] = os.environ) -> bool:
    """Whether it means the repository's own server."""
    return connection_string == AUTO and not env.get(URL_VARIABLE) and not env.get(URL_FILE_VARIABLE)


def resolve(connection_string: str, *, repo_path: Path | None, env: Mapping[str, str] = os.environ) -> str:
    """What `auto` stands for; anything else as it is."""
    if connection_string != AUTO:
        return connection_string
    if url := env.get(URL_VARIABLE) or _from_file(env.get(URL_FILE_VARIABLE)):
        if url == AUTO:
            raise StoreError(f"{URL_VARIABLE} cannot be {AUTO!r}.", hint="Set it to a Redis URL, or unset it.")
        return url
    if repo_path is None:
        raise StoreError(
            "connection_string is 'auto', but there is no feature repository to run a Redis server for.",
            hint=f"Open the store by its repository's path, set {URL_VARIABLE}, or name a server.",
        )
    return ensure_running(local_directory(repo_path), env=env)


def _from_file(name: str | None) -> str | None:
    """The URL that a file holds, alone; None where no file is named."""
    if not name:
        return None
    hint = f"Write a Redis URL into it, or unset {URL_FILE_VARIABLE}."
    try:
        url = Path(name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is no text"
        raise StoreError(f"{URL_FILE_VARIABLE}: {name} cannot be read: {reason.lower()}.", hint=hint) from None
    if not url:
        raise StoreError(f"{URL_FILE_VARIABLE}: {name} is empty.", hint=hint)
    return url


def describe(client: Any) -> str:
    """Where a client connects to, without user and password."""
    options = getattr(getattr(client, "connection_pool", None), "connection_kwargs", {})
    if path := options.get("path"):
        return f"Redis at {path}"
    if host := options.get("host"):
        return f"Redis at {host}:{options.get('port', 6379)}, database {options.get('db') or 0}"
    return "Redis"


@contextmanager
def store_errors(client: Any) -> Iterator[None]:
    """Errors of redis-py come out as StoreError, with what to do about them; UnavailableError for no answer in time."""
    try:
        yield
    except (exceptions.AuthenticationError, exceptions.NoPermissionError) as error:
        raise StoreError(
            f"{describe(client)} refused the user or password: {str(error).rstrip('.')}.",
            hint=f"Set them in {_SETTING}.",
        ) from error
    except exceptions.TimeoutError as error:
        raise UnavailableError(
            f"{describe(client)} did not answer in time: {error}.", hint=f"Check the server, or {_SETTING}."
        ) from error
    except exceptions.ConnectionError as error:
        raise UnavailableError(
            f"{describe(client)} cannot be reached: {error}.", hint=f"Start it, or set {_SETTING}."
        ) from error
    except exceptions.RedisError as error:
        text = str(error)
        raise StoreError(
            f"{describe(client)} refused a command: {text if len(text) <= 300 else text[:300] + '...'}"
        ) from error


def _build(kind: type[_Any], connection_string: str, retry: Any) -> _Any:
    try:
        if connection_string.startswith(_URLS):
            client: _Any = kind.from_url(connection_string, retry=retry)
        else:
            client = kind(**{"retry": retry, **_options(connection_string)})
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs)  # an unknown option shows only here; nothing connects
    except (ValueError, TypeError, AttributeError, exceptions.RedisError):
        # Their texts quote pieces of the string, and a password with a slash in it is one of the pieces.
        raise StoreError(
            "the Redis connection string cannot be read.",
            hint="Expected host:port,db=0,password=..., redis://, rediss:// or unix:///path (with the special "
            f"characters of a password percent-encoded) or {AUTO}; set {_SETTING}.",
        ) from None
    if pool.connection_kwargs.get("decode_responses"):
        raise StoreError(
            "the Redis connection string sets decode_responses, but features are bytes, not text.",
            hint=f"Leave it out of {_SETTING}.",
        )
    return client


def _options(connection_string: str) -> dict[str, Any]:
    """Feast's own form: one or more host:port, then options as JSON or text."""
    parts = connection_string.split(",")
    nodes = [part for part in parts if "=" not in part]
    host, _, port = (nodes[0] if nodes else "").strip().partition(":")
    if not host:
        raise ValueError
    options: dict[str, Any] = {}
    for name, _, text in (part.partition("=") for part in parts if "=" in part):
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        # A password of digits is a password, not a number.
        options[name] = text if name in ("password", "username") and not isinstance(value, str) else value
    return {**options, "host": host, "port": int(port or 6379)}
