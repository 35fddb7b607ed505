"""`trueup parity served`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from trueup.cli.options import LedgerPath, Repo, TrackingUri, instant, open_ledger
from trueup.cli.parity.show import ModelOutputs, Since, Until, show, with_outputs
from trueup.console import step

if TYPE_CHECKING:
    from trueup.instants import KnownAt


@with_outputs
def served(
    repo: Repo = None,
    log: Annotated[Path | None, typer.Option(help="The served log [TRUEUP_LOG_DIR, default: build/served].")] = None,
    tracking_uri: TrackingUri = None,
    ledger: LedgerPath = None,
    models: Annotated[list[str] | None, typer.Option("--model", help="A registered model; all by default.")] = None,
    since: Since = None,
    until: Until = None,
    rule: Annotated[
        str | None, typer.Option(help="Recompute under served, label or unbounded, not each model's own rule.")
    ] = None,
    *,
    outputs: ModelOutputs,
) -> None:
    """Served rows against what training would read at each row's own instant, under each model's own rule.

    Exits 0 when every value is the same, 1 when one is not, 2 when nothing could be compared.

    Example: trueup parity served --log build/served --report build/parity.html
    """
    from trueup.instants import AsOfRule
    from trueup.models.tracking import Tracking
    from trueup.parity.engine import run_served
    from trueup.settings import Settings, feature_repo

    settings = Settings()
    folder = feature_repo(repo or settings.repo)
    tracking = Tracking(tracking_uri or settings.tracking_uri)
    with step("parity served") as advance:
        result = run_served(
            folder,
            log or settings.log_dir,
            tracking.load_card,
            ledger=open_ledger(folder, ledger),
            start=instant("since", since),
            end=instant("until", until),
            models=models,
            rule=AsOfRule(cast("KnownAt", rule)) if rule is not None else None,
            progress=lambda now: advance(1, now),
        )
    show(result, outputs, tracking=tracking)
