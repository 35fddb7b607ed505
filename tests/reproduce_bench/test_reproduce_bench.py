"""The bench counts right what it measures; and, by its plants, what a training really depends on is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.reproduce_bench import __main__ as bench
from tests.reproduce_bench import plants
from tests.reproduce_bench.measure import is_right, measure
from tests.reproduce_bench.site import CommandError, Site, make_site
from tests.reproduce_bench.worlds import WORLDS, World
from tests.training import shop

from trueup.models.store_uri import datasets_beside
from trueup.models.tracking import Tracking
from trueup_training.reproduce import Reproduction, reproduce

RIGHT: dict[str, Any] = {
    "planted": "data",
    "named": "data",
    "named_before": None,
    "bit_identical_before": True,
    "bit_identical_after": True,
    "problem": None,
}


@pytest.fixture(scope="module")
def shop_repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop.make_repo(tmp_path_factory.mktemp("shop") / "repo")


def _world(name: str) -> World:
    return next(world for world in WORLDS if world.name == name)


def _reproduce(site: Site) -> Reproduction:
    """In this process, whose variables are today's."""
    scratch = site.folder / "scratch"
    scratch.mkdir()
    uri = f"sqlite:///{site.folder}/mlruns/mlflow.db"
    return reproduce(
        site.run_id, repo=site.repo, tracking=Tracking(uri), datasets=datasets_beside(uri), scratch=scratch
    )


def test_a_training_that_depends_on_the_time_zone_is_reproduced_and_the_environment_named(
    tmp_path: Path, shop_repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = _world("another time zone, where it matters")
    site = world.prepare(make_site(tmp_path, shop_repo, sources=world.sources))
    site.commit("one")
    site = site.train()
    for name, value in world.plant(site).variables.items():
        monkeypatch.setenv(name, value)
    found = _reproduce(site)
    assert found.verdict == "bit-identical"
    assert found.named == ("environment",)
    assert list(found.today.moved) == ["environment"]
    assert "TZ: UTC -> NPT-5:45" in found.today.moved["environment"]


def test_a_training_that_is_random_is_said_to_be_and_what_it_depends_on(
    tmp_path: Path, shop_repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    site = make_site(tmp_path, shop_repo, sources=True)
    plants.depend_on(site, "hash seed")
    site.commit("one")
    found = _reproduce(site.train())
    assert (found.verdict, found.named) == ("different", ("randomness",))
    assert found.evidence == (
        "with PYTHONHASHSEED=0 it gives one model: it depends on Python's hash seed, which was random",
    )
    assert "so no swap would say anything" in str(found.today.problem)


def test_a_world_that_cannot_be_run_names_nothing(tmp_path: Path, shop_repo: Path) -> None:
    def fails(site: Any) -> Any:
        raise CommandError("no index")

    row = measure(World("broken", None, prepare=fails), tmp_path, shop_repo)
    assert (row["named"], row["problem"], row["right"]) == (None, "no index", False)
    assert bench.exit_code([row]) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"named": None},
        {"named": "data and seed"},
        {"planted": None},
        {"bit_identical_before": False},
        {"bit_identical_after": False},
        {"named_before": "seed"},
        {"problem": "no index"},
    ],
)
def test_a_row_is_right_only_when_all_of_it_is(wrong: dict[str, Any]) -> None:
    assert is_right(RIGHT)
    assert not is_right({**RIGHT, **wrong})


def test_the_exit_code_is_that_of_the_rows() -> None:
    right, wrong = {"right": True, "problem": None}, {"right": False, "problem": None}
    could_not = {"right": False, "problem": "no index"}
    assert bench.exit_code([right]) == 0
    assert bench.exit_code([right, could_not, wrong]) == 1
    assert bench.exit_code([right, could_not]) == 2
    assert bench.exit_code([]) == 2


def test_every_factor_is_planted_and_several_worlds_have_none() -> None:
    planted = [world.planted for world in WORLDS]
    assert {*planted} == {"data", "code", "recipe", "seed", "threads", "environment", None}
    assert planted.count(None) >= 5
    assert len({world.name for world in WORLDS}) == len(WORLDS)


def test_an_unknown_world_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert bench.main(["--only", "nowhere", "--out", str(tmp_path / "out.json")]) == 2
    assert "no world 'nowhere'; there are: nothing; " in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()


def test_the_result_is_a_list_of_planted_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{**RIGHT, "world": "one changed row", "right": True, "seconds": 1.0}]
    monkeypatch.setattr(bench, "run", lambda worlds, root, processes: rows)
    assert bench.main(["--out", str(tmp_path / "deep" / "out.json")]) == 0
    (row,) = json.loads((tmp_path / "deep" / "out.json").read_text())
    assert (row["planted"], row["named"], row["bit_identical_before"]) == ("data", "data", True)
    assert "1 of 1 worlds named right" in capsys.readouterr().out
