"""What the commands share: options, and results on standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from trueup.console import output
from trueup.errors import InputError
from trueup.instants import format_instant, parse_instant

if TYPE_CHECKING:
    from datetime import datetime

    from trueup.stores.ledger import Ledger

CHECK_FAILED = 1
COULD_NOT_RUN = 2

Repo = Annotated[Path | None, typer.Option(help="The Feast repository [TRUEUP_REPO, default: feature_repo].")]
TrackingUri = Annotated[
    str | None, typer.Option(help="MLflow's store: sqlite:///FILE or http://SERVER [TRUEUP_TRACKING_URI].")
]
LedgerPath = Annotated[
    Path | None, typer.Option("--ledger", help="The materialization ledger [TRUEUP_LEDGER, default: the repository's].")
]
Datasets = Annotated[
    Path | None,
    typer.Option(
        "--datasets",
        help="Where snapshots are kept [TRUEUP_DATASETS, default: datasets/ beside MLflow's SQLite file, else here].",
    ),
]
Metrics = Annotated[
    Path | None,
    typer.Option(
        "--prometheus", help="Also write metrics, for node exporter's textfile collector or `trueup monitor`."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="The result as JSON on standard output.")]


def print_json(value: Any) -> None:
    """To standard output, with nothing else around it."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """A table at most 100 columns wide, one line a row; the columns are the first row's keys."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in rows[0] if rows else ():
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    output.print(table)


def write_file(path: Path, text: str, *, field: str) -> None:
    """A small file that an option asks for, with the folders above it. Raises InputError when it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(
            field, f"--{field} {path} cannot be written: {(error.strerror or str(error)).lower()}."
        ) from error


def datasets_folder(asked: Path | None, tracking_uri: str | None = None) -> Path:
    """Where snapshots are: the option, the setting, or beside the tracking store."""
    from trueup.models.store_uri import datasets_beside
    from trueup.settings import Settings

    settings = Settings()
    return asked or settings.datasets or datasets_beside(tracking_uri or settings.tracking_uri)


def open_ledger(folder: Path, path: Path | None) -> Ledger:
    from feast import FeatureStore

    from trueup.settings import Settings
    from trueup.stores.ledger import Ledger
    from trueup.stores.ledger_engine import ledger_of

    asked = path or Settings().ledger
    return Ledger(asked) if asked is not None else ledger_of(FeatureStore(repo_path=str(folder)).config)


def instant(field: str, text: str | None) -> datetime | None:
    return parse_instant(text, field=field) if text is not None else None


def window(
    since: str | None, until: str | None, *, names: tuple[str, str] = ("since", "until")
) -> tuple[datetime | None, datetime | None]:
    """since <= instant < until. names: of the two options. Raises InputError for a window that no instant is in."""
    start, end = instant(names[0], since), instant(names[1], until)
    if start is not None and end is not None and start >= end:
        raise InputError(
            names[1],
            f"{names[1]} is {format_instant(end)}, not after {names[0]}, {format_instant(start)}: nothing is served "
            "in between.",
        )
    return start, end
