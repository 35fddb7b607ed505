"""What a trial tells of a server that does not serve, and of the log of one that does."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.trueup.gate.shop_world import NOW, Shop

from trueup.gate import server_process
from trueup.gate.promotion import promote
from trueup.gate.server_process import ServerError, model_server


def test_a_server_that_refuses_is_told_from_one_that_breaks(tmp_path: Path) -> None:
    """The first speaks against the model, the second against the machine."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "trueup_serving.py").write_text("raise RuntimeError('half installed')\n")
    for environment, refused, said in (
        ({}, True, "none.toml cannot be read: No such file or directory."),
        ({"PYTHONPATH": str(broken)}, False, "exit code 1: RuntimeError: half installed"),
    ):
        with pytest.raises(ServerError) as found, model_server(tmp_path / "none.toml", tmp_path / "out", environment):
            raise AssertionError("it serves")
        assert found.value.refused == refused
        assert said in found.value.said


def test_without_an_online_store_the_server_could_not_be_asked(
    shop_: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = Path(shutil.copytree(shop_.world.repo, tmp_path / "repo"))
    settings = repo / "feature_store.yaml"
    store = repr("redis://127.0.0.1:1/0")
    lines = [line for line in settings.read_text().splitlines() if not line.startswith("online_store")]
    online = f"online_store: {{type: trueup.stores.redis_online.RedisOnlineStore, connection_string: {store}}}"
    settings.write_text("\n".join([*lines, online, ""]))
    monkeypatch.setattr(server_process, "ONLINE_STORE_WITHIN_SECONDS", 0.2)
    found = promote(replace(shop_.world, repo=repo), "shop@2", "champion", None, clock=lambda: NOW)
    unmet = {item.name: item for item in found.verdict.evidence if not item.met}
    assert list(unmet) == ["load and query", "latency", "error budget"]
    assert {item.verdict for item in unmet.values()} == {"could not run"}
    assert "its online store does not answer: Redis at 127.0.0.1:1" in unmet["load and query"].said
    assert unmet["latency"].said == "no server was asked: see load and query."
