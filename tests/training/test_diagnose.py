"""`trueup diagnose` on a model that was really trained, served and logged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.training.served import write_log
from tests.training.trained import Train
from typer.testing import CliRunner, Result

from trueup.cli import app
from trueup.contracts.contract import FeatureContract
from trueup.eventlog.reader import find_logs, read_log
from trueup.eventlog.records import inputs_of
from trueup.features.historical import read_as_of
from trueup.instants import AsOfRule
from trueup.models.store_uri import datasets_beside
from trueup.models.tracking import Tracking
from trueup_training.recipe import Recipe
from trueup_training.train import TrainedModel

ROWS = 800
Diagnose = Callable[..., Result]


@pytest.fixture(scope="module")
def leaky(run: Train, recipe: Recipe) -> TrainedModel:
    """Trained on what nobody knew yet."""
    as_of = recipe.as_of.model_copy(update={"known_at": "unbounded"})
    return run(recipe.model_copy(update={"as_of": as_of}))


@pytest.fixture(scope="module")
def world(
    leaky: TrainedModel,
    tracking: Tracking,
    contract: FeatureContract,
    shop_repo: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """`log` and `outcomes`: served honestly; what became of it is as likely as the leaky model says of the truth."""
    folder = tmp_path_factory.mktemp("world")
    bundle = tracking.load_bundle(leaky.name, leaky.version)
    log = write_log(folder / "log", bundle, contract, shop_repo, version=str(leaky.version), count=ROWS)
    rows = read_log(find_logs(log)[0]).table
    truth = read_as_of(
        contract,
        inputs_of(contract, rows).append_column("event_timestamp", rows.column("__log_timestamp")),
        AsOfRule("unbounded"),
        repo=shop_repo,
        ledger=None,
    )
    late = np.random.default_rng(0).random(ROWS) < bundle.predict(truth)
    known = [at.as_py() + timedelta(hours=2) for at in rows.column("__log_timestamp")]
    table = {"request_id": rows.column("__request_id"), "late": late, "known_at": pa.array(known)}
    pq.write_table(pa.table(table), folder / "outcomes.parquet")
    imported = CliRunner().invoke(
        app,
        [
            "outcomes",
            "import",
            f"{folder}/outcomes.parquet",
            "--outcome",
            "late",
            "--outcomes",
            f"{folder}/outcomes",
            "--log",
            str(log),
        ],
    )
    assert imported.exit_code == 0, imported.output
    return folder


@pytest.fixture
def diagnose(world: Path, tracking: Tracking, shop_repo: Path) -> Diagnose:
    def call(*more: str, model: str, **places: Path) -> Result:
        options = {
            "--repo": shop_repo,
            "--log": world / "log",
            "--outcomes": world / "outcomes",
            "--tracking-uri": tracking.uri,
            "--datasets": datasets_beside(tracking.uri),
            "--outcome": "late",
            "--now": "2024-12-01T00:00:00Z",
            "--replicates": 200,
            **{f"--{name}": path for name, path in places.items()},
        }
        words = [str(word) for option in options.items() for word in option]
        return CliRunner().invoke(app, ["diagnose", "--model", model, *words, *more], catch_exceptions=False)

    return call


def test_a_model_that_learned_from_the_future_is_told_why_it_is_worse_online(
    diagnose: Diagnose, leaky: TrainedModel, tmp_path: Path
) -> None:
    page, text = tmp_path / "why.html", tmp_path / "why.md"
    metrics = tmp_path / "why.prom"
    files = ("--report", str(page), "--markdown", str(text), "--prometheus", str(metrics))
    found = diagnose("--json", *files, model=f"{leaky.name}/{leaky.version}")
    assert found.exit_code == 1
    data = json.loads(found.stdout)
    assert data["sums_exact"]
    assert [total["cause"] for total in data["causes"] if total["claimed"]] == ["feature logic"]
    by_cause = {
        term["name"]: term["effect"]["value"]
        for step in data["steps"]
        for split in step["splits"]
        if split["by"] == "cause"
        for term in split["terms"]
    }
    assert by_cause["late_arrival"] < -0.02
    promise = next(step for step in data["steps"] if step["title"] == "reproduction")
    assert promise["effect"]["value"] == 0, "the holdout, read and scored again, is the logged one to the last bit"
    assert "late_arrival" in page.read_text(encoding="utf-8")
    assert "late_arrival" in text.read_text(encoding="utf-8")
    gap = f'trueup_ledger_gap{{metric="auc",model="{leaky.name}",version="{leaky.version}"}} {data["gap"]["value"]}'
    assert gap in metrics.read_text(encoding="utf-8").splitlines()


def test_sources_that_are_gone_leave_what_can_still_be_measured(
    diagnose: Diagnose, leaky: TrainedModel, own_repo: Path
) -> None:
    (own_repo / "data" / "load.parquet").unlink()
    found = diagnose("--json", model=f"{leaky.name}/{leaky.version}", repo=own_repo)
    data = json.loads(found.stdout)
    states = {state["name"]: state for state in data["states"]}
    assert states["population"]["estimate"] is None
    assert "load.parquet" in states["population"]["missing"]
    assert states["features"]["estimate"] is not None
    assert data["sums_exact"]
    logic = next(total for total in data["causes"] if total["cause"] == "feature logic")
    assert logic["effect"] is None


def test_a_source_that_was_rewritten_is_data(diagnose: Diagnose, leaky: TrainedModel, own_repo: Path) -> None:
    path = own_repo / "data" / "orders.parquet"
    orders = pq.read_table(path)
    name = next(item for item in ("late", "label", "is_late") if item in orders.column_names)
    flipped = [value if number % 4 else not value for number, value in enumerate(orders.column(name).to_pylist())]
    at = orders.column_names.index(name)
    pq.write_table(orders.set_column(at, name, pa.array(flipped, orders.schema.field(name).type)), path)
    data = json.loads(diagnose("--json", model=f"{leaky.name}/{leaky.version}", repo=own_repo).stdout)
    found = next(total for total in data["causes"] if total["cause"] == "data")
    assert found["claimed"]
    assert found["effect"]["value"] < -0.02
    assert any("labels of" in sentence for step in data["steps"] for sentence in step["sentences"])


def test_a_snapshot_that_is_gone_or_damaged_is_said(
    diagnose: Diagnose, leaky: TrainedModel, tracking: Tracking, tmp_path: Path
) -> None:
    model = f"{leaky.name}/{leaky.version}"
    nowhere = json.loads(diagnose("--json", model=model, datasets=tmp_path / "none").stdout)
    assert "trueup dataset restore" in nowhere["states"][1]["missing"]
    copy = Path(shutil.copytree(datasets_beside(tracking.uri), tmp_path / "datasets"))
    parts = [part for part in copy.rglob("features*") if part.is_file()]
    assert parts
    for part in parts:
        part.write_bytes(part.read_bytes()[:-9] + b"123456789")
    damaged = json.loads(diagnose("--json", model=model, datasets=copy).stdout)
    # The sources still give the holdout; what the run itself had of it is gone, and so is what only that could show.
    assert damaged["states"][1]["missing"] is None
    missing = {total["cause"]: total["missing"] for total in damaged["causes"]}
    assert "damaged" in missing["randomness"]
    assert "damaged" in missing["environment"]
    assert damaged["sums_exact"]


def test_no_outcome_no_log_and_no_model_are_errors_or_gaps_that_say_what_to_do(
    diagnose: Diagnose, leaky: TrainedModel, tmp_path: Path
) -> None:
    model = f"{leaky.name}/{leaky.version}"
    early = diagnose("--now", "2024-01-01T00:00:00Z", model=model)
    assert early.exit_code == 2
    assert "in the log in that time" in " ".join(early.output.split())
    empty = diagnose(model=model, log=tmp_path / "nothing")
    assert empty.exit_code == 2
    assert "no served log under" in " ".join(empty.output.split())


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--metric", "f1"), "not one of auc"),
        (("--role", "both"), "not one of answer"),
        (("--segment", "colour"), "no column 'colour'"),
        (("--absent", "one"), "not one of unknown, zero"),
        (("--outcome", "never"), "nothing was imported as 'never'"),
    ],
)
def test_a_wrong_option_is_named(diagnose: Diagnose, leaky: TrainedModel, more: tuple[str, str], says: str) -> None:
    from trueup.errors import TrueupError

    with pytest.raises(TrueupError, match=says):
        diagnose(*more, model=f"{leaky.name}/{leaky.version}")
