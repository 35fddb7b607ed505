"""One world, built with the real machinery: sources, snapshot, materialization ledger, served log, outcomes, and what the
run promised. Deterministic in the plan's seed.

Holdout and served rows have an entity each, with two rows in each of two views. `account` is read early and restated
hours after the last was scored; of `profile` an older row is materialized first. What differs between plans is which of
these rows say something else, under which rule the model was trained, and what the server did.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureView, Field, ValueType
from feast.types import Float64, String
from sklearn.pipeline import Pipeline
from tests.ledger_bench import plants
from tests.ledger_bench.people import FEATURES, Floats, Models, People, draw
from tests.ledger_bench.plants import KNOWN, MATURE, MISSED, REQUESTS, ROWS_OF_REQUEST, UNANSWERED, Plan

from trueup.contracts.contract import FeatureContract
from trueup.contracts.extract import view_from_feast
from trueup.datasets.snapshot import Snapshot, build_snapshot
from trueup.datasets.spec import DatasetSpec, EntityQuery, Span
from trueup.diagnose.evidence.places import Places
from trueup.diagnose.evidence.promised import Promised
from trueup.diagnose.evidence.served import Wanted
from trueup.eventlog.outcomes import keep_outcomes, read_outcomes
from trueup.eventlog.outcomes.kept import SCHEMA as OUTCOMES
from trueup.eventlog.records import Scores, ServedRows
from trueup.eventlog.writer import LogWriter
from trueup.frame import EVENT_TIME, STATUS, FeatureFrame, Status
from trueup.instants import AsOfRule
from trueup.models.bundle import Bundle
from trueup.models.card import ModelCard
from trueup.models.fitted import fitted_state
from trueup.stores.ledger import Ledger
from trueup.stores.query_source import DuckDBQuerySource
from trueup_training.fit import holdout_metrics

PROJECT = "bench"
MODEL = "model"
VERSION, OLDER_VERSION = "2", "1"
TRAIN, HOLDOUT = 60, 2000
SERVED = REQUESTS * ROWS_OF_REQUEST
HOUR = timedelta(hours=1)
STEP = 24 * HOUR / REQUESTS
"""Between two requests."""
PAST = datetime(2024, 1, 1, tzinfo=UTC)
"""When the holdout's day begins. Its rows are asked from three hours later on, for a day; training rows before."""
PINNED = PAST + timedelta(days=4)
PRESENT = datetime(2024, 2, 1, tzinfo=UTC)
"""When the served day begins, with a materialization; the next one is an hour later."""
NOW = PRESENT + 26 * HOUR
"""When the last has been served."""
KNOWN_AFTER, DELAY = (REQUESTS - KNOWN) * STEP, (REQUESTS - MATURE) * STEP
LATE_RUN = PRESENT + 2 * HOUR + MISSED * STEP
SERVICE = "scores"

Texts = npt.NDArray[np.str_]


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


def make_contracts() -> dict[str, FeatureContract]:
    """By way of Feast's own objects. Another definition has another query."""
    queries = {
        "plain": "SELECT * FROM profile",
        "clipped": f"SELECT * REPLACE (least(load, {plants.CLIP}) AS load) FROM profile",
        "mirrored": "SELECT * REPLACE (-mood AS mood) FROM profile",
    }
    return {name: _contract(query) for name, query in queries.items()}


def build_world(plan: Plan, folder: Path, kit: Kit) -> World:
    """Writes all of it under a folder."""
    random = np.random.default_rng([plan.seed, 1])
    past = draw(random, TRAIN + HOLDOUT, shifted=False)
    present = draw(random, SERVED, shifted=plan.shifted)
    repo = folder / "repo"
    repo.mkdir(parents=True)
    _write_profile(repo, plan, past, present, then=True)
    _write_account(repo, plan, past, present, then=True)
    _write_asked(repo, plan, past, then=True)
    contract = kit.contracts["plain"]
    rule = AsOfRule("unbounded" if _is_unbounded(plan) else "served", PINNED)
    snapshot = build_snapshot(_spec(rule), contract, repo=repo, root=folder / "datasets")
    promised = _promised(plan, snapshot, past, contract, rule, kit.models)
    _write_profile(repo, plan, past, present, then=False)
    _write_account(repo, plan, past, present, then=False)
    _write_asked(repo, plan, past, then=False)
    served_by = kit.contracts[_definition(plan)]
    ledger = _materialized(plan, folder / "ledger.sqlite", served_by)
    log = folder / "log"
    with LogWriter(log, [served_by]) as writer:
        for item in _served(plan, present, served_by, kit.models):
            assert writer.offer(item)
    places = Places(repo, log, folder / "datasets", ledger)
    return World(promised, places, _wanted(present, folder / "outcomes"))


def _is_unbounded(plan: Plan) -> bool:
    return "late arrival" in plan.plants or "feature logic" in plan.harmless


def _is_missed(plan: Plan) -> bool:
    return "missed materialization" in plan.plants or "serving" in plan.harmless


def _definition(plan: Plan) -> str:
    if "another definition served" in plan.plants:
        return "clipped"
    return "mirrored" if "code" in plan.harmless else "plain"


# Sources. `then`: as they were when the snapshot was taken; the served rows' part never changes.


def _write_account(repo: Path, plan: Plan, past: People, present: People, *, then: bool) -> None:
    for_training = then and "data" in plan.harmless
    pieces = []
    for people, day, name in ((past, PAST, "p"), (present, PRESENT, "s")):
        rows = len(people.late)
        tone = people.noise["tone at training" if for_training and people is past else "tone"]
        restated = people.noise["restated tone"] if "feature logic" in plan.harmless else tone
        if for_training and people is past:
            restated = tone
        level = people.x[0] if "late arrival" in plan.plants else people.early
        events = _spread(day - 3 * HOUR, rows, timedelta(seconds=-1))
        if people is past:
            events[:TRAIN] -= _micros(24 * HOUR)
        for columns, created in (((people.early, tone), timedelta(minutes=2)), ((level, restated), 40 * HOUR)):
            pieces.append(
                pa.table(
                    {
                        "item": _items(name, rows),
                        "event": _instants(events),
                        "created": _instants(events + _micros(created)),
                        "level": columns[0],
                        "tone": columns[1],
                    }
                )
            )
    _write(repo / "account.parquet", pa.concat_tables(pieces))


def _write_profile(repo: Path, plan: Plan, past: People, present: People, *, then: bool) -> None:
    leaks = then and "a leak put right" in plan.plants
    pieces = []
    for people, day, name in ((past, PAST, "p"), (present, PRESENT, "s")):
        rows = len(people.late)
        mood, score, load = people.noise["mood"], people.x[2], people.x[1]
        if leaks and people is past:
            load = load + plants.LEAK * (people.late - 0.5)
        old_mood = people.noise["old mood"] if "serving" in plan.harmless else mood
        old_score = people.old_score if "missed materialization" in plan.plants else score
        for columns, event, step in (
            ((old_score, old_mood), day - 4 * HOUR, timedelta(seconds=-1)),
            ((score, mood), day + timedelta(minutes=20), timedelta(milliseconds=250)),
        ):
            events = _spread(event, rows, step)
            if people is past:
                events[:TRAIN] -= _micros(24 * HOUR)
            pieces.append(
                pa.table(
                    {
                        "item": _items(name, rows),
                        "region": people.region.astype(object),
                        "event": _instants(events),
                        "created": _instants(events + _micros(timedelta(minutes=2))),
                        "load": load,
                        "score": columns[0],
                        "mood": columns[1],
                    }
                )
            )
    _write(repo / "profile.parquet", pa.concat_tables(pieces))


def _write_asked(repo: Path, plan: Plan, past: People, *, then: bool) -> None:
    rows = len(past.late)
    late = past.late
    if then and "labels put right" in plan.plants:
        late = late ^ (past.uniform["flipped"] < plants.FLIPPED)
    asked = _spread(PAST + 3 * HOUR, rows, 24 * HOUR / rows)
    asked[:TRAIN] -= _micros(24 * HOUR)
    _write(
        repo / "asked.parquet",
        pa.table(
            {
                "item": _items("p", rows),
                "region": past.region.astype(object),
                "event_timestamp": _instants(asked),
                "late": late,
                "label_known_at": _instants(asked + _micros(KNOWN_AFTER)),
            }
        ),
    )


def _spec(rule: AsOfRule) -> DatasetSpec:
    return DatasetSpec(
        name="bench",
        feature_service=SERVICE,
        rule=rule,
        rows=EntityQuery("SELECT * FROM asked", {"asked": "asked.parquet"}, id="item", label="late"),
        train=Span(PAST - 24 * HOUR, PAST + 3 * HOUR),
        holdout=Span(PAST + 3 * HOUR, PAST + 27 * HOUR),
    )


# What was promised


def _promised(
    plan: Plan, snapshot: Snapshot, past: People, contract: FeatureContract, rule: AsOfRule, models: Models
) -> Promised:
    data = snapshot.load()
    assert data.counts.holdout == HOLDOUT
    inputs = data.features.slice(TRAIN, HOLDOUT).values.to_pandas()
    # The snapshot's rows are by instant, as these are.
    people = {name: values[TRAIN:] for name, values in past.noise.items()}
    predictions = _predict(models.kept, inputs)
    recorded = models.kept
    if "a luckier fit" in plan.plants:
        recorded = models.luckier
        predictions = _predict(recorded, inputs)
    if "other numbers at training" in plan.plants:
        predictions = _disturbed(predictions, people["logit at training"])
    if "randomness" in plan.harmless:
        recorded = models.luckier
        predictions = _predict(models.kept, inputs.assign(account__tone=people["tone of another fit"]))
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


# What was served


def _materialized(plan: Plan, path: Path, contract: FeatureContract) -> Ledger:
    """Two runs of each view. Where the model reads more than the ledger says there was, a run that was missed is one that
    came late; else one that says it had come."""
    ledger = Ledger(path)
    with ledger:
        for view in contract.views:
            second = PRESENT + HOUR
            if view.name == "profile" and _is_missed(plan) and _is_unbounded(plan):
                second = LATE_RUN
            for at in (PRESENT, second):
                run = ledger.start(
                    project=PROJECT,
                    view=view.table,
                    started_at=at,
                    known_at=at,
                    known_after=None,
                    event_start=PAST - timedelta(days=10),
                    event_end=at,
                    definition_hash=view.definition_hash,
                )
                ledger.finish(run, finished_at=at + timedelta(minutes=1), rows=SERVED)
    return ledger


def _served(plan: Plan, present: People, contract: FeatureContract, models: Models) -> Iterator[ServedRows]:
    """Requests in the order they came; every fortieth is logged twice."""
    values, event_times = _read_online(plan, present)
    shuffled = np.random.default_rng([plan.seed, 2]).permutation(KNOWN)
    unanswered = np.zeros(REQUESTS, np.bool_)
    if "answered without features" in plan.plants:
        unanswered[shuffled[:UNANSWERED]] = True
    frame = _frame(contract, values, event_times, np.repeat(unanswered, ROWS_OF_REQUEST))
    predictions, old = _answers(plan, present, frame.values.to_pandas(), models)
    items = _items("s", SERVED)
    for number in range(REQUESTS):
        rows = slice(number * ROWS_OF_REQUEST, (number + 1) * ROWS_OF_REQUEST)
        mine = items[rows].tolist()
        request = ServedRows(
            contract=contract,
            request_id=f"r{number:04d}",
            instant=_asked_at(number),
            experiment="",
            inputs=pa.table({"item": mine, "region": present.region[rows].astype(object)}),
            frame=frame.slice(rows.start, ROWS_OF_REQUEST),
            rows=tuple(range(ROWS_OF_REQUEST)),
            units=tuple(mine),
            variants=(MODEL,) * ROWS_OF_REQUEST,
            scores=tuple(_scores(predictions[rows], old[rows])),
            fallback=bool(unanswered[number]),
        )
        yield request
        if number % 40 == 0:
            yield request


def _asked_at(number: int) -> datetime:
    return PRESENT + 2 * HOUR + (number + 0.5) * STEP


def _read_online(plan: Plan, present: People) -> tuple[dict[str, Floats], dict[str, npt.NDArray[np.int64]]]:
    """What the online store held of each row, and the event times of the views."""
    number = np.arange(REQUESTS)
    if not _is_missed(plan):
        missed = np.zeros(REQUESTS, np.bool_)
    elif _is_unbounded(plan):
        missed = number < MISSED
    else:
        missed = np.isin(number, np.random.default_rng([plan.seed, 3]).permutation(KNOWN)[:MISSED])
    missed = np.repeat(missed, ROWS_OF_REQUEST)
    old_score = present.old_score if "missed materialization" in plan.plants else present.x[2]
    old_mood = present.noise["old mood" if "serving" in plan.harmless else "mood"]
    load, mood = present.x[1], np.where(missed, old_mood, present.noise["mood"])
    definition = _definition(plan)
    values = {
        "account__level": present.early,
        "account__tone": present.noise["tone"],
        "profile__load": np.minimum(load, plants.CLIP) if definition == "clipped" else load,
        "profile__score": np.where(missed, old_score, present.x[2]),
        "profile__mood": -mood if definition == "mirrored" else mood,
    }
    before = _spread(PRESENT - 4 * HOUR, SERVED, timedelta(seconds=-1))
    after = _spread(PRESENT + timedelta(minutes=20), SERVED, timedelta(milliseconds=250))
    times = {
        "account": _spread(PRESENT - 3 * HOUR, SERVED, timedelta(seconds=-1)),
        "profile": np.where(missed, before, after),
    }
    return values, times


def _frame(
    contract: FeatureContract,
    values: Mapping[str, Floats],
    event_times: Mapping[str, npt.NDArray[np.int64]],
    unanswered: npt.NDArray[np.bool_],
) -> FeatureFrame:
    status = np.where(unanswered, Status.MISSING, Status.PRESENT)
    return FeatureFrame(
        pa.table({name: pa.array(values[name], mask=unanswered) for name in contract.columns}),
        pa.table({name: pa.array(status, STATUS) for name in contract.columns}),
        pa.table({view: pa.array(times, pa.int64(), mask=unanswered).cast(EVENT_TIME) for view, times in event_times.items()}),
    )


def _answers(
    plan: Plan, present: People, inputs: pd.DataFrame, models: Models
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """What the server said of each row, and whether the older version did."""
    inputs = inputs.astype(np.float64)
    predictions = _predict(models.kept, inputs)
    if "other numbers by the server" in plan.plants:
        predictions = _disturbed(predictions, present.noise["logit by the server"])
    if "environment" in plan.harmless:
        tone = np.where(inputs["account__tone"].isna(), np.nan, present.noise["tone by the server"])
        predictions = _predict(models.kept, inputs.assign(account__tone=tone))
    old = np.zeros(SERVED, np.bool_)
    if "an older version" in plan.plants:
        old = present.uniform["older"] < plants.OLDER
        predictions = np.where(old, _predict(models.older, inputs), predictions)
    return predictions, old


def _scores(predictions: Floats, old: npt.NDArray[np.bool_]) -> Iterator[Scores]:
    for version, mask in ((VERSION, ~old), (OLDER_VERSION, old)):
        positions = tuple(int(row) for row in np.flatnonzero(mask))
        if positions:
            yield Scores(MODEL, version, positions, ("answer",) * len(positions), predictions[mask])


def _wanted(present: People, root: Path) -> Wanted:
    at = np.repeat([_micros(_asked_at(number) - PRESENT) for number in range(REQUESTS)], ROWS_OF_REQUEST)
    known = _instants(at + _micros_of(PRESENT) + _micros(KNOWN_AFTER))
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


def _predict(model: Pipeline, inputs: pd.DataFrame) -> Floats:
    predictions: Floats = model.predict_proba(inputs[list(FEATURES)])[:, 1]
    return predictions


def _disturbed(predictions: Floats, noise: Floats) -> Floats:
    """The same log odds, and something."""
    odds = np.log(predictions) - np.log1p(-predictions) + plants.LOGIT_NOISE * noise
    disturbed: Floats = 1 / (1 + np.exp(-odds))
    return disturbed


# Feast, columns, clocks


def _contract(query: str) -> FeatureContract:
    item = Entity(name="item_entity", join_keys=["item"], value_type=ValueType.STRING)
    region = Entity(name="region_entity", join_keys=["region"], value_type=ValueType.STRING)
    views = [
        _view("account", [item], ["level", "tone"], "SELECT * FROM account"),
        _view("profile", [item, region], ["load", "score", "mood"], query),
    ]
    return FeatureContract(
        project=PROJECT,
        service=SERVICE,
        features=tuple(tuple(name.split("__")) for name in FEATURES),  # type: ignore[misc]
        views=tuple(view_from_feast(view) for view in views),
    )


def _view(name: str, entities: Sequence[Entity], features: Sequence[str], query: str) -> FeatureView:
    keys = [key for entity in entities for key in [entity.join_key]]
    return FeatureView(
        name=name,
        entities=list(entities),
        ttl=timedelta(0),
        schema=[*(Field(name=key, dtype=String) for key in keys), *(Field(name=item, dtype=Float64) for item in features)],
        source=DuckDBQuerySource(
            name=f"{name}_source",
            query=query,
            tables={name: f"{name}.parquet"},
            timestamp_field="event",
            created_timestamp_column="created",
        ),
        tags={"trueup.cadence": "1h", "trueup.delay": "1m"},
    )


def _items(name: str, rows: int) -> npt.NDArray[np.object_]:
    return np.array([f"{name}{number:05d}" for number in range(rows)], np.object_)


def _spread(start: datetime, rows: int, step: timedelta) -> npt.NDArray[np.int64]:
    """Instants from `start` on, a step apart: microseconds since 1970."""
    return _micros_of(start) + np.arange(rows, dtype=np.int64) * _micros(step)


def _instants(micros: npt.NDArray[np.int64]) -> pa.Array:
    return pa.array(micros, pa.int64()).cast(EVENT_TIME)


def _micros(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)


def _micros_of(instant: datetime) -> int:
    return _micros(instant - datetime(1970, 1, 1, tzinfo=UTC))


def _write(path: Path, table: pa.Table) -> None:
    # Without statistics of floats: see `trueup.eventlog.writer.write_parquet`.
    pq.write_table(table, path, write_statistics=False)
