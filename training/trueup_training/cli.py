"""`trueup train`, and where training adds its commands.

Everything heavy is imported when the command runs, so that `trueup --help` answers at once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from trueup.cli import Json, LedgerPath, Repo, TrackingUri, print_json, print_table
from trueup.cli.options import Datasets, datasets_folder, write_file
from trueup.console import output, step
from trueup_training.dataset_cli import dataset
from trueup_training.reproduce_cli import reproduce_command


def add_commands(app: typer.Typer) -> None:
    """Called by `trueup.cli` through the entry-point group `trueup.commands`."""
    app.command("train")(train_command)
    app.add_typer(dataset, name="dataset")
    app.command("reproduce")(reproduce_command)


def train_command(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a TOML file.")],
    repo: Repo = None,
    tracking_uri: TrackingUri = None,
    ledger: LedgerPath = None,
    datasets: Datasets = None,
    snapshot: Annotated[
        str | None,
        typer.Option(
            "--dataset", metavar="PATH_OR_ID", help="Train from this snapshot, every byte checked; read no source."
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the fit. The model is the same with any number.")] = 1,
    metrics: Annotated[
        Path | None, typer.Option(help="Also write the metrics on the holdout there, as JSON (for dvc metrics).")
    ] = None,
    version_file: Annotated[
        Path | None, typer.Option(help="Also write MODEL@VERSION there, for trueup promote in a pipeline.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a recipe on features as of each row's own instant, and register the model.

    What it learns from is kept as a snapshot first (see trueup dataset). The run goes to MLflow with all that decided
    it: recipe, contract, snapshot, commit, environment, seed. The recipe's alias then points at the new version, unless
    the gate was ever asked about it: then ask for it with trueup promote.

    Example: trueup train training/recipes/flights.toml
    """
    from trueup_training.recipe import load_recipe

    wanted = load_recipe(recipe)  # a mistake in it is said at once, not after seconds of imports

    from feast import FeatureStore

    from trueup.datasets.snapshot import open_snapshot
    from trueup.models.tracking import Tracking
    from trueup.settings import Settings, feature_repo
    from trueup.stores.ledger import Ledger
    from trueup.stores.ledger_engine import ledger_of
    from trueup_training.train import train

    settings = Settings()
    folder = feature_repo(repo or settings.repo)
    asked = ledger or settings.ledger
    uri = tracking_uri or settings.tracking_uri
    root = datasets_folder(datasets, uri)
    with step(f"train {wanted.name}") as advance:
        trained = train(
            wanted,
            repo=folder,
            tracking=Tracking(uri),
            ledger=Ledger(asked) if asked is not None else ledger_of(FeatureStore(repo_path=str(folder)).config),
            threads=threads,
            datasets=root,
            snapshot=open_snapshot(snapshot, root) if snapshot is not None else None,
            progress=lambda now: advance(1, now),
        )
    if metrics is not None:
        write_file(metrics, json.dumps(dict(trained.metrics), indent=2) + "\n", field="metrics")
    if version_file is not None:
        write_file(version_file, f"{trained.name}@{trained.version}\n", field="version-file")
    if as_json:
        print_json(trained.to_json())
        return
    alias = f", now {trained.alias}" if trained.alias is not None else ""
    counts = trained.counts
    output.print(f"{trained.name}@{trained.version}{alias}  run {trained.run_id}")
    print_table([{name: f"{value:.4f}" for name, value in trained.metrics.items() if name != "rows"}])
    late = "" if counts.label_unknown is None else f", {counts.label_unknown:,} with no answer in time"
    output.print(
        f"{counts.train:,} rows to learn from, {counts.holdout:,} held out; left out: {counts.not_sampled:,} not "
        f"sampled{late}"
    )
    output.print(f"snapshot {trained.card.snapshot}")
    if trained.alias_left is not None:
        output.print(
            f"{trained.alias_left} stays where it is, as the gate was asked about it before. Ask for it: "
            f"trueup promote {trained.name}@{trained.version} --to {trained.alias_left}",
            soft_wrap=True,
        )
