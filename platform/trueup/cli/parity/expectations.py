"""`trueup parity expectations`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trueup.cli.options import Json, TrackingUri, instant
from trueup.cli.parity.show import Report, Since, Until, show
from trueup.console import step


def expectations(
    log: Annotated[Path | None, typer.Option(help="The served log [TRUEUP_LOG_DIR, default: build/served].")] = None,
    tracking_uri: TrackingUri = None,
    models: Annotated[list[str] | None, typer.Option("--model", help="A registered model; all by default.")] = None,
    since: Since = None,
    until: Until = None,
    docs: Annotated[Path | None, typer.Option(help="Also build Great Expectations' Data Docs in this folder.")] = None,
    report: Report = None,
    as_json: Json = False,
) -> None:
    """What a model was served against the Great Expectations suite made from its training set.

    Exits 0 when every expectation holds, 1 when one does not, 2 when nothing could be checked.

    Example: trueup parity expectations --model flights --docs build/docs --report build/parity.html
    """
    from trueup.models.tracking import Tracking
    from trueup.parity.evidence.expectations import DataDocs
    from trueup.parity.runs.expectations import run_expectations
    from trueup.settings import Settings

    settings = Settings()
    beside = report.parent if report is not None else Path()
    with step("parity expectations") as advance:
        result = run_expectations(
            log or settings.log_dir,
            Tracking(tracking_uri or settings.tracking_uri),
            start=instant("since", since),
            end=instant("until", until),
            models=models,
            docs=DataDocs(docs, beside) if docs is not None else None,
            progress=lambda now: advance(1, now),
        )
    show(result, report, as_json=as_json)
