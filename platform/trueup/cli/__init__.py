"""The `trueup` command. Heavy packages are imported inside the commands, so that `--help` answers at once.

Exit codes, everywhere: 0 passed or done, 1 a check failed, 2 it could not run. Results go to standard
output (a table, or `--json`), progress and errors to standard error.
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points

import typer
from rich.markup import escape

from trueup.cli.adopt import adopt
from trueup.cli.contract import contract
from trueup.cli.diagnose import diagnose
from trueup.cli.env import env
from trueup.cli.experiment import experiment
from trueup.cli.freshness import freshness
from trueup.cli.gate import gate
from trueup.cli.materialize import materialize
from trueup.cli.monitor import monitor
from trueup.cli.monitoring import monitoring
from trueup.cli.options import CHECK_FAILED, COULD_NOT_RUN, Json, LedgerPath, Repo, TrackingUri, print_json, print_table
from trueup.cli.outcomes import outcomes
from trueup.cli.parity import parity
from trueup.cli.promotion import promote, rollback
from trueup.cli.verify import verify
from trueup.console import errors
from trueup.errors import TrueupError

__all__ = [
    "CHECK_FAILED",
    "COULD_NOT_RUN",
    "Json",
    "LedgerPath",
    "Repo",
    "TrackingUri",
    "app",
    "main",
    "print_json",
    "print_table",
]

app = typer.Typer(
    name="trueup",
    help="The consistency layer for Feast: why is the model worse online than it was offline?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command()(materialize)
app.command()(adopt)
app.command()(promote)
app.command()(verify)
app.command()(rollback)
app.command()(freshness)
app.command()(diagnose)
app.add_typer(gate, name="gate")
app.add_typer(parity, name="parity")
app.add_typer(experiment, name="experiment")
app.add_typer(outcomes, name="outcomes")
app.add_typer(contract, name="contract")
app.add_typer(env, name="env")
app.add_typer(monitor, name="monitor")
app.add_typer(monitoring, name="monitoring")


def main() -> None:
    """Entry point: runs the command and turns a TrueupError into one line and exit code 2."""
    for command in sorted(entry_points(group="trueup.commands"), key=lambda found: found.name):
        command.load()(app)
    try:
        app()
    except TrueupError as error:
        errors.print(f"[red]trueup:[/red] {escape(str(error))}", markup=True, soft_wrap=True)
        sys.exit(COULD_NOT_RUN)
