"""Which variant a unit gets: a pure function of design, salt, unit and instant, on any machine, for ever.

The golden assignments in tests/golden/assignment.json hold it still: changing them reassigns every unit of
every running experiment. Who takes part (layer, holdout, traffic) and which variant it gets are decided by hashes of
their own, independent of each other: raising the traffic takes in units and changes nobody's variant.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from functools import cache

from trueup.experiments.design import Experiment, Exposure, Portfolio, Variant
from trueup.hashing import canonical_json

_BITS = 64
_WHOLE = 1 << _BITS


@dataclass(frozen=True)
class Assignment:
    """variant: whose model answers. exposure: why; only `assigned` takes part in the experiment."""

    experiment: Experiment
    variant: Variant
    exposure: Exposure


def assign(experiment: Experiment, unit: str, at: datetime | None = None) -> Assignment:
    """at: the request's instant (aware); None: whenever. Raising one of two weights moves units one way only, from the
    other to it; raising the traffic moves units only from outside to the one variant they would always have had."""
    if outside := _outside(experiment, unit, at):
        return Assignment(experiment, experiment.control_variant, outside)
    # Whole numbers throughout: no rounding, and no two platforms that disagree on a boundary.
    point = position(experiment.salt, unit) * experiment.total >> _BITS
    return Assignment(experiment, experiment.variants[bisect_right(experiment.bounds, point)], "assigned")


def assign_among(portfolio: Portfolio, unit: str, at: datetime | None = None) -> Assignment:
    """As the one experiment says whose part of the layer the unit is in, its control for whom it keeps out: it is what
    its holdout and its ramp are compared with. A unit in nobody's part is answered by the first one's control."""
    found = [assign(experiment, unit, at) for experiment in portfolio.experiments]
    return next((each for each in found if each.exposure != "outside layer"), found[0])


def position(salt: str, unit: str, purpose: str | None = None) -> int:
    """Where the unit stands, uniform over 0 .. 2**64 - 1: the first 8 bytes, big-endian, of a SHA-256.

    The two are hashed as a pair, so that salt `a` with unit `bc` is not salt `ab` with unit `c`. purpose: of a hash
    that is independent of the variant's: `traffic`, `holdout`, `layer`.
    """
    hashed = [salt, unit] if purpose is None else [purpose, salt, unit]
    return int.from_bytes(hashlib.sha256(canonical_json(hashed)).digest()[: _BITS // 8], "big")


def unit_text(unit: str | int) -> str:
    """A unit as it is hashed and logged: integers in decimal, text as it is."""
    return str(unit)


def _outside(experiment: Experiment, unit: str, at: datetime | None) -> Exposure | None:
    layer = experiment.layer
    if layer is not None:
        place = position(layer.salt, unit, "layer")
        if not _edge(layer.begin) <= place < _edge(layer.end):
            return "outside layer"
    if at is not None and experiment.start is not None and at < experiment.start:
        return "not started"
    if at is not None and experiment.end is not None and at >= experiment.end:
        return "ended"
    # By the layer's salt, so that the same units are held out of all its experiments, one after the other.
    if _among_first(experiment.holdout, layer.salt if layer else experiment.salt, unit, "holdout"):
        return "holdout"
    if not _among_first(experiment.traffic, experiment.salt, unit, "traffic"):
        return "not in traffic"
    return None


def _among_first(share: float, salt: str, unit: str, purpose: str) -> bool:
    """Whether the unit is in the lowest `share` of all positions. None and all of them need no hash: most requests."""
    return share >= 1 or (share > 0 and position(salt, unit, purpose) < _edge(share))


@cache
def _edge(share: float) -> int:
    """Positions below it are that share of all: exactly, as the share is written in decimal."""
    return int(Fraction(str(share)) * _WHOLE)
