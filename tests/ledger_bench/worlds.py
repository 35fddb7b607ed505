"""One world, built with the real machinery: sources, snapshot, materialization ledger, served log, outcomes, and what
the run promised. Deterministic in the plan's seed.

Holdout and served rows have an entity each, with two rows in each of two views. `account` is read early and restated
hours after the last was scored; of `profile` an older row is materialized first. What differs between plans is which of
these rows say something else, under which rule the model was trained, and what the server did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from tests.ledger_bench import plants
from tests.ledger_bench.definitions import (
    DELAY,
    HOLDOUT,
    KNOWN_AFTER,
    MODEL,
    NOW,
    PINNED,
    PRESENT,
    SERVED,
    TRAIN,
    VERSION,
    asked_at,
    definition_of,
    instants,
    is_unbounded,
    micros,
    micros_of,
    spec,
)
from tests.ledger_bench.people import FEATURES, Models, People, disturbed, draw, predict
from tests.ledger_bench.plants import REQUESTS, ROWS_OF_REQUEST, Plan
from tests.ledger_bench.serving import materialized, served
from tests.ledger_bench.sources import write_sources

from trueup.contracts.contract import FeatureContract
from trueup.datasets.snapshot import Snapshot, build_snapshot
from trueup.diagnose.evidence.places import Places
from trueup.diagnose.evidence.promised import Promised
from trueup.diagnose.evidence.served import Wanted
from trueup.eventlog.outcomes import keep_outcomes, read_outcomes
from trueup.eventlog.outcomes.kept import SCHEMA as OUTCOMES
from trueup.eventlog.writer import LogWriter
from trueup.frame import EVENT_TIME
from trueup.instants import AsOfRule
from trueup.models.bundle import Bundle
from trueup.models.card import ModelCard
from trueup.models.fitted import fitted_state
from trueup_training.fit import holdout_metrics


@dataclass(frozen=True)
class Kit:
    """What all worlds have in common. contracts: `plain`, and those with another query of `profile`."""

    contracts: Mapping[str, FeatureContract]
    models: Models


@dataclass(frozen=True)
class World:
    promised: Promised
    places: Places
    wanted: Wanted


def build_world(plan: Plan, folder: Path, kit: Kit) -> World:
    """Writes all of it under a folder."""
    random = plan.random(1)
    past = draw(random, TRAIN + HOLDOUT, shifted=False)
    present = draw(random, SERVED, shifted=plan.shifted)
    repo = folder / "repo"
    repo.mkdir(parents=True)
    write_sources(repo, plan, past, present, then=True)
    contract = kit.contracts["plain"]
    rule = AsOfRule("unbounded" if is_unbounded(plan) else "served", PINNED)
    snapshot = build_snapshot(spec(rule), contract, repo=repo, root=folder / "datasets")
    promised = _promised(plan, snapshot, past, contract, rule, kit.models)
    write_sources(repo, plan, past, present, then=False)
    served_by = kit.contracts[definition_of(plan)]
    ledger = materialized(plan, folder / "ledger.sqlite", served_by)
    log = folder / "log"
    with LogWriter(log, [served_by]) as writer:
        for item in served(plan, present, served_by, kit.models):
            assert writer.offer(item)
    places = Places(repo, log, folder / "datasets", ledger)
    return World(promised, places, _wanted(present, folder / "outcomes"))


def _promised(
    plan: Plan, snapshot: Snapshot, past: People, contract: FeatureContract, rule: AsOfRule, models: Models
) -> Promised:
    data = snapshot.load()
    assert data.counts.holdout == HOLDOUT
    inputs = data.features.slice(TRAIN, HOLDOUT).values.to_pandas()
    # The snapshot's rows are by instant, as these are.
    people = {name: values[TRAIN:] for name, values in past.noise.items()}
    predictions = predict(models.kept, inputs)
    recorded = models.kept
    if "a luckier fit" in plan.plants:
        recorded = models.luckier
        predictions = predict(recorded, inputs)
    if "other numbers at training" in plan.plants:
        predictions = disturbed(predictions, people["logit at training"])
    if "randomness" in plan.harmless:
        recorded = models.luckier
        predictions = predict(models.kept, inputs.assign(account__tone=people["tone of another fit"]))
    metrics = holdout_metrics(data.labels[data.holdout], predictions)
    if "a wrong number logged" in plan.plants:
        metrics[plan.metric] += plants.TOO_GOOD[plan.metric]
    card = ModelCard(
        name=MODEL,
        recipe="bench",
        contract=contract,
        rule=rule,
        inputs=FEATURES,
        label="late",
        metrics=metrics,
        seed=0,
        dataset=data.digest,
        environment=None,
        git_commit=None,
        git_dirty=False,
        snapshot=snapshot.id,
    )
    return Promised(MODEL, VERSION, Bundle(card, models.kept), predictions, fitted_state(recorded))


def _wanted(present: People, root: Path) -> Wanted:
    at = np.repeat([micros(asked_at(number) - PRESENT) for number in range(REQUESTS)], ROWS_OF_REQUEST)
    known = instants(at + micros_of(PRESENT) + micros(KNOWN_AFTER))
    table = pa.table(
        {
            "request_id": np.repeat([f"r{number:04d}" for number in range(REQUESTS)], ROWS_OF_REQUEST).astype(object),
            "row": pa.array(np.tile(np.arange(ROWS_OF_REQUEST), REQUESTS), pa.int32()),
            "keys": pa.nulls(SERVED, pa.string()),
            "at": pa.nulls(SERVED, EVENT_TIME),
            "within": pa.nulls(SERVED, pa.int64()),
            "value": present.late.astype(np.float64),
            "known_at": known,
        }
    ).cast(OUTCOMES)
    keep_outcomes(root, "late", table)
    return Wanted(read_outcomes(root, "late"), delay=DELAY, absent="unknown", now=NOW)
