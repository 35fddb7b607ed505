"""`trueup parity expectations`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trueup.cli.options import TrackingUri, window
from trueup.cli.parity.place import LogPath, Models, Place
from trueup.cli.parity.show import ModelOutputs, Since, Until, show, with_outputs
from trueup.console import step


@with_outputs
def expectations(
    log: LogPath = None,
    tracking_uri: TrackingUri = None,
    models: Models = None,
    since: Since = None,
    until: Until = None,
    docs: Annotated[Path | None, typer.Option(help="Also build Great Expectations' Data Docs in this folder.")] = None,
    *,
    outputs: ModelOutputs,
) -> None:
    """What a model was served against the Great Expectations suite made from its training set.

    Exits 0 when every expectation holds, 1 when one does not, 2 when nothing could be checked.

    Example: trueup parity expectations --model flights --docs build/docs --report build/parity.html
    """
    from trueup.parity.evidence.expectations import DataDocs
    from trueup.parity.runs.expectations import run_expectations

    place = Place(log=log, tracking_uri=tracking_uri)
    beside = outputs.report.parent if outputs.report is not None else Path()
    start, end = window(since, until)
    with step("parity expectations") as advance:
        result = run_expectations(
            place.log,
            place.tracking,
            start=start,
            end=end,
            models=models,
            docs=DataDocs(docs, beside) if docs is not None else None,
            progress=lambda now: advance(1, now),
        )
    show(result, outputs, tracking=place.tracking)
