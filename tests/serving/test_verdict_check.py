"""A server serves what the gate let have its alias, and nothing else unless it is told to."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.serving import world as worlds
from tests.serving.conftest import AB, Serve, settings
from tests.serving.world import World
from tests.trueup.gate.examples import OTHER_KEY, PASSED, REFUSED

from trueup.errors import GateError
from trueup.gate.keys import SigningKey, new_key
from trueup.gate.standing import Kept
from trueup.gate.verdict import Verdict
from trueup_serving.app import create_app
from trueup_serving.verdict_check import NO_KEY

Gated = Callable[..., str]


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SigningKey]:
    path = tmp_path_factory.mktemp("keys") / "gate.pem"
    return path, new_key(path)


@pytest.fixture(scope="module")
def public(private: tuple[Path, SigningKey]) -> str:
    """All that a server needs."""
    return f"{private[0]}.pub"


@pytest.fixture(scope="session")
def numbers() -> list[int]:
    return []


@pytest.fixture
def gated(world: World, private: tuple[Path, SigningKey], numbers: list[int]) -> Gated:
    """Registers a model of its own with a verdict for champion; gives its name."""

    def register(verdict: Verdict = PASSED, key: SigningKey | None = None, **changes: Any) -> str:
        numbers.append(len(numbers))
        name = f"gated_{numbers[-1]}"
        registered = worlds.register(world.tracking, name, world.contracts["small_v1"], seed=3)
        files = world.tracking.file_digests(name, registered.version)
        said = replace(verdict, **{"model": name, "version": 1, "files": files, **changes})
        kept = Kept(said, said.signed(key or private[1]))
        world.tracking.tag_version(name, 1, kept.tag, kept.document.decode())
        return name

    return register


def verdict_of(live: Any) -> dict[str, Any]:
    (variant,) = live.http.get("/readyz").json()["variants"]
    found: dict[str, Any] = variant["verdict"]
    return found


def test_a_model_with_its_verdict_is_served_and_readyz_says_since_when(
    serve: Serve, gated: Gated, public: str, caplog: pytest.LogCaptureFixture
) -> None:
    live = serve([("a", gated(), 1)], gate_key=public)
    assert verdict_of(live) == {"status": "valid", "at": "2024-06-01T00:00:00Z", "problem": None}
    assert live.predict([{"tailnum": "FRESH", "flight": "f-0"}]).status_code == 200
    assert not [record for record in caplog.records if record.name == "trueup_serving.verdict_check"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"verdict": REFUSED}, r"was refused as champion on 2024-06-01T00:00:00Z: snapshot"),
        ({"alias": "challenger"}, "has no verdict for champion"),
        ({"model": "another"}, r"verdict of another@1 for champion is kept with gated_\d+@1"),
        ({"files": {"model.skops": "0" * 64}}, r"model\.skops changed since"),
        ({"key": OTHER_KEY}, "was signed with key"),
    ],
)
def test_an_alias_whose_model_has_no_valid_verdict_is_refused_with_the_reason(
    world: World, tmp_path: Path, gated: Gated, public: str, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(GateError, match=said) as refused:
        create_app(settings(world, tmp_path / "log", [("a", gated(**changes), 1)], gate_key=public))
    assert str(refused.value).startswith("alias champion of gated_")
    assert str(refused.value).endswith("To serve it all the same, in development: --allow-unverified.")
    assert not (tmp_path / "log").exists()


def test_a_model_that_nobody_promoted_is_refused(world: World, tmp_path: Path, public: str) -> None:
    with pytest.raises(GateError, match=r"honest@1 has no verdict for champion\. Ask the gate: trueup promote"):
        create_app(settings(world, tmp_path / "log", AB[:1], gate_key=public))


def test_allow_unverified_serves_it_and_readyz_and_the_log_say_so(
    serve: Serve, public: str, caplog: pytest.LogCaptureFixture
) -> None:
    live = serve(AB[:1], gate_key=public, allow_unverified=True)
    assert verdict_of(live) == {"status": "unverified", "at": None, "problem": "honest@1 has no verdict for champion."}
    (record,) = [record for record in caplog.records if record.name == "trueup_serving.verdict_check"]
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("honest@1 is served as champion without a valid verdict: ")


def test_without_a_key_nothing_is_served_and_the_error_says_what_to_do(world: World, tmp_path: Path) -> None:
    with pytest.raises(GateError) as refused:
        create_app(settings(world, tmp_path / "log", AB, allow_unverified=False))
    said = str(refused.value)
    assert said.startswith(f"{NO_KEY}, and nothing is served unverified. Make a key (trueup gate key --out gate.pem)")
    assert 'gate_key = "gate.pem.pub"' in said
    assert said.endswith("--allow-unverified.")
    assert not (tmp_path / "log").exists()


def test_without_a_key_a_model_that_is_served_all_the_same_is_unverified(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    assert verdict_of(serve(AB[:1])) == {"status": "unverified", "at": None, "problem": NO_KEY}
    (record,) = [record for record in caplog.records if record.name == "trueup_serving.verdict_check"]
    assert record.getMessage() == f"honest@1 is served as champion without a valid verdict: {NO_KEY}"


def test_a_key_that_cannot_be_read_stops_the_start(world: World, tmp_path: Path) -> None:
    with pytest.raises(GateError, match=r"gate key .*none\.pem cannot be read"):
        create_app(settings(world, tmp_path / "log", AB[:1], gate_key=str(tmp_path / "none.pem")))
