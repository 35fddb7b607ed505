"""A version that an alias was moved to, looked at where it is served: all that is asked, then judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from trueup.contracts.contract import FeatureContract
from trueup.datasets.snapshot import open_snapshot
from trueup.datasets.training_set import TrainingSet
from trueup.errors import DatasetError, InputError, TrueupError
from trueup.eventlog.records import input_fields
from trueup.gate.evidence import Evidence, Outcome, joint
from trueup.gate.facts import NotAsked, Unknown
from trueup.gate.history import moved_at, read_moves
from trueup.gate.live import live_report
from trueup.gate.trial import json_rows
from trueup.gate.world import World
from trueup.instants import Clock, utc_now
from trueup.models.tracking import Registered
from trueup.parity.evidence.models import Progress, nothing
from trueup.parity.report import Report
from trueup.rollout.alerts import PAGES, active_alerts
from trueup.rollout.facts import Answers, Bounds, LiveFacts, Standing
from trueup.rollout.items import judge
from trueup.rollout.servers import REQUEST_ID, ModelServer, Patience, ask, follow, wait_for_log

_T = TypeVar("_T")


@dataclass(frozen=True)
class Asked:
    """servers: addresses. requests: how many are sent, each of one row; 0: live traffic alone is looked at.

    entities: rows to send, over and over; None: of the version's own holdout. at: the instant they are read as of, of
    servers whose clock is the request. since: live rows from then on; None: since the alias was moved, where the
    servers' clock is the wall's, else all that the version scored. alertmanager: its address; None: not asked.
    """

    servers: tuple[str, ...]
    requests: int = 200
    entities: tuple[Mapping[str, Any], ...] | None = None
    at: datetime | None = None
    since: datetime | None = None
    alertmanager: str | None = None
    matchers: tuple[str, ...] = PAGES
    bounds: Bounds = field(default_factory=Bounds)


@dataclass(frozen=True)
class Verification:
    """What was found of a version under an alias. parity: of its live rows, whole; None where there is none."""

    candidate: Registered
    alias: str
    evidence: tuple[Evidence, ...]
    parity: Report | None

    @property
    def outcome(self) -> Outcome:
        return joint(self.evidence)

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.candidate.name,
            "version": self.candidate.version,
            "alias": self.alias,
            "outcome": self.outcome,
            "evidence": [item.to_json() for item in self.evidence],
        }


def verify(
    world: World,
    ref: str,
    alias: str,
    asked: Asked,
    patience: Patience,
    *,
    clock: Clock = utc_now,
    progress: Progress = nothing,
) -> Verification:
    """Asks the servers, the log and Alertmanager, and judges. Nothing is moved, and but for the requests nothing sent.

    ref: NAME@VERSION, NAME/VERSION or NAME@ALIAS. Raises ModelError when there is no such version, InputError for an
    address that is none, for servers that go by the request's clock without `at`, and for the other way round.
    """
    tracking = world.tracking
    candidate = tracking.resolve(ref)
    with ExitStack() as open_servers:
        servers = [open_servers.enter_context(ModelServer(url)) for url in asked.servers]
        standings = []
        for server in servers:
            progress(f"{server.url} follows")
            standings.append(follow(server, candidate, alias, patience))
        clocks = {standing.clock for standing in standings} - {""}
        _check_clock(clocks, asked)
        progress("predictions")
        name = f"{candidate.name}-{candidate.version}-{alias}-{clock():%Y%m%dT%H%M%S}"
        answers = _answers(world, candidate, asked, servers, standings, name)
        progress("live rows")
        start = asked.since or (_moved(world, candidate, alias) if clocks == {"wall"} else None)
        parity = _known(lambda: _parity(world, candidate, servers, standings, patience, start, clock))
    progress("alerts")
    facts = LiveFacts(
        candidate=candidate,
        alias=alias,
        now_at=tracking.alias(candidate.name, alias),
        servers=tuple(standings),
        answers=answers,
        bounds=asked.bounds,
        parity=parity.results if isinstance(parity, Report) else parity,
        alerts=_alerts(asked),
    )
    return Verification(candidate, alias, judge(facts), parity if isinstance(parity, Report) else None)


def _known(found: Callable[[], _T]) -> _T | Unknown:
    try:
        return found()
    except TrueupError as error:
        return Unknown(str(error))


def _check_clock(clocks: set[str], asked: Asked) -> None:
    if "request" in clocks and asked.at is None and asked.requests:
        raise InputError(
            "now",
            'now: the servers go by the request\'s clock (clock = "request"), so each request must bring an instant.',
            hint="Name one with --now: what was materialized last is known then.",
        )
    if "wall" in clocks and asked.at is not None:
        raise InputError("now", "now: the servers go by their own clock, and refuse an instant.", hint="Leave it out.")


def _answers(
    world: World,
    candidate: Registered,
    asked: Asked,
    servers: Sequence[ModelServer],
    standings: Sequence[Standing],
    name: str,
) -> Answers | Unknown | NotAsked:
    if not asked.requests:
        return NotAsked("no request was to be sent (--requests 0).")
    up = [server for server, standing in zip(servers, standings, strict=True) if standing.clock]
    if not up:
        return Unknown("no server answers: see followed.")
    entities = _known(lambda: asked.entities or _holdout_entities(world, candidate, asked.requests))
    if isinstance(entities, Unknown):
        return entities
    return ask(up, [entities[number % len(entities)] for number in range(asked.requests)], name, asked.at)


def _holdout_entities(world: World, candidate: Registered, count: int) -> tuple[Mapping[str, Any], ...]:
    """Rows of the version's holdout, taken evenly; the column that names them is the unit, and made up: a unit of
    everybody's traffic would be counted as theirs. Raises DatasetError, InputError where there are none."""
    card = world.tracking.load_card(candidate.name, candidate.version)
    if card.snapshot is None:
        raise DatasetError(f"the card of {candidate} names no snapshot.", hint="Name rows to send with --entities.")
    snapshot = open_snapshot(card.snapshot, world.datasets)
    return entities_of(card.contract, snapshot.load(), snapshot.manifest.spec.rows.id, count)


def entities_of(contract: FeatureContract, data: TrainingSet, unit: str, count: int) -> tuple[Mapping[str, Any], ...]:
    """As JSON. Raises InputError for a holdout without rows."""
    if not (held := data.counts.holdout):
        raise InputError("holdout", "the snapshot has no holdout rows to ask about.", hint="Name rows with --entities.")
    at = data.counts.train + np.linspace(0, held - 1, num=min(count, held)).astype(int)
    rows = json_rows(data.rows.take(pa.array(at)).select([item.name for item in input_fields(contract)]))
    return tuple({unit: f"{REQUEST_ID}{number}", **row} for number, row in enumerate(rows))


def _moved(world: World, candidate: Registered, alias: str) -> datetime | None:
    """When the gate gave the version the alias; None where another hand did."""
    tags = world.tracking.version_tags(candidate.name)
    return moved_at(read_moves(tags.values(), alias), candidate.version, world.tracking.alias(candidate.name, alias))


def _parity(
    world: World,
    candidate: Registered,
    servers: Sequence[ModelServer],
    standings: Sequence[Standing],
    patience: Patience,
    start: datetime | None,
    clock: Clock,
) -> Report | NotAsked:
    for server, standing in zip(servers, standings, strict=True):
        if standing.clock and (problem := wait_for_log(server, patience)) is not None:
            raise DatasetError(f"{server.url}: {problem}")
    if world.log is None:
        return NotAsked("no log of live traffic is named.")
    return live_report(
        world.log,
        candidate,
        tracking=world.tracking,
        repo=world.repo,
        ledger=world.ledger,
        start=start,
        now=clock(),
    )


def _alerts(asked: Asked) -> tuple[str, ...] | Unknown | NotAsked:
    address = asked.alertmanager
    if address is None:
        return NotAsked("no Alertmanager is named.")
    return _known(lambda: active_alerts(address, asked.matchers))
