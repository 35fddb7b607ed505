"""Laws of the move: one registry call, last of all; killed anywhere, the alias is the old version or the new one."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.trueup.gate.examples import KEY, OTHER_KEY
from tests.trueup.gate.shop_world import NOW, WELL, Shop, changed

from trueup.errors import GateError, ModelError
from trueup.gate import gather as gathering
from trueup.gate import promotion
from trueup.gate.facts import Facts, HoldoutFacts, ReproductionFacts
from trueup.gate.gather import World, gather
from trueup.gate.history import made, read_moves
from trueup.gate.items import judge
from trueup.gate.promotion import Promotion, promote, roll_back
from trueup.gate.stored import standing_of
from trueup.models.tracking import Registered, Tracking


class Killed(BaseException):
    """The process is gone: nothing of it runs on."""


class Dying(Tracking):
    """Dies before one of its calls to the registry that change something. after: how many it makes."""

    def __init__(self, uri: str, after: int) -> None:
        super().__init__(uri)
        self.left = after

    def tag_version(self, *arguments: Any) -> None:
        self._live()
        super().tag_version(*arguments)

    def set_alias(self, *arguments: Any) -> None:
        self._live()
        super().set_alias(*arguments)

    def _live(self) -> None:
        if self.left == 0:
            raise Killed
        self.left -= 1


@pytest.fixture(scope="module")
def facts(shop_: Shop) -> Facts:
    """All is well with version 2."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gathering, "try_serving", lambda *_, **__: WELL)
        found = gather(shop_.world, *(shop_.tracking.resolve("shop", version) for version in (2, 1)), at=NOW)
    assert all(item.met for item in judge(found))
    return found


@pytest.fixture
def aliases(shop_: Shop, facts: Facts, monkeypatch: pytest.MonkeyPatch) -> Tracking:
    """The shop's store without verdicts and moves, champion at 1; what is gathered is what `facts` has."""
    tracking = shop_.tracking
    monkeypatch.setattr(promotion, "gather", _gathered(tracking, facts))
    from mlflow import MlflowClient

    client = MlflowClient(tracking.uri, tracking.uri)
    for version, tags in tracking.version_tags("shop").items():
        for name in tags:
            if name.startswith(("trueup.verdict.", "trueup.move.")):
                client.delete_model_version_tag("shop", str(version), name)
    tracking.set_alias("shop", "champion", 1)
    return tracking


def _gathered(tracking: Tracking, facts: Facts) -> Any:
    def gathered(_world: World, candidate: Registered, *_: Any, **__: Any) -> Facts:
        version = candidate.version
        files = tracking.file_digests("shop", version)
        assert isinstance(facts.reproduction, ReproductionFacts)
        return replace(
            facts,
            card=replace(facts.card, version=version),
            files=files,
            reproduction=replace(facts.reproduction, files=files),
        )

    return gathered


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> Any:
        self.now += timedelta(seconds=1)
        return self.now


def go(shop_: Shop, tracking: Tracking, version: int, clock: Clock) -> Promotion:
    return promote(replace(shop_.world, tracking=tracking), f"shop@{version}", "champion", KEY, clock=clock)


def test_a_promotion_moves_the_alias_and_its_verdict_stands(shop_: Shop, aliases: Tracking) -> None:
    found = go(shop_, aliases, 2, Clock())
    assert (found.moved, found.before, aliases.alias("shop", "champion")) == (True, 1, 2)
    kept = standing_of(aliases, aliases.resolve("shop", "champion"), "champion", KEY.verify_key)
    assert kept.verdict == found.verdict
    (move,) = read_moves(aliases.version_tags("shop").values(), "champion")
    assert (move.kind, move.before, move.to, move.verdict) == ("promote", 1, 2, kept.id)


@pytest.mark.parametrize("calls", [0, 1, 2, 3])
def test_killed_before_any_call_the_alias_is_the_old_or_the_new_and_asking_again_ends_it(
    shop_: Shop, aliases: Tracking, calls: int
) -> None:
    clock = Clock()
    dying = Dying(aliases.uri, calls)
    if calls < 3:
        with pytest.raises(Killed):
            go(shop_, dying, 2, clock)
        assert Tracking(aliases.uri).alias("shop", "champion") == 1
    else:
        go(shop_, dying, 2, clock)
        assert Tracking(aliases.uri).alias("shop", "champion") == 2
    go(shop_, aliases, 2, clock)
    assert aliases.alias("shop", "champion") == 2
    moves = read_moves(aliases.version_tags("shop").values(), "champion")
    assert [(move.before, move.to) for move in made(moves, 2)] == [(1, 2)]


KILLED_WITHIN_THE_MOVE = """
import os, signal, sys
from sqlalchemy import event
from sqlalchemy.orm import Session
from trueup.models.tracking import Tracking

uri, moment = sys.argv[1:]
written = []

def kill(*_):
    if written:
        os.kill(os.getpid(), signal.SIGKILL)

event.listen(Session, "after_flush", lambda *_: written.append(True))
event.listen(Session, moment, kill)
Tracking(uri).set_alias("shop", "champion", 2)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("moment", "version"), [("after_flush_postexec", 1), ("after_commit", 2)])
def test_kill_9_within_the_one_call_leaves_the_old_alias_or_the_new(
    aliases: Tracking, moment: str, version: int
) -> None:
    """Before and after the database has it for good."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED_WITHIN_THE_MOVE, aliases.uri, moment], capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert Tracking(aliases.uri).alias("shop", "champion") == version


@pytest.mark.parametrize("calls", [0, 1, 2])
def test_killed_in_a_rollback_the_alias_is_the_old_or_the_new_and_asking_again_ends_it(
    shop_: Shop, aliases: Tracking, calls: int
) -> None:
    clock = Clock()
    go(shop_, aliases, 1, clock)  # has the alias already: it gets a verdict
    go(shop_, aliases, 2, clock)
    dying = Dying(aliases.uri, calls)
    if calls < 2:
        with pytest.raises(Killed):
            roll_back(dying, "shop", "champion", KEY.verify_key, clock=clock)
        assert Tracking(aliases.uri).alias("shop", "champion") == 2
        roll_back(aliases, "shop", "champion", KEY.verify_key, clock=clock)
    else:
        roll_back(dying, "shop", "champion", KEY.verify_key, clock=clock)
    assert Tracking(aliases.uri).alias("shop", "champion") == 1


def test_a_rollback_goes_to_the_version_before_and_a_second_one_further(shop_: Shop, aliases: Tracking) -> None:
    clock = Clock()
    for version in (1, 2, shop_.weak):
        go(shop_, aliases, version, clock)
    back = roll_back(aliases, "shop", "champion", KEY.verify_key, clock=clock)
    assert (back.before, back.to, aliases.alias("shop", "champion")) == (shop_.weak, 2, 2)
    assert roll_back(aliases, "shop", "champion", KEY.verify_key, clock=clock).to == 1
    with pytest.raises(GateError, match=r"shop@1 has champion, and no version is known to have had it before"):
        roll_back(aliases, "shop", "champion", KEY.verify_key, clock=clock)


def test_a_rollback_of_an_alias_that_the_gate_did_not_move_says_what_to_do(shop_: Shop, aliases: Tracking) -> None:
    with pytest.raises(GateError, match=r"the gate never moved it.* trueup promote shop@VERSION --to champion\."):
        roll_back(aliases, "shop", "champion", KEY.verify_key)
    go(shop_, aliases, 2, Clock())
    aliases.set_alias("shop", "champion", shop_.weak)
    said = (
        r"whose last move was to shop@2: another hand moved it since\. The gate let shop@2 have it once: "
        r"trueup rollback shop --to champion --version 2\."
    )
    with pytest.raises(GateError, match=said):
        roll_back(aliases, "shop", "champion", KEY.verify_key)
    assert aliases.alias("shop", "champion") == shop_.weak


def test_a_rollback_to_a_version_without_a_verdict_is_refused(shop_: Shop, aliases: Tracking) -> None:
    clock = Clock()
    go(shop_, aliases, 2, clock)
    with pytest.raises(GateError, match=r"shop@1 has no verdict for champion"):
        roll_back(aliases, "shop", "champion", KEY.verify_key, clock=clock)
    assert aliases.alias("shop", "champion") == 2


def test_an_alias_that_another_hand_moved_goes_to_a_version_that_is_named(shop_: Shop, aliases: Tracking) -> None:
    clock = Clock()
    go(shop_, aliases, 1, clock)
    go(shop_, aliases, 2, clock)
    aliases.set_alias("shop", "champion", shop_.weak)  # as `trueup train` with an alias, or MLflow's page
    with pytest.raises(GateError, match=r"The gate let shop@2, shop@1 have it once: trueup rollback shop .* 2\."):
        roll_back(aliases, "shop", "champion", KEY.verify_key, clock=clock)
    back = roll_back(aliases, "shop", "champion", KEY.verify_key, version=2, clock=clock)
    assert (back.before, back.to, aliases.alias("shop", "champion")) == (shop_.weak, 2, 2)
    with pytest.raises(GateError, match=r"no version is known .* it before\. The gate let shop@1 have it once"):
        roll_back(aliases, "shop", "champion", KEY.verify_key, clock=clock)  # not 3, which was rolled back


def test_a_version_that_is_named_needs_a_verdict_and_must_not_have_the_alias(shop_: Shop, aliases: Tracking) -> None:
    clock = Clock()
    go(shop_, aliases, 2, clock)
    for version, said in ((shop_.weak, "shop@3 has no verdict for champion"), (2, "shop@2 has champion already")):
        with pytest.raises(GateError, match=said):
            roll_back(aliases, "shop", "champion", KEY.verify_key, version=version, clock=clock)
    with pytest.raises(ModelError, match="has no version '9'"):
        roll_back(aliases, "shop", "champion", KEY.verify_key, version=9, clock=clock)
    assert aliases.alias("shop", "champion") == 2


def test_a_rollback_needs_the_verdicts_own_key_and_the_models_own_files(shop_: Shop, aliases: Tracking) -> None:
    clock = Clock()
    go(shop_, aliases, 1, clock)
    go(shop_, aliases, 2, clock)
    with pytest.raises(GateError, match="was signed with key"):
        roll_back(aliases, "shop", "champion", OTHER_KEY.verify_key, clock=clock)
    with changed(shop_.folder(1) / "trueup_card.json", lambda content: content + b"\n"):
        with pytest.raises(GateError, match=r"trueup_card\.json changed since"):
            roll_back(aliases, "shop", "champion", KEY.verify_key, clock=clock)
    assert aliases.alias("shop", "champion") == 2


def test_an_alias_that_another_hand_moved_meanwhile_is_left_alone(
    shop_: Shop, aliases: Tracking, facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile(*_: Any, **__: Any) -> Facts:
        aliases.set_alias("shop", "champion", shop_.weak)
        return facts

    monkeypatch.setattr(promotion, "gather", meanwhile)
    with pytest.raises(GateError, match=r"champion of shop was at version 1 and is at 3 now: another hand moved it"):
        go(shop_, aliases, 2, Clock())
    assert aliases.alias("shop", "champion") == shop_.weak


def test_a_refusal_is_kept_and_moves_nothing(
    shop_: Shop, aliases: Tracking, facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    holdout = facts.holdout
    assert isinstance(holdout, HoldoutFacts)
    worse = replace(facts, holdout=replace(holdout, candidate=-holdout.candidate))
    monkeypatch.setattr(promotion, "gather", lambda *_, **__: worse)
    found = go(shop_, aliases, 2, Clock())
    assert (found.verdict.outcome, found.moved, aliases.alias("shop", "champion")) == ("fail", False, 1)
    with pytest.raises(GateError, match=r"shop@2 was refused as champion on .*: holdout metric\."):
        standing_of(aliases, Registered("shop", 2, None), "champion", KEY.verify_key)


def test_a_version_that_is_not_there_is_an_error_and_writes_nothing(shop_: Shop, aliases: Tracking) -> None:
    before = aliases.version_tags("shop")
    with pytest.raises(ModelError, match="has no version '9'"):
        go(shop_, aliases, 9, Clock())
    assert aliases.version_tags("shop") == before
