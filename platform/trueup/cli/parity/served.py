"""`trueup parity served`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from trueup.cli.options import LedgerPath, Repo, TrackingUri, instant, open_ledger
from trueup.cli.parity.show import ModelOutputs, Since, Until, show, with_outputs
from trueup.console import step

if TYPE_CHECKING:
    from feast import FeatureStore

    from trueup.eventlog.foreign import ServiceLog
    from trueup.instants import KnownAt
    from trueup.parity.evidence.models import TrainedModel


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
    models: Annotated[list[str] | None, typer.Option("--model", help="A registered model; all by default.")] = None,
    since: Since = None,
    until: Until = None,
    rule: Annotated[
        str | None,
        typer.Option(
            help="Recompute under served, label or unbounded, not each model's own rule; without a model: served where "
            "the ledger knows a run, else label."
        ),
    ] = None,
    sample: Annotated[float, typer.Option(help="Share of the entities, the same ones in every run.")] = 1.0,
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
    from trueup.eventlog.reader import find_logs
    from trueup.instants import AsOfRule, utc_now
    from trueup.parity.runs.served import run_served
    from trueup.settings import Settings, feature_repo
    from trueup.stores.feast_rows import open_store

    settings = Settings()
    folder = feature_repo(repo or settings.repo)
    path = log or settings.log_dir
    store = open_store(folder)
    address = tracking_uri or settings.tracking_uri

    def card_of(model: str, version: str) -> TrainedModel:
        from trueup.models.tracking import Tracking  # MLflow: only a log that names models needs it

        return Tracking(address).load_card(model, version)

    own = columns is None and (log is None or (path.is_dir() and bool(find_logs(path))))
    with step("parity served") as advance:
        result = run_served(
            folder,
            path,
            card_of,
            foreign=None if own else _service_log(store, path, service, columns),
            service=service,
            project=store.project,
            ledger=open_ledger(folder, ledger),
            start=instant("since", since),
            end=instant("until", until),
            models=models,
            rule=AsOfRule(cast("KnownAt", rule)) if rule is not None else None,
            sample=sample,
            now=utc_now(),
            progress=lambda now: advance(1, now),
        )
    tracking = None
    if outputs.mlflow:
        from trueup.models.tracking import Tracking

        tracking = Tracking(address)
    show(result, outputs, tracking=tracking)


def _service_log(store: FeatureStore, path: Path, service: str | None, columns: Path | None) -> ServiceLog:
    from trueup.contracts.extract import extract_contract
    from trueup.contracts.services import fitting_service, service_columns
    from trueup.eventlog.column_map import load_column_map
    from trueup.eventlog.foreign import find_foreign_log

    mapped = load_column_map(columns) if columns is not None else None
    log = find_foreign_log(path, mapped)
    name = service or (mapped.service if mapped is not None else None)
    if name is None:
        name = fitting_service(service_columns(store), log.column_names())
    return log.of(extract_contract(store, name))
