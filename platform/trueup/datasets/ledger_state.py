"""The materialization ledger as a snapshot is built under it: as it stood at the pinned instant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from trueup.contracts.contract import FeatureContract
from trueup.hashing import digest
from trueup.instants import format_instant
from trueup.stores.ledger import Ledger, Run


class PinnedLedger(Ledger):
    """A ledger without what came after an instant: later runs are not in it, and one that finished later still runs."""

    def __init__(self, ledger: Ledger, pinned: datetime) -> None:
        super().__init__(ledger.path)
        self._pinned = pinned

    def runs(self, project: str, view: str) -> tuple[Run, ...]:
        return tuple(
            run if run.finished_at is None or run.finished_at <= self._pinned else replace(run, finished_at=None)
            for run in super().runs(project, view)
            if run.started_at <= self._pinned
        )


@dataclass(frozen=True)
class LedgerState:
    """What a ledger says of one view. runs: how many. digest: SHA-256 of their instants, in hex."""

    runs: int
    digest: str

    def to_json(self) -> dict[str, Any]:
        return {"runs": self.runs, "digest": self.digest}


def ledger_states(contract: FeatureContract, ledger: Ledger | None) -> Mapping[str, LedgerState]:
    """View -> what the ledger says of it, for the views it knows. Without a ledger: none."""
    if ledger is None:
        return {}
    found = {view.name: ledger.runs(contract.project, view.table) for view in contract.views}
    return {name: LedgerState(len(runs), digest([_said(run) for run in runs])) for name, runs in found.items() if runs}


def _said(run: Run) -> list[str | None]:
    instants = (run.started_at, run.finished_at, run.known_at, run.known_after, run.event_start, run.event_end)
    return [None if instant is None else format_instant(instant) for instant in instants]
