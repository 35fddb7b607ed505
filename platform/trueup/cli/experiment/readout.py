"""`trueup experiment readout`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trueup.cli.experiment.assigning import ExperimentFile
from trueup.cli.experiment.reading import Now, OutcomesPath, Since, Until, facts_of
from trueup.cli.files import write_whole
from trueup.cli.options import Json, LedgerPath, Metrics, Repo, TrackingUri, print_json, print_table, write_file
from trueup.cli.parity.place import LogPath, Place
from trueup.console import output, step

if TYPE_CHECKING:
    from trueup.readout.report import Readout


def readout(
    file: ExperimentFile,
    repo: Repo = None,
    log: LogPath = None,
    outcomes: OutcomesPath = None,
    tracking_uri: TrackingUri = None,
    ledger: LedgerPath = None,
    since: Since = None,
    until: Until = None,
    now: Now = None,
    segment: Annotated[
        list[str] | None, typer.Option("--segment", help="Look at the sample ratio by this log column; repeatable.")
    ] = None,
    parity: Annotated[bool, typer.Option(help="Compare what the variants' models were served.")] = True,
    anyway: Annotated[bool, typer.Option("--anyway", help="Print the results though they are withheld.")] = False,
    replicates: Annotated[int, typer.Option(min=100, help="Bootstrap replicates behind model scores.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    markdown: Annotated[Path | None, typer.Option("--markdown", help="Write it as Markdown.")] = None,
    prometheus: Metrics = None,
    as_json: Json = False,
) -> None:
    """What the A/B test found: effects by metric, guardrails, model scores; or why it must not be read out.

    It is withheld when the variants differ in parity, the sample ratio is off, a variant's contract or the split
    changed mid-way, or one of these could not be looked at. Rows whose label delay is not over count as nothing.

    Exits 0 when it is read out, 1 when it is withheld or a guardrail is broken, 2 when there is nothing to read out.

    Example: trueup experiment readout serving/experiments/flights-ab.toml --segment origin
    """
    from trueup.readout.build import build_readout
    from trueup.readout.markdown import render_markdown

    place = Place(repo=repo, log=log, tracking_uri=tracking_uri, ledger=ledger)
    with step(f"read out {file.name}") as advance:
        facts = facts_of(
            place,
            file,
            outcomes=outcomes,
            since=since,
            until=until,
            now=now,
            segments=segment or (),
            parity=parity,
            progress=lambda doing: advance(1, doing),
        )
        advance(1, "statistics")
        found = build_readout(facts, replicates=replicates, seed=seed)
    if markdown is not None:
        write_file(markdown, render_markdown(found, anyway=anyway), field="markdown")
    if prometheus is not None:
        from trueup.monitoring.samples.readout import readout_samples
        from trueup.monitoring.samples.text import text_of

        write_whole(prometheus, text_of(readout_samples(found)), field="prometheus", what="metrics")
    if as_json:
        print_json(_json(found, anyway=anyway))
    else:
        show_readout(found, anyway=anyway)
    raise typer.Exit(found.exit_code)


def _json(found: Readout, *, anyway: bool) -> dict[str, object]:
    """Withheld numbers are not in it, unless they are asked for: a script would read them."""
    data = found.to_json()
    return {**data, "metrics": None, "models": None} if found.withheld and not anyway else data


def show_readout(found: Readout, *, anyway: bool) -> None:
    from trueup.readout.shown import always, head, results

    output.print(head(found), style="bold red" if found.withheld else "bold", markup=False)
    for reason in found.withheld:
        output.print(f"- {reason}", markup=False, highlight=False)
    for warning in found.warnings:
        output.print(f"- note: {warning}", markup=False, highlight=False)
    tables = list(always(found))
    if not found.withheld or anyway:
        tables += results(found)
    for at, shown in enumerate(tables):
        if found.withheld and anyway and at == len(list(always(found))):
            warning = "Shown anyway: for the reasons above, these numbers are not the models' doing alone."
            output.print(f"\n{warning}", style="bold yellow")
        output.print(f"\n[bold]{shown.title}[/bold]")
        print_table(shown.rows)
        for note in shown.notes:
            output.print(note, markup=False, highlight=False)
    if found.withheld and not anyway:
        output.print("\nThe results are not shown; --anyway shows them under a warning.")
