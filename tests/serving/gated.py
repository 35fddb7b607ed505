"""Models that went through the gate: their verdicts and the moves of their alias, written as the gate writes them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.serving import world as worlds
from tests.serving.world import World
from tests.trueup.gate.examples import AT, PASSED

from trueup.gate.history import Move
from trueup.gate.keys import SigningKey
from trueup.gate.standing import Kept
from trueup.gate.verdict import Verdict


def keep_verdict(
    world: World, name: str, version: int, key: SigningKey, verdict: Verdict = PASSED, **changes: Any
) -> Kept:
    """Keeps a signed verdict with a version, of its own files."""
    files = world.tracking.file_digests(name, version)
    said = replace(verdict, **{"model": name, "version": version, "files": files, **changes})
    kept = Kept(said, said.signed(key))
    world.tracking.tag_version(name, version, kept.tag, kept.document.decode())
    return kept


def promoted(world: World, name: str, key: SigningKey) -> int:
    """Another version of a model, which the gate let become champion after the one before."""
    before = world.tracking.alias(name, "champion")
    versions = len(world.tracking.versions(name))
    made = worlds.register(world.tracking, name, world.contracts["small_v1"], seed=10 + versions, alias="spare")
    at = AT + timedelta(hours=versions)
    kept = keep_verdict(world, name, made.version, key, at=at)
    move = Move("champion", "promote", before, made.version, at, kept.id)
    world.tracking.tag_version(name, made.version, move.tag, move.to_text())
    world.tracking.set_alias(name, "champion", made.version)
    return made.version
