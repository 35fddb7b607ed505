"""Laws of built snapshots: the same manifest is the same bytes, in any process and after late data lands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.training import changed, shop
from tests.training.shop import NOW

from trueup.contracts.contract import FeatureContract
from trueup.datasets.content import table_digest
from trueup.datasets.snapshot import Snapshot, build_again, build_snapshot, open_snapshot
from trueup.datasets.storage import problems
from trueup.instants import format_instant
from trueup.stores.ledger import BEGINNING, Ledger
from trueup_training.dataset import build_training_set
from trueup_training.recipe import AsOf, Recipe

LATER = shop.PINNED + timedelta(days=30)
Build = Callable[..., Snapshot]


@pytest.fixture
def build(recipe: Recipe, contract: FeatureContract, shop_repo: Path, tmp_path: Path) -> Build:
    def build(wanted: Recipe = recipe, repo: Path = shop_repo, now: datetime = NOW, **options: Any) -> Snapshot:
        return build_snapshot(wanted.dataset(now), contract, repo=repo, **{"root": tmp_path / "datasets", **options})

    return build


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_snapshot_holds_what_the_recipe_learns_from(
    build: Build, recipe: Recipe, contract: FeatureContract, shop_repo: Path
) -> None:
    built, expected = build(), build_training_set(recipe, contract, repo=shop_repo, now=NOW)
    loaded = built.load()
    assert (loaded.rows, loaded.features.values) == (expected.rows, expected.features.values)
    assert (loaded.features.statuses, loaded.features.event_timestamps) == (
        expected.features.statuses,
        expected.features.event_timestamps,
    )
    assert loaded.labels.tobytes() == expected.labels.tobytes()
    assert built.counts == loaded.counts == expected.counts


def test_the_manifest_says_what_decided_it(build: Build, recipe: Recipe, contract: FeatureContract) -> None:
    built = build()
    manifest = open_snapshot(str(built.folder), Path()).manifest
    assert manifest == built.manifest
    assert manifest.contract == contract
    assert manifest.spec.rule == recipe.as_of.rule
    assert manifest.spec.rows.query == recipe.rows.query
    assert manifest.counts == replace(built.counts, label_unknown=None)
    assert manifest.schema["load__level"] == "double"
    assert manifest.schema["event_timestamp"].startswith("timestamp[us, tz=")
    assert [part.rows for part in manifest.parts] == [manifest.rows] * 4
    data = built.load()
    assert manifest.content == table_digest(data.rows, data.features.values)


@pytest.mark.parametrize(("pinned", "expected"), [(None, NOW), (NOW + timedelta(days=1), NOW)])
def test_a_recipe_is_pinned_to_the_build_unless_it_was_pinned_before(
    build: Build, recipe: Recipe, pinned: datetime | None, expected: datetime
) -> None:
    built = build(recipe.model_copy(update={"as_of": AsOf(known_at="served", pinned=pinned)}))
    assert built.manifest.spec.pinned == expected
    text = json.loads((built.folder / "manifest.json").read_text(encoding="utf-8"))
    assert text["spec"]["as_of"] == {"known_at": "served", "pinned": format_instant(expected)}


CODE = """
import os, sys
if sys.argv[4] == "one":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # DuckDB and Arrow then take one thread
from datetime import UTC, datetime
from pathlib import Path
from feast import FeatureStore
from trueup.contracts.extract import extract_contract
from trueup.datasets.snapshot import build_snapshot
from trueup_training.recipe import load_recipe
repo, root = Path(sys.argv[2]), Path(sys.argv[3])
recipe = load_recipe(Path(sys.argv[1]))
contract = extract_contract(FeatureStore(repo_path=str(repo)), recipe.feature_service)
print(build_snapshot(recipe.dataset(datetime(2024, 6, 1, tzinfo=UTC)), contract, repo=repo, root=root).id)
"""


@pytest.mark.parametrize(
    ("environment", "threads"),
    [
        ({"TZ": "Pacific/Auckland", "LC_ALL": "C", "PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "1"}, "one"),
        ({"TZ": "America/New_York", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "2", "OMP_NUM_THREADS": "3"}, "all"),
    ],
)
def test_time_zone_locale_hash_seed_and_threads_change_no_byte(
    build: Build, recipe_file: Path, shop_repo: Path, tmp_path: Path, environment: dict[str, str], threads: str
) -> None:
    root = tmp_path / "other"
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(recipe_file), str(shop_repo), str(root), threads],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    built = build()
    assert done.stdout.strip() == built.id
    assert files(root / "shop" / built.id) == files(built.folder)


def test_late_data_changes_no_byte(build: Build, own_repo: Path, tmp_path: Path) -> None:
    before = build(repo=own_repo)
    changed.load_lands_late(own_repo, created=LATER)
    changed.orders_land_late(own_repo, known=LATER)
    again = build_again(before.manifest, repo=own_repo, root=tmp_path / "again")
    assert files(again.folder) == files(before.folder)
    assert again.folder.name == before.folder.name
    # The recipe as well, though there is more that has no answer in time.
    rebuilt = build(repo=own_repo, now=NOW + timedelta(days=300), root=tmp_path / "third")
    assert files(rebuilt.folder) == files(before.folder)
    assert before.counts.label_unknown is not None
    assert rebuilt.counts.label_unknown == before.counts.label_unknown + 100


def test_without_a_pinned_instant_the_manifest_still_is(
    build: Build, recipe: Recipe, own_repo: Path, tmp_path: Path
) -> None:
    unpinned = recipe.model_copy(update={"as_of": AsOf(known_at="unbounded")})
    before = build(unpinned, repo=own_repo, now=shop.PINNED)
    changed.load_lands_late(own_repo, created=LATER)
    changed.orders_land_late(own_repo, known=LATER)
    assert files(build_again(before.manifest, repo=own_repo, root=tmp_path / "again").folder) == files(before.folder)
    assert build(unpinned, repo=own_repo, now=shop.PINNED + timedelta(seconds=1)).id != before.id


def test_a_restated_row_that_was_known_changes_the_snapshot(build: Build, own_repo: Path, tmp_path: Path) -> None:
    before = build(repo=own_repo)
    changed.load_lands_late(own_repo, created=shop.PINNED - timedelta(days=5))
    again = build_again(before.manifest, repo=own_repo, root=tmp_path / "again")
    assert again.id != before.id
    assert again.manifest.content != before.manifest.content


def materialized(ledger: Ledger, at: datetime) -> None:
    run = ledger.start(
        project="shop",
        view="load",
        started_at=at,
        known_at=at,
        known_after=None,
        event_start=BEGINNING,
        event_end=at,
        definition_hash="d",
    )
    ledger.finish(run, finished_at=at + timedelta(minutes=2), rows=1)


def test_the_ledger_counts_as_it_stood_at_the_pinned_instant(build: Build, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    assert build(ledger=ledger).id == build().id
    materialized(ledger, shop.PINNED - timedelta(days=10))
    materialized(ledger, shop.PINNED - timedelta(minutes=1))  # which is finished only after it
    before = build(ledger=ledger)
    assert before.manifest.ledger["load"].runs == 2
    assert before.manifest.content != build().manifest.content
    materialized(ledger, shop.PINNED + timedelta(days=1))
    assert build(ledger=ledger).id == before.id


def test_a_snapshot_that_is_damaged_is_not_loaded(build: Build) -> None:
    built = build()
    (built.folder / "rows.parquet").unlink()
    assert problems(built.folder) == ("rows.parquet is missing.",)
