"""`trueup parity`: the checks, one command each, one file a command."""

from __future__ import annotations

import typer

from trueup.cli.parity.all import all_checks
from trueup.cli.parity.distribution import distribution
from trueup.cli.parity.example import config
from trueup.cli.parity.expectations import expectations
from trueup.cli.parity.online import online
from trueup.cli.parity.replay import replay
from trueup.cli.parity.served import served
from trueup.cli.parity.tables import tables
from trueup.cli.parity.transforms import transforms

parity = typer.Typer(help="Compare what was served with what training would read.", no_args_is_help=True)
parity.command("all")(all_checks)
parity.command("online")(online)
parity.command("served")(served)
parity.command("distribution")(distribution)
parity.command("replay")(replay)
parity.command("transforms")(transforms)
parity.command("expectations")(expectations)
parity.command("tables")(tables)
parity.command("config")(config)
