"""`trueup experiment`: who gets which variant, and what came of it."""

from __future__ import annotations

import typer

from trueup.cli.experiment.assigning import assign
from trueup.cli.experiment.planning import aa, power
from trueup.cli.experiment.readout import readout
from trueup.cli.experiment.show import show

experiment = typer.Typer(no_args_is_help=True, help="A/B tests: who gets which variant, and what came of it.")
experiment.command()(show)
experiment.command()(assign)
experiment.command()(readout)
experiment.command()(power)
experiment.command()(aa)
