"""`trueup parity distribution`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from trueup.cli.options import Repo, TrackingUri, window
from trueup.cli.parity.place import Config, LogPath, Models, Place
from trueup.cli.parity.show import ModelOutputs, Since, Until, show, with_outputs
from trueup.console import step

if TYPE_CHECKING:
    from trueup.parity.evidence.distribution import Block, Window
    from trueup.parity.evidence.models import Progress
    from trueup.parity.report import Report


@with_outputs
def distribution(
    models: Models = None,
    log: LogPath = None,
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
    repo: Repo = None,
    config: Config = None,
    *,
    outputs: ModelOutputs,
) -> None:
    """The features a model was served against those it was trained on, or one window of the log against another.

    Exits 0 when no feature drifted, 1 when one did, 2 when nothing could be compared. Drifted is what differs more than
    chance allows at the stated rate, and by enough to matter.

    Example: trueup parity distribution --model flights --since 2013-11-01T00:00:00Z
    """
    from trueup.parity.evidence.distribution import Window

    place = Place(repo=repo, log=log, tracking_uri=tracking_uri, config=config)
    against = Window(*window(against_since, against_until, names=("against_since", "against_until")))
    current = Window(*window(since, until))
    with step("parity distribution") as advance:
        result = check_distribution_of(
            place,
            window=current,
            against=against if against != Window() else None,
            models=models,
            features=features,
            block=block,
            false_alarm_rate=false_alarm_rate,
            seed=seed,
            progress=lambda now: advance(1, now),
        )
    show(result, outputs, tracking=place.tracking)


def check_distribution_of(
    place: Place,
    *,
    window: Window,
    progress: Progress,
    against: Window | None = None,
    models: list[str] | None = None,
    features: list[str] | None = None,
    block: str = "hour",
    false_alarm_rate: float | None = None,
    seed: int = 0,
) -> Report:
    """The check as the command line means it."""
    from trueup.parity.distribution.settings import DriftSettings
    from trueup.parity.runs.distribution import run_distribution

    drift = place.drift
    return run_distribution(
        place.log,
        place.tracking.load_file,
        window=window,
        against=against,
        models=models,
        features=features,
        block=cast("Block", block),
        settings=DriftSettings(
            false_alarm_rate=drift.false_alarm_rate if false_alarm_rate is None else false_alarm_rate,
            min_effect=dict(drift.min_effect),
            seed=seed,
        ),
        progress=progress,
    )
