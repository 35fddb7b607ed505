"""A real Redis for the tests that need one: one server a session, flushed before each use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from trueup.stores.local_redis import LocalRedis


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of this session's own, without data on disk."""
    with LocalRedis(Path(tmp_path_factory.mktemp("redis"))) as server:
        yield server.url


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[redis.Redis]:
    """A client of the session's server, which is empty."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        yield client
