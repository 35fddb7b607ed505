"""One cause, one page: which alert keeps which others quiet while it lasts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Inhibition:
    """While `source` fires, `targets` are quiet where the labels `equal` are the same. source, targets: alerts' names.

    where, whose: what else the source must be, and the targets.
    """

    source: str
    targets: Sequence[str]
    equal: Sequence[str] = ()
    where: Sequence[str] = ()
    whose: Sequence[str] = ()

    def to_yaml(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "source_matchers": [f'alertname="{self.source}"', *self.where],
            "target_matchers": [f'alertname=~"{"|".join(self.targets)}"', *self.whose],
        }
        return {**found, "equal": list(self.equal)} if self.equal else found


_OF_VIEWS = ("TrueupStaleView", "TrueupEmptyView", "TrueupNullRate", "TrueupParityMismatch")

INHIBITIONS = (
    Inhibition(
        "TrueupServingDown",
        (
            "TrueupServerDown",
            "TrueupNoTraffic",
            "TrueupErrorBudgetBurn",
            "TrueupLatencyBudgetBurn",
            "TrueupOnlineStoreFails",
            "TrueupFallbackAnswers",
            "TrueupOverloaded",
            "TrueupLogQueueFills",
            "TrueupAliasNotFollowed",
        ),
    ),
    # A store that is away makes answers fail, slow, or empty.
    Inhibition(
        "TrueupOnlineStoreFails",
        ("TrueupErrorBudgetBurn", "TrueupLatencyBudgetBurn", "TrueupFallbackAnswers", "TrueupNullRate"),
    ),
    # The same trouble, seen through a longer window.
    *(
        Inhibition(name, (name,), where=(f'window="{window}"',), whose=(f'window=~"{longer}"',))
        for name in ("TrueupErrorBudgetBurn", "TrueupLatencyBudgetBurn")
        for window, longer in (("1h", "6h|3d"), ("6h", "3d"))
    ),
    Inhibition("TrueupErrorBudgetBurn", ("TrueupOverloaded",), where=('severity="page"',)),
    Inhibition("TrueupMonitorMissing", ("TrueupJobNotRun", "TrueupLateMaterialization", "TrueupStaleView")),
    # The job that materializes these very views.
    Inhibition("TrueupJobNotRun", ("TrueupLateMaterialization", "TrueupStaleView"), equal=("task",)),
    Inhibition("TrueupLateMaterialization", _OF_VIEWS, equal=("view",)),
    Inhibition("TrueupEmptyView", ("TrueupStaleView", "TrueupNullRate", "TrueupParityMismatch"), equal=("view",)),
    Inhibition("TrueupStaleView", ("TrueupNullRate", "TrueupParityMismatch"), equal=("view",)),
    # What nobody can explain is the more urgent half of the same finding.
    Inhibition("TrueupUnexplainedMismatch", ("TrueupParityMismatch",), equal=("check", "subject")),
    # A model that is served other values than it learned from drifts, and is worse, because of that.
    Inhibition(
        "TrueupParityMismatch", ("TrueupDrift", "TrueupExpectationsFail", "TrueupModelQuality"), equal=("model",)
    ),
    Inhibition("TrueupUnexplainedMismatch", ("TrueupDrift", "TrueupModelQuality"), equal=("model",)),
    Inhibition("TrueupSampleRatioMismatch", ("TrueupGuardrailBroken",), equal=("experiment",)),
)
