"""Laws of recipes: what is wrong is said with the file and the field, and the two that ship differ in one rule."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.training.shop import RECIPE

from trueup.errors import InputError
from trueup.instants import AsOfRule
from trueup_training.recipe import Recipe, load_recipe

SHIPPED = Path(__file__).parents[2] / "training" / "recipes"


def test_a_recipe_is_read_with_its_types(recipe: Recipe) -> None:
    assert recipe.as_of.rule == AsOfRule("served", datetime(2024, 2, 10, tzinfo=UTC))
    assert recipe.train.start == datetime(2024, 1, 2, tzinfo=UTC)
    assert recipe.model.params.max_iter == 20
    assert recipe.model.params.learning_rate == 0.1  # left out: the default
    assert recipe.rows.sample is None


@pytest.mark.parametrize(
    "written", ["2024-02-10T01:00:00+01:00", '"2024-02-10T00:00:00Z"', "2024-02-10T00:00:00", '"2024-02-10"']
)
def test_an_instant_is_utc_however_it_is_written(tmp_path: Path, recipe: Recipe, written: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(RECIPE.replace("pinned = 2024-02-10T00:00:00Z", f"pinned = {written}"), encoding="utf-8")
    assert load_recipe(path) == recipe


def test_json_and_the_flat_form_hold_every_field_with_its_value(recipe: Recipe) -> None:
    assert Recipe.model_validate(recipe.to_json()) == recipe
    flat = recipe.params()
    assert flat["as_of.pinned"] == "2024-02-10T00:00:00Z"
    assert flat["model.params.max_iter"] == "20"
    assert flat["rows.tables.orders"] == "data/orders.parquet"
    assert "rows.sample" not in flat


@pytest.mark.parametrize(
    ("before", "after", "field", "expected"),
    [
        ("seed = 11", "", "seed", "seed is missing"),
        ("seed = 11", "seed = -1", "seed", r"seed = -1: input should be greater than or equal to 0"),
        ("seed = 11", 'seed = "11"', "seed", r"seed = '11': input should be a valid integer"),
        ("seed = 11", "seed = 11\nsede = 1", "sede", "sede is not a field of a recipe"),
        ('"served"', '"always"', "as_of.known_at", r"as_of\.known_at = 'always': .*'served', 'label' or 'unbounded'"),
        ("max_iter = 20", "max_iter = 0", "model.params.max_iter", r"model\.params\.max_iter = 0: .*greater than or"),
        ("max_iter = 20", "trees = 20", "model.params.trees", r"model\.params\.trees is not a field of a recipe"),
        ("max_iter = 20", "max_bins = 256", "model.params.max_bins", "less than or equal to 255"),
        ('"champion"', '"7"', "model.alias", r"model\.alias = '7': expected a name of letters"),
        ('"champion"', '"latest"', "model.alias", "other than a version or 'latest'"),
        ('"champion"', '"v2"', "model.alias", "other than a version or 'latest'"),
        ('id = "order_id"', 'id = "order_id"\nsample = 0', "rows.sample", r"rows\.sample = 0: .*greater than 0"),
        ("2024-02-10T00:00:00Z\n\n[train]", "true\n\n[train]", "as_of.pinned", "expected an instant, such as"),
        ("end = 2024-02-10", "end = 2024-01-10", "holdout", r"holdout: end 2024-01-10.* is not after start"),
        ("start = 2024-02-01", "start = 2024-01-09", "recipe", r"holdout\.start 2024-01-09.* before train\.end"),
        ("tables = {", "tabels = {", "rows.tables", r"rows\.tables is missing; rows\.tabels is not a field"),
    ],
)
def test_a_mistake_is_said_with_file_and_field(
    tmp_path: Path, before: str, after: str, field: str, expected: str
) -> None:
    assert before in RECIPE
    path = tmp_path / "wrong.toml"
    path.write_text(RECIPE.replace(before, after), encoding="utf-8")
    with pytest.raises(InputError, match=expected) as raised:
        load_recipe(path)
    assert raised.value.field == field
    assert str(path) in str(raised.value)


def test_what_is_no_recipe_file_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file or directory"):
        load_recipe(tmp_path / "none.toml")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        load_recipe(tmp_path)
    (tmp_path / "r.toml").write_text("seed = = 1")
    with pytest.raises(InputError, match=r"is not TOML: .*line 1"):
        load_recipe(tmp_path / "r.toml")
    (tmp_path / "r.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="it is not UTF-8 text"):
        load_recipe(tmp_path / "r.toml")


def test_the_two_recipes_that_ship_differ_in_their_rule_and_names_alone() -> None:
    honest, leaky = (load_recipe(SHIPPED / f"{name}.toml").params() for name in ("flights", "flights_leaky"))
    assert {key: (honest[key], leaky[key]) for key in honest if honest[key] != leaky[key]} == {
        "name": ("flights", "flights_leaky"),
        "as_of.known_at": ("served", "unbounded"),
        "model.name": ("flights", "flights_leaky"),
    }
    assert honest.keys() == leaky.keys()
    assert honest["as_of.pinned"] == "2013-11-01T00:00:00Z"
