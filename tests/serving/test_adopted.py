"""An adopted model is served as any other, and says what is not known of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import skops.io
from tests.serving.conftest import Serve, settings
from tests.serving.world import World
from typer.testing import CliRunner

from trueup.cli import app
from trueup.errors import ModelError
from trueup_serving.app import create_app


@pytest.fixture(scope="module")
def adopted(world: World, tmp_path_factory: pytest.TempPathFactory) -> str:
    """`small`'s own estimator, from a file."""
    file = tmp_path_factory.mktemp("elsewhere") / "small.skops"
    skops.io.dump(world.tracking.load_bundle("small", "champion").estimator, file)
    words = ["adopt", str(file), "--name", "adopted", "--service", "small_v1", "--known-at", "served"]
    where = ["--repo", str(world.repo), "--tracking-uri", world.tracking_uri]
    assert CliRunner().invoke(app, [*words, *where], catch_exceptions=False).exit_code == 0
    world.tracking.set_alias("adopted", "champion", 1)
    return "adopted"


def test_it_answers_as_the_model_it_is(serve: Serve, adopted: str) -> None:
    rows = [{"tailnum": tailnum, "flight": "f"} for tailnum in ("FRESH", "NULLS", "nowhere")]
    answers = [
        [item["prediction"] for item in serve([("a", model, 1)]).predict(rows).json()["predictions"]]
        for model in ("small", adopted)
    ]
    assert answers[0] == answers[1]
    assert len(set(answers[0])) > 1


def test_its_training_environment_is_not_known(serve: Serve, world: World, tmp_path: Path, adopted: str) -> None:
    (variant,) = serve([("a", adopted, 1)]).http.get("/readyz").json()["variants"]
    assert variant["environment"]["status"] == "unknown"
    with pytest.raises(ModelError, match=r"not known: adopted\. adopted@1 came from small\.skops \(sha256 "):
        create_app(settings(world, tmp_path / "log", [("a", adopted, 1)], environment_check="refuse"))
