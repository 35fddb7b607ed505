"""Laws of training sets: the same recipe and data give the same set, and what cannot be learned from is named."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from tests.training import shop
from tests.training.shop import NOW

from trueup.contracts.contract import FeatureContract
from trueup.errors import InputError, SourceError
from trueup.features.historical import read_as_of
from trueup.stores.ledger import Ledger
from trueup_training.dataset import TrainingSet, build_training_set
from trueup_training.recipe import AsOf, Recipe, Rows, Window

Build = Callable[..., TrainingSet]


@pytest.fixture
def build(recipe: Recipe, contract: FeatureContract, shop_repo: Path) -> Build:
    def build(wanted: Recipe = recipe, repo: Path = shop_repo, **options: Any) -> TrainingSet:
        return build_training_set(wanted, contract, repo=repo, **{"now": NOW, **options})

    return build


def with_query(recipe: Recipe, query: str, **changes: Any) -> Recipe:
    rows = Rows.model_validate({**recipe.rows.model_dump(), "query": query, **changes})
    return recipe.model_copy(update={"rows": rows})


def replaced(recipe: Recipe, replacement: str) -> Recipe:
    return with_query(recipe, f"SELECT * REPLACE ({replacement}) FROM ({recipe.rows.query})")


def test_rows_stand_by_window_then_instant_then_id_with_one_row_of_features_each(build: Build) -> None:
    data = build()
    rows = data.rows.to_pylist()
    assert [(row["event_timestamp"], row["order_id"]) for row in rows] == sorted(
        (row["event_timestamp"], row["order_id"]) for row in rows
    )
    train, holdout = rows[data.train], rows[data.holdout]
    assert max(row["event_timestamp"] for row in train) < datetime(2024, 2, 1, tzinfo=UTC)
    assert min(row["event_timestamp"] for row in holdout) >= datetime(2024, 2, 1, tzinfo=UTC)
    assert len(train) + len(holdout) == data.features.num_rows == len(data.labels)
    assert data.labels.tolist() == [int(row["late"]) for row in rows]


def test_features_are_those_of_the_one_as_of_read(
    build: Build, recipe: Recipe, contract: FeatureContract, shop_repo: Path
) -> None:
    data = build()
    again = read_as_of(contract, data.rows, recipe.as_of.rule, repo=shop_repo, ledger=None)
    assert data.features.values.equals(again.values)


def test_the_digest_is_the_same_in_another_order_of_the_files_and_the_query(
    build: Build, recipe: Recipe, own_repo: Path
) -> None:
    for name in ("orders", "load", "facts"):
        path = own_repo / "data" / f"{name}.parquet"
        table = pq.read_table(path)
        shuffled = table.take(pa.array(np.random.default_rng(3).permutation(table.num_rows)))
        pq.write_table(shuffled, path, write_statistics=False, row_group_size=97)
    backwards = with_query(recipe, f"SELECT * FROM ({recipe.rows.query}) ORDER BY placed_unix DESC")
    assert build(backwards, own_repo).digest == build().digest


def test_data_that_land_after_the_pinned_instant_change_nothing(build: Build, own_repo: Path) -> None:
    path = own_repo / "data" / "load.parquet"
    table = pq.read_table(path)
    restated = table.set_column(
        table.schema.get_field_index("created"), "created", pa.array([shop.PINNED + timedelta(days=1)] * len(table))
    ).set_column(table.schema.get_field_index("level"), "level", pa.array([99.0] * len(table)))
    once = restated.group_by(["site", "hour"]).aggregate([("created", "max"), ("level", "max"), ("open", "max")])
    once = once.rename_columns(["site", "hour", "created", "level", "open"]).select(table.column_names)
    pq.write_table(pa.concat_tables([table, once.cast(table.schema)]), path, write_statistics=False)
    assert build(repo=own_repo).digest == build().digest
    assert build(repo=own_repo, now=NOW + timedelta(days=365)).digest == build().digest


def test_a_changed_value_changes_the_digest(build: Build, own_repo: Path) -> None:
    path = own_repo / "data" / "load.parquet"
    table = pq.read_table(path)
    level = table.column("level").to_numpy().copy()
    level[1000:1100] = np.nextafter(level[1000:1100], np.inf)  # some of them are read
    index = table.schema.get_field_index("level")
    pq.write_table(table.set_column(index, "level", pa.array(level)), path, write_statistics=False)
    assert build(repo=own_repo).digest != build().digest


def test_an_empty_ledger_is_the_declared_schedule(build: Build, tmp_path: Path) -> None:
    assert build(ledger=Ledger(tmp_path / "none.sqlite")).digest == build().digest


def test_a_sample_is_chosen_by_the_id_and_leaves_the_holdout_whole(build: Build, recipe: Recipe) -> None:
    whole = build()
    small, larger = (build(with_query(recipe, recipe.rows.query, sample=count)) for count in (500, 900))
    ids = [set(data.rows.column("order_id").to_pylist()[data.train]) for data in (small, larger, whole)]
    assert [len(found) for found in ids] == [500, 900, whole.counts.train]
    assert ids[0] < ids[1] < ids[2]
    assert small.counts.not_sampled == whole.counts.train - 500
    assert small.counts.holdout == whole.counts.holdout
    backwards = with_query(recipe, f"SELECT * FROM ({recipe.rows.query}) ORDER BY late, order_id DESC", sample=500)
    assert build(backwards).digest == small.digest
    assert build(with_query(recipe, recipe.rows.query, sample=10**6)).digest == whole.digest


def test_answers_that_were_not_known_in_time_are_left_out_and_counted(build: Build, recipe: Recipe) -> None:
    whole = build()
    # The windows end at the pinned instant: answers come 90 minutes after the question.
    assert whole.counts.label_unknown > 0
    instants = whole.rows.column("event_timestamp")
    assert pc.max(instants).as_py() <= shop.PINNED - timedelta(minutes=90)
    never = replaced(recipe, "CASE WHEN order_id < 'o00100' THEN NULL ELSE label_known_at END AS label_known_at")
    assert build(never).counts.label_unknown > whole.counts.label_unknown
    unpinned = recipe.model_copy(update={"as_of": AsOf(known_at="served")})
    assert build(unpinned).counts.label_unknown == 0
    early = build(unpinned, now=shop.PINNED)
    assert early.counts == whole.counts


@pytest.mark.parametrize(
    ("replacement", "field", "expected"),
    [
        (
            "CAST(NULL AS BOOLEAN) AS late",
            "rows.label",
            r"of 2,998 rows, such as order_id o00000, the label",
        ),
        ("CAST(late AS INTEGER) + 1 AS late", "rows.label", r"the label late is neither 0 nor 1"),
        ("CAST(late AS VARCHAR) AS late", "rows.label", r"label late is VARCHAR, expected BOOLEAN, or an integer"),
        ("true AS late", "train", r"all [\d,]+ rows of train have late = 1; a classifier needs both answers"),
        ("late OR event_timestamp >= '2024-02-01' AS late", "holdout", r"all [\d,]+ rows of holdout have late = 1"),
        ("'o1' AS order_id", "rows.id", r"order_id o1 names 2998 rows; the id must name each row once"),
        ("nullif(order_id, 'o00007') AS order_id", "rows.id", r"of 1 rows, the id order_id is null"),
        (
            "CASE WHEN order_id <> 'o00007' THEN event_timestamp END AS event_timestamp",
            "rows.query",
            r"of 1 rows, such as order_id o00007, event_timestamp is null",
        ),
        ("'soon' AS event_timestamp", "rows.query", r"column event_timestamp is VARCHAR, expected a TIMESTAMP"),
        ("'soon' AS label_known_at", "rows.query", r"column label_known_at is VARCHAR, expected a TIMESTAMP"),
    ],
)
def test_rows_that_cannot_be_learned_from_are_named(
    build: Build, recipe: Recipe, replacement: str, field: str, expected: str
) -> None:
    with pytest.raises(InputError, match=expected) as raised:
        build(replaced(recipe, replacement))
    assert raised.value.field == field
    if field.startswith("rows"):
        assert "recipe shop" in str(raised.value)


@pytest.mark.parametrize("column", ["order_id", "site", "placed_unix", "event_timestamp", "late", "label_known_at"])
def test_a_column_the_query_does_not_give_is_named(build: Build, recipe: Recipe, column: str) -> None:
    query = f"SELECT * EXCLUDE ({column}) FROM ({recipe.rows.query})"
    with pytest.raises(InputError, match=rf"rows\.query gives no column '{column}'; it gives .* shop_v1 asks for"):
        build(with_query(recipe, query))


def test_a_window_without_rows_is_named_with_what_there_is(build: Build, recipe: Recipe) -> None:
    later = Window(start=datetime(2025, 1, 1, tzinfo=UTC), end=datetime(2025, 2, 1, tzinfo=UTC))
    expected = r"no row from 2025-01-01T00:00:00Z to 2025-02-01T00:00:00Z \(holdout\) has a label known by 2024-02-10"
    with pytest.raises(InputError, match=expected):
        build(recipe.model_copy(update={"holdout": later}))
    pinned_early = recipe.model_copy(update={"as_of": AsOf(known_at="label", pinned=datetime(2024, 1, 2, tzinfo=UTC))})
    with pytest.raises(
        InputError, match=r"\(train\) has a label known by 2024-01-02.*0 rows have one and 2,\d+ do not"
    ):
        build(pinned_early)


def test_a_query_that_fails_and_a_table_that_is_not_there_are_named(build: Build, recipe: Recipe) -> None:
    with pytest.raises(InputError, match=r"recipe shop: rows\.query: its query fails: Catalog Error.*ordres.*recipe's"):
        build(with_query(recipe, "SELECT * FROM ordres"))
    with pytest.raises(SourceError, match=r"recipe shop: table 'orders' cannot be read from .*none\.parquet"):
        build(with_query(recipe, recipe.rows.query, tables={"orders": "data/none.parquet"}))
    with pytest.raises(InputError, match=r"recipe shop: rows\.query fails: Conversion Error"):
        build(replaced(recipe, "CAST(site AS INTEGER) AS site"))


def test_each_step_is_told_before_it_is_done(build: Build) -> None:
    told: list[str] = []
    build(progress=told.append)
    assert told == ["entity rows", "features of load", "features of facts"]
