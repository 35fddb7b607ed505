"""Reads what the gate judges: registry, snapshot, models, on-demand views. All that it asks of the world.

What cannot be read is a fact too (`Unknown`), so that one missing file leaves the other evidence to be seen.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from trueup.contracts.contract import FeatureContract
from trueup.contracts.extract import extract_contract
from trueup.datasets.snapshot import open_snapshot
from trueup.datasets.storage import find_snapshot, problems, read_manifest, strangers
from trueup.datasets.training_set import TrainingSet
from trueup.errors import DatasetError, ModelError, TrueupError
from trueup.gate.facts import (
    Facts,
    GoldenFacts,
    NotAsked,
    ReproductionFacts,
    SnapshotFacts,
    SuiteFacts,
    TrialFacts,
    Unknown,
)
from trueup.gate.holdout import holdout_facts
from trueup.gate.live import shadow_result
from trueup.gate.reproduction import reproduction_facts
from trueup.gate.trial import try_serving
from trueup.gate.world import World
from trueup.models.bundle import Bundle
from trueup.models.card import ModelCard
from trueup.models.environment import take_environment
from trueup.models.golden import GOLDEN_FILE, golden_rows, read_golden
from trueup.models.tracking import Registered, Tracking
from trueup.parity.checks.expectations import ServedWindow, check_expectations
from trueup.parity.evidence.expectations import Validator
from trueup.parity.evidence.models import Progress, nothing
from trueup.parity.evidence.transforms import Where
from trueup.parity.results import AnyResult
from trueup.parity.runs.transforms import run_transforms
from trueup.parity.suite import SUITE_FILE, read_suite, suite_bytes
from trueup.stores.feast_rows import open_store

__all__ = ["World", "gather"]

_T = TypeVar("_T")


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
    reproduction = _known(lambda: _reproduction(tracking, candidate, card))
    progress("holdout metric")
    holdout = data if isinstance(data, Unknown) else _known(lambda: holdout_facts(world, data, bundle, champion))
    progress("transforms")
    transforms = _known(lambda: _transforms(world, card, at))
    progress("expectations")
    expectations = (
        data if isinstance(data, Unknown) else _known(lambda: _expectations(tracking, candidate, card, data, at))
    )
    progress("golden predictions")
    golden = data if isinstance(data, Unknown) else _known(lambda: _golden(tracking, candidate, bundle, data))
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


def _reproduction(tracking: Tracking, candidate: Registered, card: ModelCard) -> ReproductionFacts:
    if card.adopted is not None:
        raise ModelError(f"not known: adopted. {card} came from {card.adopted}, and cannot be trained again.")
    if candidate.run_id is None:
        raise ModelError(f"{candidate} belongs to no run, so it cannot be trained again.", hint="Train it with trueup.")
    found = tracking.load_reproduction(candidate.run_id)
    if found is None:
        raise ModelError(
            f"{candidate} was never reproduced.", hint=f"Do it: trueup reproduce {candidate.name}/{candidate.version}"
        )
    try:
        return reproduction_facts(found, candidate.run_id, card.snapshot)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"the record of {candidate} trained again is incomplete ({type(error).__name__}: {error}).",
            hint=f"Do it again: trueup reproduce {candidate.name}/{candidate.version}",
        ) from error


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


def _transforms(world: World, card: ModelCard, at: datetime) -> tuple[AnyResult, ...]:
    if not card.contract.on_demand:
        return ()
    where = Where(world.repo, world.ledger, at)
    return run_transforms(open_store(world.repo), card.contract.service, where, clock=lambda: at).results


def _expectations(
    tracking: Tracking, candidate: Registered, card: ModelCard, data: TrainingSet, at: datetime
) -> SuiteFacts:
    features = data.features.slice(data.counts.train, data.counts.holdout)
    kept = tracking.load_file(candidate.name, candidate.version, SUITE_FILE)
    found = check_expectations(
        ServedWindow(
            model=candidate.name,
            version=str(candidate.version),
            service=card.contract.service,
            contract=card.contract.hash,
            suite=read_suite(kept),
            values=features.values,
            validate=Validator(at),
        )
    )
    made = suite_bytes(card.contract, data.features.slice(0, data.counts.train), model=card.name)
    return SuiteFacts(found, as_made=kept == made)


def _golden(tracking: Tracking, candidate: Registered, bundle: Bundle, data: TrainingSet) -> GoldenFacts:
    recorded = read_golden(tracking.load_file(candidate.name, candidate.version, GOLDEN_FILE))
    drawn = golden_rows(data.features.slice(data.counts.train, data.counts.holdout), seed=bundle.card.seed or 0)
    return GoldenFacts(recorded, bundle.predict(recorded.features), as_drawn=recorded.features.values == drawn.values)
