"""What an item of evidence says, and the pieces its sentences are made of. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from trueup.gate.evidence import Finding
from trueup.parity.results import Result
from trueup.wording import counted

Said = tuple[Finding, str]
"""The finding, and one sentence with the numbers it rests on."""

_NAMED = 3
"""How many parts of a failure are named."""


def few(parts: Iterable[str]) -> str:
    """The first parts, and how many more there are."""
    parts = list(parts)
    more = [f"{len(parts) - _NAMED} more"] if len(parts) > _NAMED else []
    return "; ".join(part.rstrip(".") for part in [*parts[:_NAMED], *more])


def cells_said(result: Result) -> str:
    """Why an on-demand view's result is no pass."""
    if result.mismatched:
        return f"{result.mismatched:,} of {counted(result.compared, 'value')} depend on the rows around them"
    return result.problem or "nothing could be compared"
