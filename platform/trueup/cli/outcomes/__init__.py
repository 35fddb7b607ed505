"""`trueup outcomes`: what became of served rows."""

from __future__ import annotations

import typer

from trueup.cli.outcomes.importing import import_
from trueup.cli.outcomes.show import show

outcomes = typer.Typer(
    no_args_is_help=True, help="What became of served rows: labels and business outcomes, known later."
)
outcomes.command("import")(import_)
outcomes.command()(show)
