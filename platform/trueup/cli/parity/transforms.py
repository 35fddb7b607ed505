"""`trueup parity transforms`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trueup.cli.options import LedgerPath, Repo, instant
from trueup.cli.parity.place import Place
from trueup.cli.parity.show import Outputs, show, with_outputs
from trueup.console import step


@with_outputs
def transforms(
    service: Annotated[
        str | None, typer.Argument(help="The feature service whose on-demand views are tried; all of the repository's.")
    ] = None,
    repo: Repo = None,
    log: Annotated[
        Path | None, typer.Option(help="Served log to take real rows from [TRUEUP_LOG_DIR]; else the sources.")
    ] = None,
    ledger: LedgerPath = None,
    now: Annotated[str | None, typer.Option(help="Read stored rows as of this instant; default: the clock.")] = None,
    rows: Annotated[int, typer.Option(min=0, max=1_000_000, help="At most so many real rows.")] = 1_000,
    generated: Annotated[int, typer.Option(min=0, max=1_000_000, help="Rows made up by the declared types.")] = 400,
    seed: Annotated[int, typer.Option(min=0, help="Of the generated rows and of the orders tried.")] = 0,
    *,
    outputs: Outputs,
) -> None:
    """On-demand views row by row, in batches and in other orders: the same values, bit for bit?

    Exits 0 when every value is the same, 1 when one is not, 2 when nothing could be compared.

    Example: trueup parity transforms flights_v1
    """
    from trueup.instants import utc_now
    from trueup.parity.evidence.transforms import Where
    from trueup.parity.runs.transforms import run_transforms

    place = Place(repo=repo, log=log, ledger=ledger)
    with step("parity transforms") as advance:
        result = run_transforms(
            place.store,
            service,
            Where(place.repo, place.ledger, instant("now", now) or utc_now(), place.log, rows),
            generated=generated,
            seed=seed,
            progress=lambda doing: advance(1, doing),
        )
    show(result, outputs)
