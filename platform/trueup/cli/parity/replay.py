"""`trueup parity replay`."""

from __future__ import annotations

from typing import Annotated

import typer

from trueup.cli.options import LedgerPath, Repo, TrackingUri, window
from trueup.cli.parity.place import LogPath, Models, Place
from trueup.cli.parity.show import ModelOutputs, Since, Until, show, with_outputs
from trueup.console import step


@with_outputs
def replay(
    repo: Repo = None,
    log: LogPath = None,
    tracking_uri: TrackingUri = None,
    ledger: LedgerPath = None,
    models: Models = None,
    since: Since = None,
    until: Until = None,
    offline: Annotated[
        bool, typer.Option(help="Also predict on the features training reads for the same rows (needs the repository).")
    ] = True,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="The probability whose crossing is counted.")] = 0.5,
    *,
    outputs: ModelOutputs,
) -> None:
    """Logged features through the registered model: the same predictions, bit for bit?

    Exits 0 when every prediction comes out again, 1 when one does not, 2 when nothing could be replayed.

    Example: trueup parity replay --model flights --since 2013-11-01
    """
    from trueup.parity.runs.replay import run_replay

    place = Place(repo=repo, log=log, tracking_uri=tracking_uri, ledger=ledger)
    start, end = window(since, until)
    with step("parity replay") as advance:
        result = run_replay(
            place.log,
            place.tracking,
            repo=place.repo if offline else None,
            ledger=place.ledger if offline else None,
            start=start,
            end=end,
            models=models,
            threshold=threshold,
            progress=lambda now: advance(1, now),
        )
    show(result, outputs, tracking=place.tracking)
