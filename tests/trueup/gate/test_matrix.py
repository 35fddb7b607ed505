"""The gate matrix: for each item of evidence a world in which it alone is not met, and the model is refused for it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.training import shop
from tests.trueup.gate import shop_world
from tests.trueup.gate.examples import KEY
from tests.trueup.gate.shop_world import NOW, Shop, changed, one_bit_off

from trueup.errors import InputError
from trueup.gate.evidence import ASKED, Evidence, Finding, Outcome, joint
from trueup.gate.facts import HoldoutFacts, ReproductionFacts, TrialFacts
from trueup.gate.gather import World, gather
from trueup.gate.items import ITEMS
from trueup.gate.promotion import Promotion, promote
from trueup.gate.standing import kept_verdicts
from trueup.models.frame_file import parquet_bytes, read_parquet
from trueup.models.golden import GOLDEN_FILE
from trueup.models.tracking import ESTIMATOR_FILE
from trueup.parity.suite import SUITE_FILE
from trueup_training.recipe import Recipe
from trueup_training.train import train

BITS = "40 answers to 31 requests of 40 holdout rows: the same bits as the kept model's, all logged."


NOISE = 0.08
"""Of a prediction: it costs the shop's model about 0.03 of its AUC."""


def ask(world: World, version: int = 2, alias: str = "champion") -> Promotion:
    return promote(world, f"shop@{version}", alias, KEY, clock=lambda: NOW)


def only(found: Promotion, name: str, verdict: Outcome = "fail") -> str:
    """What the one item says that is not met; the model was not promoted, and the verdict is kept."""
    unmet = [item for item in found.verdict.evidence if not item.met]
    assert [(item.name, item.verdict) for item in unmet] == [(name, verdict)], unmet
    assert (found.moved, found.verdict.outcome) == (False, verdict)
    assert found.kept is not None
    return unmet[0].said


def test_a_model_that_meets_all_of_it_is_promoted(shop_: Shop) -> None:
    found = ask(shop_.world, alias="challenger")
    *passed, shadow = found.verdict.evidence
    assert [item.verdict for item in passed] == ["pass"] * len(passed), found.verdict.evidence
    assert (shadow.name, shadow.verdict) == ("shadow parity", "not applicable")
    assert [item.name for item in found.verdict.evidence] == list(ITEMS)
    assert (found.moved, found.before) == (True, None)
    assert shop_.tracking.alias("shop", "challenger") == 2
    said = {item.name: item.said for item in found.verdict.evidence}
    assert "no model to compare with has the alias yet" in said["holdout metric"]
    assert said["load and query"] == BITS
    assert said["error budget"] == "0 of 31 requests failed (0.00%); the budget is 0.10%."
    assert said["golden predictions"] == "256 predictions recorded at training: the same bits here."
    (kept,) = [each for each in kept_verdicts(shop_.tracking.version_tags("shop")[2]) if each.id == found.kept.id]  # type: ignore[union-attr]
    assert kept.verdict == found.verdict


@pytest.mark.usefixtures("no_server")
def test_against_a_champion_as_good_the_sentence_has_both_areas_and_the_band(shop_: Shop) -> None:
    found = promote(shop_.world, "shop@2", "champion", None, clock=lambda: NOW)
    (metric,) = [item for item in found.verdict.evidence if item.name == "holdout metric"]
    assert metric.verdict == "pass"
    assert "shop@1 has 0." in metric.said
    assert "noise band 0.0" in metric.said
    assert (found.kept, found.moved) == (None, False)


@pytest.mark.usefixtures("no_server")
def test_contract(shop_: Shop, tmp_path: Path) -> None:
    repo = Path(shutil.copytree(shop_.world.repo, tmp_path / "repo"))
    shop_world.another_ttl(repo)
    said = only(ask(shop_world.of(shop_, repo=repo)), "contract")
    assert "the registry's shop_v1 is not what it was trained on, in 1 part: " in said
    assert "ttl" in said


@pytest.mark.usefixtures("no_server")
def test_snapshot(shop_: Shop) -> None:
    with changed(shop_.snapshot / "notes.txt", lambda _: b"mine"):
        said = only(ask(shop_.world), "snapshot")
    assert "notes.txt is not in the manifest" in said


@pytest.mark.usefixtures("no_server")
def test_holdout_metric(shop_: Shop) -> None:
    said = only(ask(shop_.world, shop_.weak), "holdout metric")
    assert said.startswith("AUC 0.5000, shop@1 has 0.")


@pytest.mark.usefixtures("no_server")
def test_transforms(tmp_path: Path, recipe: Recipe, redis_url: str) -> None:
    other = shop_world.build(tmp_path, recipe, shop_world.looking_back(tmp_path / "repo", redis_url))
    said = only(ask(other.world), "transforms")
    assert said.startswith("1 on-demand view of 1: clock: ")
    assert "depend on the rows around them" in said


@pytest.mark.usefixtures("no_server")
def test_expectations(shop_: Shop) -> None:
    def impossible(content: bytes) -> bytes:
        suite = json.loads(content)
        for item in suite["expectations"]:
            if item["type"] == "expect_column_values_to_be_between" and item["kwargs"]["column"] == "load__level":
                item["kwargs"] |= {"min_value": 100.0, "max_value": 200.0}
        return json.dumps(suite).encode()

    with changed(shop_.folder(2) / SUITE_FILE, impossible):
        said = only(ask(shop_.world), "expectations")
    assert "load__level: expect_column_values_to_be_between" in said


@pytest.mark.usefixtures("no_server")
def test_golden_predictions(shop_: Shop) -> None:
    with changed(shop_.folder(2) / GOLDEN_FILE, one_bit_off):
        said = only(ask(shop_.world), "golden predictions")
    assert said.startswith("1 of 256 predictions differ from training's, most in row 255: 0.")


@pytest.mark.usefixtures("no_server")
def test_reproduced(shop_: Shop) -> None:
    shop_.reproduced(2, "different", culprits=["data", "threads"])
    try:
        said = only(ask(shop_.world), "reproduced")
    finally:
        shop_.reproduced(2, "bit-identical")
    assert said.endswith(": different; it differs by data, threads.")


@pytest.mark.usefixtures("no_server")
def test_a_model_that_was_never_reproduced_says_what_to_do(shop_: Shop, tmp_path: Path) -> None:
    run = shop_.tracking.resolve("shop", 2).run_id
    (kept,) = shop_.world.datasets.parent.glob(f"artifacts/{run}/artifacts/reproductions")
    kept.rename(tmp_path / "away")
    try:
        said = only(ask(shop_.world), "reproduced", "could not run")
    finally:
        (tmp_path / "away").rename(kept)
    assert said == "shop@2 was never reproduced. Do it: trueup reproduce shop/2"


@pytest.mark.usefixtures("no_server")
def test_a_model_that_was_exchanged_since_it_was_reproduced_could_not_be_asked(shop_: Shop) -> None:
    facts = gather(shop_.world, shop_.tracking.resolve("shop", 2), None, at=NOW)
    exchanged = replace(facts, files={**facts.files, ESTIMATOR_FILE: "0" * 64})
    finding, said = ITEMS["reproduced"](exchanged)
    assert finding == "could not run"
    assert said.startswith("model.skops changed since it was reproduced at ")
    assert isinstance(facts.reproduction, ReproductionFacts)
    of_nothing = replace(facts, reproduction=replace(facts.reproduction, files={}))
    assert ITEMS["reproduced"](of_nothing)[0] == "could not run"


@pytest.mark.usefixtures("no_server")
@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"schema": "mine"}, "schema 'mine' is not"),
        ({"run_id": "another"}, "it is of another run or snapshot"),
        ({"snapshot": "another"}, "it is of another run or snapshot"),
        ({"estimator": "0" * 64}, "the model was exchanged while it was reproduced"),
        ({"comparison": {"verdict": "different", "lines": []}}, "its comparison does not say what its verdict says"),
        ({"seeds": {"auc": {"values": {"1": 9.0}}}}, "an AUC of its seeds is not between 0 and 1"),
    ],
)
def test_a_record_that_does_not_add_up_is_none(shop_: Shop, said: dict[str, Any], problem: str) -> None:
    shop_.reproduced(2, "bit-identical", **said)
    try:
        found = only(ask(shop_.world), "reproduced", "could not run")
    finally:
        shop_.reproduced(2, "bit-identical")
    assert problem in found


@pytest.mark.usefixtures("no_server")
def test_a_kept_model_that_is_not_the_trained_one_fails(shop_: Shop) -> None:
    found = gather(shop_.world, shop_.tracking.resolve("shop", 2), None, at=NOW).reproduction
    assert isinstance(found, ReproductionFacts)
    facts = gather(shop_.world, shop_.tracking.resolve("shop", 2), None, at=NOW)
    exchanged = replace(found, kept=("different", "it is not what its run recorded: other bits in trees"))
    assert ITEMS["reproduced"](replace(facts, reproduction=exchanged))[0] == "fail"
    unseen = replace(found, kept=("not compared", "it cannot be loaded"))
    assert ITEMS["reproduced"](replace(facts, reproduction=unseen))[0] == "could not run"


@pytest.mark.parametrize(("count", "finding"), [(2, "fail"), (9, "fail"), (10, "pass")])
def test_a_band_of_few_seeds_decides_nothing(shop_: Shop, count: int, finding: Finding, no_server: None) -> None:
    """Two seeds and Student's t would make a band as wide as the scale."""
    seeds = {"auc": {"values": {str(seed): 0.6 + 0.02 * (seed % 2) for seed in range(count)}}}
    shop_.reproduced(2, "bit-identical", seeds=seeds)
    try:
        facts = gather(shop_.world, shop_.tracking.resolve("shop", 2), shop_.tracking.resolve("shop", 1), at=NOW)
    finally:
        shop_.reproduced(2, "bit-identical")
    holdout = facts.holdout
    assert isinstance(holdout, HoldoutFacts)
    assert holdout.champion is not None
    # As good as the champion but for a part of the rows: worse than chance allows, no worse than ten such seeds allow.
    random = np.random.default_rng(1)
    noise = random.normal(size=len(holdout.candidate)) * NOISE
    weaker = replace(facts, holdout=replace(holdout, candidate=holdout.champion + noise))
    assert ITEMS["holdout metric"](weaker)[0] == finding


@pytest.mark.usefixtures("no_server")
def test_a_holdout_too_small_to_tell_could_not_be_asked_and_chance_is_no_model(shop_: Shop) -> None:
    facts = gather(shop_.world, shop_.tracking.resolve("shop", 2), shop_.tracking.resolve("shop", 1), at=NOW)
    strict = replace(facts, budget=replace(facts.budget, auc_band=0.0001))
    finding, said = ITEMS["holdout metric"](strict)
    assert finding == "could not run"
    assert said.endswith("A band over 0.0001 decides nothing: use a larger holdout.")
    holdout = facts.holdout
    assert isinstance(holdout, HoldoutFacts)
    guessing = replace(holdout, candidate=np.full(len(holdout.candidate), 0.5), champion=None, champion_name=None)
    finding, said = ITEMS["holdout metric"](replace(facts, holdout=guessing))
    assert finding == "fail"
    assert said.endswith("no better than chance.")


@pytest.mark.usefixtures("no_server")
def test_fewer_golden_rows_than_training_drew_fail(shop_: Shop) -> None:
    with changed(shop_.folder(2) / GOLDEN_FILE, lambda content: parquet_bytes(read_parquet(content).slice(0, 1))):
        said = only(ask(shop_.world), "golden predictions")
    assert said == "the recorded rows are not those that training draws of this holdout: the file was changed."


@pytest.mark.usefixtures("no_server")
def test_a_shorter_suite_than_training_made_fails(shop_: Shop) -> None:
    def shorter(content: bytes) -> bytes:
        suite = json.loads(content)
        return json.dumps({**suite, "expectations": suite["expectations"][:1]}).encode()

    with changed(shop_.folder(2) / SUITE_FILE, shorter):
        said = only(ask(shop_.world), "expectations")
    assert said.startswith("expectations.json is not what training makes of this snapshot")


@pytest.mark.parametrize("alias", ["", "3", "v3", "latest", "bad alias", "a/b"])
def test_an_alias_that_nothing_could_follow_is_refused_before_anything_is_kept(shop_: Shop, alias: str) -> None:
    before = shop_.tracking.version_tags("shop")
    with pytest.raises(InputError, match="expected letters, digits, - and _"):
        ask(shop_.world, alias=alias)
    assert shop_.tracking.version_tags("shop") == before


def test_load_and_query_where_the_server_does_not_start(shop_: Shop, recipe: Recipe, tmp_path: Path) -> None:
    repo = shop.make_repo(tmp_path / "repo")  # its online store is SQLite
    said = only(ask(shop_world.of(shop_, repo=repo)), "load and query")
    assert said.startswith("the server does not start with it: ")
    assert "the server reads a single Redis" in said


@pytest.mark.parametrize(
    ("trial", "finding", "expected"),
    [
        (
            TrialFacts(requests=3, rows=9, answered=9, differing=2),
            "fail",
            "2 of 9 answers are not the kept model's bits.",
        ),
        (TrialFacts(requests=3, rows=9, answered=9, unlogged=1), "fail", "1 of 9 answers are not in the server's log."),
        (TrialFacts(requests=1, rows=1, failed=("no answer",)), "fail", "no answer could be compared, of 1 request"),
        (TrialFacts(), "could not run", "no answer could be compared, of 0 requests"),
        (
            replace(shop_world.WELL, known={"load": 0, "facts": 0}),
            "could not run",
            "the online store has nothing of any of 40 rows, so no stored feature was read. Materialize first",
        ),
        (
            replace(shop_world.WELL, known={"load": 0, "facts": 1}),
            "pass",
            f"{BITS} The store has nothing of them in load.",
        ),
    ],
)
def test_load_and_query_says_what_is_wrong_with_the_answers(
    shop_: Shop, trial: TrialFacts, finding: Finding, expected: str, no_server: None
) -> None:
    facts = gather(shop_.world, shop_.tracking.resolve("shop", 2), None, at=NOW)
    found, said = ITEMS["load and query"](replace(facts, trial=trial))
    assert found == finding
    assert said.startswith(expected)


@pytest.mark.usefixtures("no_server")
def test_latency(shop_: Shop) -> None:
    said = only(ask(shop_world.of(shop_, budget=replace(shop_world.BUDGET, latency_p99_ms=0.001))), "latency")
    assert said.startswith("p50 ")
    assert said.endswith(" ms of 10 requests of one row, one after the other; the budget is p99 0.001 ms.")


def test_error_budget(tmp_path: Path, recipe: Recipe, redis_url: str) -> None:
    other = shop_world.build(tmp_path, recipe, shop_world.failing_when_served(tmp_path / "repo", redis_url))
    said = only(ask(other.world), "error budget")
    assert "of 31 requests failed (" in said
    assert "it was never tried in a server" in said


@pytest.mark.usefixtures("no_server")
def test_shadow_parity(shop_: Shop, tmp_path: Path) -> None:
    skewed = shop_.served(tmp_path / "skewed", 2, skewed="load__level")
    said = only(ask(shop_world.of(shop_, log=skewed)), "shadow parity")
    assert " values in 40 served rows differ from what training reads, " in said
    world = shop_world.of(shop_, log=shop_.served(tmp_path / "right", 2))
    right = promote(world, "shop@2", "champion", None, clock=lambda: NOW)
    assert right.verdict.evidence[-1].verdict == "pass"
    assert " 0 of " in f" {right.verdict.evidence[-1].said}"


@pytest.mark.usefixtures("no_server")
def test_live_rows_that_cannot_be_read_may_be_its_own(shop_: Shop, tmp_path: Path) -> None:
    log = shop_.served(tmp_path / "log", 2)
    next(log.rglob("*.parquet")).with_name("torn.parquet").write_bytes(b"PAR1")
    said = only(ask(shop_world.of(shop_, log=log)), "shadow parity", "could not run")
    assert "torn.parquet" in said


@pytest.mark.usefixtures("no_server")
def test_live_rows_of_another_version_say_nothing_of_this_one(shop_: Shop, tmp_path: Path) -> None:
    log = shop_.served(tmp_path / "log", 1, skewed="load__level")
    found = promote(shop_world.of(shop_, log=log), "shop@2", "champion", None, clock=lambda: NOW)
    assert (found.verdict.evidence[-1].verdict, found.verdict.outcome) == ("not applicable", "pass")
    assert found.verdict.evidence[-1].said == f"no row in {log} was scored by shop@2."


@pytest.mark.usefixtures("no_server")
def test_a_champion_of_another_feature_service_is_compared_on_its_own_features(
    shop_: Shop, recipe: Recipe, tmp_path: Path
) -> None:
    """Version 1 knows each site's kind; the candidate's service has none."""
    repo = Path(shutil.copytree(shop_.world.repo, tmp_path / "repo"))
    shop_world.add_service(repo, "shop_without_facts", [shop.load, shop.clock])
    smaller = recipe.model_copy(
        update={"feature_service": "shop_without_facts", "model": recipe.model.model_copy(update={"alias": None})}
    )
    version = train(smaller, repo=repo, tracking=shop_.tracking, clock=lambda: NOW).version
    candidate, champion = shop_.tracking.resolve("shop", version), shop_.tracking.resolve("shop", 1)
    facts = gather(shop_world.of(shop_, repo=repo), candidate, champion, at=NOW)
    own = gather(shop_.world, champion, champion, at=NOW)
    assert isinstance(facts.holdout, HoldoutFacts)
    assert isinstance(own.holdout, HoldoutFacts)
    assert facts.holdout.champion is not None
    assert facts.holdout.champion.tobytes() == own.holdout.candidate.tobytes()
    assert facts.holdout.candidate.tobytes() != own.holdout.candidate.tobytes()


@pytest.mark.usefixtures("no_server")
def test_the_seeds_band_counts_where_it_is_the_wider_one(shop_: Shop) -> None:
    facts = gather(shop_.world, shop_.tracking.resolve("shop", 2), shop_.tracking.resolve("shop", 1), at=NOW)
    holdout, reproduction = facts.holdout, facts.reproduction
    assert isinstance(holdout, HoldoutFacts)
    assert isinstance(reproduction, ReproductionFacts)
    assert holdout.champion is not None
    noise = np.random.default_rng(1).normal(size=len(holdout.candidate)) * NOISE
    worse = replace(facts, holdout=replace(holdout, candidate=holdout.champion + noise))
    assert ITEMS["holdout metric"](worse)[0] == "fail"
    wide = replace(reproduction, seed_band=0.045, seeds=12)
    finding, said = ITEMS["holdout metric"](replace(worse, reproduction=wide))
    assert finding == "pass"
    assert said.endswith("noise band 0.0450 (what 12 seeds alone differ by, one-sided 95 %).")
    wider = replace(wide, seed_band=1.0)  # a model that every seed changes does not pass by that
    assert ITEMS["holdout metric"](replace(worse, reproduction=wider))[0] == "could not run"


@pytest.mark.usefixtures("no_server")
def test_a_model_from_before_golden_predictions_could_not_be_asked(shop_: Shop) -> None:
    with changed(shop_.folder(2) / GOLDEN_FILE, lambda _: None):
        said = only(ask(shop_.world), "golden predictions", "could not run")
    assert "was kept without golden.parquet. Train it again" in said


@pytest.mark.usefixtures("no_server")
def test_a_snapshot_that_is_gone_leaves_seven_items_that_could_not_be_asked(shop_: Shop, tmp_path: Path) -> None:
    found = ask(shop_world.of(shop_, datasets=tmp_path))
    unmet = {item.name: item.verdict for item in found.verdict.evidence if not item.met}
    gone = (
        "snapshot",
        "holdout metric",
        "expectations",
        "golden predictions",
        "load and query",
        "latency",
        "error budget",
    )
    assert unmet == dict.fromkeys(gone, "could not run")
    assert not found.moved


def test_the_alias_never_moved_in_any_of_these_worlds(shop_: Shop) -> None:
    assert shop_.tracking.alias("shop", "champion") == 1


def test_evidence_comes_back_from_its_json() -> None:
    item = Evidence("contract", "fail", "said")
    assert Evidence.from_json(item.to_json()) == item


def test_what_there_was_nothing_to_ask_about_is_no_pass_by_itself() -> None:
    nothing = Evidence("shadow parity", "not applicable", "n")
    assert joint([nothing]) == joint([]) == "could not run"
    assert joint([nothing, Evidence("contract", "pass", "c")]) == "pass"
    assert joint([nothing, Evidence("contract", "could not run", "c")]) == "could not run"
    assert tuple(ITEMS) == ASKED
