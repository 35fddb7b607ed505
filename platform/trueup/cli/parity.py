"""`trueup parity`: the checks, one command each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from trueup.cli.options import Json, LedgerPath, Repo, TrackingUri, instant, open_ledger, print_json
from trueup.console import output, step
from trueup.errors import InputError

if TYPE_CHECKING:
    from trueup.instants import KnownAt
    from trueup.parity.report import Report as ParityReport

parity = typer.Typer(help="Compare what was served with what training would read.", no_args_is_help=True)

Since = Annotated[str | None, typer.Option(help="Served at or after this instant, ISO 8601.")]
Until = Annotated[str | None, typer.Option(help="Served before this instant.")]
Report = Annotated[Path | None, typer.Option("--report", help="Also write the report as one HTML file.")]


@parity.command("served")
def parity_served(
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
    report: Report = None,
    as_json: Json = False,
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
    with step("parity served") as advance:
        result = run_served(
            folder,
            log or settings.log_dir,
            Tracking(tracking_uri or settings.tracking_uri).load_card,
            ledger=open_ledger(folder, ledger),
            start=instant("since", since),
            end=instant("until", until),
            models=models,
            rule=AsOfRule(cast("KnownAt", rule)) if rule is not None else None,
            progress=lambda now: advance(1, now),
        )
    _show(result, report, as_json=as_json)


@parity.command("online")
def parity_online(
    service: Annotated[str, typer.Argument(help="The feature service whose views are checked.")],
    repo: Repo = None,
    views: Annotated[list[str] | None, typer.Option("--view", help="A feature view; all by default.")] = None,
    now: Annotated[
        str | None, typer.Option(help="Read as of this instant; default: the online store's `now`, else the clock.")
    ] = None,
    ledger: LedgerPath = None,
    report: Report = None,
    as_json: Json = False,
) -> None:
    """Every entity of the offline store against the online store, as of the last materialization.

    Exits 0 when every value is the same, 1 when one is not, 2 when nothing could be compared.

    Example: trueup parity online flights_v1
    """
    from feast import FeatureStore

    from trueup.contracts.extract import extract_contract
    from trueup.instants import utc_now
    from trueup.parity.engine import run_online
    from trueup.parity.evidence.online import redis_reader
    from trueup.settings import Settings, feature_repo
    from trueup.stores.redis_connection import connect
    from trueup.stores.redis_online import RedisOnlineStoreConfig

    folder = feature_repo(repo or Settings().repo)
    store = FeatureStore(repo_path=str(folder))
    config = store.config.online_store
    if not isinstance(config, RedisOnlineStoreConfig):
        raise InputError(
            "repo",
            f"online_store: {config.type} is not trueup's Redis store, and `parity online` reads no other yet.",
            hint="Set it to trueup.stores.redis_online.RedisOnlineStore; the data in Redis stay as they are.",
        )
    with step("parity online") as advance:
        result = run_online(
            folder,
            extract_contract(store, service),
            redis_reader(connect(config.connection_string, repo_path=folder)),
            now=instant("now", now) or config.now or utc_now(),
            ledger=open_ledger(folder, ledger),
            views=views,
            progress=lambda doing: advance(1, doing),
        )
    _show(result, report, as_json=as_json)


def _show(result: ParityReport, report: Path | None, *, as_json: bool) -> None:
    """The result in every form asked for; exits with its code."""
    from trueup.parity.sinks.html import render_html
    from trueup.parity.sinks.terminal import render_terminal

    if report is not None:
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(render_html(result), encoding="utf-8")
    if as_json:
        print_json(result.to_json())
    else:
        output.print(render_terminal(result))
        if report is not None:
            output.print(f"report: {report}")
    raise typer.Exit(result.exit_code)
