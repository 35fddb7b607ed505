"""`trueup promote` and `trueup rollback`: the two commands that move an alias."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from trueup.cli.options import (
    COULD_NOT_RUN,
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
from trueup.console import errors, output, step
from trueup.errors import GateError, InputError

if TYPE_CHECKING:
    from trueup.gate.keys import VerifyKey
    from trueup.gate.promotion import Promotion
    from trueup.models.tracking import Tracking

Key = Annotated[Path | None, typer.Option("--key", help="The gate's key, a PEM file [TRUEUP_GATE_KEY].")]
COLORS = {"pass": "green", "fail": "red", "could not run": "yellow", "not applicable": "dim"}


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
    model: Annotated[
        str,
        typer.Argument(help="The registered model; or one version of it, which is then taken back where it has them."),
    ],
    to: Annotated[
        list[str] | None, typer.Option("--to", metavar="ALIAS", help="An alias that goes back; default: champion.")
    ] = None,
    version: Annotated[
        int | None, typer.Option("--version", help="Go to this version instead; its verdict must hold too.")
    ] = None,
    tracking_uri: TrackingUri = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Point an alias back at the version that had it before: one move, if that version's verdict still holds.

    What was rolled back is not come back to: a second rollback goes one version further. Where another hand moved the
    alias, which version had it is not known: name one. Of MODEL@VERSION only those aliases go back that the version
    has, so that a release is taken back whole, and twice does no harm.

    Exits 0 when every alias stands as it should, 2 when one could not go back; the others do all the same.

    Example: trueup rollback flights

    Example: trueup rollback flights@3 --to champion --to canary --to shadow
    """
    from trueup.gate.keys import read_verify_key
    from trueup.gate.promotion import roll_back
    from trueup.models.tracking import Tracking
    from trueup.settings import Settings

    aliases = to or ["champion"]
    settings = Settings()
    verifying = read_verify_key(key or settings.gate_key)
    tracking = Tracking(tracking_uri or settings.tracking_uri)
    if "@" in model or "/" in model:
        if version is not None:
            raise InputError(
                "version",
                f"version: {model} is taken back to what had the aliases before it, and to no other version.",
                hint="Name the model alone to say where one alias goes.",
            )
        _take_back(tracking, model, aliases, verifying, as_json=as_json)
        return
    if len(aliases) > 1:
        raise InputError(
            "to",
            f"to: {', '.join(aliases)} of {model}: whose version each is, is not said.",
            hint=f"Name the version that is taken back: trueup rollback {model}@VERSION --to ALIAS --to ALIAS.",
        )
    with step(f"roll {model} back"):
        found = roll_back(tracking, model, aliases[0], verifying, version=version)
    if as_json:
        print_json(found.to_json())
    else:
        again = "" if version is not None else " again"
        output.print(f"{model}@{found.to} is {found.alias}{again}; {model}@{found.before} was.", markup=False)


def _take_back(tracking: Tracking, ref: str, aliases: list[str], key: VerifyKey, *, as_json: bool) -> None:
    """Each alias by itself: one that cannot go back keeps no other from it."""
    from trueup.gate.promotion import take_back

    candidate = tracking.resolve(ref)
    taken: dict[str, int] = {}
    problems: dict[str, str] = {}
    left: list[str] = []
    with step(f"take {candidate} back"):
        for alias in aliases:
            try:
                found = take_back(tracking, candidate, alias, key)
            except GateError as error:
                problems[alias] = str(error)
            else:
                if found is None:
                    left.append(alias)
                else:
                    taken[alias] = found.to
    if as_json:
        said = {"model": candidate.name, "version": candidate.version}
        print_json({**said, "rolled_back": taken, "had_not": left, "problems": problems})
    else:
        for alias, to in taken.items():
            output.print(f"{candidate.name}@{to} is {alias} again; {candidate} was.", markup=False)
        for alias in left:
            output.print(f"{candidate} has not {alias}: nothing to take back.", markup=False)
        for problem in problems.values():
            errors.print(problem, markup=False, soft_wrap=True)
    if problems:
        raise typer.Exit(COULD_NOT_RUN)


def _show(found: Promotion) -> None:
    print_table(
        [
            {
                "evidence": item.name,
                "verdict": f"[{COLORS[item.verdict]}]{item.verdict}[/]",
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
