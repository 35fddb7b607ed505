"""Check `online`: every entity a view's source knows, as the ledger says it stands online, against the online store.

Batch by batch, so that memory does not grow with the features of all entities.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trueup.contracts.contract import FeatureContract
from trueup.frame import FeatureFrame, Status
from trueup.parity.compare import Mask, cells
from trueup.parity.explain import Case, examine
from trueup.parity.results import Result
from trueup.parity.tally import Labels, Tally, tally

CHECK: Literal["online"] = "online"
NOT_LANDED = "not landed yet"
"""Reason of entities that no run has written yet, and that the store rightly does not have."""


@dataclass(frozen=True)
class Entities:
    """Some entities of one view, read from the online store at one instant."""

    case: Case
    labels: Labels


def check_online(contract: FeatureContract, known_at: str, batches: Iterable[Entities]) -> Result:
    """contract: of the one view that is checked. Entities that neither side has are counted, not compared."""
    total, not_landed = Tally(), 0
    for batch in batches:
        expected = batch.case.recompute(contract, batch.case.reading, batch.case.rows)
        absent = _missing(batch.case.served) & _missing(expected)
        not_landed += int(absent.sum())
        kept = np.flatnonzero(~absent)
        case = batch.case.subset(kept)
        total += tally(case, examine(case), batch.labels.subset(kept))
    return Result(
        check=CHECK,
        subject=contract.views[0].table,
        version=None,
        known_at=known_at,
        service=contract.service,
        contract=contract.hash,
        rows=total.rows,
        features=total.features,
        uncompared={NOT_LANDED: not_landed} if not_landed else {},
        samples=total.samples,
    )


def _missing(frame: FeatureFrame) -> Mask:
    """Rows the view has nothing of: a view's features are missing together."""
    if not frame.columns:
        return np.zeros(frame.num_rows, np.bool_)
    missing: Mask = np.logical_and.reduce(
        [cells(frame, column, None).statuses == Status.MISSING for column in frame.columns]
    )
    return missing
