"""`trueup experiment power` and `trueup experiment aa`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trueup.cli.experiment.assigning import ExperimentFile
from trueup.cli.experiment.reading import Now, OutcomesPath, Since, Until, facts_of
from trueup.cli.options import CHECK_FAILED, COULD_NOT_RUN, Json, Repo, print_json, print_table
from trueup.cli.parity.place import LogPath, Place
from trueup.console import output, step

if TYPE_CHECKING:
    from trueup.experiments.analysis.units import Units
    from trueup.experiments.metric import Metric
    from trueup.readout.facts import ReadoutFacts


def power(
    file: ExperimentFile,
    effect: Annotated[
        float | None, typer.Option(help="Also: how many units a relative effect takes, such as 0.02.")
    ] = None,
    repo: Repo = None,
    log: LogPath = None,
    outcomes: OutcomesPath = None,
    since: Since = None,
    until: Until = None,
    now: Now = None,
    as_json: Json = False,
) -> None:
    """The smallest effect the units in the log can show (80 % power, 5 %), metric by metric.

    Exits 0, or 2 when no metric has enough units.

    Example: trueup experiment power serving/experiments/flights-ab.toml --effect 0.02
    """
    from trueup.experiments.analysis.effects import NoEffect
    from trueup.experiments.analysis.power import Power, power_of

    facts = _facts(Place(repo=repo, log=log), file, outcomes, since, until, now)
    rows = []
    for metric, units in _units(facts).items():
        found = power_of(*units, relative=effect)
        rows.append(
            {
                "metric": metric,
                "units": f"{found.units:,}" if isinstance(found, Power) else "-",
                "detectable": f"{found.detectable:.5f}" if isinstance(found, Power) else "-",
                "relative": f"{found.relative:.2%}" if isinstance(found, Power) else "-",
                **({"units for it": f"{found.needed:,}" if isinstance(found, Power) else "-"} if effect else {}),
                "": found.why if isinstance(found, NoEffect) else "",
            }
        )
    if as_json:
        print_json({"experiment": facts.experiment.name, "power": 0.8, "alpha": 0.05, "metrics": rows})
    else:
        print_table(rows)
    if all(row[""] for row in rows):
        raise typer.Exit(COULD_NOT_RUN)


def aa(
    file: ExperimentFile,
    simulations: Annotated[int, typer.Option(min=100, help="How often the units are assigned anew.")] = 500,
    seed: Annotated[int, typer.Option(min=0, help="Of the salts.")] = 0,
    repo: Repo = None,
    log: LogPath = None,
    outcomes: OutcomesPath = None,
    since: Since = None,
    until: Until = None,
    now: Now = None,
    as_json: Json = False,
) -> None:
    """A/A simulation: the units of the log assigned anew, where no effect can be. What is found then is chance.

    Exits 0 when false positives come as often as they should, 1 when not (the analysis or the unit is wrong), 2 when no
    metric has enough units.

    Example: trueup experiment aa serving/experiments/flights-ab.toml --simulations 1000
    """
    from trueup.experiments.analysis.aa import simulate

    facts = _facts(Place(repo=repo, log=log), file, outcomes, since, until, now)
    with step("assign anew", total=simulations) as advance:
        found = simulate(
            facts.experiment, _units(facts), simulations=simulations, seed=seed, progress=lambda n: advance(n, "")
        )
    if as_json:
        rows = [
            {
                "name": each.name,
                "simulations": each.simulations,
                "found": each.found,
                "expected": each.expected,
                "interval": [each.low, each.high],
                "right": each.right,
            }
            for each in found
        ]
        print_json({"experiment": facts.experiment.name, "seed": seed, "false_positives": rows})
    else:
        print_table(
            [
                {
                    "metric": each.name,
                    "false positives": f"{each.found:,} of {each.simulations:,}",
                    "rate": f"{each.found / each.simulations:.2%}",
                    "expected": f"{each.expected:.1%}",
                    "99 % interval": f"{each.low:.2%} to {each.high:.2%}",
                    "": "" if each.right else "WRONG",
                }
                for each in found
            ]
        )
    if len(found) < 2:
        output.print("No metric has enough units with a mature outcome.")
        raise typer.Exit(COULD_NOT_RUN)
    if not all(each.right for each in found):
        raise typer.Exit(CHECK_FAILED)


def _facts(
    place: Place, file: Path, outcomes: Path | None, since: str | None, until: str | None, now: str | None
) -> ReadoutFacts:
    with step("read the log and the outcomes") as advance:
        return facts_of(
            place,
            file,
            outcomes=outcomes,
            since=since,
            until=until,
            now=now,
            progress=lambda doing: advance(1, doing),
        )


def _units(facts: ReadoutFacts) -> dict[str, tuple[Metric, Units]]:
    from trueup.readout.build import metric_units

    found: dict[str, tuple[Metric, Units]] = {}
    for metric in (*facts.experiment.metrics, *facts.experiment.guardrails):
        if metric.kind != "model":
            units = metric_units(facts, metric)
            if isinstance(units, str):
                output.print(f"{metric.name}: {units}", markup=False)
            else:
                found[metric.name] = (metric, units)
    return found
