"""The bench counts right what it measures; and a few of its worlds, with fewer draws, have their cause named."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from tests.ledger_bench import __main__ as bench
from tests.ledger_bench.definitions import make_contracts
from tests.ledger_bench.measure import measure, summary
from tests.ledger_bench.oracle import Oracle
from tests.ledger_bench.people import fit_models
from tests.ledger_bench.plants import PLANTS, Plan, plans
from tests.ledger_bench.worlds import Kit

from trueup.diagnose.six import SIX, SixCause

REPLICATES = 200


@pytest.fixture(scope="module")
def kit() -> Kit:
    return Kit(make_contracts(), fit_models())


@pytest.fixture(scope="module")
def oracle(kit: Kit) -> Oracle:
    return Oracle(kit.models, 50_000)


def _measured(plan: Plan, folder: Path, kit: Kit, oracle: Oracle) -> dict[str, Any]:
    row = measure(plan, folder / "world", kit, oracle.truth(plan), replicates=REPLICATES)
    row.pop("seconds")
    return row


@pytest.mark.parametrize("name", PLANTS)
def test_a_single_cause_is_first_and_the_only_one_and_the_sums_are_exact(
    name: str, tmp_path: Path, kit: Kit, oracle: Oracle
) -> None:
    row = _measured(Plan((name,), (), False, "log_loss", 11), tmp_path, kit, oracle)
    assert row["ranked"][0] == PLANTS[name]
    assert row["claimed"] in ([PLANTS[name]], [])  # of a small one, chance may be as large
    assert row["others"] == []
    assert (row["sums_exact"], row["complete"]) == (True, True)


def test_two_causes_in_one_step_are_told_apart(tmp_path: Path, kit: Kit, oracle: Oracle) -> None:
    row = _measured(Plan(("late arrival", "missed materialization"), (), True, "brier", 12), tmp_path, kit, oracle)
    assert set(row["ranked"][:2]) == set(row["claimed"]) == {"feature logic", "serving"}
    assert (row["others"], row["sums_exact"], row["complete"]) == ([], True, True)


def test_another_fit_in_the_store_leaves_other_numbers_without_a_cause(
    tmp_path: Path, kit: Kit, oracle: Oracle
) -> None:
    plan = Plan(("other numbers by the server", "a luckier fit"), (), False, "brier", 13)
    row = _measured(plan, tmp_path, kit, oracle)
    assert row["claimed"] == ["randomness"]
    assert row["sizes"]["environment"]["value"] > 0.005  # of no cause, and told all the same


@pytest.mark.parametrize("missing", ["environment", "randomness"])
def test_differences_that_do_not_matter_are_found_and_no_cause_is_claimed(
    missing: SixCause, tmp_path: Path, kit: Kit, oracle: Oracle
) -> None:
    harmless = tuple(cause for cause in SIX if cause != missing)
    row = _measured(Plan((), harmless, True, "auc", 14), tmp_path, kit, oracle)
    assert all(size["value"] != 0 for size in row["harmless_sizes"].values())
    assert (row["claimed"], row["others"], row["sums_exact"], row["complete"]) == ([], [], True, True)


def test_a_world_is_the_same_again(tmp_path: Path, kit: Kit, oracle: Oracle) -> None:
    plan = Plan(("an older version",), (), False, "auc", 15)
    assert _measured(plan, tmp_path / "a", kit, oracle) == _measured(plan, tmp_path / "b", kit, oracle)


def test_every_cause_every_pair_and_none_are_planned_each_world_with_a_seed_of_its_own() -> None:
    wanted = list(plans(6, 2, 4))
    kinds = [plan.kind for plan in wanted]
    assert {kind: kinds.count(kind) for kind in SIX} == dict.fromkeys(SIX, 6)
    assert all(kinds.count(" + ".join(pair)) == 2 for pair in combinations(SIX, 2))
    assert kinds.count("none") == 4
    assert {name for plan in wanted for name in plan.plants} == set(PLANTS)
    assert len({plan.seed for plan in wanted}) == len(wanted)


def _row(**changes: Any) -> dict[str, Any]:
    inside = {"truth": 0.1, "value": 0.11, "low": 0.05, "high": 0.2, "covered": True}
    steps = dict.fromkeys(("reproduction", "population shift", "feature skew", "serving", "label delay"), inside)
    row = {
        "kind": "data",
        "plants": ["labels put right"],
        "harmless": [],
        "metric": "auc",
        "ranked": ["data", "code"],
        "claimed": ["data"],
        "sums_exact": True,
        "complete": True,
        "sizes": {"data": inside},
        "harmless_sizes": {},
        "others": [],
        "steps": steps,
        "gap": inside,
        "seconds": 1.0,
    }
    return {**row, **changes}


_OUTSIDE = {"truth": 0.1, "value": 0.3, "low": 0.2, "high": 0.4, "covered": False}
_NONE: dict[str, Any] = {"kind": "none", "plants": [], "sizes": {}, "claimed": []}


def test_all_goals_are_reached_where_all_is_as_it_should_be() -> None:
    found = summary([_row(), _row(**_NONE)])
    assert (found["worlds"], found["coverage"], found["sums_exact"], found["missed"]) == (2, 1.0, True, [])
    assert found["single_cause"]["data"]["ranked_first"] == 1
    assert found["single_cause"]["data"]["bias"] == pytest.approx(0.01)
    assert bench.exit_code(found) == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sizes": {"data": _OUTSIDE}}, "of the planted sizes are inside"),
        ({"ranked": ["code", "data"]}, "data is ranked first in 0 of 1"),
        ({"sums_exact": False}, "do not add up"),
        ({"complete": False}, "could not be measured"),
        ({"others": ["code"]}, "a cause that is not there"),
        ({"steps": {**_row()["steps"], "population shift": _OUTSIDE}}, "of the population shift are inside"),
        ({**_NONE, "claimed": ["data"]}, "1 of 1 worlds without a cause have one claimed"),
    ],
)
def test_each_goal_can_be_missed(changes: dict[str, Any], said: str) -> None:
    found = summary([_row(**changes)])
    assert any(said in sentence for sentence in found["missed"])
    assert bench.exit_code(found) == 1


def test_nothing_measured_is_not_a_pass() -> None:
    assert bench.exit_code(summary([])) == 1


def test_the_result_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "run", lambda wanted, root, processes: [_row()])
    out = tmp_path / "deep" / "ledger.json"
    assert bench.main(["--out", str(out), "--rows", str(tmp_path / "rows.jsonl")]) == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    assert {"worlds", "coverage", "sums_exact", "single_cause", "pairs", "null"} <= found.keys()
    assert {"worlds", "false_claims", "nominal"} <= found["null"].keys()
    assert len((tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()) == 1
