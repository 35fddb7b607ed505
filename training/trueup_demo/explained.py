"""The end of the demo: outcomes imported, the A/B test read out, and each model's gap explained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow.parquet as pq

from trueup.diagnose.build import REPLICATES
from trueup.diagnose.evidence.places import Places
from trueup.diagnose.evidence.promised import load_promised
from trueup.diagnose.evidence.served import Wanted
from trueup.diagnose.gap_ledger import GapLedger
from trueup.diagnose.metrics import METRICS
from trueup.diagnose.run import run_diagnose
from trueup.eventlog.outcomes import keep_outcomes, read_outcomes
from trueup.eventlog.outcomes.normalise import Columns, normalise
from trueup.experiments.design import Experiment
from trueup.models.store_uri import datasets_beside
from trueup.models.tracking import Tracking
from trueup.parity.report import Report
from trueup.readout.build import build_readout
from trueup.readout.evidence import gather
from trueup.readout.report import Readout
from trueup.stores.ledger import Ledger
from trueup_demo.workspace import Workspace

OUTCOME = "late"
LABEL_DELAY = timedelta(hours=24)
LATER = timedelta(days=2)
"""After the last request: then every outcome is mature."""
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Explained:
    """ledgers: one for each model, in their order."""

    readout: Readout
    ledgers: tuple[GapLedger, ...]

    def to_json(self) -> dict[str, Any]:
        """What the summary says of it."""
        readout = self.readout
        return {
            "readout": {
                "withheld": list(readout.withheld),
                "sample_ratio_p": None if readout.sample_ratio is None else readout.sample_ratio.p_value,
                "units": {variant.name: variant.units for variant in readout.variants},
            },
            "ledgers": {ledger.model: _ledger(ledger) for ledger in self.ledgers},
        }


def import_outcomes(workspace: Workspace, now: datetime) -> int:
    """What `trueup outcomes import` does with the flights' answers. Returns how many."""
    source = pq.read_table(workspace.data / "outcomes.parquet")
    columns = Columns(value=OUTCOME, request_id="flight_id", known_at="created")
    found = normalise(source, OUTCOME, columns, now=now)
    keep_outcomes(workspace.outcomes, OUTCOME, found.table)
    return int(found.table.num_rows)


def explain(
    workspace: Workspace,
    experiment: Experiment,
    tracking: Tracking,
    models: Sequence[str],
    served: Report,
    *,
    now: datetime,
    progress: Progress,
) -> Explained:
    """served: the served check of the models, which the read-out asks for."""
    facts = gather(
        experiment,
        log=workspace.log_dir,
        outcomes=workspace.outcomes,
        now=now,
        since=None,
        until=None,
        segments=("origin",),
        parity=lambda _models: served,
        progress=progress,
    )
    readout = build_readout(facts)
    places = Places(
        repo=workspace.repo,
        log=workspace.log_dir,
        datasets=datasets_beside(workspace.tracking_uri),
        ledger=Ledger(workspace.ledger),
    )
    wanted = Wanted(read_outcomes(workspace.outcomes, OUTCOME), LABEL_DELAY, "unknown", now)
    ledgers = [
        run_diagnose(
            load_promised(tracking, tracking.resolve(model, "champion")),
            places,
            wanted,
            METRICS["auc"],
            replicates=REPLICATES,
            seed=0,
            progress=progress,
        )
        for model in models
    ]
    return Explained(readout, tuple(ledgers))


def _ledger(ledger: GapLedger) -> Mapping[str, Any]:
    return {
        "summary": ledger.summary,
        "gap": None if ledger.gap is None else ledger.gap.value,
        "sums_exact": ledger.sums_exact,
        "steps": {step.title: None if step.effect is None else step.effect.value for step in ledger.steps},
        "claimed": [total.cause for total in ledger.claimed],
        "by_cause": {
            term.name: term.effect.value
            for step in ledger.steps
            for split in step.splits
            if split.by == "cause"
            for term in split.terms
        },
    }
