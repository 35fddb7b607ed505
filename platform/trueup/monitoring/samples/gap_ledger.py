"""The offline-to-online ledger as metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily

from trueup.diagnose.gap_ledger import GapLedger
from trueup.monitoring.samples.text import Gauges


def ledger_samples(ledgers: Iterable[GapLedger]) -> Iterator[GaugeMetricFamily]:
    """What could not be measured has no sample."""
    found = Gauges()
    for ledger in ledgers:
        model = {"model": ledger.model, "version": ledger.version}
        found.add("trueup_ledger_last_run_timestamp_seconds", "When it was made.", ledger.at.timestamp(), **model)
        place = {**model, "metric": ledger.metric}
        for end in ("", "_low", "_high"):
            value = None if ledger.gap is None else getattr(ledger.gap, end.lstrip("_") or "value")
            found.add(f"trueup_ledger_gap{end}", "Online minus offline; 95 % interval.", value, **place)
        for state in ledger.states:
            value = None if state.estimate is None else state.estimate.value
            found.add(
                "trueup_ledger_state", "The metric, from the holdout to online.", value, **place, state=state.name
            )
        for step in ledger.steps:
            value = None if step.effect is None else step.effect.value
            names = " and ".join(step.names)
            found.add("trueup_ledger_step", "What a step moves the metric by.", value, **place, step=names)
        for total in ledger.causes:
            value = None if total.effect is None else total.effect.value
            found.add("trueup_ledger_cause", "What a cause explains of the gap.", value, **place, cause=total.cause)
            found.add(
                "trueup_ledger_cause_claimed",
                "1: its interval leaves zero out.",
                float(total.claimed),
                **place,
                cause=total.cause,
            )
    yield from found
