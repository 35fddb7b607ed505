"""`trueup parity distribution`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from trueup.cli.options import Json, TrackingUri, instant
from trueup.cli.parity.show import Report, Since, Until, show
from trueup.console import step

if TYPE_CHECKING:
    from trueup.parity.evidence.distribution import Block


def distribution(
    models: Annotated[list[str] | None, typer.Option("--model", help="A registered model; all by default.")] = None,
    log: Annotated[Path | None, typer.Option(help="The served log [TRUEUP_LOG_DIR, default: build/served].")] = None,
    tracking_uri: TrackingUri = None,
    since: Since = None,
    until: Until = None,
    against_since: Annotated[
        str | None, typer.Option(help="Hold it against what was served from this instant, not against training.")
    ] = None,
    against_until: Annotated[str | None, typer.Option(help="... and before this one.")] = None,
    features: Annotated[
        list[str] | None, typer.Option("--feature", help="Such as weather__wind_speed; all by default.")
    ] = None,
    false_alarm_rate: Annotated[
        float | None, typer.Option(help="Of a feature that did not change (default: that of parity.toml, else 0.01).")
    ] = None,
    block: Annotated[
        str, typer.Option(help="What is independent: row, or the rows of an hour or a day together.")
    ] = "hour",
    seed: Annotated[int, typer.Option(help="Of the resampling.")] = 0,
    repo: Annotated[
        Path | None, typer.Option(help="The Feast repository whose parity.toml counts [TRUEUP_REPO].")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Another parity.toml.")] = None,
    report: Report = None,
    as_json: Json = False,
) -> None:
    """The features a model was served against those it was trained on, or one window of the log against another.

    Exits 0 when no feature drifted, 1 when one did, 2 when nothing could be compared. Drifted is what differs more than
    chance allows at the stated rate, and by enough to matter.

    Example: trueup parity distribution --model flights --since 2013-11-01T00:00:00Z
    """
    from trueup.models.tracking import Tracking
    from trueup.parity.config import find_config
    from trueup.parity.distribution.settings import DriftSettings
    from trueup.parity.evidence.distribution import Window
    from trueup.parity.runs.distribution import run_distribution
    from trueup.settings import Settings

    settings = Settings()
    drift = find_config(repo or settings.repo, config).drift
    against = Window(instant("against_since", against_since), instant("against_until", against_until))
    with step("parity distribution") as advance:
        result = run_distribution(
            log or settings.log_dir,
            Tracking(tracking_uri or settings.tracking_uri).load_file,
            window=Window(instant("since", since), instant("until", until)),
            against=against if against != Window() else None,
            models=models,
            features=features,
            block=cast("Block", block),
            settings=DriftSettings(
                false_alarm_rate=drift.false_alarm_rate if false_alarm_rate is None else false_alarm_rate,
                min_effect=dict(drift.min_effect),
                seed=seed,
            ),
            progress=lambda now: advance(1, now),
        )
    show(result, report, as_json=as_json)
