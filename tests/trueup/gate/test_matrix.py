"""The gate matrix: for each item of evidence a world in which it alone is not met, and the model is refused for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.trueup.gate import shop_world
from tests.trueup.gate.examples import KEY
from tests.trueup.gate.shop_world import NOW, Shop, changed, one_bit_off

from trueup.gate.evidence import Evidence, Outcome
from trueup.gate.gather import World
from trueup.gate.items import ITEMS
from trueup.gate.promotion import Promotion, promote
from trueup.gate.standing import kept_verdicts
from trueup.models.golden import GOLDEN_FILE
from trueup.parity.suite import SUITE_FILE
from trueup_training.recipe import Recipe


def ask(world: World, version: int = 2, alias: str = "champion") -> Promotion:
    return promote(world, f"shop@{version}", alias, KEY, clock=lambda: NOW)


def only(found: Promotion, name: str, verdict: Outcome = "fail") -> str:
    """What the one item says that is not met; the model was not promoted, and the verdict is kept."""
    unmet = [item for item in found.verdict.evidence if item.verdict != "pass"]
    assert [(item.name, item.verdict) for item in unmet] == [(name, verdict)], unmet
    assert (found.moved, found.verdict.outcome) == (False, verdict)
    assert found.kept is not None
    return unmet[0].said


def test_a_model_that_meets_all_of_it_is_promoted(shop_: Shop) -> None:
    found = ask(shop_.world, alias="challenger")
    assert [item.verdict for item in found.verdict.evidence] == ["pass"] * len(ITEMS), found.verdict.evidence
    assert [item.name for item in found.verdict.evidence] == list(ITEMS)
    assert (found.moved, found.before) == (True, None)
    assert shop_.tracking.alias("shop", "challenger") == 2
    said = {item.name: item.said for item in found.verdict.evidence}
    assert "no model to compare with has the alias yet" in said["holdout metric"]
    assert said["golden predictions"] == "256 predictions recorded at training: the same bits here."
    (kept,) = [each for each in kept_verdicts(shop_.tracking.version_tags("shop")[2]) if each.id == found.kept.id]  # type: ignore[union-attr]
    assert kept.verdict == found.verdict


def test_against_a_champion_as_good_the_sentence_has_both_areas_and_the_band(shop_: Shop) -> None:
    found = promote(shop_.world, "shop@2", "champion", None, clock=lambda: NOW)
    (metric,) = [item for item in found.verdict.evidence if item.name == "holdout metric"]
    assert metric.verdict == "pass"
    assert "shop@1 has 0." in metric.said
    assert "noise band 0.0" in metric.said
    assert (found.kept, found.moved) == (None, False)


def test_contract(shop_: Shop, tmp_path: Path) -> None:
    repo = Path(shutil.copytree(shop_.world.repo, tmp_path / "repo"))
    shop_world.another_ttl(repo)
    said = only(ask(shop_world.of(shop_, repo=repo)), "contract")
    assert "the registry's shop_v1 is not what it was trained on, in 1 part: " in said
    assert "ttl" in said


def test_snapshot(shop_: Shop) -> None:
    with changed(shop_.snapshot / "notes.txt", lambda _: b"mine"):
        said = only(ask(shop_.world), "snapshot")
    assert "notes.txt is not in the manifest" in said


def test_holdout_metric(shop_: Shop) -> None:
    said = only(ask(shop_.world, shop_.weak), "holdout metric")
    assert said.startswith("AUC 0.5000, shop@1 has 0.")


def test_transforms(tmp_path: Path, recipe: Recipe) -> None:
    other = shop_world.build(tmp_path, recipe, shop_world.looking_back(tmp_path / "repo"))
    said = only(ask(other.world), "transforms")
    assert said.startswith("1 on-demand view of 1: clock: ")
    assert "depend on the rows around them" in said


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


def test_golden_predictions(shop_: Shop) -> None:
    with changed(shop_.folder(2) / GOLDEN_FILE, one_bit_off):
        said = only(ask(shop_.world), "golden predictions")
    assert said.startswith("1 of 256 predictions differ from training's, most in row 255: 0.")


def test_a_model_from_before_golden_predictions_could_not_be_asked(shop_: Shop) -> None:
    with changed(shop_.folder(2) / GOLDEN_FILE, lambda _: None):
        said = only(ask(shop_.world), "golden predictions", "could not run")
    assert "was kept without golden.parquet. Train it again" in said


def test_a_snapshot_that_is_gone_leaves_three_items_that_could_not_be_asked(shop_: Shop, tmp_path: Path) -> None:
    found = ask(shop_world.of(shop_, datasets=tmp_path))
    unmet = {item.name: item.verdict for item in found.verdict.evidence if item.verdict != "pass"}
    assert unmet == dict.fromkeys(("snapshot", "holdout metric", "expectations"), "could not run")
    assert not found.moved


def test_the_alias_never_moved_in_any_of_these_worlds(shop_: Shop) -> None:
    assert shop_.tracking.alias("shop", "champion") == 1


def test_evidence_comes_back_from_its_json() -> None:
    item = Evidence("contract", "fail", "said")
    assert Evidence.from_json(item.to_json()) == item
