from __future__ import annotations

from pathlib import Path

import pytest
import redis
from tests.trueup.parity.world import World


@pytest.fixture
def world(tmp_path: Path, redis_client: redis.Redis, redis_url: str) -> World:
    """A plane and an airport, known at hour 0 and materialized at hour 1."""
    world = World(tmp_path, redis_client, redis_url)
    world.know("plane", 0, speed=400.5, seats=2**53 + 1)
    world.know("airport", 0, wind=10.25, gust=20.0)
    world.materialize(1)
    return world
