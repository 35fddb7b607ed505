"""`trueup parity`: the checks, one command each, one file a command."""

from __future__ import annotations

import typer

from trueup.cli.parity.distribution import distribution
from trueup.cli.parity.online import online
from trueup.cli.parity.served import served
from trueup.cli.parity.tables import tables

parity = typer.Typer(help="Compare what was served with what training would read.", no_args_is_help=True)
parity.command("served")(served)
parity.command("online")(online)
parity.command("tables")(tables)
parity.command("distribution")(distribution)
