"""`trueup experiment readout` on two models that were really trained: read out, or withheld and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.training.served import FIRST
from tests.training.shop import SITES
from tests.training.trained import Train
from typer.testing import CliRunner, Result

from trueup.cli import app
from trueup.contracts.contract import FeatureContract
from trueup.eventlog.records import Exposed, Scores, ServedRows
from trueup.eventlog.writer import LogWriter
from trueup.experiments.assign import assign
from trueup.experiments.design import Experiment
from trueup.experiments.toml import load_experiment
from trueup.features.historical import read_as_of
from trueup.instants import AsOfRule
from trueup.models.tracking import Tracking
from trueup_training.recipe import Recipe
from trueup_training.train import TrainedModel

ROWS = 900
TOML = """
name = "shop-ab"
unit = "user"
salt = "{salt}"
shadow = true
[[variants]]
name = "plain"
model = "{plain}"
weight = 50
[[variants]]
name = "other"
model = "{other}"
weight = {weight}
[[metrics]]
name = "squared_error"
outcome = "late"
value = "squared_error"
goal = "decrease"
delay = "2h"
covariate = "load__level"
[[metrics]]
name = "auc"
outcome = "late"
kind = "model"
score = "auc"
delay = "2h"
[[guardrails]]
name = "correct"
outcome = "late"
value = "correct"
delay = "2h"
max_regression = {allowed}
"""


@dataclass(frozen=True)
class Shop:
    """Two registered models of one contract, trained under the same rule by two seeds, and a third that leaks."""

    repo: Path
    tracking: Tracking
    contract: FeatureContract
    plain: TrainedModel
    other: TrainedModel
    leaky: TrainedModel

    def toml(
        self, folder: Path, *, other: str | None = None, salt: str = "s", weight: int = 50, allowed: float = 0.5
    ) -> Path:
        path = folder / "shop-ab.toml"
        names = {"plain": self.plain.name, "other": other or self.other.name}
        path.write_text(TOML.format(salt=salt, weight=weight, allowed=allowed, **names), encoding="utf-8")
        return path

    def serve(
        self,
        folder: Path,
        design: Experiment,
        *,
        lost: float = 0.0,
        first: int = 0,
        count: int = ROWS,
        unit: Callable[[int], str] = lambda row: f"u{row}",
    ) -> None:
        """The models answer and shadow each other; outcomes are as likely as the plain one says. lost: share of the
        other variant's rows that never reach the log."""
        rng = np.random.default_rng(first)
        instants = [FIRST + timedelta(minutes=17 * row) for row in range(first, first + count)]
        sites = [SITES[int(rng.integers(len(SITES)))] for _ in instants]
        placed = pa.array([int(at.timestamp()) for at in instants], pa.int64())
        asked = pa.table(
            {"site": sites, "placed_unix": placed, "event_timestamp": pa.array(instants, pa.timestamp("us", "UTC"))}
        )
        frame = read_as_of(self.contract, asked, AsOfRule("served"), repo=self.repo, ledger=None)
        models = {v.name: (v.model, self.tracking.resolve(v.model, v.alias).version) for v in design.variants}
        predictions = {
            name: self.tracking.load_bundle(model, version).predict(frame) for name, (model, version) in models.items()
        }
        splits = {design.hash: design.split()}
        with LogWriter(folder / "log", [self.contract], experiments=splits) as writer:
            for row in range(count):
                found = assign(design, unit(first + row), instants[row])
                if found.variant.name == "other" and rng.random() < lost:
                    continue
                name = found.variant.name
                scores = tuple(
                    Scores(
                        model,
                        str(version),
                        (0,),
                        ("answer" if each == name else "shadow",),
                        predictions[each][row : row + 1],
                    )
                    for each, (model, version) in models.items()
                )
                writer.offer(
                    ServedRows(
                        contract=self.contract,
                        request_id=f"r{first + row}",
                        instant=instants[row],
                        experiment=design.name,
                        inputs=asked.slice(row, 1).select(["site", "placed_unix"]),
                        frame=frame.slice(row, 1),
                        rows=(0,),
                        units=(unit(first + row),),
                        variants=(name,),
                        scores=scores,
                        exposed=(Exposed(design.name, design.hash, found.exposure),),
                    )
                )
        late = rng.random(count) < predictions["plain"]
        known = [at + timedelta(hours=1) for at in instants]
        requests = [f"r{first + row}" for row in range(count)]
        pq.write_table(
            pa.table({"request_id": requests, "late": late, "known_at": pa.array(known)}), folder / "o.parquet"
        )
        imported = CliRunner().invoke(
            app, ["outcomes", "import", f"{folder}/o.parquet", "--outcome", "late", "--outcomes", f"{folder}/outcomes"]
        )
        assert imported.exit_code == 0, imported.output

    def readout(self, folder: Path, file: Path, *more: str, now: str = "2024-12-01T00:00:00Z") -> Result:
        options = {
            "--repo": self.repo,
            "--log": folder / "log",
            "--outcomes": folder / "outcomes",
            "--tracking-uri": self.tracking.uri,
            "--now": now,
            "--replicates": 200,
        }
        words = [str(word) for option in options.items() for word in option]
        return CliRunner().invoke(app, ["experiment", "readout", str(file), *words, *more], catch_exceptions=False)


@pytest.fixture(scope="module")
def stores(run: Train, recipe: Recipe, shop_repo: Path, tracking: Tracking, contract: FeatureContract) -> Shop:
    def named(name: str, **changes: object) -> TrainedModel:
        model = recipe.model.model_copy(update={"name": name, "alias": "champion"})
        return run(recipe.model_copy(update={"model": model, **changes}))

    leaks = recipe.as_of.model_copy(update={"known_at": "unbounded"})
    return Shop(
        shop_repo, tracking, contract, named("plain"), named("other", seed=recipe.seed + 1), named("leaky", as_of=leaks)
    )


def test_two_honest_models_are_read_out_with_effects_guardrails_scores_and_paired_differences(
    stores: Shop, tmp_path: Path
) -> None:
    file = stores.toml(tmp_path)
    stores.serve(tmp_path, load_experiment(file))
    text, metrics = tmp_path / "readout.md", tmp_path / "readout.prom"
    files = ("--markdown", str(text), "--prometheus", str(metrics))
    found = stores.readout(tmp_path, file, "--json", "--segment", "site", *files)
    data = json.loads(found.stdout)
    assert (found.exit_code, data["withheld"], data["read_out"]) == (0, [], True)
    assert sum(variant["units"] for variant in data["variants"]) == ROWS
    by_name = {metric["metric"]["name"]: metric for metric in data["metrics"]}
    effect = by_name["squared_error"]["effects"][0]
    assert effect["low"] < effect["effect"] < effect["high"]
    assert effect["cuped"] is not None
    assert by_name["squared_error"]["sequence"][0][0] < effect["effect"] < by_name["squared_error"]["sequence"][0][1]
    assert by_name["correct"]["guardrail"] == ["holds"]
    assert {variant["parity"]["mismatched"] for variant in data["variants"]} == {0}
    model = data["models"][0]
    assert {score["score"] for score in model["by_variant"]["plain"]} >= {"auc", "brier", "calibration", "recall"}
    assert all(difference["paired"] for difference in model["differences"])
    assert "WITHHELD" not in text.read_text(encoding="utf-8")
    _same_numbers(data, metrics.read_text(encoding="utf-8"))


def _same_numbers(data: dict[str, Any], text: str) -> None:
    """The metrics are the read-out's own numbers, each series once."""
    found = [
        (sample.name, tuple(sorted(sample.labels.items())), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]
    series = {(name, labels): value for name, labels, value in found}
    assert len(series) == len(found)

    def value(name: str, **labels: str) -> float:
        return series[name, tuple(sorted({"experiment": data["experiment"], **labels}.items()))]

    for variant in data["variants"]:
        assert value("trueup_experiment_units", variant=variant["name"]) == variant["units"]
        assert value("trueup_experiment_rows", variant=variant["name"]) == variant["rows"]
    assert value("trueup_experiment_withheld") == 0
    assert value("trueup_experiment_sample_ratio_p_value") == data["sample_ratio"]["p_value"]
    for metric in data["metrics"]:
        name = metric["metric"]["name"]
        for at, effect in enumerate(metric["effects"]):
            place = {"variant": effect["variant"], "metric": name}
            for end, field in (("", "effect"), ("_low", "low"), ("_high", "high")):
                assert value(f"trueup_experiment_effect{end}", **place) == effect[field]
            if metric["guardrail"]:
                verdict = metric["guardrail"][at].replace(" ", "_")
                assert value("trueup_experiment_guardrail", **place, verdict=verdict) == 1
    for model in data["models"]:
        for variant, scores in model["by_variant"].items():
            for score in scores:
                if score["estimate"] is not None:
                    place = {"variant": variant, "outcome": model["outcome"], "score": score["score"]}
                    assert value("trueup_model_score", **place) == score["estimate"]["value"]


def test_a_model_that_was_served_other_values_than_it_learned_from_is_withheld_and_shown_only_anyway(
    stores: Shop, tmp_path: Path
) -> None:
    file = stores.toml(tmp_path, other="leaky")
    stores.serve(tmp_path, load_experiment(file))
    found = stores.readout(tmp_path, file)
    said = " ".join(found.output.split())
    assert found.exit_code == 1
    assert "WITHHELD" in said
    assert "the variants differ in parity" in said
    assert "squared_error" not in said
    anyway = stores.readout(tmp_path, file, "--anyway")
    assert anyway.exit_code == 1
    assert "squared_error" in anyway.output
    assert "Shown anyway" in anyway.output
    data = json.loads(stores.readout(tmp_path, file, "--json").stdout)
    assert (data["metrics"], data["models"], data["read_out"]) == (None, None, False)


def test_units_that_are_lost_from_one_variant_are_a_sample_ratio_mismatch(stores: Shop, tmp_path: Path) -> None:
    file = stores.toml(tmp_path)
    stores.serve(tmp_path, load_experiment(file), lost=0.3)
    data = json.loads(stores.readout(tmp_path, file, "--json", "--segment", "site").stdout)
    assert data["sample_ratio"]["p_value"] < 0.001
    assert any("the sample ratio is off" in reason for reason in data["withheld"])


def test_a_split_that_was_changed_while_it_ran_withholds_and_a_ramp_does_not(stores: Shop, tmp_path: Path) -> None:
    file = stores.toml(tmp_path)
    design = load_experiment(file)
    stores.serve(tmp_path, design, count=450)
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("shadow = true", "shadow = true\ntraffic = 0.999"), encoding="utf-8")
    stores.serve(tmp_path, load_experiment(file), first=450, count=450)
    ramp = json.loads(stores.readout(tmp_path, file, "--json").stdout)
    assert ramp["withheld"] == []
    assert any("traffic: 1.0 -> 0.999" in warning for warning in ramp["warnings"])
    stores.toml(tmp_path, salt="another")
    stores.serve(tmp_path, load_experiment(file), first=900, count=300, unit=lambda row: f"u{row - 900}")
    data = json.loads(stores.readout(tmp_path, file, "--json").stdout)
    assert any("salt: s -> another" in reason for reason in data["withheld"])
    assert data["counts"]["units of more than one variant, left out"] > 50
    shown = CliRunner().invoke(app, ["experiment", "show", str(file), "--log", str(tmp_path / "log"), "--json"])
    assert shown.exit_code == 1
    assert json.loads(shown.stdout)["log"]["units_of_two_variants"] > 50


def test_a_guardrail_that_is_broken_fails_and_one_that_cannot_be_told_is_undecided(
    stores: Shop, tmp_path: Path
) -> None:
    file = stores.toml(tmp_path, other="leaky", allowed=0.0)
    stores.serve(tmp_path, load_experiment(file))
    data = json.loads(stores.readout(tmp_path, file, "--json", "--no-parity").stdout)
    verdict = next(metric for metric in data["metrics"] if metric["metric"]["name"] == "correct")["guardrail"][0]
    assert verdict in ("broken", "undecided")
    assert any("parity of the variants was not looked at" in warning for warning in data["warnings"])


def test_before_any_outcome_is_mature_there_is_no_number_and_the_rows_are_no_negatives(
    stores: Shop, tmp_path: Path
) -> None:
    file = stores.toml(tmp_path)
    stores.serve(tmp_path, load_experiment(file), count=300)
    now = (FIRST + timedelta(minutes=17 * 6)).isoformat()
    found = stores.readout(tmp_path, file, "--json", now=now)
    data = json.loads(found.stdout)
    assert found.exit_code in (1, 2)
    metrics = data["metrics"] or []
    assert all("why" in effect for metric in metrics for effect in metric["effects"])
    states = {state: count for metric in metrics for state, count in metric["states"].items()}
    assert states.get("mature", 0) == 0
    power = CliRunner().invoke(
        app,
        [
            "experiment",
            "power",
            str(file),
            "--log",
            str(tmp_path / "log"),
            "--outcomes",
            f"{tmp_path}/outcomes",
            "--now",
            now,
        ],
    )
    assert power.exit_code == 2


def test_power_and_a_a_say_what_the_sample_can_show(stores: Shop, tmp_path: Path) -> None:
    file = stores.toml(tmp_path)
    stores.serve(tmp_path, load_experiment(file))
    places = ["--log", f"{tmp_path}/log", "--outcomes", f"{tmp_path}/outcomes", "--now", "2024-12-01T00:00:00Z"]
    power = CliRunner().invoke(app, ["experiment", "power", str(file), "--effect", "0.1", "--json", *places])
    assert power.exit_code == 0
    rows = json.loads(power.stdout)["metrics"]
    assert [row["metric"] for row in rows] == ["squared_error", "correct"]
    aa = CliRunner().invoke(app, ["experiment", "aa", str(file), "--simulations", "200", "--json", *places])
    assert aa.exit_code == 0, aa.output
    assert all(rate["right"] for rate in json.loads(aa.stdout)["false_positives"])


def test_an_experiment_that_is_not_in_the_log_is_an_error(stores: Shop, tmp_path: Path) -> None:
    from trueup.errors import InputError

    with pytest.raises(InputError, match="no row of experiment 'shop-ab'"):
        stores.readout(tmp_path, stores.toml(tmp_path))
