"""Served rows joined with outcomes, row by row in plain Python. Shares no code with `trueup.eventlog.outcomes`.

A served row is (request, row, instant, keys), an outcome (request, row, value, known_at) or
(keys, at, within, value, known_at); instants are whole numbers, keys a dict.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    request: str | None
    number: int
    at: int
    keys: dict[str, Any]


@dataclass(frozen=True)
class Named:
    request: str
    number: int
    value: float
    known_at: int


@dataclass(frozen=True)
class Timed:
    keys: dict[str, Any]
    at: int
    within: int
    value: float
    known_at: int


def joined(
    rows: list[Row], outcomes: list[Named | Timed], *, now: int, delay: int, absent: str
) -> tuple[list[float | None], list[str], Counter[str]]:
    """Value and state of each row; counts."""
    counts: Counter[str] = Counter()
    of_row: dict[tuple[str, int], list[tuple[int, float]]] = {}
    for outcome in outcomes:
        if outcome.known_at > now:
            counts["not yet known"] += 1
            continue
        meant = meant_by(outcome, rows)
        if not meant:
            counts["orphans"] += 1
            continue
        counts["matched"] += 1
        if len(meant) > 1:
            counts["ambiguous"] += 1
            continue
        of_row.setdefault(meant.pop(), []).append((outcome.known_at, outcome.value))
    value_of: dict[tuple[str | None, int], float] = {}
    for row, found in of_row.items():
        latest = max(known_at for known_at, _ in found)
        last = {value for known_at, value in found if known_at == latest}
        if len(last) > 1:
            counts["ambiguous"] += len(found)
            continue
        (value,) = last
        value_of[row] = value
        counts["duplicates"] += sum(other == value for _, other in found) - 1
        counts["restated"] += sum(other != value for _, other in found)
    values: list[float | None] = []
    states: list[str] = []
    for row in rows:
        value = value_of.get((row.request, row.number))
        over = row.at + delay <= now
        state = ("mature" if over else "early") if value is not None else ("missing" if over else "immature")
        if state == "missing" and absent == "zero":
            value, state = 0.0, "mature"
        values.append(value)
        states.append(state)
        counts[f"rows {state}"] += 1
    return values, states, counts


def meant_by(outcome: Named | Timed, rows: list[Row]) -> set[tuple[str, int]]:
    """The requests' rows that an outcome may be of; more than one: nobody can say which."""
    if isinstance(outcome, Named):
        mine = [row for row in rows if (row.request, row.number) == (outcome.request, outcome.number)]
    else:
        of_entity = [row for row in rows if all(row.keys[name] == value for name, value in outcome.keys.items())]
        before = [row for row in of_entity if outcome.at - outcome.within <= row.at <= outcome.at]
        last = max((row.at for row in before), default=None)
        mine = [row for row in before if row.at == last]
    return {(row.request, row.number) for row in mine if row.request is not None}
