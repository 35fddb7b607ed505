"""The `trueup` command. Heavy packages are imported inside the commands, so that `--help` answers at once.

Exit codes, everywhere: 0 passed or done, 1 a check failed, 2 it could not run. Results go to standard
output (a table, or `--json`), progress and errors to standard error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.markup import escape
from rich.table import Table

from trueup.console import errors, output, step
from trueup.errors import InputError, TrueupError
from trueup.instants import format_instant, parse_instant

if TYPE_CHECKING:
    from datetime import datetime

    from trueup.contracts.contract import FeatureContract
    from trueup.instants import KnownAt
    from trueup.parity.report import Report as ParityReport
    from trueup.stores.ledger import Ledger

CHECK_FAILED = 1
COULD_NOT_RUN = 2

app = typer.Typer(
    name="trueup",
    help="The consistency layer for Feast: why is the model worse online than it was offline?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
parity = typer.Typer(help="Compare what was served with what training would read.", no_args_is_help=True)
contract = typer.Typer(help="What a feature service means, hashed part by part.", no_args_is_help=True)
app.add_typer(parity, name="parity")
app.add_typer(contract, name="contract")

Repo = Annotated[Path | None, typer.Option(help="The Feast repository [TRUEUP_REPO, default: feature_repo].")]
TrackingUri = Annotated[str | None, typer.Option(help="MLflow's address [TRUEUP_TRACKING_URI].")]
LedgerPath = Annotated[
    Path | None, typer.Option("--ledger", help="The materialization ledger [TRUEUP_LEDGER, default: the repository's].")
]
Json = Annotated[bool, typer.Option("--json", help="The result as JSON on standard output.")]


def main() -> None:
    """Entry point: runs the command and turns a TrueupError into one line and exit code 2."""
    for command in sorted(entry_points(group="trueup.commands"), key=lambda found: found.name):
        command.load()(app)
    try:
        app()
    except TrueupError as error:
        errors.print(f"[red]trueup:[/red] {escape(str(error))}", markup=True, soft_wrap=True)
        sys.exit(COULD_NOT_RUN)


def print_json(value: Any) -> None:
    """To standard output, with nothing else around it."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """A table at most 100 columns wide, one line a row; the columns are the first row's keys."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in rows[0] if rows else ():
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    output.print(table)


@app.command()
def materialize(
    views: Annotated[list[str] | None, typer.Argument(help="Feature views; all by default.")] = None,
    repo: Repo = None,
    start: Annotated[str | None, typer.Option(help="First event time, ISO 8601; default: end minus the TTL.")] = None,
    end: Annotated[str | None, typer.Option(help="Last event time; default: now.")] = None,
    known_at: Annotated[str | None, typer.Option(help="Leave out rows created later; default: now.")] = None,
    incremental: Annotated[
        bool, typer.Option(help="Only rows that became known since the last run in the ledger.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring the online store up to date, and write down what was done when.

    Feast's own materialization, through the repository's batch engine, plus a row in the ledger that
    `known_at = "served"` reads.

    Example: trueup materialize weather origin_departures --incremental
    """
    from feast import FeatureStore

    from trueup.settings import Settings, feature_repo
    from trueup.stores.materialize import materialize as run

    store = FeatureStore(repo_path=str(feature_repo(repo or Settings().repo)))
    with step("materialize") as advance:
        runs = run(
            store,
            views=views,
            start=_instant("start", start),
            end=_instant("end", end),
            known_at=_instant("known_at", known_at),
            incremental=incremental,
            progress=lambda view: advance(1, view),
        )
    rows = [
        {
            "view": done.view,
            "rows": done.rows,
            "event_start": format_instant(done.event_start),
            "event_end": format_instant(done.event_end),
            "known_at": format_instant(done.known_at),
        }
        for done in runs
    ]
    print_json(rows) if as_json else print_table(rows)


@contract.command("show")
def contract_show(
    service: Annotated[str, typer.Argument(help="A feature service of the repository.")],
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """What a feature service means now: its parts and their hashes.

    Example: trueup contract show flights_v1
    """
    live = _live_contract(service, repo)
    if as_json:
        print_json(live.to_json())
        return
    output.print(f"{live.service}@{live.hash[:12]}  {len(live.columns)} features of {len(live.views)} views")
    print_table([{"part": part, "hash": value[:12]} for part, value in live.parts.items()])


@contract.command("diff")
def contract_diff(
    model: Annotated[str, typer.Argument(help="A registered model: NAME@ALIAS or NAME/VERSION.")],
    repo: Repo = None,
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
) -> None:
    """What changed between the contract a model was trained under and the registry. Exits 1 if anything did.

    Example: trueup contract diff flights@champion
    """
    from trueup.models.tracking import Tracking
    from trueup.settings import Settings

    card = Tracking(tracking_uri or Settings().tracking_uri).load_card(model)
    differences = card.contract.diff(_live_contract(card.contract.service, repo))
    rows = [{"part": found.part, "change": found.detail} for found in differences]
    if as_json:
        print_json(rows)
    elif rows:
        print_table(rows)
    else:
        output.print(f"{model}: its contract is the registry's ({card.contract.service}@{card.contract.hash[:12]}).")
    if rows:
        raise typer.Exit(CHECK_FAILED)


def _live_contract(service: str, repo: Path | None) -> FeatureContract:
    from feast import FeatureStore

    from trueup.contracts.extract import extract_contract
    from trueup.settings import Settings, feature_repo

    return extract_contract(FeatureStore(repo_path=str(feature_repo(repo or Settings().repo))), service)


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
            ledger=_ledger(folder, ledger),
            start=_instant("since", since),
            end=_instant("until", until),
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
    from trueup.parity.evidence import redis_reader
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
            now=_instant("now", now) or config.now or utc_now(),
            ledger=_ledger(folder, ledger),
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


def _ledger(folder: Path, path: Path | None) -> Ledger:
    from feast import FeatureStore

    from trueup.settings import Settings
    from trueup.stores.ledger import Ledger
    from trueup.stores.ledger_engine import ledger_of

    asked = path or Settings().ledger
    return Ledger(asked) if asked is not None else ledger_of(FeatureStore(repo_path=str(folder)).config)


def _instant(field: str, text: str | None) -> datetime | None:
    return parse_instant(text, field=field) if text is not None else None
