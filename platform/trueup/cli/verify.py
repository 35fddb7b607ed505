"""`trueup verify`: after a promotion, before the next one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from trueup.cli.options import (
    Datasets,
    LedgerPath,
    Repo,
    TrackingUri,
    datasets_folder,
    instant,
    open_ledger,
    print_json,
    print_table,
)
from trueup.cli.parity.outputs import Outputs, with_outputs
from trueup.cli.promotion import COLORS
from trueup.console import output, step
from trueup.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trueup.rollout.verify import Verification


@with_outputs
def verify(
    model: Annotated[str, typer.Argument(help="The version that was promoted: MODEL@VERSION or MODEL/VERSION.")],
    alias: Annotated[str, typer.Option("--as", metavar="ALIAS", help="The alias it was promoted to.")] = "champion",
    servers: Annotated[
        list[str] | None,
        typer.Option("--server", metavar="URL", help="A server that follows the alias; each of several replicas."),
    ] = None,
    requests: Annotated[
        int, typer.Option(min=0, help="How many to send, of one row each; 0: look at live traffic alone.")
    ] = 200,
    entities: Annotated[
        Path | None, typer.Option(help="Rows to send, a JSON list; default: of the version's own holdout.")
    ] = None,
    now: Annotated[
        str | None, typer.Option(help='The instant they are read as of, for servers of clock = "request".')
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(help="Live rows from this instant on; default: since the promotion, or all of a replay."),
    ] = None,
    within: Annotated[str, typer.Option(help="How long servers may take to follow, and to write their log.")] = "2m",
    log: Annotated[
        Path | None, typer.Option("--log", help="The servers' log of live traffic [TRUEUP_LOG_DIR, build/served].")
    ] = None,
    alertmanager: Annotated[
        str | None, typer.Option(metavar="URL", help="Alertmanager: no alert that pages may fire.")
    ] = None,
    matchers: Annotated[
        list[str] | None,
        typer.Option(
            "--alert", metavar="MATCHER", help='Which alerts count; default: severity="page", and trueup\'s own.'
        ),
    ] = None,
    repo: Repo = None,
    tracking_uri: TrackingUri = None,
    datasets: Datasets = None,
    ledger: LedgerPath = None,
    *,
    outputs: Outputs,
) -> None:
    """Does what is served live do as a promoted alias says, and well enough to go on?

    The servers must serve the version and be ready; requests must be answered in time, within TRUEUP_GATE_ERROR_RATE
    and TRUEUP_GATE_LATENCY_P99_MS; the live rows that the version scored must have the features training reads, by
    the repository's parity.toml; and nobody may be paged. The requests are logged as any other, under ids that begin
    with trueup-verify-. The files that can be asked for are of the parity check.

    Exits 0 when all of it holds, 1 when something does not (trueup rollback takes the version back), 2 when something
    could not be asked.

    Example: trueup verify flights@3 --as canary --server http://127.0.0.1:8080
    """
    from trueup.gate.gather import World
    from trueup.instants import parse_duration
    from trueup.models.tracking import Tracking
    from trueup.parity.results import EXIT_CODES
    from trueup.rollout.alerts import PAGES
    from trueup.rollout.facts import Bounds
    from trueup.rollout.servers import Patience
    from trueup.rollout.verify import Asked
    from trueup.rollout.verify import verify as look
    from trueup.settings import Settings, feature_repo

    if not servers:
        raise InputError("server", "server: none is named.", hint="Name each replica: --server http://127.0.0.1:8080.")
    settings = Settings()
    asked = Asked(
        servers=tuple(servers),
        requests=requests,
        entities=None if entities is None else _rows(entities),
        at=instant("now", now),
        since=instant("since", since),
        alertmanager=alertmanager,
        matchers=tuple(matchers) if matchers else PAGES,
        bounds=Bounds(settings.gate_latency_p99_ms, settings.gate_error_rate),
    )
    patience = Patience(parse_duration(within, field="within").total_seconds())
    folder = feature_repo(repo or settings.repo)
    uri = tracking_uri or settings.tracking_uri
    world = World(
        tracking=Tracking(uri),
        repo=folder,
        datasets=datasets_folder(datasets, uri).resolve(),
        ledger=open_ledger(folder, ledger),
        log=(log or settings.log_dir).resolve(),
    )
    with step(f"verify {model} as {alias}") as advance:
        found = look(world, model, alias, asked, patience, progress=lambda doing: advance(1, doing))
    _show(found, outputs)
    raise typer.Exit(EXIT_CODES[found.outcome])


def _rows(path: Path) -> tuple[Mapping[str, Any], ...]:
    import json

    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError("entities", f"entities: {path} cannot be read: {error}.", hint="Name a JSON list.") from error
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise InputError("entities", f"entities: {path} is no list of rows.", hint='Such as [{"site": "Oslo"}].')
    return tuple(rows)


def _show(found: Verification, outputs: Outputs) -> None:
    """The verdict first; then the files of the parity check, where there is one."""
    from trueup.cli.parity.show import write

    if outputs.as_json:
        print_json(found.to_json())
    else:
        print_table(
            [
                {
                    "evidence": item.name,
                    "verdict": f"[{COLORS[item.verdict]}]{item.verdict}[/]",
                    "what it says": escape(item.said),
                }
                for item in found.evidence
            ]
        )
        output.print(_said(found), markup=False)
    if found.parity is not None:
        write(found.parity, outputs)


def _said(found: Verification) -> str:
    unmet = ", ".join(item.name for item in found.evidence if item.verdict == found.outcome)
    if found.outcome == "pass":
        return f"{found.candidate} is served well as {found.alias}."
    name = f"{found.candidate} as {found.alias}"
    if found.outcome == "could not run":
        return f"{name} is not known to be served well, as this could not be asked: {unmet}."
    return f"{name} is not served well: {unmet}. Take it back: trueup rollback {found.candidate} --to {found.alias}."
