"""`World`: where the gate looks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from trueup.gate.facts import Budget
from trueup.models.tracking import Tracking
from trueup.stores.ledger import Ledger


@dataclass(frozen=True)
class World:
    """Where the gate looks. repo: the Feast repository. datasets: root of the snapshots. ledger: what stored rows are
    read by; None: the views' declared schedules. log: of the servers, whose rows are live traffic; None: there is none.
    """

    tracking: Tracking
    repo: Path
    datasets: Path
    ledger: Ledger | None = None
    log: Path | None = None
    budget: Budget = field(default_factory=Budget)
