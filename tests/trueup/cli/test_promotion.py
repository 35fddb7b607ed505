"""Laws of `trueup promote`, `trueup rollback` and `trueup gate`: exit codes, and what a person and a program read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.training import shop
from tests.trueup.gate import shop_world
from tests.trueup.gate.shop_world import Shop, changed
from typer.testing import CliRunner, Result

from trueup.cli import app
from trueup.errors import GateError, InputError, ModelError
from trueup.gate import gather
from trueup.models.golden import GOLDEN_FILE
from trueup_training.recipe import load_recipe


@pytest.fixture(scope="module")
def shop_(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Shop]:
    """No server is started with its candidates: tests/trueup/gate/test_matrix.py does that."""
    root = tmp_path_factory.mktemp("gate_cli")
    (root / "shop.toml").write_text(shop.RECIPE, encoding="utf-8")
    found = shop_world.build(root, load_recipe(root / "shop.toml"), shop.make_repo(root / "repo", redis_url))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gather, "try_serving", lambda *_, **__: shop_world.WELL)
        patch.setenv("TRUEUP_GATE_LATENCY_P99_MS", "60000")
        patch.setenv("TRUEUP_LOG_DIR", str(root / "none"))
        yield found


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "gate.pem"
    assert run("gate", "key", "--out", str(path)).exit_code == 0
    return path


def run(*words: object) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def promote(shop_: Shop, version: int, key: Path | None, *words: str) -> Result:
    options = ["--repo", shop_.world.repo, "--tracking-uri", shop_.tracking.uri]
    return run("promote", f"shop@{version}", *options, *([] if key is None else ["--key", key]), *words)


def test_the_whole_way_there_and_back(shop_: Shop, key: Path) -> None:
    uri = ("--tracking-uri", shop_.tracking.uri)
    first = promote(shop_, 1, key)
    assert first.exit_code == 0
    assert "shop@1 has champion already; its verdict is new." in first.stdout

    refused = promote(shop_, shop_.weak, key)
    assert refused.exit_code == 1
    assert f"shop@{shop_.weak} is refused as champion: holdout metric. shop@1 has it." in refused.stdout
    assert max(len(line) for line in refused.stdout.splitlines()) <= 100

    promoted = promote(shop_, 2, key, "--json")
    assert promoted.exit_code == 0
    said = json.loads(promoted.stdout)
    assert (said["moved"], said["before"], said["verdict"]["outcome"]) == (True, 1, "pass")
    assert shop_.tracking.alias("shop", "champion") == 2

    shown = run("gate", "show", "shop", *uri, "--key", f"{key}.pub")
    assert shown.exit_code == 0
    assert shown.stdout.count("valid") == 3
    assert max(len(line) for line in shown.stdout.splitlines()) <= 100
    listed = json.loads(run("gate", "show", "shop", *uri, "--json").stdout)
    assert [each["outcome"] for each in listed["verdicts"]] == ["pass", "fail", "pass"]
    assert [(each["from"], each["to"], each["made"]) for each in listed["moves"]] == [(1, 2, "yes")]

    back = run("rollback", "shop", *uri, "--key", f"{key}.pub")
    assert back.exit_code == 0
    assert "shop@1 is champion again; shop@2 was." in back.stdout
    assert shop_.tracking.alias("shop", "champion") == 1


def test_a_release_is_taken_back_whole_and_twice_does_no_harm(shop_: Shop, key: Path) -> None:
    uri = ("--tracking-uri", shop_.tracking.uri, "--key", f"{key}.pub")
    for alias in ("canary", "stable"):
        for version in (1, 2):
            assert promote(shop_, version, key, "--to", alias).exit_code == 0
    assert promote(shop_, 2, key, "--to", "first").exit_code == 0
    assert promote(shop_, 1, key, "--to", "other").exit_code == 0
    aliases = [word for alias in ("first", "canary", "stable", "other") for word in ("--to", alias)]

    taken = run("rollback", "shop@2", *aliases, *uri, "--json")
    assert taken.exit_code == 2  # nothing had `first` before, and the others went back all the same
    said = json.loads(taken.stdout)
    assert (said["model"], said["version"], said["rolled_back"]) == ("shop", 2, {"canary": 1, "stable": 1})
    assert said["had_not"] == ["other"]
    assert "no version is known to have had it before" in said["problems"]["first"]
    assert {alias: shop_.tracking.alias("shop", alias) for alias in ("canary", "stable", "other", "first")} == {
        "canary": 1,
        "stable": 1,
        "other": 1,
        "first": 2,
    }

    again = run("rollback", "shop@2", "--to", "canary", "--to", "stable", *uri)
    assert again.exit_code == 0
    assert "shop@2 has not canary: nothing to take back." in again.stdout
    assert shop_.tracking.alias("shop", "canary") == 1


def test_a_rollback_that_does_not_say_what_goes_where_is_a_mistake(shop_: Shop, key: Path) -> None:
    uri = ("--tracking-uri", shop_.tracking.uri, "--key", f"{key}.pub")
    with pytest.raises(InputError, match="Name the version that is taken back: trueup rollback shop@VERSION"):
        run("rollback", "shop", "--to", "canary", "--to", "champion", *uri)
    with pytest.raises(InputError, match="and to no other version"):
        run("rollback", "shop@2", "--version", "1", *uri)


def test_a_verdict_that_cannot_be_read_is_told_beside_the_others(shop_: Shop, key: Path) -> None:
    uri = ("--tracking-uri", shop_.tracking.uri)
    tag = "trueup.verdict.challenger.2099-01-01T00:00:00Z.00000000"
    later = {"verdict": {"format": 99}, "signature": {}}
    shop_.tracking.tag_version("shop", shop_.weak, tag, json.dumps(later))
    shown = run("gate", "show", "shop", *uri)
    assert shown.exit_code == 0
    assert f"shop@{shop_.weak}: tag {tag} is not shown: verdict format 99 cannot be read" in shown.stdout
    (told,) = json.loads(run("gate", "show", "shop", *uri, "--json").stdout)["unreadable"]
    assert (told["version"], told["kept_as"]) == (shop_.weak, tag)
    with pytest.raises(GateError, match=r"00000000: verdict format 99 cannot .* wrote it; or delete the tag, and ask"):
        run("rollback", "shop", *uri, "--key", key, "--version", shop_.weak)


def test_a_dry_run_needs_no_key_and_keeps_nothing(shop_: Shop) -> None:
    before = shop_.tracking.version_tags("shop")
    asked = promote(shop_, 2, None, "--dry-run", "--to", "shadow")
    assert asked.exit_code == 0
    assert "shop@2 would be shadow; no version is. Nothing was kept or moved." in asked.stdout
    assert shop_.tracking.version_tags("shop") == before
    assert shop_.tracking.alias("shop", "shadow") is None


def test_what_could_not_be_asked_exits_with_2(shop_: Shop, key: Path) -> None:
    with changed(shop_.folder(2) / GOLDEN_FILE, lambda _: None):
        asked = promote(shop_, 2, key, "--to", "challenger")
    assert asked.exit_code == 2
    said = " ".join(asked.stdout.split())
    assert "shop@2 is not promoted, as this could not be asked: golden predictions." in said
    assert shop_.tracking.alias("shop", "challenger") is None


def test_without_a_key_it_says_how_to_make_one_before_any_work(shop_: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRUEUP_GATE_KEY", raising=False)
    for words in (("promote", "shop@2"), ("rollback", "shop")):
        with pytest.raises(GateError, match="trueup gate key --out PATH"):
            run(*words, "--tracking-uri", shop_.tracking.uri)


def test_the_setting_names_the_key(shop_: Shop, key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUEUP_GATE_KEY", f"{key}.pub")
    with pytest.raises(GateError, match=r"gate\.pem\.pub is public"):
        run("promote", "shop@2", "--tracking-uri", shop_.tracking.uri)


def test_a_log_that_is_named_and_is_none_is_a_mistake(shop_: Shop, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"log: there is no served log under .*typo"):
        promote(shop_, 2, None, "--dry-run", "--log", str(tmp_path / "typo"))


def test_what_is_not_there_is_named(shop_: Shop, key: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has no version '9'"):
        promote(shop_, 9, key)
    with pytest.raises(ModelError, match="'nobody' is not registered"):
        run("gate", "show", "nobody", "--tracking-uri", shop_.tracking.uri)
    with pytest.raises(InputError, match="is not a Feast repository"):
        run("promote", "shop@2", "--key", key, "--repo", tmp_path)


@pytest.mark.parametrize("command", ["promote", "rollback", "gate key", "gate show"])
def test_the_help_has_an_example(command: str) -> None:
    assert f"Example: trueup {command}" in " ".join(run(*command.split(), "--help").stdout.split())
