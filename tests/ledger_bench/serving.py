"""What the server did: what it read, what it answered, and the log of it, with the ledger of materializations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from tests.ledger_bench import plants
from tests.ledger_bench.definitions import (
    HOUR,
    LATE_RUN,
    MODEL,
    OLDER_VERSION,
    PAST,
    PRESENT,
    PROJECT,
    SERVED,
    VERSION,
    Micros,
    asked_at,
    definition_of,
    is_missed,
    is_unbounded,
    items,
    spread,
)
from tests.ledger_bench.people import Floats, Models, People, disturbed, predict
from tests.ledger_bench.plants import KNOWN, MISSED, REQUESTS, ROWS_OF_REQUEST, UNANSWERED, Plan

from trueup.contracts.contract import FeatureContract
from trueup.eventlog.records import Scores, ServedRows
from trueup.frame import EVENT_TIME, STATUS, FeatureFrame, Status
from trueup.stores.ledger import Ledger


def materialized(plan: Plan, path: Path, contract: FeatureContract) -> Ledger:
    """Two runs of each view. Where the model reads more than the ledger says there was, a run that was missed is one
    that came late; else one that says it had come."""
    ledger = Ledger(path)
    with ledger:
        for view in contract.views:
            second = PRESENT + HOUR
            if view.name == "profile" and is_missed(plan) and is_unbounded(plan):
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


def served(plan: Plan, present: People, contract: FeatureContract, models: Models) -> Iterator[ServedRows]:
    """Requests in the order they came; every fortieth is logged twice."""
    values, event_times = _read_online(plan, present)
    shuffled = plan.random(2).permutation(KNOWN)
    unanswered = np.zeros(REQUESTS, np.bool_)
    if "answered without features" in plan.plants:
        unanswered[shuffled[:UNANSWERED]] = True
    frame = _frame(contract, values, event_times, np.repeat(unanswered, ROWS_OF_REQUEST))
    predictions, old = _answers(plan, present, frame.values.to_pandas(), models)
    names = items("s", SERVED)
    for number in range(REQUESTS):
        rows = slice(number * ROWS_OF_REQUEST, (number + 1) * ROWS_OF_REQUEST)
        mine = names[rows].tolist()
        request = ServedRows(
            contract=contract,
            request_id=f"r{number:04d}",
            instant=asked_at(number),
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


def _read_online(plan: Plan, present: People) -> tuple[dict[str, Floats], dict[str, Micros]]:
    """What the online store held of each row, and the event times of the views."""
    number = np.arange(REQUESTS)
    if not is_missed(plan):
        missed = np.zeros(REQUESTS, np.bool_)
    elif is_unbounded(plan):
        missed = number < MISSED
    else:
        missed = np.isin(number, plan.random(3).permutation(KNOWN)[:MISSED])
    missed = np.repeat(missed, ROWS_OF_REQUEST)
    old_score = present.old_score if "missed materialization" in plan.plants else present.x[2]
    old_mood = present.noise["old mood" if "serving" in plan.harmless else "mood"]
    load, mood = present.x[1], np.where(missed, old_mood, present.noise["mood"])
    definition = definition_of(plan)
    values = {
        "account__level": present.early,
        "account__tone": present.noise["tone"],
        "profile__load": np.minimum(load, plants.CLIP) if definition == "clipped" else load,
        "profile__score": np.where(missed, old_score, present.x[2]),
        "profile__mood": -mood if definition == "mirrored" else mood,
    }
    before = spread(PRESENT - 4 * HOUR, SERVED, timedelta(seconds=-1))
    after = spread(PRESENT + timedelta(minutes=20), SERVED, timedelta(milliseconds=250))
    times = {
        "account": spread(PRESENT - 3 * HOUR, SERVED, timedelta(seconds=-1)),
        "profile": np.where(missed, before, after),
    }
    return values, times


def _frame(
    contract: FeatureContract,
    values: Mapping[str, Floats],
    event_times: Mapping[str, Micros],
    unanswered: npt.NDArray[np.bool_],
) -> FeatureFrame:
    status = np.where(unanswered, Status.MISSING, Status.PRESENT)
    return FeatureFrame(
        pa.table({name: pa.array(values[name], mask=unanswered) for name in contract.columns}),
        pa.table({name: pa.array(status, STATUS) for name in contract.columns}),
        pa.table(
            {view: pa.array(at, pa.int64(), mask=unanswered).cast(EVENT_TIME) for view, at in event_times.items()}
        ),
    )


def _answers(plan: Plan, present: People, inputs: pd.DataFrame, models: Models) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """What the server said of each row, and whether the older version did."""
    inputs = inputs.astype(np.float64)
    predictions = predict(models.kept, inputs)
    if "other numbers by the server" in plan.plants:
        predictions = disturbed(predictions, present.noise["logit by the server"])
    if "environment" in plan.harmless:
        tone = np.where(inputs["account__tone"].isna(), np.nan, present.noise["tone by the server"])
        predictions = predict(models.kept, inputs.assign(account__tone=tone))
    old = np.zeros(SERVED, np.bool_)
    if "an older version" in plan.plants:
        old = present.uniform["older"] < plants.OLDER
        predictions = np.where(old, predict(models.older, inputs), predictions)
    return predictions, old


def _scores(predictions: Floats, old: npt.NDArray[np.bool_]) -> Iterator[Scores]:
    for version, mask in ((VERSION, ~old), (OLDER_VERSION, old)):
        positions = tuple(int(row) for row in np.flatnonzero(mask))
        if positions:
            yield Scores(MODEL, version, positions, ("answer",) * len(positions), predictions[mask])
