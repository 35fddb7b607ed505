"""Which changes of a split withhold a read-out, and how they are told."""

from __future__ import annotations

from datetime import UTC, datetime

from trueup.experiments.changes import SplitChange
from trueup.readout.withhold import reasons, warnings

NOON = datetime(2013, 11, 1, 12, tzinfo=UTC)
SERVED = SplitChange("salt", "s", "t", NOON, fault=True, moved=7)
FILE = SplitChange("salt", "s", "t", None, fault=True)
RAMP = SplitChange("traffic", "0.5", "1.0", NOON, fault=False)


def _reasons(*changes: SplitChange, both: int = 0) -> list[str]:
    return list(reasons((), None, (), changes, both, parity_was_asked=False))


def test_a_split_that_was_changed_withholds_and_says_how_many_units_it_moved() -> None:
    (reason,) = _reasons(SERVED, both=7)
    assert reason == (
        "the split was changed while the experiment ran: salt: s -> t since 2013-11-01T12:00:00Z; "
        "7 units changed variant"
    )


def test_a_file_that_is_not_what_was_served_withholds_and_excuses_no_unit_of_two_variants() -> None:
    assert _reasons(FILE, both=7) == [
        "the experiment's file is not what was served: salt: s -> t in the file, not served yet",
        "7 units were assigned to more than one variant, under one and the same split",
    ]


def test_a_ramp_is_a_warning_only() -> None:
    assert _reasons(RAMP) == []
    assert "traffic: 0.5 -> 1.0 since 2013-11-01T12:00:00Z" in next(warnings((), [RAMP], parity_was_asked=True))
