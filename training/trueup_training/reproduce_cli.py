"""`trueup reproduce`. Everything heavy is imported when the command runs, so that `trueup --help` answers at once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from trueup.cli import CHECK_FAILED, Json, LedgerPath, Repo, TrackingUri, print_json
from trueup.cli.options import Datasets, datasets_folder
from trueup.console import errors
from trueup.errors import InputError


def reproduce_command(
    run: Annotated[str, typer.Argument(metavar="RUN", help="An MLflow run's id, NAME@ALIAS or NAME/VERSION.")],
    repo: Repo = None,
    tracking_uri: TrackingUri = None,
    datasets: Datasets = None,
    recipe: Annotated[
        Path | None,
        typer.Option(help="Today's recipe; by default the git repository's one TOML file with the recorded name."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of a training today.")] = 1,
    environment: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|PYTHON|build",
            help="A second environment to train in as recorded: one that is there, or `build` from the run's lock.",
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=0, help="Train with this many other seeds too: how much the seed moves each metric.")
    ] = 0,
    against: Annotated[
        str | None, typer.Option(metavar="RUN", help="With --seeds: whose metrics to judge, instead of today's.")
    ] = None,
    ledger: LedgerPath = None,
    keep: Annotated[
        Path | None, typer.Option(help="An empty folder to keep the trainings in: MLflow store, rebuilt snapshots.")
    ] = None,
    record: Annotated[
        bool, typer.Option("--record/--no-record", help="Keep the result with the run, for the gate and for people.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Train a run again from its commit, snapshot, seed and threads, and compare all it left; then say what has moved.

    The commit, with the run's own diff, is checked out beside yours; your repository, registry and stores stay as they
    are. Then each factor that moved since (data, code, recipe, seed, threads, environment) is swapped alone for
    today's. It runs code and a diff that the run recorded: only for a run you trust as code.

    Exits 0 when the model is bit-identical or within tolerance, 1 when it is different, 2 when it could not run.

    Example: trueup reproduce flights@champion
    """
    from trueup.cli.options import open_ledger
    from trueup.instants import utc_now
    from trueup.models.tracking import Tracking
    from trueup.settings import Settings, feature_repo
    from trueup_training.reproduce import Asked, reproduce

    asked = Asked(recipe, threads, environment, seeds, against)  # a mistake in it is said before the work
    settings = Settings()
    folder = feature_repo(repo or settings.repo)
    uri = tracking_uri or settings.tracking_uri
    tracking = Tracking(uri)
    with _scratch(keep) as scratch:
        found = reproduce(
            run,
            repo=folder,
            tracking=tracking,
            datasets=datasets_folder(datasets, uri),
            scratch=scratch,
            ledger=open_ledger(folder, ledger),
            asked=asked,
            progress=lambda doing: errors.print(f"[dim]· {escape(doing)}[/dim]"),
        )
        if as_json:
            print_json(found.to_json())
        else:
            from trueup_training.reproduce_text import print_reproduction

            print_reproduction(found)
        if record:  # after what it says, so that a store that cannot be written does not lose it
            tracking.log_reproduction(found.recorded.run.run_id, found.to_json(), at=utc_now())
    if not found.reproduced:
        raise typer.Exit(CHECK_FAILED)


@contextmanager
def _scratch(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="trueup-reproduce-") as scratch:
            yield Path(scratch)
        return
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise InputError("keep", f"--keep {keep} is not an empty folder.", hint="Name a new one.")
    keep.mkdir(parents=True, exist_ok=True)
    yield keep.resolve()
