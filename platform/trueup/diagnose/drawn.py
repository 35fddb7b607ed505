"""Terms, splits and steps while they are draws: what is added up before it becomes numbers with intervals. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from trueup.diagnose.gap_ledger import Split, SplitBy, Term
from trueup.diagnose.samples import Draws, estimate
from trueup.diagnose.six import SixCause

NOTHING = 1e-12
"""Effects up to this size are what floats leave of zero."""


@dataclass(frozen=True)
class DrawnTerm:
    """See `Term`."""

    name: str
    draws: Draws
    cause: SixCause | None = None
    cells: int | None = None
    of: int | None = None

    def shown(self) -> Term:
        return Term(self.name, estimate(self.draws), self.cause, self.cells, self.of)


@dataclass(frozen=True)
class DrawnSplit:
    """See `Split`. counts: whether its terms are what the six causes are added up from."""

    by: SplitBy
    terms: tuple[DrawnTerm, ...]
    what: str | None = None
    note: str | None = None
    counts: bool = False

    def shown(self) -> Split:
        return Split(self.by, tuple(term.shown() for term in by_size(self.terms)), self.what, self.note)


@dataclass(frozen=True)
class Found:
    """What one step is made of. sentences: plain words about it."""

    splits: tuple[DrawnSplit, ...] = ()
    sentences: tuple[str, ...] = field(default=())


def by_size(terms: Sequence[DrawnTerm]) -> list[DrawnTerm]:
    """The largest effects first; equal ones as they came."""
    return sorted(terms, key=lambda term: -abs(float(term.draws[0])))


def is_nothing(draws: Draws) -> bool:
    return bool(np.nanmax(np.abs(draws)) <= NOTHING)
