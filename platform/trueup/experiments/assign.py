"""Which variant a unit gets: a pure function of the design, the salt and the unit, on any machine, for ever.

The golden assignments in tests/golden/assignment.json hold it still: changing them reassigns every unit of
every running experiment.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right

from trueup.experiments.design import Design, Variant
from trueup.hashing import canonical_json

_BITS = 64


def assign(design: Design, unit: str) -> Variant:
    """The unit's variant. Raising one of two weights moves units one way only, from the other to it."""
    # Whole numbers throughout: no rounding, and no two platforms that disagree on a boundary.
    point = position(design.salt, unit) * design.total >> _BITS
    return design.variants[bisect_right(design.bounds, point)]


def position(salt: str, unit: str) -> int:
    """Where the unit stands, uniform over 0 .. 2**64 - 1: the first 8 bytes, big-endian, of a SHA-256.

    The two are hashed as a pair, so that salt `a` with unit `bc` is not salt `ab` with unit `c`.
    """
    return int.from_bytes(hashlib.sha256(canonical_json([salt, unit])).digest()[: _BITS // 8], "big")


def unit_text(unit: str | int) -> str:
    """A unit as it is hashed and logged: integers in decimal, text as it is."""
    return str(unit)
