"""`trueup parity config`."""

from __future__ import annotations

from typing import Annotated

import typer

from trueup.cli.options import Json, Repo, print_json
from trueup.console import output


def config(
    repo: Repo = None,
    example: Annotated[
        bool, typer.Option("--example", help="A file with every section there is, to start from.")
    ] = False,
    as_json: Json = False,
) -> None:
    """What is settled about parity: `parity.toml` of the repository, with its defaults.

    Checked as a parity job checks it: keys, values, causes, and the features it names against the registry.

    Example: trueup parity config --example > feature_repo/parity.toml
    """
    from trueup.cli.parity.place import Place
    from trueup.parity.config import CONFIG_FILE, EXAMPLE

    if example:
        output.print(EXAMPLE.strip(), markup=False, soft_wrap=True)
        return
    place = Place(repo=repo)
    if place.config.tolerance or place.config.allowed or place.config.null_default:
        place.check_features()
    settled = place.config.model_dump(mode="json")
    if as_json:
        print_json(settled)
        return
    path = place.repo / CONFIG_FILE
    output.print(f"{path}" if path.is_file() else f"{path} is not there: these are the defaults", soft_wrap=True)
    for name, value in settled.items():
        output.print(f"{name}: {'any mismatch' if name == 'fail_on' and value is None else value}", markup=False)
