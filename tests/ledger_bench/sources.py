"""The sources: as they were when the snapshot was taken (`then`), and as they are since. The part of the served rows
never changes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tests.ledger_bench import plants
from tests.ledger_bench.definitions import HOUR, KNOWN_AFTER, PAST, PRESENT, TRAIN, instants, items, micros, spread
from tests.ledger_bench.people import People
from tests.ledger_bench.plants import Plan


def write_sources(repo: Path, plan: Plan, past: People, present: People, *, then: bool) -> None:
    _write_profile(repo, plan, past, present, then=then)
    _write_account(repo, plan, past, present, then=then)
    _write_asked(repo, plan, past, then=then)


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
        events = spread(day - 3 * HOUR, rows, timedelta(seconds=-1))
        if people is past:
            events[:TRAIN] -= micros(24 * HOUR)
        for columns, created in (((people.early, tone), timedelta(minutes=2)), ((level, restated), 40 * HOUR)):
            pieces.append(
                pa.table(
                    {
                        "item": items(name, rows),
                        "event": instants(events),
                        "created": instants(events + micros(created)),
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
            events = spread(event, rows, step)
            if people is past:
                events[:TRAIN] -= micros(24 * HOUR)
            pieces.append(
                pa.table(
                    {
                        "item": items(name, rows),
                        "region": people.region.astype(object),
                        "event": instants(events),
                        "created": instants(events + micros(timedelta(minutes=2))),
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
    asked = spread(PAST + 3 * HOUR, rows, 24 * HOUR / rows)
    asked[:TRAIN] -= micros(24 * HOUR)
    _write(
        repo / "asked.parquet",
        pa.table(
            {
                "item": items("p", rows),
                "region": past.region.astype(object),
                "event_timestamp": instants(asked),
                "late": late,
                "label_known_at": instants(asked + micros(KNOWN_AFTER)),
            }
        ),
    )


def _write(path: Path, table: pa.Table) -> None:
    # Without statistics of floats: see `trueup.eventlog.writer.write_parquet`.
    pq.write_table(table, path, write_statistics=False)
