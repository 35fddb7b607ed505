"""A model that is served in another environment than it was trained in: off, warn, refuse."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from tests.serving import world as worlds
from tests.serving.conftest import AB, Serve, settings
from tests.serving.world import World

from trueup.errors import ModelError
from trueup_serving.app import create_app

Change = Callable[[dict[str, Any]], dict[str, Any] | None]


def another_numpy(environment: dict[str, Any]) -> dict[str, Any]:
    """And another time zone, which changes no number."""
    packages = environment["packages"]
    return {
        **environment,
        "packages": {**packages, "numpy": {**packages["numpy"], "version": "1.0"}},
        "libc": "musl 1.2",
        "time_zone": "NPT/NPT (UTC+5.75)",
    }


def another_time_zone(environment: dict[str, Any]) -> dict[str, Any]:
    return {**environment, "time_zone": "NPT/NPT (UTC+5.75)"}


def of_an_older_trueup(environment: dict[str, Any]) -> dict[str, Any]:
    return {
        **{name: environment[name] for name in environment if name not in ("format", "libc", "cpu_features", "image")},
        "os": f"{environment['os']} {environment['libc']}",
        "packages": {name: item["version"] for name, item in environment["packages"].items()},
    }


def gone(environment: dict[str, Any]) -> None:
    return None


@pytest.fixture(scope="session")
def trained(world: World) -> Callable[[Change], str]:
    """Registers a model whose run keeps another environment than the one it was trained in; gives its name."""

    def train(change: Change) -> str:
        name = f"env_{change.__name__}"
        if name not in trained_already:
            registered = worlds.register(world.tracking, name, world.contracts["small_v1"], seed=3)
            run = MlflowClient(world.tracking_uri, world.tracking_uri).get_run(registered.run_id)
            kept = Path(run.info.artifact_uri.removeprefix("file://"), "environment.json")
            changed = change(json.loads(kept.read_text()))
            if changed is None:
                kept.unlink()
            else:
                kept.write_text(json.dumps(changed))
            trained_already.add(name)
        return name

    trained_already: set[str] = set()
    return train


Trained = Callable[[Change], str]


def environment_of(live: Any) -> dict[str, Any]:
    (variant,) = live.http.get("/readyz").json()["variants"]
    found: dict[str, Any] = variant["environment"]
    return found


def test_a_model_served_where_it_was_trained_is_the_same_and_nothing_is_logged(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    live = serve(AB[:1], environment_check="refuse")
    found = environment_of(live)
    assert (found["status"], found["arithmetic"], found["other"]) == ("same", 0, 0)
    assert not [record for record in caplog.records if record.name == "trueup_serving.environment_check"]


def test_warn_is_the_default_and_logs_what_can_change_numbers_first_things_first(
    serve: Serve, trained: Trained, caplog: pytest.LogCaptureFixture
) -> None:
    name = trained(another_numpy)
    live = serve([("a", name, 1)])
    (record,) = [record for record in caplog.records if record.name == "trueup_serving.environment_check"]
    assert record.levelno == logging.WARNING
    first, numpy, libc, *rest = record.getMessage().splitlines()
    assert first == f"{name}@1: 2 differences that can change its predictions, from training to here:"
    assert numpy.startswith("  package numpy: 1.0 -> ")
    assert libc.startswith("  C library: musl 1.2 -> ")
    assert rest == []
    found = environment_of(live)
    assert (found["status"], found["arithmetic"], found["other"]) == ("differs", 2, 1)
    assert live.predict([{"tailnum": "FRESH", "flight": "f-0"}]).status_code == 200


def test_what_changes_no_number_is_counted_and_neither_logged_nor_refused(
    serve: Serve, trained: Trained, caplog: pytest.LogCaptureFixture
) -> None:
    live = serve([("a", trained(another_time_zone), 1)], environment_check="refuse")
    found = environment_of(live)
    assert (found["status"], found["arithmetic"], found["other"]) == ("differs", 0, 1)
    assert not [record for record in caplog.records if record.name == "trueup_serving.environment_check"]


@pytest.mark.parametrize("change", [another_numpy, gone])
def test_off_asks_nothing(serve: Serve, trained: Trained, caplog: pytest.LogCaptureFixture, change: Change) -> None:
    live = serve([("a", trained(change), 1)], environment_check="off")
    assert environment_of(live) == {"status": "off", "arithmetic": None, "other": None, "unknown": None}
    assert not [record for record in caplog.records if record.name == "trueup_serving.environment_check"]


def test_refuse_does_not_start_and_says_why_and_how_to_go_on(world: World, tmp_path: Path, trained: Trained) -> None:
    name = trained(another_numpy)
    with pytest.raises(ModelError) as refused:
        create_app(settings(world, tmp_path / "log", [("a", name, 1)], environment_check="refuse"))
    said = str(refused.value)
    assert f"{name}@1: 2 differences that can change its predictions" in said
    assert "package numpy: 1.0 -> " in said
    assert "time zone" not in said
    assert 'environment_check = "warn"' in said
    assert not (tmp_path / "log").exists()


def test_an_environment_that_is_not_there_is_unknown_to_warn_and_refused_by_refuse(
    serve: Serve, world: World, tmp_path: Path, trained: Trained, caplog: pytest.LogCaptureFixture
) -> None:
    name = trained(gone)
    with pytest.raises(ModelError, match=rf"{name}@1: whether .* is not known\. .*has no environment\.json in its run"):
        create_app(settings(world, tmp_path / "refused", [("a", name, 1)], environment_check="refuse"))
    live = serve([("a", name, 1)], environment_check="warn")
    assert f"{name}@1: whether this environment can change its predictions is not known" in caplog.text
    assert environment_of(live) == {"status": "unknown", "arithmetic": None, "other": None, "unknown": None}


def test_what_an_older_trueup_did_not_record_is_said_to_be_unknown_and_refuses_nothing(
    serve: Serve, trained: Trained, caplog: pytest.LogCaptureFixture
) -> None:
    live = serve([("a", trained(of_an_older_trueup), 1)], environment_check="refuse")
    found = environment_of(live)
    assert (found["status"], found["arithmetic"]) == ("unknown", 0)
    assert found["unknown"] > 1
    assert "not known, in training or here:" in caplog.text
    assert "  CPU features: unknown -> " in caplog.text
