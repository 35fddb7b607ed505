"""Assignment: the same on every machine and for ever, uniform, and independent between experiments."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.golden import assignment as golden

from trueup.errors import InputError
from trueup.experiments.assign import assign, position, unit_text
from trueup.experiments.design import Experiment, Variant

UNITS = [f"flight {number}" for number in range(20_000)]


def _shares(salt: str, weights: tuple[int, ...]) -> list[float]:
    design = golden.design(salt, weights)
    answers = [assign(design, unit).variant.name for unit in UNITS]
    return [answers.count(variant.name) / len(UNITS) for variant in design.variants]


def test_the_golden_assignments_stand() -> None:
    assert golden.vectors() == json.loads(golden.PATH.read_text(encoding="utf-8"))


def test_another_process_with_another_hash_seed_assigns_the_same() -> None:
    code = "import json; from tests.golden.assignment import vectors; print(json.dumps(vectors()))"
    for seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": "Asia/Tokyo"}
        printed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True).stdout
        assert json.loads(printed) == golden.vectors()


@pytest.mark.parametrize("weights", [(50, 50), (1, 2, 7), (99, 1), (1, 0, 1)])
def test_each_variant_gets_its_share(weights: tuple[int, ...]) -> None:
    for share, weight in zip(_shares("salt", weights), weights, strict=True):
        wanted = weight / sum(weights)
        # Five standard deviations of a fair draw; the units are fixed, so this never flakes.
        assert abs(share - wanted) <= 5 * math.sqrt(wanted * (1 - wanted) / len(UNITS))


def test_positions_are_uniform_over_the_whole_range() -> None:
    counts = [0] * 64
    for unit in UNITS:
        counts[position("salt", unit) >> 58] += 1
    expected = len(UNITS) / 64
    chi_square = sum((count - expected) ** 2 / expected for count in counts)
    assert chi_square < 63 + 5 * math.sqrt(2 * 63)


def test_experiments_with_different_salts_assign_independently() -> None:
    one, two = (golden.design(salt, (50, 50)) for salt in ("one", "two"))
    same = sum(assign(one, unit).variant.name == assign(two, unit).variant.name for unit in UNITS)
    assert abs(same / len(UNITS) - 0.5) <= 5 * math.sqrt(0.25 / len(UNITS))


def test_salt_and_unit_are_a_pair_not_a_joined_text() -> None:
    assert position("a", "bc") != position("ab", "c")
    assert position("a", '","b') != position('a","', "b")


def test_a_variant_of_weight_zero_gets_no_unit() -> None:
    assert _shares("salt", (0, 1, 0))[1] == 1.0


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.integers(1, 99), st.integers(1, 99))
def test_a_greater_weight_only_moves_units_towards_it(unit: str, weight: int, other: int) -> None:
    low, high = sorted((weight, other))
    before = assign(golden.design("salt", (low, 100 - low)), unit).variant.name
    after = assign(golden.design("salt", (high, 100 - high)), unit).variant.name
    assert (before, after) != ("v0", "v1")


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.lists(st.integers(0, 10**30), min_size=1))
def test_every_unit_gets_a_variant_that_may_get_some(unit: str, weights: list[int]) -> None:
    if any(weights):
        assert assign(golden.design("salt", tuple(weights)), unit).variant.weight > 0


@given(st.integers())
def test_a_number_is_assigned_as_its_decimal_text_so_that_the_log_can_be_checked(unit: int) -> None:
    assert int(unit_text(unit)) == unit


@pytest.mark.parametrize("weight", [-1, 0.5, True, "1", None])
def test_a_weight_that_is_no_whole_number_is_refused(weight: object) -> None:
    with pytest.raises(InputError, match="variant 'a': weight") as refused:
        Variant("a", "model", "champion", weight)  # type: ignore[arg-type]
    assert refused.value.field == "weight"


@pytest.mark.parametrize("field", ["name", "model", "alias"])
def test_an_empty_text_in_a_variant_is_refused(field: str) -> None:
    with pytest.raises(InputError, match=f"{field} is empty"):
        Variant(**{"name": "a", "model": "m", "alias": "champion", "weight": 1, field: ""})  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["name", "unit", "salt"])
def test_an_empty_text_in_a_design_is_refused(field: str) -> None:
    texts = {"name": "ab", "unit": "flight_id", "salt": "s", field: ""}
    with pytest.raises(InputError, match=f"{field} is empty"):
        Experiment(**texts, variants=(Variant("a", "m", "champion", 1),))


def test_variants_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(InputError, match="two variants are named 'a'"):
        Experiment("ab", "flight_id", "s", (Variant("a", "m", "champion", 1), Variant("a", "n", "champion", 1)))


@pytest.mark.parametrize("weights", [(), (0,), (0, 0)])
def test_weights_that_add_up_to_nothing_are_refused(weights: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="add up to 0"):
        golden.design("salt", weights)


def test_a_variant_is_found_by_name_or_the_names_are_listed() -> None:
    design = golden.design("salt", (1, 1))
    assert design.variant("v1") is design.variants[1]
    with pytest.raises(InputError, match="no variant 'b'; it has v0, v1"):
        design.variant("b")
