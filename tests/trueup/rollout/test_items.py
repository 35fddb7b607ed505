"""Laws of what a rollout asks for: what each item makes of the facts. Empty is no pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from trueup.gate.evidence import joint
from trueup.gate.facts import NotAsked, Unknown
from trueup.models.tracking import Registered
from trueup.parity.compare import Counts
from trueup.parity.results import FeatureResult, Result
from trueup.rollout.facts import Answers, Bounds, LiveFacts, Standing
from trueup.rollout.items import ITEMS, judge

CANDIDATE = Registered("m", 3, None)
SERVER = Standing("http://a", None, ("canary",), answers=True, seconds=1.0, clock="wall")


def parity(mismatched: int = 0, compared: int = 100) -> Result:
    counts = Counts(compared=compared, equal=compared - mismatched, value=mismatched)
    features = {"v__x": FeatureResult("Int64", counts, unexplained=mismatched)}
    return Result("served", "m", "3", "served", "s", "c" * 64, rows=10, features=features)


WELL = LiveFacts(
    candidate=CANDIDATE,
    alias="canary",
    now_at=3,
    servers=(SERVER,),
    answers=Answers(100, (), {"m@2": 95, "m@3": 5}, (5.0,) * 100),
    bounds=Bounds(latency_p99_ms=50, error_rate=0.01),
    parity=(parity(),),
    alerts=(),
)


def unmet(**changes: Any) -> dict[str, tuple[str, str]]:
    found = judge(replace(WELL, **changes))
    assert [item.name for item in found] == list(ITEMS)
    return {item.name: (item.verdict, item.said) for item in found if not item.met}


def test_what_is_well_passes() -> None:
    assert unmet() == {}
    assert joint(judge(WELL)) == "pass"


@pytest.mark.parametrize(
    ("changes", "item", "verdict", "said"),
    [
        ({"now_at": 4}, "alias", "fail", "m@4 has canary, not m@3"),
        ({"now_at": None}, "alias", "fail", "no version has canary"),
        ({"servers": ()}, "followed", "could not run", "no server is named"),
        (
            {"servers": (SERVER, replace(SERVER, url="http://b", problem="degraded; its log fails: full"))},
            "followed",
            "fail",
            "http://b: degraded; its log fails: full",
        ),
        (
            {"servers": (SERVER, replace(SERVER, url="http://b", followed=()))},
            "followed",
            "could not run",
            "http://b: no variant there is m@canary",
        ),
        ({"answers": Answers(9, (), {"m@2": 9}, (5.0,) * 9)}, "answers", "could not run", "none of 9 requests came to"),
        ({"answers": Answers(2, ("status 500: x",) * 2)}, "answers", "fail", "no request was answered: status 500: x"),
        ({"answers": Answers()}, "answers", "could not run", "no request was answered: none"),
        (
            {"answers": Answers(100, ("status 503: full",) * 2, {"m@3": 98}, (5.0,) * 98)},
            "error budget",
            "fail",
            "2 of 100 requests failed (2.00%), 1.00% may; status 503: full.",
        ),
        (
            {"answers": replace(WELL.answers, milliseconds=(5.0,) * 90 + (90.0,) * 10)},
            "latency",
            "fail",
            "p99 90.0 ms of 100 answers; p99 may be 50 ms.",
        ),
        ({"parity": (parity(mismatched=3),)}, "live parity", "fail", "3 of 100 values in 10 served rows differ"),
        ({"parity": NotAsked("no row was scored.")}, "live parity", "could not run", "no row was scored."),
        ({"parity": Unknown("the log is damaged.")}, "live parity", "could not run", "the log is damaged."),
        ({"alerts": ("TrueupParity",)}, "alerts", "fail", "1 alert now: TrueupParity."),
        ({"alerts": Unknown("it does not answer.")}, "alerts", "could not run", "it does not answer."),
    ],
)
def test_what_is_not_well_is_named(changes: dict[str, Any], item: str, verdict: str, said: str) -> None:
    found = unmet(**changes)
    assert found[item][0] == verdict
    assert said in found[item][1]
    expected = "fail" if any(each == "fail" for each, _ in found.values()) else "could not run"
    assert joint(judge(replace(WELL, **changes))) == expected


def test_a_shadow_answers_nobody_and_is_scored() -> None:
    shadow = replace(SERVER, followed=("shadow",), answers=False)
    assert unmet(alias="shadow", servers=(shadow,), answers=replace(WELL.answers, by_model={"m@2": 100})) == {}


def test_without_requests_and_without_alertmanager_the_live_rows_decide() -> None:
    asked = {"answers": NotAsked("none."), "alerts": NotAsked("none.")}
    assert unmet(**asked) == {}
    assert joint(judge(replace(WELL, **asked, parity=NotAsked("no row.")))) == "could not run"
