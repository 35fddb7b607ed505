"""`online`: entities of one view in two batches, some of which no run has written yet."""

from __future__ import annotations

from collections.abc import Sequence

from tests.conformance.example import Example
from tests.conformance.examples.recomputed import CONTRACT, case, instants

from trueup.parity.checks.online import CHECK, Entities, check_online
from trueup.parity.tally import Labels


def make(order: Sequence[int], *, changed: int | None = None, unusable: int = 0) -> tuple[Entities, ...]:
    """unusable: entities that have not landed."""
    half = len(order) // 2
    parts = [(order[:half], 0), (order[half:], unusable)]
    return tuple(
        Entities(case(part, changed=changed, missing=missing), Labels(instants(part, missing)))
        for part, missing in parts
    )


EXAMPLE = Example(CHECK, make, lambda batches: check_online(CONTRACT, "served", batches))
