"""The holdout rows of the candidate's snapshot, predicted by the candidate and by the champion."""

from __future__ import annotations

from dataclasses import replace

from trueup.contracts.contract import FeatureContract
from trueup.datasets.ledger_state import PinnedLedger
from trueup.datasets.spec import INSTANT
from trueup.datasets.training_set import TrainingSet
from trueup.errors import TrueupError
from trueup.features.historical import read_as_of
from trueup.frame import FeatureFrame
from trueup.gate.facts import HoldoutFacts
from trueup.gate.world import World
from trueup.instants import AsOfRule
from trueup.models.bundle import Bundle
from trueup.models.tracking import Registered


def holdout_facts(world: World, data: TrainingSet, bundle: Bundle, champion: Registered | None) -> HoldoutFacts:
    """On features as a server would have had them. Raises what reading them raises."""
    positive = data.labels[data.holdout] == 1
    features = data.features.slice(data.counts.train, data.counts.holdout)
    rule = bundle.card.rule
    if rule.known_at == "unbounded":
        rule = replace(rule, known_at="served")
        features = _read(world, data, bundle.card.contract, rule)
    predictions = bundle.predict(features)
    if champion is None:
        return HoldoutFacts(positive, predictions, None, None)
    theirs = world.tracking.load_bundle(champion.name, champion.version)
    note = ""
    if theirs.card.contract.hash != bundle.card.contract.hash:
        features, note = _champions(world, data, theirs, features, rule)
    return HoldoutFacts(positive, predictions, theirs.predict(features), str(champion), note)


def _champions(
    world: World, data: TrainingSet, champion: Bundle, mine: FeatureFrame, rule: AsOfRule
) -> tuple[FeatureFrame, str]:
    """What the champion reads for the holdout rows: its own features, under the candidate's rule. A champion that was
    trained on what nobody knew would win on what no server has.

    mine: the candidate's features, which stand in where the champion's cannot be read any more and they have all that
    it eats: else no candidate could ever take its place. Raises what reading them raises.
    """
    contract = champion.card.contract
    try:
        return _read(world, data, contract, rule), f"on its own features, {contract.service}@{contract.hash[:12]}"
    except TrueupError as error:
        if not set(champion.card.inputs) <= set(mine.columns):
            raise
        return mine, f"on the candidate's features, as its own cannot be read: {error.message.rstrip('.')}"


def _read(world: World, data: TrainingSet, contract: FeatureContract, rule: AsOfRule) -> FeatureFrame:
    rows = data.rows.slice(data.counts.train, data.counts.holdout)
    ledger = world.ledger
    if ledger is not None and rule.pinned is not None:
        ledger = PinnedLedger(ledger, rule.pinned)  # as the candidate's own features were read
    return read_as_of(contract, rows, rule, repo=world.repo, ledger=ledger, instant=INSTANT)
