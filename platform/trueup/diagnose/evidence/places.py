"""Where the evidence of a ledger lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from trueup.parity.evidence.cases import Basis
from trueup.parity.numbers import Tolerance
from trueup.stores.ledger import Ledger


@dataclass(frozen=True)
class Places:
    """repo: the Feast repository. log: the served log. datasets: where snapshots are kept. ledger: of materializations.

    project, tolerances, applied, defaults, declared_types: see `trueup.parity.evidence.cases.Basis`.
    """

    repo: Path
    log: Path
    datasets: Path
    ledger: Ledger | None
    project: str | None = None
    tolerances: Mapping[str, Tolerance] = field(default_factory=dict)
    applied: Mapping[str, datetime] | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    declared_types: bool = True

    @property
    def basis(self) -> Basis:
        return Basis(
            self.repo,
            self.ledger,
            project=self.project,
            tolerances=self.tolerances,
            applied=self.applied,
            defaults=self.defaults,
            declared_types=self.declared_types,
        )
