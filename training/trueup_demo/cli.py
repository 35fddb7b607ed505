"""`trueup demo`. Everything heavy is imported when the command runs, so that `trueup --help` answers at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from trueup.cli import Json, print_json, print_table
from trueup.console import output
from trueup.errors import InputError
from trueup.instants import parse_duration, parse_instant

START = "2013-11-24T05:00:00Z"
"""Midnight in New York. The two weeks from here hold Thanksgiving and the first week of December."""
LENGTH = "14d"
REQUESTS = 10_500
FULL_START, FULL_LENGTH = "2013-11-01T04:00:00Z", "61d"


def add_commands(app: typer.Typer) -> None:
    """Called by `trueup.cli` through the entry-point group `trueup.commands`."""
    app.command("demo")(demo_command)


def demo_command(
    full: Annotated[bool, typer.Option("--full", help="Every flight of November and December.")] = False,
    workspace: Annotated[Path, typer.Option(help="Where everything is made; an earlier demo in it is deleted.")] = Path(
        "build/demo"
    ),
    start: Annotated[str, typer.Option(help="When the replay begins, ISO 8601.")] = START,
    length: Annotated[str, typer.Option(help="How much time is replayed.")] = LENGTH,
    requests: Annotated[int, typer.Option(min=1, help="At most so many flights are asked about.")] = REQUESTS,
    sample: Annotated[int | None, typer.Option(min=1, help="At most so many flights to learn from.")] = None,
    as_json: Json = False,
) -> None:
    """The whole loop on real flights: a model that wins offline and loses its A/B test, and why.

    Ingests the flights of 2013, registers the features, trains an honest and a leaky model, replays two weeks
    through the server as an A/B test, materializing on each view's own cadence, reads it out, and explains the gap.

    Example: trueup demo --requests 2000
    """
    project = Path.cwd()
    feature_repo, recipes = project / "feature_repo", project / "training" / "recipes"
    if not (feature_repo / "ingest.py").is_file() or not recipes.is_dir():
        raise InputError(
            "demo",
            f"demo: {project} is not a checkout of trueup (no feature_repo/ingest.py).",
            hint="Run it in the root of one.",
        )

    from trueup.cli.experiment.readout import show_readout
    from trueup.diagnose.sinks.terminal import show_ledger
    from trueup_demo.run import Plan, run_demo
    from trueup_training.recipe import load_recipe

    begin = parse_instant(FULL_START if full else start, field="start")
    outcome = run_demo(
        Plan(
            feature_repo=feature_repo,
            recipes=tuple(
                recipe.model_copy(
                    update={"rows": recipe.rows.model_copy(update={"sample": sample or recipe.rows.sample})}
                )
                for recipe in (load_recipe(recipes / f"{name}.toml") for name in ("flights", "flights_leaky"))
            ),
            serving_config=project / "serving" / "serving.toml",
            workspace=workspace,
            start=begin,
            end=begin + parse_duration(FULL_LENGTH if full else length, field="length"),
            requests=None if full else requests,
        )
    )
    if as_json:
        print_json(outcome.summary)
        return
    print_table(_table(outcome.summary))
    assert outcome.report.experiment is not None  # run_demo puts it there
    output.print(f"\n{outcome.report.experiment.story}")
    output.print("\n[bold]The A/B test[/bold]")
    show_readout(outcome.explained.readout, anyway=False)
    output.print("\n[bold]Why, in numbers that add up[/bold]")
    for ledger in outcome.explained.ledgers:
        output.print()
        show_ledger(ledger, brief=True)
    online = outcome.summary["parity"]["online"]
    output.print(f"Online store against offline: {online['verdict']}, {online['compared']:,} values compared.")
    output.print(f"\nreport: {outcome.summary['report']}", soft_wrap=True)


def _table(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    rows = []
    for name, variant in summary["variants"].items():
        parity = summary["parity"]["served"][name]
        causes = ", ".join(f"{cause} {count:,}" for cause, count in parity["by_cause"].items())
        rows.append(
            {
                "model": name,
                "AUC offline": f"{variant['auc_offline']:.4f}",
                "AUC online": f"{variant['auc_online']:.4f}",
                "compared": f"{parity['compared']:,}",
                "mismatched": f"{parity['mismatched']:,}",
                "unexplained": f"{parity['unexplained']:,}",
                "causes": causes or "-",
            }
        )
    return rows
