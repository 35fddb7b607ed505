"""The quick fault bench, a few faults of each kind: every changed cell is found, and found to be what it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from tests.faults import bench, clean, generated
from tests.faults.measure import Measured

from trueup.stores.local_redis import LocalRedis

SIZES = generated.Sizes(users=300, items=100, regions=20, rows=500)
FAULTS = (
    "missing_online",
    "null_default",
    "dtype_narrowing",
    "unexplained",
    "late_arrival",
    "lag",
    "tombstone_missing",
    "ttl_not_enforced",
)
pytestmark = [
    pytest.mark.filterwarnings("ignore:On demand feature view is an experimental feature:RuntimeWarning"),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[generated.Generated]:
    root = tmp_path_factory.mktemp("faults")
    with LocalRedis(root / "redis") as server, redis.Redis.from_url(server.url) as client:
        yield generated.build(root / "world", client, server.url, SIZES, seed=1)


@pytest.fixture(scope="module")
def measured(played: generated.Generated) -> dict[str, list[Measured]]:
    found: dict[str, list[Measured]] = {}
    for item in bench.run(generated.harmed(played), [0.05], 1, lambda _: None, FAULTS):
        found.setdefault(item.name, []).append(item)
    return found


def test_a_clean_world_has_no_mismatch(played: generated.Generated) -> None:
    total = clean.Clean()
    clean.check(total, "generated", played.site, [generated.at(2.0)], lambda _: None)
    assert total.problems == []
    assert total.compared > 10_000
    assert total.features == {}


@pytest.mark.parametrize("name", FAULTS)
def test_every_changed_cell_is_detected(measured: dict[str, list[Measured]], name: str) -> None:
    for item in measured[name]:
        assert item.injected > 0
        assert item.missed == ()
        assert item.detected == item.injected


@pytest.mark.parametrize("name", FAULTS)
def test_its_cause_is_named(measured: dict[str, list[Measured]], name: str) -> None:
    for item in measured[name]:
        assert item.wrong == {}
        assert item.cause_right == item.injected


def test_the_store_is_as_it_was_when_the_faults_are_over(
    played: generated.Generated, measured: dict[str, list[Measured]], tmp_path: Path
) -> None:
    total = clean.Clean()
    clean.check(total, "generated", played.site, [generated.at(2.5)], lambda _: None)
    assert total.features == {}
