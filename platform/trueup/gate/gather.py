"""Reads what the gate judges: registry, snapshot, models, on-demand views. All that it asks of the world.

What cannot be read is a fact too (`Unknown`), so that one missing file leaves the other evidence to be seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from trueup.contracts.extract import extract_contract
from trueup.datasets.snapshot import open_snapshot
from trueup.datasets.storage import find_snapshot, problems, read_manifest
from trueup.datasets.training_set import TrainingSet
from trueup.errors import DatasetError, TrueupError
from trueup.gate.facts import Facts, GoldenFacts, HoldoutFacts, SnapshotFacts, Unknown
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
    read by; None: the views' declared schedules."""

    tracking: Tracking
    repo: Path
    datasets: Path
    ledger: Ledger | None = None


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
    snapshot = _known(lambda: _snapshot(card, world.datasets))
    data = _known(lambda: _training_set(card, world.datasets))
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
    return Facts(
        card=card,
        files=files,
        environment=take_environment().hash,
        live=live,
        snapshot=snapshot,
        holdout=holdout,
        transforms=transforms,
        expectations=expectations,
        golden=golden,
    )


def _known(ask: Callable[[], _T]) -> _T | Unknown:
    try:
        return ask()
    except (TrueupError, ValueError) as error:  # ValueError: what an estimator raises for rows it cannot take
        return Unknown(str(error))
    except ImportError as error:
        return Unknown(f"{error.name} is not installed here.")


def _snapshot(card: ModelCard, root: Path) -> SnapshotFacts:
    folder = find_snapshot(_id(card), root)
    wrong = problems(folder)
    try:
        manifest = read_manifest(folder)
    except DatasetError:  # told by `problems`
        return SnapshotFacts(folder.name, "", 0, 0, wrong)
    return SnapshotFacts(
        manifest.id, manifest.content, manifest.rows, sum(part.bytes for part in manifest.parts), wrong
    )


def _id(card: ModelCard) -> str:
    if card.snapshot is None and card.adopted is not None:
        raise DatasetError(f"not known: adopted. {card} came from {card.adopted}, and no snapshot was named with it.")
    if card.snapshot is None:
        raise DatasetError(
            f"the card of {card} names no snapshot: it was trained by a trueup that kept none.", hint="Train it again."
        )
    return card.snapshot


def _training_set(card: ModelCard, root: Path) -> TrainingSet:
    return open_snapshot(_id(card), root).load()


def _holdout(world: World, data: TrainingSet, bundle: Bundle, champion: Registered | None) -> HoldoutFacts:
    features = data.features.slice(data.counts.train, data.counts.holdout)
    positive = data.labels[data.holdout] == 1
    predictions = bundle.predict(features)
    if champion is None:
        return HoldoutFacts(positive, predictions, None, None)
    theirs = world.tracking.load_bundle(champion.name, champion.version).predict(features)
    return HoldoutFacts(positive, predictions, theirs, str(champion))


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
