"""`trueup dataset`: training snapshots, built, verified and compared.

Everything heavy is imported when a command runs, so that `trueup --help` answers at once.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trueup.cli import CHECK_FAILED, Json, LedgerPath, Repo, print_json
from trueup.cli.options import Datasets, datasets_folder, write_file
from trueup.console import output, step
from trueup.errors import InputError

if TYPE_CHECKING:
    from trueup.datasets.snapshot import Snapshot
    from trueup.parity.snapshots import SnapshotDifference

dataset = typer.Typer(
    help="What a model learns from, kept: content-addressed, and the same bytes whenever it is built again.",
    no_args_is_help=True,
)

Ref = Annotated[str, typer.Argument(metavar="PATH_OR_ID", help="A snapshot's folder, id, first digits or name.")]


@dataset.command("build")
def build_command(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a TOML file.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Where snapshots are kept [TRUEUP_DATASETS, default: beside MLflow's store]."),
    ] = None,
    id_file: Annotated[Path | None, typer.Option(help="Also write the id there, for whoever comes next.")] = None,
    repo: Repo = None,
    ledger: LedgerPath = None,
    as_json: Json = False,
) -> None:
    """Read what a recipe learns from and keep it as a snapshot, in the folder NAME/ID.

    The id is a hash of the manifest: definitions, as-of rule, entity query and the bytes of each part. A recipe without
    a pinned instant is pinned to now, and the manifest says so.

    Example: trueup dataset build training/recipes/flights.toml
    """
    from trueup_training.recipe import load_recipe

    wanted = load_recipe(recipe)  # a mistake in it is said at once, not after seconds of imports

    from feast import FeatureStore

    from trueup.cli.options import open_ledger
    from trueup.contracts.extract import extract_contract
    from trueup.datasets.snapshot import build_snapshot
    from trueup.instants import utc_now
    from trueup.settings import Settings, feature_repo

    now = utc_now()
    folder = feature_repo(repo or Settings().repo)
    with step(f"dataset build {wanted.name}") as advance:
        built = build_snapshot(
            wanted.dataset(now),
            extract_contract(FeatureStore(repo_path=str(folder)), wanted.feature_service),
            repo=folder,
            root=datasets_folder(out),
            ledger=open_ledger(folder, ledger),
            progress=lambda doing: advance(1, doing),
        )
    if id_file is not None:
        write_file(id_file, f"{built.id}\n", field="id-file")
    if as_json:
        print_json(_built(built))
        return
    from trueup_training.dataset_text import print_snapshot

    print_snapshot(built)


@dataset.command("verify")
def verify_command(
    ref: Ref,
    datasets: Datasets = None,
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild",
            help="Also build it again from the sources, under the manifest's own definitions and pinned instant. Runs "
            "the manifest's SQL and functions: only for a snapshot you trust as code.",
        ),
    ] = False,
    repo: Repo = None,
    ledger: LedgerPath = None,
    as_json: Json = False,
) -> None:
    """Check every byte of a snapshot against its manifest, and the manifest against its id.

    Exits 0 when they are the same, 1 when they are not, 2 when it could not run.

    Example: trueup dataset verify flights@3f2a --rebuild
    """
    from trueup.datasets.snapshot import open_snapshot
    from trueup.datasets.storage import find_snapshot, problems

    root = datasets_folder(datasets)
    folder = find_snapshot(ref, root)
    with step("dataset verify"):
        found = problems(folder)
    difference = None
    snapshot = None if found else open_snapshot(str(folder), root)
    if rebuild and snapshot is not None:
        difference = _rebuilt(snapshot, repo, ledger)
    same = not found and (difference is None or difference.same)
    if as_json:
        print_json(
            {
                "verdict": "pass" if same else "fail",
                "folder": str(folder),
                "id": snapshot.id if snapshot is not None else None,
                "problems": list(found),
                "rebuilt": difference.to_json() if difference is not None else None,
            }
        )
    else:
        from trueup_training.dataset_text import print_verified

        print_verified(folder, snapshot, found, difference, asked=rebuild)
    if not same:
        raise typer.Exit(CHECK_FAILED)


@dataset.command("diff")
def diff_command(
    a: Annotated[str, typer.Argument(metavar="A", help="A snapshot's folder, id, first digits or name.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The other one.")],
    datasets: Datasets = None,
    as_json: Json = False,
) -> None:
    """What differs between two snapshots, and why: inputs first, then rows, then each feature over the common rows.

    A reason is what may have made a difference: an input that differs and that the feature depends on (its definition,
    as-of rule, schedule, ledger, entity query), or, when all of these are the same, late_data: the sources were
    restated or rows landed late. Exits 0 when every byte is the same, 1 when not, 2 when it could not run.

    Example: trueup dataset diff flights@3f2a flights@91cc
    """
    from trueup.datasets.snapshot import open_snapshot
    from trueup.parity.snapshots import compare_snapshots

    root = datasets_folder(datasets)
    one, other = open_snapshot(a, root), open_snapshot(b, root)
    with step("dataset diff") as advance:
        advance(1, "reading both")
        data = one.load(), other.load()
        advance(1, "comparing")
        difference = compare_snapshots((one.manifest, other.manifest), data)
    if as_json:
        print_json(difference.to_json())
    else:
        from trueup_training.dataset_text import print_difference

        print_difference(difference)
    if not difference.same:
        raise typer.Exit(CHECK_FAILED)


@dataset.command("restore")
def restore_command(
    snapshot: Annotated[
        str, typer.Argument(metavar="ID", help="A snapshot's id, its first digits (4 at least) or NAME@DIGITS.")
    ],
    datasets: Datasets = None,
    repo: Repo = None,
    commit: Annotated[
        str | None, typer.Option(help="Look here first: the commit of the run that learned from it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Bring a snapshot back that DVC tracks, from its cache or the configured remote, every byte checked.

    Looked at: --commit, the working tree, then every commit that changed what DVC tracks, newest first, of the git
    repository that the Feast repository is in. One that is there and whole stays as it is.

    Example: trueup dataset restore flights@3f2a
    """
    from trueup.datasets.restored import restore_snapshot

    with step("dataset restore") as advance:
        folder = restore_snapshot(
            snapshot,
            datasets_folder(datasets),
            git_repo=_git_folder(repo),
            commit=commit,
            progress=lambda doing: advance(1, doing),
        )
    if as_json:
        print_json({"id": folder.name, "name": folder.parent.name, "folder": str(folder)})
    else:
        output.print(f"{folder.parent.name}@{folder.name[:12]} is whole in {folder}", soft_wrap=True)


def _git_folder(asked: Path | None) -> Path:
    """A folder of the git repository: the Feast repository's, or the working directory where there is no such."""
    from trueup.settings import Settings

    if asked is not None and not asked.is_dir():
        raise InputError("repo", f"repo: {asked} is no folder.", hint="Name one in the repository whose DVC tracks it.")
    folder = asked or Settings().repo
    return folder.resolve() if folder.is_dir() else Path.cwd()


def _rebuilt(snapshot: Snapshot, repo: Path | None, ledger: Path | None) -> SnapshotDifference:
    """The snapshot against what its manifest gives of the sources now, which is built aside and not kept."""
    from trueup.cli.options import open_ledger
    from trueup.datasets.snapshot import build_again
    from trueup.parity.snapshots import compare_snapshots
    from trueup.settings import Settings, feature_repo

    folder = feature_repo(repo or Settings().repo)
    with tempfile.TemporaryDirectory() as scratch, step("dataset build again") as advance:
        again = build_again(
            snapshot.manifest,
            repo=folder,
            root=Path(scratch),
            ledger=open_ledger(folder, ledger),
            progress=lambda doing: advance(1, doing),
        )
        return compare_snapshots((snapshot.manifest, again.manifest), (snapshot.load(), again.load()))


def _built(snapshot: Snapshot) -> dict[str, object]:
    manifest = snapshot.manifest
    return {
        "id": snapshot.id,
        "name": manifest.spec.name,
        "folder": str(snapshot.folder),
        "feature_service": manifest.spec.feature_service,
        "contract_hash": manifest.contract.hash,
        "as_of": manifest.spec.rule.to_json(),
        "train_rows": snapshot.counts.train,
        "holdout_rows": snapshot.counts.holdout,
        "not_sampled": snapshot.counts.not_sampled,
        "label_unknown": snapshot.counts.label_unknown,
        "content": manifest.content,
        "parts": [part.to_json() for part in manifest.parts],
    }
