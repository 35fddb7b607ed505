"""`online`: entities of one view in two batches, some of which no run has written yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from tests.conformance.example import Example
from tests.conformance.examples.recomputed import CONTRACT, case_of, keyed, served

from trueup.frame import FeatureFrame
from trueup.parity.case import Case
from trueup.parity.checks.online import CHECK, Entities, OnlineCheck, OnlineView
from trueup.parity.evidence.recompute import INSTANT
from trueup.parity.results import Result
from trueup.parity.tally import Labels


@dataclass(frozen=True)
class Stored:
    """What `OnlineCheck` is given, one after the other."""

    view: OnlineView
    batches: tuple[Entities, ...]


def make(order: Sequence[int], *, changed: int | None = None, unusable: int = 0) -> Stored:
    """unusable: entities that have not landed."""
    half = len(order) // 2
    return Stored(
        OnlineView(CONTRACT, _mismatching),
        tuple(
            Entities(
                inputs=keyed(part, missing),
                served=served(part, changed=changed, missing=missing),
                expected=served(part, missing=missing),
                listed=np.ones(len(part) + missing, np.bool_),
            )
            for part, missing in [(order[:half], 0), (order[half:], unusable)]
        ),
    )


def run(stored: Stored) -> Result:
    check = OnlineCheck(stored.view)
    for batch in stored.batches:
        check.add(batch)
    return check.result("served")


def _mismatching(rows: pa.Table, frame: FeatureFrame) -> tuple[Case, Labels]:
    return case_of(rows, frame), Labels(rows.column(INSTANT).cast(pa.int64()).to_numpy())


EXAMPLE = Example(CHECK, make, run)
