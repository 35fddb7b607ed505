"""Distances against scipy and against the slow way, whatever the values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.oracles import distribution as oracle
from tests.trueup.parity.distribution.frames import frame

from trueup.parity.distribution.bins import Layout, layout
from trueup.parity.distribution.columns import CHUNK_ROWS, Side, Tally, columns_of, count, side, sides
from trueup.parity.distribution.distances import distances, kolmogorov_smirnov, wasserstein
from trueup.parity.distribution.histogram import MOST_VALUES, Numbers, align
from trueup.parity.distribution.profiles import Spread, profile, spread

WITHIN = 1e-9
_FINITE = st.floats(-1e6, 1e6, width=32)
_NUMBERS = st.lists(st.one_of(_FINITE, st.integers(-3, 3).map(float)), min_size=1, max_size=60)
_ANY = st.lists(st.floats(allow_nan=True, allow_infinity=True) | st.none(), min_size=1, max_size=60)


def numbers(values: Sequence[float], *, most: int = MOST_VALUES) -> Numbers:
    return Numbers.of(np.sort(np.array(values, np.float64) + 0.0), most=most)


def one_side(values: Sequence[object]) -> Side:
    return side(columns_of(frame({"f": values}))["f"])


def bins(reference: Sequence[object], current: Sequence[object]) -> Layout:
    return layout(one_side(reference), one_side(current))


@given(_NUMBERS, _NUMBERS)
def test_ks_and_wasserstein_are_scipys_while_values_are_kept_apart(a: list[float], b: list[float]) -> None:
    both = align(numbers(a), numbers(b))
    assert both.exact
    assert kolmogorov_smirnov(both) == (pytest.approx(oracle.ks(a, b), abs=WITHIN), 0.0)
    found, error = wasserstein(both, Spread(1.0))
    assert error == 0
    assert found == pytest.approx(oracle.wasserstein(a, b), rel=1e-9, abs=1e-6)


@given(_NUMBERS, _NUMBERS)
def test_in_buckets_they_are_scipys_within_the_stated_error(a: list[float], b: list[float]) -> None:
    both = align(numbers(a, most=1), numbers(b, most=1))
    found, error = kolmogorov_smirnov(both)
    assert abs(found - oracle.ks(a, b)) <= error + WITHIN
    found, error = wasserstein(both, Spread(1.0))
    assert abs(found - oracle.wasserstein(a, b)) <= error + 1e-6


@given(_ANY, _ANY)
def test_every_row_of_both_sides_falls_into_exactly_one_bin(a: list[float | None], b: list[float | None]) -> None:
    found = bins([0.5, *a], [0.5, *b])
    assert (found.reference.sum(), found.current.sum()) == (1 + len(a), 1 + len(b))
    shown = found.bins()
    assert sum(item.reference for item in shown) == 1 + len(a)
    assert sum(item.current for item in shown) == 1 + len(b)


@given(_ANY, _ANY)
def test_the_bin_of_each_row_adds_up_to_the_counts(a: list[float | None], b: list[float | None]) -> None:
    sides = [columns_of(frame({"f": [0.5, *values]}))["f"] for values in (a, b)]
    found = layout(*(side(column) for column in sides))
    for column, counts in zip(sides, (found.reference, found.current), strict=True):
        np.testing.assert_array_equal(np.bincount(found.assign(column), minlength=found.size), counts)


@given(_ANY, _ANY)
def test_where_the_bins_lie_does_not_depend_on_which_side_a_row_is_of(
    a: list[float | None], b: list[float | None]
) -> None:
    one, other = bins([0.5, *a], [0.5, *b]), bins([0.5, *b], [0.5, *a])
    np.testing.assert_array_equal(one.starts, other.starts)
    np.testing.assert_array_equal(one.group, other.group)
    np.testing.assert_array_equal(one.outer, other.outer)


_TEXTS = st.lists(st.sampled_from(["a", "b", "c", "ü", "", "null"]), min_size=1, max_size=50)


@given(_TEXTS, _TEXTS)
def test_psi_and_jensen_shannon_of_categories_are_the_oracles(a: list[str], b: list[str]) -> None:
    found = bins(a, b)
    measured = distances(found, found.reference[None], found.current[None])
    assert measured["psi"][0] == pytest.approx(oracle.psi(a, b), abs=WITHIN)
    assert measured["js"][0] == pytest.approx(oracle.jensen_shannon(a, b), abs=1e-6)
    gone, new = set(a) - set(b), set(b) - set(a)
    rates = sum(x in new for x in b) / len(b) + sum(x in gone for x in a) / len(a)
    assert measured["categories"][0] == pytest.approx(rates, abs=WITHIN)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abcd")), min_size=1, max_size=50))
def test_cramers_v_of_sides_of_one_size_is_scipys_chi_square(rows: list[tuple[str, str]]) -> None:
    a, b = [row[0] for row in rows], [row[1] for row in rows]
    found = bins(a, b)
    measured = distances(found, found.reference[None], found.current[None])
    assert measured["cramers_v"][0] == pytest.approx(oracle.cramers_v(a, b), abs=1e-6)


@given(_NUMBERS, _NUMBERS)
def test_every_distance_is_zero_between_equal_shares_and_never_below(a: list[float], b: list[float]) -> None:
    same = bins(a, a + a)
    for name, values in distances(same, same.reference[None], same.current[None]).items():
        # Half a row is added to each bin of the PSI, so equal shares of other sizes are only nearly equal.
        assert values[0] == 0 or name == "psi", name
    other = bins(a, b)
    assert all(v[0] >= 0 for v in distances(other, other.reference[None], other.current[None]).values())


@given(st.lists(_ANY, min_size=1, max_size=6))
def test_tallies_of_parts_add_up_to_the_tally_of_the_whole(parts: list[list[float | None]]) -> None:
    tallies = [count(columns_of(frame({"f": [*part, 1.5]}))["f"]) for part in parts]
    summed = sum(tallies, start=Tally())
    added = one_side([value for part in parts for value in [*part, 1.5]]).whole
    assert profile(summed, Spread(1.0)) == profile(added, Spread(1.0))
    np.testing.assert_array_equal(summed.numbers.low, added.numbers.low)
    np.testing.assert_array_equal(summed.numbers.count, added.numbers.count)


def test_buckets_are_at_most_a_256th_wide_and_hold_every_value() -> None:
    values = np.random.default_rng(1).lognormal(0, 5, 50_000) * np.random.default_rng(2).choice([-1, 1], 50_000)
    found = numbers(list(values), most=10)
    assert found.total == 50_000
    width = (found.high - found.low) / np.minimum(np.abs(found.low), np.abs(found.high))
    assert width.max() <= 1 / 256
    for share in (0.01, 0.25, 0.5, 0.99):
        assert found.quantile(share) == pytest.approx(np.quantile(values, share, method="inverted_cdf"), rel=1 / 256)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50), st.floats(0, 1))
def test_quantiles_of_values_kept_apart_are_numpys(values: list[float], share: float) -> None:
    expected = np.quantile(np.array(values) + 0.0, share, method="inverted_cdf")
    assert numbers(values).quantile(share) == expected


def test_an_extreme_range_still_gives_finite_distances() -> None:
    largest = float(np.finfo(np.float64).max)
    found = bins([-largest, largest, 0.0, 5e-324], [largest, 0.0, 0.0, 1.0])
    assert all(math.isfinite(v[0]) for v in distances(found, found.reference[None], found.current[None]).values())
    unit = spread(numbers([-largest, largest, 0.0]))
    assert math.isfinite(unit.unit)


def test_frames_counted_one_by_one_give_the_same_counts_as_one_frame() -> None:
    random = np.random.default_rng(4)
    rows = {"x": list(random.normal(size=3000)), "s": list(random.choice(["a", "b"], 3000))}
    starts = range(0, 3000, 170)
    parts = [frame({name: values[start : start + 170] for name, values in rows.items()}) for start in starts]
    streamed = sides(parts)
    for name in rows:
        whole = side(columns_of(frame(rows))[name]).whole
        assert 4 <= len(streamed[name].windows) <= 8
        assert streamed[name].whole.categories == whole.categories
        np.testing.assert_array_equal(streamed[name].whole.numbers.count, whole.numbers.count)


def test_a_column_longer_than_a_chunk_is_counted_whole() -> None:
    values = np.arange(CHUNK_ROWS + 10) % 5
    tally = one_side(list(values.astype(float))).whole
    assert (tally.rows, tally.numbers.low.tolist()) == (CHUNK_ROWS + 10, [0, 1, 2, 3, 4])
