"""Promote and roll back. What is written, in this order: the verdict, the move, and last of all the alias, in one call.

Killed at any point, the alias points where it did or at the new version, and nothing needs repair: a verdict that led
to no move and a move that was never made say so themselves (`standing`, `history`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version as installed
from typing import Any

from trueup.errors import GateError, InputError
from trueup.gate.facts import Facts
from trueup.gate.gather import World, gather
from trueup.gate.history import Move, read_moves, version_before
from trueup.gate.items import judge
from trueup.gate.keys import SigningKey, VerifyKey
from trueup.gate.standing import Kept, read_verdicts
from trueup.gate.stored import standing_of
from trueup.gate.verdict import Verdict
from trueup.instants import Clock, utc_now
from trueup.models.tracking import Registered, Tracking
from trueup.parity.evidence.models import Progress, nothing

_ALIAS = re.compile(r"[A-Za-z0-9_-]{1,255}")
_NO_ALIAS = re.compile(r"v?[0-9]+|latest", re.IGNORECASE)


@dataclass(frozen=True)
class Promotion:
    """What became of it. before: the version that had the alias. kept: None of a dry run. moved: the alias did."""

    verdict: Verdict
    before: int | None
    kept: Kept | None
    moved: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "moved": self.moved,
            "before": self.before,
            "kept_as": None if self.kept is None else self.kept.tag,
            "verdict": self.verdict.to_json(),
        }


@dataclass(frozen=True)
class Rollback:
    """An alias that went back. verdict: of the version it went to."""

    model: str
    alias: str
    before: int
    to: int
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        return {"model": self.model, "alias": self.alias, "before": self.before, "to": self.to}


def promote(
    world: World,
    ref: str,
    alias: str,
    key: SigningKey | None,
    *,
    clock: Clock = utc_now,
    progress: Progress = nothing,
) -> Promotion:
    """Asks for the evidence, keeps the signed verdict, and moves the alias if all of it passed.

    ref: NAME@VERSION, NAME/VERSION or NAME@ALIAS. key: None asks only: nothing is kept and nothing moves.

    Raises ModelError when there is no such version or it cannot be read, GateError when the alias was moved by another
    hand meanwhile.
    """
    check_alias(alias)
    tracking = world.tracking
    candidate = tracking.resolve(ref)
    before = tracking.alias(candidate.name, alias)
    champion = None if before is None else tracking.resolve(candidate.name, before)
    at = clock()
    facts = gather(world, candidate, champion, at=at, progress=progress)
    verdict = _verdict(facts, candidate, alias, at)
    if key is None:
        return Promotion(verdict, before, None, moved=False)
    kept = Kept(verdict, verdict.signed(key))
    progress("keep the verdict")
    tracking.tag_version(candidate.name, candidate.version, kept.tag, kept.document.decode())
    if verdict.outcome != "pass" or before == candidate.version:
        return Promotion(verdict, before, kept, moved=False)
    _move(tracking, candidate.name, Move(alias, "promote", before, candidate.version, at, kept.id))
    return Promotion(verdict, before, kept, moved=True)


def check_alias(alias: str) -> None:
    """Raises InputError for what MLflow takes for a version or refuses, before anything is asked or written."""
    if not _ALIAS.fullmatch(alias) or _NO_ALIAS.fullmatch(alias):
        raise InputError(
            "to",
            f"alias: {alias!r} is none; expected letters, digits, - and _, and neither a number nor `latest`.",
            hint="Name one such as champion, challenger or shadow.",
        )


def roll_back(
    tracking: Tracking, model: str, alias: str, key: VerifyKey, *, version: int | None = None, clock: Clock = utc_now
) -> Rollback:
    """Points the alias at the version that had it before, or at another one that is named; its verdict must still hold.

    Raises ModelError when no model has the alias or there is no such version, GateError when none is known to have had
    it before, or the version has no valid verdict.
    """
    current = tracking.resolve(model, alias).version
    tags = tracking.version_tags(model)
    moves = read_moves(tags.values(), alias)
    to = version_before(moves, current) if version is None else tracking.resolve(model, version).version
    if to is None:
        raise _nowhere_to_go(model, alias, current, moves, _let_through(tags, alias, current))
    if to == current:
        raise GateError(
            f"{model}@{current} has {alias} already.", hint=f"See what there was: trueup gate show {model}."
        )
    kept = standing_of(tracking, Registered(model, to, None), alias, key, tags=tags)
    _move(tracking, model, Move(alias, "rollback", current, to, clock(), kept.id))
    return Rollback(model, alias, current, to, kept.verdict)


def take_back(
    tracking: Tracking, candidate: Registered, alias: str, key: VerifyKey, *, clock: Clock = utc_now
) -> Rollback | None:
    """Rolls the alias back if this version has it. None where another version has it, or none has: then nothing is
    done, so that the same release may be taken back twice.

    Raises GateError as `roll_back` does.
    """
    if tracking.alias(candidate.name, alias) != candidate.version:
        return None
    return roll_back(tracking, candidate.name, alias, key, clock=clock)


def _let_through(tags: Mapping[int, Mapping[str, str]], alias: str, current: int) -> tuple[int, ...]:
    """The other versions that the gate let have the alias once, newest first; whether it still does is not asked."""
    return tuple(
        version
        for version in sorted(tags, reverse=True)
        if version != current
        and any(
            each.verdict.alias == alias and each.verdict.outcome == "pass" for each in read_verdicts(tags[version])[0]
        )
    )


def _nowhere_to_go(
    model: str, alias: str, current: int, moves: tuple[Move, ...], let_through: tuple[int, ...]
) -> GateError:
    name = f"{model}@{current} has {alias}"
    hint = f"Name the version that is to have it: trueup promote {model}@VERSION --to {alias}."
    if let_through:
        versions = ", ".join(f"{model}@{version}" for version in let_through)
        hint = f"The gate let {versions} have it once: trueup rollback {model} --to {alias} --version {let_through[0]}."
    if not moves:
        return GateError(
            f"{name}, and the gate never moved it: a training's own alias, or another hand, put it there. "
            "What had it before is not known.",
            hint=hint,
        )
    if (last := moves[-1].to) != current:
        return GateError(
            f"{name}, and not by the gate, whose last move was to {model}@{last}: another hand moved it since.",
            hint=hint,
        )
    return GateError(f"{name}, and no version is known to have had it before.", hint=hint)


def _verdict(facts: Facts, candidate: Registered, alias: str, at: datetime) -> Verdict:
    card = facts.card
    return Verdict(
        model=candidate.name,
        version=candidate.version,
        alias=alias,
        evidence=judge(facts),
        run=candidate.run_id,
        files=facts.files,
        contract=card.contract.hash,
        snapshot=card.snapshot,
        trained_in=card.environment or "unknown",
        judged_in=facts.environment,
        at=at,
        trueup=installed("trueup"),
    )


def _move(tracking: Tracking, model: str, move: Move) -> None:
    """MLflow moves an alias whatever it points at; another hand's move meanwhile is told, but in the last instant."""
    tracking.tag_version(model, move.to, move.tag, move.to_text())
    if (now := tracking.alias(model, move.alias)) != move.before:
        raise GateError(
            f"{move.alias} of {model} was at version {move.before} and is at {now} now: "
            "another hand moved it meanwhile.",
            hint="Nothing was moved. Look at it (trueup gate show), and ask again.",
        )
    tracking.set_alias(model, move.alias, move.to)
