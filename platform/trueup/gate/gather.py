"""Reads what the gate judges: registry, snapshot, models, on-demand views. All that it asks of the world.

What cannot be read is a fact too (`Unknown`), so that one missing file leaves the other evidence to be seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from trueup.contracts.contract import FeatureContract
from trueup.contracts.extract import extract_contract
from trueup.datasets.ledger_state import PinnedLedger
from trueup.datasets.snapshot import open_snapshot
from trueup.datasets.spec import INSTANT
from trueup.datasets.storage import find_snapshot, problems, read_manifest, strangers
from trueup.datasets.training_set import TrainingSet
from trueup.errors import DatasetError, ModelError, TrueupError
from trueup.features.historical import read_as_of
from trueup.frame import FeatureFrame
from trueup.gate.facts import (
    Budget,
    Facts,
    GoldenFacts,
    HoldoutFacts,
    NotAsked,
    ReproductionFacts,
    SnapshotFacts,
    TrialFacts,
    Unknown,
)
from trueup.gate.live import shadow_result
from trueup.gate.trial import try_serving
from trueup.models.bundle import Bundle
from trueup.models.card import ModelCard
from trueup.models.environment import take_environment
from trueup.models.golden import GOLDEN_FILE, read_golden
from trueup.models.tracking import Registered, Tracking
from trueup.parity.checks.expectations import ServedWindow, check_expectations
from trueup.parity.evidence.expectations import Validator
from trueup.parity.evidence.models import Progress, nothing
from trueup.parity.evidence.transforms import Where
from trueup.parity.results import AnyResult
from trueup.parity.runs.transforms import run_transforms
from trueup.parity.suite import SUITE_FILE, read_suite
from trueup.stores.feast_rows import open_store
from trueup.stores.ledger import Ledger

_T = TypeVar("_T")


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


def gather(
    world: World, candidate: Registered, champion: Registered | None, *, at: datetime, progress: Progress = nothing
) -> Facts:
    """champion: what the candidate is compared with. at: the instant stored rows are read as of.

    Raises ModelError when the candidate's own card or estimator cannot be read: then there is nothing to judge.
    """
    tracking, name, version = world.tracking, candidate.name, candidate.version
    progress(f"load {candidate}")
    bundle = tracking.load_bundle(name, version)
    card = bundle.card
    files = tracking.file_digests(name, version)
    progress("contract")
    live = _known(lambda: extract_contract(open_store(world.repo), card.contract.service))
    progress("snapshot")
    kept = _known(lambda: _snapshot(card, world.datasets))
    snapshot, data = (kept, kept) if isinstance(kept, Unknown) else kept
    progress("reproduction")
    reproduction = _known(lambda: _reproduction(tracking, candidate))
    progress("holdout metric")
    holdout = data if isinstance(data, Unknown) else _known(lambda: _holdout(world, data, bundle, champion))
    progress("transforms")
    transforms = _known(lambda: _transforms(world, card, at))
    progress("expectations")
    expectations = (
        data if isinstance(data, Unknown) else _known(lambda: _expectations(tracking, candidate, card, data, at))
    )
    progress("golden predictions")
    golden = _known(lambda: _golden(tracking, candidate, bundle))
    progress("a server with it")
    trial = _trial(world, candidate, bundle, live, data)
    progress("live traffic")
    shadow = _known(lambda: _shadow(world, candidate, at))
    return Facts(
        card=card,
        files=files,
        environment=take_environment().hash,
        live=live,
        snapshot=snapshot,
        reproduction=reproduction,
        holdout=holdout,
        transforms=transforms,
        expectations=expectations,
        golden=golden,
        budget=world.budget,
        trial=trial,
        shadow=shadow,
    )


def _known(ask: Callable[[], _T]) -> _T | Unknown:
    try:
        return ask()
    except (TrueupError, ValueError) as error:  # ValueError: what an estimator raises for rows it cannot take
        return Unknown(str(error))
    except ImportError as error:
        return Unknown(f"{error.name} is not installed here.")


def _snapshot(card: ModelCard, root: Path) -> tuple[SnapshotFacts, TrainingSet | Unknown]:
    """The facts, and the rows. Every byte is read and checked once, unless one of them is wrong."""
    folder = find_snapshot(_id(card), root)
    data: TrainingSet | Unknown
    try:
        data = open_snapshot(str(folder), root).load()
    except DatasetError as error:
        data, wrong = Unknown(str(error)), problems(folder) or (error.message,)
    else:
        wrong = strangers(folder, read_manifest(folder))
    try:
        manifest = read_manifest(folder)
    except DatasetError:  # told by `problems`
        return SnapshotFacts(folder.name, "", 0, 0, wrong), data
    size = sum(part.bytes for part in manifest.parts)
    return SnapshotFacts(manifest.id, manifest.content, manifest.rows, size, wrong), data


def _id(card: ModelCard) -> str:
    if card.snapshot is None and card.adopted is not None:
        raise DatasetError(f"not known: adopted. {card} came from {card.adopted}, and no snapshot was named with it.")
    if card.snapshot is None:
        raise DatasetError(
            f"the card of {card} names no snapshot: it was trained by a trueup that kept none.", hint="Train it again."
        )
    return card.snapshot


def _reproduction(tracking: Tracking, candidate: Registered) -> ReproductionFacts:
    if candidate.run_id is None:
        raise ModelError(f"{candidate} belongs to no run, so it cannot be trained again.", hint="Train it with trueup.")
    found = tracking.load_reproduction(candidate.run_id)
    if found is None:
        raise ModelError(
            f"{candidate} was never reproduced.", hint=f"Do it: trueup reproduce {candidate.name}/{candidate.version}"
        )
    seeds = found.get("seeds") or {}
    return ReproductionFacts(
        verdict=str(found["verdict"]),
        culprits=tuple(found.get("culprits", ())),
        files=dict(found.get("model_files", {})),
        at=str(found.get("at")),
        seed_band=seeds["auc"]["gap_band"] if "auc" in seeds else None,
    )


def _trial(
    world: World,
    candidate: Registered,
    bundle: Bundle,
    live: FeatureContract | Unknown,
    data: TrainingSet | Unknown,
) -> TrialFacts | NotAsked | Unknown:
    if isinstance(live, Unknown) or bundle.card.contract.diff(live):
        return NotAsked("a server refuses a model whose contract is not the registry's: see contract.")
    if isinstance(data, Unknown):
        return data
    return _known(
        lambda: try_serving(
            candidate,
            bundle,
            data,
            repo=world.repo,
            tracking_uri=world.tracking.uri,
            requests=world.budget.requests,
        )
    )


def _shadow(world: World, candidate: Registered, at: datetime) -> tuple[AnyResult, ...] | NotAsked:
    if world.log is None:
        return NotAsked("no log of live traffic is named.")
    return shadow_result(world.log, candidate, tracking=world.tracking, repo=world.repo, ledger=world.ledger, now=at)


def _holdout(world: World, data: TrainingSet, bundle: Bundle, champion: Registered | None) -> HoldoutFacts:
    features = data.features.slice(data.counts.train, data.counts.holdout)
    positive = data.labels[data.holdout] == 1
    predictions = bundle.predict(features)
    if champion is None:
        return HoldoutFacts(positive, predictions, None, None)
    theirs = world.tracking.load_bundle(champion.name, champion.version)
    return HoldoutFacts(positive, predictions, theirs.predict(_features_of(world, theirs, bundle, data)), str(champion))


def _features_of(world: World, champion: Bundle, candidate: Bundle, data: TrainingSet) -> FeatureFrame:
    """What the champion reads for the holdout rows: its own features, under the candidate's rule. A champion that was
    trained on what nobody knew would win on what no server has."""
    if champion.card.contract.hash == candidate.card.contract.hash:
        return data.features.slice(data.counts.train, data.counts.holdout)
    rows = data.rows.slice(data.counts.train, data.counts.holdout)
    rule, ledger = candidate.card.rule, world.ledger
    if ledger is not None and rule.pinned is not None:
        ledger = PinnedLedger(ledger, rule.pinned)  # as the candidate's own features were read
    return read_as_of(champion.card.contract, rows, rule, repo=world.repo, ledger=ledger, instant=INSTANT)


def _transforms(world: World, card: ModelCard, at: datetime) -> tuple[AnyResult, ...]:
    if not card.contract.on_demand:
        return ()
    where = Where(world.repo, world.ledger, at)
    return run_transforms(open_store(world.repo), card.contract.service, where, clock=lambda: at).results


def _expectations(
    tracking: Tracking, candidate: Registered, card: ModelCard, data: TrainingSet, at: datetime
) -> AnyResult:
    features = data.features.slice(data.counts.train, data.counts.holdout)
    return check_expectations(
        ServedWindow(
            model=candidate.name,
            version=str(candidate.version),
            service=card.contract.service,
            contract=card.contract.hash,
            suite=read_suite(tracking.load_file(candidate.name, candidate.version, SUITE_FILE)),
            values=features.values,
            validate=Validator(at),
        )
    )


def _golden(tracking: Tracking, candidate: Registered, bundle: Bundle) -> GoldenFacts:
    recorded = read_golden(tracking.load_file(candidate.name, candidate.version, GOLDEN_FILE))
    return GoldenFacts(recorded, bundle.predict(recorded.features))
