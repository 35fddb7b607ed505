"""Alerts and recorded series as values, and the form Prometheus reads them in. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["page", "ticket"]
"""page: somebody is woken. ticket: within days."""
Component = Literal["serving", "data", "parity", "model", "experiment", "jobs"]


@dataclass(frozen=True)
class Alert:
    """One rule. expr: PromQL; for_seconds: how long it must hold. summary, description: Prometheus' templates.

    labels: beside severity and component, those that inhibition goes by.
    """

    name: str
    expr: str
    for_seconds: int
    severity: Severity
    component: Component
    summary: str
    description: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def to_yaml(self, runbook: str) -> dict[str, Any]:
        return {
            "alert": self.name,
            "expr": self.expr,
            "for": f"{self.for_seconds}s",
            "labels": {"severity": self.severity, "component": self.component, **self.labels},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{runbook}#{self.name.lower()}",
            },
        }


@dataclass(frozen=True)
class Record:
    """A series that is computed once, for several alerts and panels."""

    name: str
    expr: str

    def to_yaml(self, _runbook: str) -> dict[str, Any]:
        return {"record": self.name, "expr": self.expr}


@dataclass(frozen=True)
class Group:
    """Rules that are evaluated together."""

    name: str
    rules: Sequence[Alert | Record]

    def to_yaml(self, runbook: str) -> dict[str, Any]:
        return {"name": self.name, "rules": [rule.to_yaml(runbook) for rule in self.rules]}


def alerts_of(groups: Sequence[Group]) -> tuple[Alert, ...]:
    return tuple(rule for group in groups for rule in group.rules if isinstance(rule, Alert))
