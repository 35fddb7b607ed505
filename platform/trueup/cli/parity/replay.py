"""`trueup parity replay`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trueup.cli.options import Json, LedgerPath, Repo, TrackingUri, instant, open_ledger
from trueup.cli.parity.show import Report, Since, Until, show
from trueup.console import step


def replay(
    repo: Repo = None,
    log: Annotated[Path | None, typer.Option(help="The served log [TRUEUP_LOG_DIR, default: build/served].")] = None,
    tracking_uri: TrackingUri = None,
    ledger: LedgerPath = None,
    models: Annotated[list[str] | None, typer.Option("--model", help="A registered model; all by default.")] = None,
    since: Since = None,
    until: Until = None,
    offline: Annotated[
        bool, typer.Option(help="Also predict on the features training reads for the same rows (needs the repository).")
    ] = True,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="The probability whose crossing is counted.")] = 0.5,
    report: Report = None,
    as_json: Json = False,
) -> None:
    """Logged features through the registered model: the same predictions, bit for bit?

    Exits 0 when every prediction comes out again, 1 when one does not, 2 when nothing could be replayed.

    Example: trueup parity replay --model flights --since 2013-11-01
    """
    from trueup.models.tracking import Tracking
    from trueup.parity.runs.replay import run_replay
    from trueup.settings import Settings, feature_repo

    settings = Settings()
    folder = feature_repo(repo or settings.repo) if offline else None
    with step("parity replay") as advance:
        result = run_replay(
            log or settings.log_dir,
            Tracking(tracking_uri or settings.tracking_uri),
            repo=folder,
            ledger=open_ledger(folder, ledger) if folder is not None else None,
            start=instant("since", since),
            end=instant("until", until),
            models=models,
            threshold=threshold,
            progress=lambda now: advance(1, now),
        )
    show(result, report, as_json=as_json)
