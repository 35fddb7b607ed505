"""`trueup diagnose` from end to end: evidence in, a ledger out."""

from __future__ import annotations

from trueup.diagnose.build import Asked, build_ledger
from trueup.diagnose.evidence.holdout import holdout_facts
from trueup.diagnose.evidence.places import Places
from trueup.diagnose.evidence.promised import Promised
from trueup.diagnose.evidence.served import Wanted, served_facts
from trueup.diagnose.facts import Facts, Missing
from trueup.diagnose.gap_ledger import GapLedger
from trueup.diagnose.metrics import MetricKind
from trueup.instants import format_duration, format_instant
from trueup.parity.evidence.models import Progress, nothing


def run_diagnose(
    promised: Promised,
    places: Places,
    wanted: Wanted,
    kind: MetricKind,
    *,
    replicates: int,
    seed: int,
    progress: Progress = nothing,
) -> GapLedger:
    """Why the metric of a model online is not what its holdout promised.

    Raises InputError for an outcome that is neither 0 nor 1 or a segment there is not, SourceError for a log that
    cannot be read. What is missing of the evidence is in the ledger, with the reason.
    """
    card = promised.bundle.card
    served, contract = served_facts(promised, places, wanted, progress)
    columns = () if isinstance(served, Missing) else tuple(served.segments)
    holdout = holdout_facts(promised, places, served_by=contract, columns=columns, progress=progress)
    facts = Facts(promised.name, promised.version, card.inputs, card.rule.known_at, holdout, served)
    asked = Asked(
        kind,
        wanted.outcomes.name,
        wanted.now,
        wanted.since,
        wanted.until,
        replicates=replicates,
        seed=seed,
    )
    return build_ledger(facts, asked, described=_described(promised, places, wanted), progress=progress)


def _described(promised: Promised, places: Places, wanted: Wanted) -> dict[str, str]:
    card = promised.bundle.card
    found = {
        "snapshot": card.snapshot,
        "run": card.run_id,
        "known_at": card.rule.known_at,
        "feature service": f"{card.contract.service}@{card.contract.hash[:12]}",
        "repository": str(places.repo),
        "log": str(places.log),
        "outcome": wanted.outcomes.name,
        "label delay": format_duration(wanted.delay),
        "a row without an outcome": "counts as 0 once its delay is over" if wanted.absent == "zero" else "is left out",
        "outcomes known by": format_instant(wanted.now),
        "roles": ", ".join(wanted.roles),
    }
    return {name: value for name, value in found.items() if value is not None}
