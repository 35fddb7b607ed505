"""What was found of a version that an alias was moved to, as values. `verify` asks; `items` judges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from trueup.gate.facts import NotAsked, Unknown
from trueup.models.tracking import Registered
from trueup.parity.results import AnyResult


@dataclass(frozen=True)
class Standing:
    """One server, as its /readyz spoke last.

    problem: why it does not serve the version under the alias, or not as it should; None when it does. followed:
    variants of the alias whose model is the version. answers: whether one of them gets requests, and is no shadow.
    seconds: until it did. clock: `wall` or `request`; empty of one that never answered.
    """

    url: str
    problem: str | None
    followed: tuple[str, ...] = ()
    answers: bool = False
    seconds: float = 0.0
    clock: str = ""


@dataclass(frozen=True)
class Answers:
    """What became of the requests, each of one row. failed: why, one for each that got no prediction of its features.

    by_model: NAME@VERSION -> rows it answered. milliseconds: of each answer, as it was felt here.
    """

    sent: int = 0
    failed: tuple[str, ...] = ()
    by_model: Mapping[str, int] = field(default_factory=dict)
    milliseconds: tuple[float, ...] = ()


@dataclass(frozen=True)
class Bounds:
    """What the version may take: the 99th percentile of a request in milliseconds, the share without an answer."""

    latency_p99_ms: float = 250.0
    error_rate: float = 0.001


@dataclass(frozen=True)
class LiveFacts:
    """now_at: the version that has the alias; None: no version has. parity: of the live rows the version scored.
    alerts: names of those that page somebody now."""

    candidate: Registered
    alias: str
    now_at: int | None
    servers: tuple[Standing, ...]
    answers: Answers | Unknown | NotAsked
    bounds: Bounds
    parity: tuple[AnyResult, ...] | Unknown | NotAsked
    alerts: tuple[str, ...] | Unknown | NotAsked
