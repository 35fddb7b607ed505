"""The `trueup` command. Heavy packages are imported inside the commands, so that `--help` answers at once.

Exit codes, everywhere: 0 passed or done, 1 a check failed, 2 it could not run. Results go to standard
output (a table, or `--json`), progress and errors to standard error.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer

from trueup.console import errors, output, step
from trueup.errors import TrueupError
from trueup.instants import parse_instant

COULD_NOT_RUN = 2

app = typer.Typer(
    name="trueup",
    help="The consistency layer for Feast: why is the model worse online than it was offline?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
parity = typer.Typer(help="Compare what was served with what training would read.", no_args_is_help=True)
contract = typer.Typer(help="What a feature service means, hashed part by part.", no_args_is_help=True)
app.add_typer(parity, name="parity")
app.add_typer(contract, name="contract")

Repo = Annotated[Path | None, typer.Option(help="The Feast repository [TRUEUP_REPO, default: feature_repo].")]
TrackingUri = Annotated[str | None, typer.Option(help="MLflow's address [TRUEUP_TRACKING_URI].")]
Json = Annotated[bool, typer.Option("--json", help="The result as JSON on standard output.")]


def main() -> None:
    """Entry point: runs the command and turns a TrueupError into one line and exit code 2."""
    for command in sorted(entry_points(group="trueup.commands"), key=lambda found: found.name):
        command.load()(app)
    try:
        app()
    except TrueupError as error:
        errors.print(f"[red]trueup:[/red] {error}", markup=True, soft_wrap=True)
        sys.exit(COULD_NOT_RUN)


def print_json(value: Any) -> None:
    """To standard output, with nothing else around it."""
    sys.stdout.write(json.dumps(value, indent=2, sort_keys=False) + "\n")
