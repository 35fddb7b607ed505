"""`trueup promote` and `trueup rollback`: the two commands that move an alias."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from trueup.cli.options import (
    Datasets,
    Json,
    LedgerPath,
    Repo,
    TrackingUri,
    datasets_folder,
    open_ledger,
    print_json,
    print_table,
)
from trueup.console import output, step
from trueup.errors import InputError

if TYPE_CHECKING:
    from trueup.gate.promotion import Promotion

Key = Annotated[Path | None, typer.Option("--key", help="The gate's key, a PEM file [TRUEUP_GATE_KEY].")]
_COLORS = {"pass": "green", "fail": "red", "could not run": "yellow", "not applicable": "dim"}


def promote(
    model: Annotated[str, typer.Argument(help="Which version: MODEL@VERSION, MODEL/VERSION or MODEL@ALIAS.")],
    to: Annotated[str, typer.Option("--to", metavar="ALIAS", help="The alias it asks for.")] = "champion",
    repo: Repo = None,
    tracking_uri: TrackingUri = None,
    datasets: Datasets = None,
    ledger: LedgerPath = None,
    key: Key = None,
    log: Annotated[
        Path | None, typer.Option("--log", help="The servers' log of live traffic [TRUEUP_LOG_DIR, build/served].")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Ask only: keep no verdict, move nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Ask for the evidence, sign what it says, and move the alias if all of it passes.

    A server is really started with the version alone, and asked; TRUEUP_GATE_LATENCY_P99_MS, TRUEUP_GATE_ERROR_RATE and
    TRUEUP_GATE_REQUESTS say what it may take. That it was reproduced is asked, and not tried here: trueup reproduce.

    Exits 0 when the version has the alias, 1 when it was refused (the table says why), 2 when something could not be
    asked. The verdict is kept with the version either way.

    Example: trueup promote flights@3 --to champion
    """
    from trueup.gate.facts import Budget
    from trueup.gate.gather import World
    from trueup.gate.keys import read_signing_key
    from trueup.gate.promotion import promote as ask
    from trueup.models.tracking import Tracking
    from trueup.parity.results import EXIT_CODES
    from trueup.settings import Settings, feature_repo

    settings = Settings()
    if log is not None:
        _check_log(log)
    signing = None if dry_run else read_signing_key(key or settings.gate_key)  # said at once, not after minutes
    folder = feature_repo(repo or settings.repo)
    uri = tracking_uri or settings.tracking_uri
    world = World(
        tracking=Tracking(uri),
        repo=folder,
        datasets=datasets_folder(datasets, uri).resolve(),
        ledger=open_ledger(folder, ledger),
        log=(log or settings.log_dir).resolve(),
        budget=Budget(
            settings.gate_latency_p99_ms, settings.gate_error_rate, settings.gate_requests, settings.gate_auc_band
        ),
    )
    with step(f"gate of {model} for {to}") as advance:
        found = ask(world, model, to, signing, progress=lambda doing: advance(1, doing))
    if as_json:
        print_json(found.to_json())
    else:
        _show(found)
    raise typer.Exit(EXIT_CODES[found.verdict.outcome])


def _check_log(log: Path) -> None:
    """Raises InputError for a log that was named and is none: that it has no live row would say nothing."""
    from trueup.eventlog.reader import find_logs

    if not log.is_dir() or not find_logs(log):
        raise InputError(
            "log",
            f"log: there is no served log under {log}.",
            hint="Name the directory the server writes to (its setting log_dir), or leave --log out.",
        )


def rollback(
    model: Annotated[str, typer.Argument(help="The registered model.")],
    to: Annotated[str, typer.Option("--to", metavar="ALIAS", help="The alias that goes back.")] = "champion",
    version: Annotated[
        int | None, typer.Option("--version", help="Go to this version instead; its verdict must hold too.")
    ] = None,
    tracking_uri: TrackingUri = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Point an alias back at the version that had it before: one move, if that version's verdict still holds.

    What was rolled back is not come back to: a second rollback goes one version further. Where another hand moved the
    alias, which version had it is not known: name one.

    Example: trueup rollback flights
    """
    from trueup.gate.keys import read_verify_key
    from trueup.gate.promotion import roll_back
    from trueup.models.tracking import Tracking
    from trueup.settings import Settings

    settings = Settings()
    verifying = read_verify_key(key or settings.gate_key)
    with step(f"roll {model} back"):
        found = roll_back(Tracking(tracking_uri or settings.tracking_uri), model, to, verifying, version=version)
    if as_json:
        print_json(found.to_json())
    else:
        again = "" if version is not None else " again"
        output.print(f"{model}@{found.to} is {to}{again}; {model}@{found.before} was.", markup=False)


def _show(found: Promotion) -> None:
    print_table(
        [
            {
                "evidence": item.name,
                "verdict": f"[{_COLORS[item.verdict]}]{item.verdict}[/]",
                "what it says": escape(item.said),
            }
            for item in found.verdict.evidence
        ]
    )
    output.print(_said(found), markup=False)


def _said(found: Promotion) -> str:
    verdict = found.verdict
    name = f"{verdict.model}@{verdict.version}"
    before = "no version" if found.before is None else f"{verdict.model}@{found.before}"
    if found.moved:
        return f"{name} is {verdict.alias} now; {before} was."
    unmet = ", ".join(item.name for item in verdict.evidence if item.verdict == verdict.outcome)
    if verdict.outcome == "fail":
        return f"{name} is refused as {verdict.alias}: {unmet}. {before} has it."
    if verdict.outcome == "could not run":
        return f"{name} is not promoted, as this could not be asked: {unmet}. {before} has {verdict.alias}."
    if found.kept is None:
        return f"{name} would be {verdict.alias}; {before} is. Nothing was kept or moved."
    return f"{name} has {verdict.alias} already; its verdict is new."
