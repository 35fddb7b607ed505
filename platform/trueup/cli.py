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
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from trueup.console import errors, output, step
from trueup.errors import TrueupError
from trueup.instants import format_instant, parse_instant

if TYPE_CHECKING:
    from trueup.contracts.contract import FeatureContract

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
Json = Annotated[bool, typer.Option("--json", help="The result as JSON on standard output.")]


def main() -> None:
    """Entry point: runs the command and turns a TrueupError into one line and exit code 2."""
    for command in sorted(entry_points(group="trueup.commands"), key=lambda found: found.name):
        command.load()(app)
    try:
        app()
    except TrueupError as error:
        errors.print(f"[red]trueup:[/red] {error}", markup=True, soft_wrap=True)
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

    instants = {
        name: parse_instant(text, field=name) if text is not None else None
        for name, text in (("start", start), ("end", end), ("known_at", known_at))
    }
    store = FeatureStore(repo_path=str(feature_repo(repo or Settings().repo)))
    with step("materialize") as advance:
        runs = run(store, views=views, incremental=incremental, progress=lambda view: advance(1, view), **instants)
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
