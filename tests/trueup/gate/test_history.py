"""Laws of the history of moves: what was written down and never made shows, and a rollback is not come back to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from trueup.errors import GateError
from trueup.gate.history import Kind, Move, made, moved_at, read_moves, version_before

START = datetime(2024, 6, 1, tzinfo=UTC)


def moves(*steps: tuple[Kind, int | None, int]) -> tuple[Move, ...]:
    return tuple(
        Move("champion", kind, before, to, START + timedelta(minutes=number), "v" * 64)
        for number, (kind, before, to) in enumerate(steps)
    )


def test_a_move_comes_back_from_its_tag() -> None:
    written = moves(("promote", None, 1), ("promote", 1, 2), ("rollback", 2, 1))
    tags = [{each.tag: each.to_text(), "trueup.known_at": "served"} for each in reversed(written)]
    assert read_moves(tags, "champion") == written
    assert read_moves(tags, "challenger") == ()


@pytest.mark.parametrize(
    ("steps", "current", "before"),
    [
        ((), 1, None),
        ((("promote", None, 1),), 1, None),
        ((("promote", None, 1), ("promote", 1, 2)), 2, 1),
        ((("promote", 1, 2),), 2, 1),  # the first had the alias by its training
        ((("promote", 1, 2), ("promote", 2, 3), ("rollback", 3, 2)), 2, 1),
        ((("promote", 1, 2), ("promote", 2, 3), ("rollback", 3, 2), ("rollback", 2, 1)), 1, None),
        ((("promote", 1, 2), ("rollback", 2, 1), ("promote", 1, 3)), 3, 1),
        ((("promote", 1, 2), ("promote", 2, 1)), 1, 2),
        ((("promote", 1, 2), ("promote", 2, 3)), 2, 1),  # killed before 3 got the alias
        ((("promote", 1, 2), ("promote", 1, 3)), 3, 1),  # killed before 2 got it, then 3 was promoted
        ((("promote", 1, 2), ("promote", 2, 3), ("rollback", 3, 2)), 3, 2),  # killed in the rollback
        ((("promote", 1, 2),), 5, None),  # another hand moved it on: from 2, or from 1 after a kill
        ((("promote", 1, 2), ("promote", 5, 6)), 6, 5),
        ((("promote", 1, 2), ("rollback", 5, 2)), 2, None),  # to a version that was named, after another hand's move
        ((("promote", 1, 2), ("promote", 2, 3), ("rollback", 3, 9)), 9, 2),  # a named one that never had it
    ],
)
def test_the_version_before(steps: tuple[tuple[Kind, int | None, int], ...], current: int, before: int | None) -> None:
    assert version_before(moves(*steps), current) == before


def test_a_move_that_was_never_made_shows() -> None:
    written = moves(("promote", 1, 2), ("promote", 1, 3), ("promote", 3, 4))
    assert made(written, 3) == written[1:2]
    assert made(written, 4) == written[1:]


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 2, "kind": "promote"}', '{"format": 1, "kind": "swap"}'])
def test_a_move_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(GateError, match=r"a move of an alias.* cannot be read"):
        read_moves([{"trueup.move.champion.x": text}], "champion")


def test_when_a_version_got_the_alias_is_its_last_move_that_was_made() -> None:
    steps = moves(("promote", None, 1), ("promote", 1, 2), ("rollback", 2, 1), ("promote", 1, 3))
    assert moved_at(steps, 1, 3) == START + timedelta(minutes=2)
    assert moved_at(steps, 3, 3) == START + timedelta(minutes=3)
    assert moved_at(steps, 3, 1) is None  # it was killed before it was made
    assert moved_at((), 1, 1) is None
