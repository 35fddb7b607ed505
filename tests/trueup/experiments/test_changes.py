"""A running split that changed: which field, since when, who was moved, and whether that is a fault."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from trueup.experiments.assign import assign
from trueup.experiments.changes import SplitChange, SplitVersion, split_changes, unserved_changes
from trueup.experiments.design import Experiment, Layer, Variant

NOON = datetime(2013, 11, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
BASE = Experiment(
    "ab", "unit", "s", (Variant("a", "m", "champion", 50), Variant("b", "n", "champion", 50)), layer=Layer("l", "l")
)


def served(design: Experiment, at: datetime, *, last: datetime | None = None) -> SplitVersion:
    return SplitVersion(design.hash, design.split(), at, last or at + HOUR, rows=10)


def weights(*values: int) -> tuple[Variant, ...]:
    return tuple(replace(variant, weight=value) for variant, value in zip(BASE.variants, values, strict=True))


def changed(**fields: Any) -> tuple[SplitChange, ...]:
    return split_changes([served(BASE, NOON), served(replace(BASE, **fields), NOON + HOUR)])


def test_one_split_all_along_is_no_change() -> None:
    assert split_changes([]) == split_changes([served(BASE, NOON)]) == ()


@pytest.mark.parametrize(
    ("fields", "says", "fault"),
    [
        ({"traffic": 0.5}, "traffic: 1.0 -> 0.5", False),
        ({"holdout": 0.1}, "holdout: 0.0 -> 0.1", False),
        ({"start": NOON}, "start: none -> 2013-11-01T12:00:00Z", False),
        ({"end": NOON}, "end: none -> 2013-11-01T12:00:00Z", False),
        ({"salt": "t"}, "salt: s -> t", True),
        ({"unit": "user"}, "unit: unit -> user", True),
        ({"control": "b"}, "control: a -> b", True),
        ({"layer": Layer("l", "l", 0, 0.5)}, "layer: l by l, 0 to 1 -> l by l, 0 to 0.5", True),
        ({"layer": None}, "layer: l by l, 0 to 1 -> none", True),
        ({"variants": weights(90, 10)}, "variants: a 50, b 50 -> a 90, b 10", True),
        ({"variants": weights(1, 1)}, "variants: a 50, b 50 -> a 1, b 1", False),
        (
            {"variants": (*BASE.variants, Variant("c", "x", "next", 0, shadow=True))},
            "variants: a 50, b 50 -> a 50, b 50, c shadow",
            False,
        ),
        (
            {"variants": (BASE.variants[0], replace(BASE.variants[1], model="x"))},
            "variants: a of m@champion 50, b of n@champion 50 -> a of m@champion 50, b of x@champion 50",
            True,
        ),
        ({"variants": BASE.variants[::-1], "control": "a"}, "variants: a 50, b 50 -> b 50, a 50", True),
    ],
)
def test_each_field_that_changed_is_named_with_since_when_and_only_what_moves_units_is_a_fault(
    fields: dict[str, Any], says: str, fault: bool
) -> None:
    (change,) = changed(**fields)
    assert (str(change), change.fault) == (f"{says} since 2013-11-01T13:00:00Z", fault)


def test_what_only_watches_or_judges_is_no_change_of_the_split() -> None:
    assert changed(shadow=True) == ()


def test_weights_are_a_fault_exactly_where_some_unit_gets_another_variant() -> None:
    designs = [replace(BASE, variants=weights(*pair)) for pair in product(range(5), repeat=2) if any(pair)]
    units = [f"unit {number}" for number in range(400)]
    assigned = [[assign(design, unit).variant.name for unit in units] for design in designs]
    for (one, mine), (other, theirs) in product(zip(designs, assigned, strict=True), repeat=2):
        changes = split_changes([served(one, NOON), served(other, NOON + HOUR)])
        assert any(change.fault for change in changes) == (mine != theirs)


def test_versions_are_told_in_the_order_of_their_first_rows_each_against_the_one_before() -> None:
    designs = [replace(BASE, traffic=share) for share in (0.1, 0.5, 1.0)]
    versions = [served(design, NOON + HOUR * at) for at, design in enumerate(designs)]
    found = split_changes(versions[::-1])
    assert [(change.before, change.after, change.since) for change in found] == [
        ("0.1", "0.5", NOON + HOUR),
        ("0.5", "1.0", NOON + 2 * HOUR),
    ]


def test_units_that_moved_are_counted_between_the_two_versions_they_moved_between() -> None:
    other = replace(BASE, salt="t")
    (change,) = split_changes([served(BASE, NOON), served(other, NOON + HOUR)], {(BASE.hash, other.hash): 1234})
    assert str(change).endswith("; 1,234 units changed variant")
    assert change.to_json() == {
        "field": "salt",
        "before": "s",
        "after": "t",
        "since": "2013-11-01T13:00:00Z",
        "fault": True,
        "moved": 1234,
    }


def test_a_split_whose_document_is_gone_is_a_fault_of_which_no_more_is_known() -> None:
    gone = replace(served(replace(BASE, traffic=0.5), NOON), document=None)
    (change,) = split_changes([gone, served(BASE, NOON + HOUR)])
    assert (change.field, change.before, change.after, change.fault) == ("split", gone.hash[:12], BASE.hash[:12], True)


def test_a_file_that_was_not_served_yet_is_compared_with_what_was_served_last() -> None:
    older, newer, file = (replace(BASE, salt=salt) for salt in ("older", "newer", "file"))
    versions = [served(older, NOON, last=NOON + 9 * HOUR), served(newer, NOON + HOUR)]
    (change,) = unserved_changes(file.hash, file.split(), versions)
    assert str(change) == "salt: older -> file in the file, not served yet"
    assert change.to_json()["since"] is None
    assert unserved_changes(newer.hash, newer.split(), versions) == ()
    assert unserved_changes(file.hash, file.split(), []) == ()
