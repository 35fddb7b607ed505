"""`trueup parity served`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from trueup.cli.options import LedgerPath, Repo, TrackingUri, window
from trueup.cli.parity.place import Config, FailOn, Models, Place, Sample
from trueup.cli.parity.show import ModelOutputs, Since, Until, show, with_outputs
from trueup.console import step

if TYPE_CHECKING:
    from datetime import datetime

    from trueup.eventlog.foreign import ServiceLog
    from trueup.instants import KnownAt
    from trueup.parity.evidence.models import Progress, TrainedModel
    from trueup.parity.report import Report


@with_outputs
def served(
    repo: Repo = None,
    log: Annotated[
        Path | None,
        typer.Option(help="The served log: a directory, a Parquet file or a glob [TRUEUP_LOG_DIR, build/served]."),
    ] = None,
    service: Annotated[
        str | None, typer.Option(help="Feature service of a log in Feast's schema; default: the one whose columns fit.")
    ] = None,
    columns: Annotated[
        Path | None, typer.Option("--map", help="TOML file that says which of the log's columns is what.")
    ] = None,
    tracking_uri: TrackingUri = None,
    ledger: LedgerPath = None,
    models: Models = None,
    since: Since = None,
    until: Until = None,
    rule: Annotated[
        str | None,
        typer.Option(
            help="Recompute under served, label or unbounded, not each model's own rule; without a model: served where "
            "the ledger knows a run, else label."
        ),
    ] = None,
    sample: Sample = 1.0,
    fail_on: FailOn = None,
    config: Config = None,
    *,
    outputs: ModelOutputs,
) -> None:
    """Served rows against what training would read at each row's own instant, under each model's own rule.

    The log is trueup's own, or any in Feast's log schema (from write_logged_features), or any Parquet whose columns a
    small TOML file maps to it: see platform/trueup/eventlog/README.md.

    Exits 0 when every value is the same, 1 when one is not, 2 when nothing, or not all, could be compared.

    Example: trueup parity served --log build/served --report build/parity.html

    Example: trueup parity served --repo my_feast_repo --log my_feast_repo/data/logs --map served.toml
    """
    from trueup.instants import utc_now

    place = Place(repo=repo, log=log, tracking_uri=tracking_uri, ledger=ledger, config=config, fail_on=fail_on)
    policy = place.policy  # a mistake in it is said before anything is read
    start, end = window(since, until)
    with step("parity served") as advance:
        result = check_served_log(
            place,
            service=service,
            columns=columns,
            start=start,
            end=end,
            models=models,
            rule=rule,
            sample=sample,
            now=utc_now(),
            progress=lambda now: advance(1, now),
        )
    show(result.under(policy), outputs, tracking=place.tracking if outputs.mlflow else None)


def check_served_log(
    place: Place,
    *,
    service: str | None,
    columns: Path | None,
    start: datetime | None,
    end: datetime | None,
    models: list[str] | None,
    rule: str | None,
    sample: float,
    now: datetime,
    progress: Progress,
) -> Report:
    """The check as the command line means it. columns: of a log that has others."""
    from trueup.instants import AsOfRule
    from trueup.parity.runs.served import run_served

    def card_of(model: str, version: str) -> TrainedModel:
        return place.tracking.load_card(model, version)

    return run_served(
        place.repo,
        place.log,
        card_of,
        foreign=None if columns is None and is_own_log(place) else _service_log(place, service, columns),
        service=service,
        project=place.store.project,
        ledger=place.ledger,
        start=start,
        end=end,
        models=models,
        rule=AsOfRule(cast("KnownAt", rule)) if rule is not None else None,
        tolerances=place.config.tolerances,
        applied=place.applied,
        defaults=place.config.null_default,
        declared_types=place.declared_types,
        serving=place.config.serving,
        sample=sample,
        now=now,
        progress=progress,
    )


def is_own_log(place: Place) -> bool:
    """Whether the log is one trueup wrote. The default place is, even where there is nothing yet."""
    from trueup.eventlog.reader import find_logs

    return not place.log_is_named or (place.log.is_dir() and bool(find_logs(place.log)))


def _service_log(place: Place, service: str | None, columns: Path | None) -> ServiceLog:
    from trueup.contracts.extract import extract_contract
    from trueup.contracts.services import fitting_service, service_columns
    from trueup.eventlog.column_map import load_column_map
    from trueup.eventlog.foreign import find_foreign_log

    mapped = load_column_map(columns) if columns is not None else None
    log = find_foreign_log(place.log, mapped)
    name = service or (mapped.service if mapped is not None else None)
    if name is None:
        name = fitting_service(service_columns(place.store), log.column_names())
    return log.of(extract_contract(place.store, name))
