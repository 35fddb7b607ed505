"""`trueup experiment assign`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trueup.cli.options import Json, instant, print_json, print_table

ExperimentFile = Annotated[Path, typer.Argument(help="The experiment's TOML file.")]


def assign(
    file: ExperimentFile,
    units: Annotated[list[str], typer.Argument(help="Values of the unit field.")],
    at: Annotated[str | None, typer.Option(help="At this instant, ISO 8601; default: whenever it runs.")] = None,
    as_json: Json = False,
) -> None:
    """Which variant a unit gets, and why: what a server would do.

    Example: trueup experiment assign serving/experiments/flights-ab.toml B6-1 UA1545-EWR-20131101T1015Z
    """
    from trueup.experiments.assign import assign as assigned
    from trueup.experiments.toml import load_experiment

    design = load_experiment(file)
    moment = instant("at", at)
    rows = []
    for unit in units:
        found = assigned(design, unit, moment)
        rows.append({"unit": unit, "variant": found.variant.name, "exposure": found.exposure})
    if as_json:
        print_json({"experiment": design.name, "split": design.hash, "units": rows})
    else:
        print_table(rows)
