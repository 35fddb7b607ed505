"""Check `served`: each served row against what training would read for it, under the model's own rule.

A parity run is the training join with the served log as its left side: whatever the model learned from must be
what it was served. A model that learned under a leaky rule fails this check although its served values are
right, and the causes say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from trueup.parity.explain import Case, examine
from trueup.parity.results import Result
from trueup.parity.tally import Labels, roles, tally, timeline

CHECK: Literal["served"] = "served"


@dataclass(frozen=True)
class ServedModel:
    """What one model version was served. uncompared: reason -> log rows that are not in the case."""

    model: str
    version: str
    case: Case
    labels: Labels
    uncompared: Mapping[str, int] = field(default_factory=dict)


def check_served(served: ServedModel) -> Result:
    """Every feature of every row, as answer and as shadow."""
    findings = examine(served.case)
    total = tally(served.case, findings, served.labels)
    return Result(
        check=CHECK,
        subject=served.model,
        version=served.version,
        known_at=served.case.reading.rule.known_at,
        service=served.case.contract.service,
        contract=served.case.contract.hash,
        rows=total.rows,
        features=total.features,
        uncompared=served.uncompared,
        roles=roles(findings, served.labels),
        timeline=timeline(findings, served.labels),
        samples=total.samples,
    )
