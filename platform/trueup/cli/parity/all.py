"""`trueup parity all`: every check that applies, as one job with one report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trueup.cli.options import LedgerPath, Repo, TrackingUri, instant, window
from trueup.cli.parity.parts import Asked
from trueup.cli.parity.place import Config, FailOn, LogPath, Models, Place, Sample
from trueup.cli.parity.show import ModelOutputs, Since, Until, show, with_outputs
from trueup.console import step
from trueup.errors import InputError

if TYPE_CHECKING:
    from trueup.parity.results import Check


@with_outputs
def all_checks(
    service: Annotated[
        str | None, typer.Argument(help="A feature service: its views, and its part of the log; all by default.")
    ] = None,
    repo: Repo = None,
    log: LogPath = None,
    tracking_uri: TrackingUri = None,
    ledger: LedgerPath = None,
    models: Models = None,
    since: Since = None,
    until: Until = None,
    checks: Annotated[
        str | None,
        typer.Option("--check", help="Which ones, such as online,served; default: those that there is something for."),
    ] = None,
    skip: Annotated[str | None, typer.Option("--skip", help="Of those which ones not, such as distribution.")] = None,
    now: Annotated[
        str | None, typer.Option(help="Read the online store as of this instant; default: its `now`, else the clock.")
    ] = None,
    sample: Sample = 1.0,
    fail_on: FailOn = None,
    config: Config = None,
    resume: Annotated[
        Path | None, typer.Option(help="Folder for finished parts: started again, the job goes on from there.")
    ] = None,
    *,
    outputs: ModelOutputs,
) -> None:
    """Every check that there is something for, as one job with one report.

    online and transforms need a repository, served a log, and distribution, replay and expectations a log that names
    registered models. What does not apply is listed in the report. `parity.toml` in the repository (or --config) sets
    tolerances, allowed shares, failing causes and drift thresholds, feature by feature: `trueup parity config` shows
    one.

    Exits 0 when everything passed, 1 when a check failed, 2 when one could not run, or nothing was compared.

    Example: trueup parity all --since 2013-11-01 --fail-on unexplained,late_arrival --report build/parity.html
    """
    from trueup.instants import utc_now
    from trueup.parity.job import Checkpoint, run_job
    from trueup.parity.runs.facts import check_share

    place = Place(repo=repo, log=log, tracking_uri=tracking_uri, ledger=ledger, config=config, fail_on=fail_on)
    start, end = window(since, until)
    asked = Asked(
        place=place,
        service=service,
        models=models,
        start=start,
        end=end,
        sample=sample,
        now=instant("now", now),
        started_at=utc_now(),
        checks=_chosen(checks),
        skip=_chosen(skip, field="skip") or (),
    )
    # Every mistake is said before anything is read.
    check_share(sample)
    policy = place.policy
    checkpoint = None
    if resume is not None:
        checkpoint = Checkpoint(resume, asked.inputs(), started_at=asked.started_at)
        asked = replace(asked, started_at=checkpoint.started_at)
    parts, not_run = asked.parts()
    with step("parity all", total=len(parts)) as advance:
        finished = 0

        def told(name: str, done: int, _total: int) -> None:
            nonlocal finished
            advance(done - finished, name)
            finished = done

        result = run_job(parts, clock=utc_now, checkpoint=checkpoint, told=told)
    result = replace(result, facts={**result.facts, **{f"not run: {check}": why for check, why in not_run.items()}})
    show(result.under(policy), outputs, tracking=place.tracking if outputs.mlflow else None)


def _chosen(checks: str | None, *, field: str = "check") -> tuple[Check, ...] | None:
    from trueup.parity.results import CHECKS

    if checks is None:
        return None
    names = [name.strip() for name in checks.split(",") if name.strip()]
    for name in names:
        if name not in CHECKS:
            raise InputError(field, f"{field}: there is no check {name!r}; there are {', '.join(CHECKS)}.")
    if not names:
        raise InputError(field, f"{field}: it names none; there are {', '.join(CHECKS)}.")
    return tuple(check for check in CHECKS if check in names)
