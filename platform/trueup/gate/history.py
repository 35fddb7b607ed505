"""Which version had an alias before: kept as tags of model versions, read back as values. Pure.

A move is written down before it is made, on the version it goes to. One that was never made (the process was killed in
between) shows by itself: the next one does not start where it ends.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from trueup.errors import GateError
from trueup.hashing import canonical_json
from trueup.instants import format_instant, parse_instant

Kind = Literal["promote", "rollback"]
FORMAT = 1
_TAG = "trueup.move."


@dataclass(frozen=True)
class Move:
    """An alias going from one version to another. before: None when it pointed at none. verdict: id of the document
    that allowed it."""

    alias: str
    kind: Kind
    before: int | None
    to: int
    at: datetime
    verdict: str

    @property
    def tag(self) -> str:
        """Name of the tag it is kept under, with the version it goes to."""
        return f"{_TAG}{self.alias}.{format_instant(self.at)}.{self.verdict[:8]}"

    def to_text(self) -> str:
        return canonical_json(self.to_json()).decode()

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "alias": self.alias,
            "kind": self.kind,
            "from": self.before,
            "to": self.to,
            "at": format_instant(self.at),
            "verdict": self.verdict,
        }


def read_moves(tags: Iterable[Mapping[str, str]], alias: str) -> tuple[Move, ...]:
    """Every move of the alias that was written down, oldest first. tags: those of each version of a model.

    Raises GateError for one that cannot be read: what came before is then not known.
    """
    texts = [text for each in tags for name, text in each.items() if name.startswith(_TAG)]
    moves = [move for move in map(_move, texts) if move.alias == alias]
    return tuple(sorted(moves, key=lambda move: (move.at, move.to)))


def made(moves: tuple[Move, ...], current: int | None) -> tuple[Move, ...]:
    """Those that were made. moves: oldest first. current: the version that has the alias now."""
    then = (*(move.before for move in moves[1:]), current)[: len(moves)]
    return tuple(move for move, next_ in zip(moves, then, strict=True) if next_ == move.to)


def moved_at(moves: tuple[Move, ...], version: int, current: int | None) -> datetime | None:
    """When `version` got the alias last; None where no move that was made says so. moves, current: as of `made`."""
    return next((move.at for move in reversed(made(moves, current)) if move.to == version), None)


def version_before(moves: tuple[Move, ...], current: int) -> int | None:
    """The version that had the alias before `current` got it; None when none is known.

    What was rolled back is not come back to: after a rollback it is the one before the version rolled back to. A move
    by another hand (`trueup train` with an alias, MLflow's page) shows in the next one. Until then nothing tells
    whether the last move was made before it, so what was there before is not known.
    """
    stack: list[int] = []
    for move in made(moves, current):
        _stands_at(stack, move.before)
        if move.kind == "rollback" and move.to in stack:
            while stack[-1] != move.to:
                stack.pop()
        else:
            if move.kind == "rollback" and stack:
                stack.pop()  # to a version that was named, which is not known to have had it before
            stack.append(move.to)
    _stands_at(stack, current)
    return stack[-2] if len(stack) > 1 else None


def _stands_at(stack: list[int], version: int | None) -> None:
    if version is not None and stack[-1:] != [version]:
        stack.append(version)


def _move(text: str) -> Move:
    try:
        data = json.loads(text)
        if data["format"] != FORMAT or data["kind"] not in get_args(Kind):
            raise ValueError(f"format {data['format']!r}, kind {data['kind']!r}")
        return Move(data["alias"], data["kind"], data["from"], data["to"], parse_instant(data["at"]), data["verdict"])
    except (ValueError, KeyError, TypeError) as error:
        raise GateError(
            f"a move of an alias, kept as a tag {_TAG}*, cannot be read ({type(error).__name__}: {error}).",
            hint="Delete the tag, or use the version of trueup that wrote it.",
        ) from error
