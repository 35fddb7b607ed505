"""A reproduction for a terminal: tables of at most 100 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.markup import escape

from trueup.cli import print_table
from trueup.console import output
from trueup.models.environment_diff import unknown_text
from trueup.wording import counted
from trueup_training.factors import Culprit, Trials
from trueup_training.outcome import TIER, Comparison
from trueup_training.reproduce import AsOfToday, Reproduction
from trueup_training.seeds import BAND, SeedBand

_ENVIRONMENT_LINES = 6
_COMPARED_ONLY = "no factor that can be swapped explains it, and the environment differs in what can change a value"
_MEANING: Mapping[Culprit, str] = {
    "data": "the sources as they are now give the recorded model; the recorded snapshot does not",
    "code": "the tree as it is now gives the recorded model; the recorded commit does not",
    "recipe": "the recipe as it is now gives the recorded model; the recorded one does not",
    "seed": "the seed of now gives the recorded model; the recorded one does not",
    "threads": "the threads of now give the recorded model; the recorded ones do not",
    "environment": "the environment of now gives the recorded model; the restored one does not",
    "randomness": "trained twice alike, it gave two models",
    "unexplained": "nothing that was recorded explains it",
}


def print_reproduction(found: Reproduction) -> None:
    """The verdict, what was compared, the environment, then what today would give."""
    recorded = found.recorded
    colour = "green" if found.reproduced else "red"
    code = f"commit {recorded.commit[:12]}{' and its diff' if recorded.diff is not None else ''}"
    output.print(f"[bold {colour}]{found.verdict.upper()}[/]  run {recorded.run.run_id}")
    output.print(
        f"trained again from {code}, snapshot {escape(str(recorded.snapshot.manifest))}, seed "
        f"{recorded.recipe.seed}, {counted(recorded.threads, 'thread')}; tolerance: {TIER}"
    )
    _print_comparison(found.comparison)
    _print_environment(found)
    for culprit in found.culprits:
        output.print(f"[bold]Culprit: {culprit}[/]: {_meaning(culprit, found)}.")
    for line in found.evidence:
        output.print(f"  {escape(line)}.", soft_wrap=True)
    output.print()
    _print_today(found.today)
    if found.seeds:
        output.print()
        _print_seeds(found.seeds)


def _print_comparison(comparison: Comparison) -> None:
    print_table(
        [{"compared": line.thing, "verdict": line.verdict, "": escape(line.detail)} for line in comparison.lines]
    )


def _meaning(culprit: Culprit, found: Reproduction) -> str:
    swapped = found.today.trials is not None and any(
        trial.factor == culprit and trial.from_recorded.same for trial in found.today.trials.trials
    )
    return _COMPARED_ONLY if culprit == "environment" and not swapped else _MEANING[culprit]


def _print_environment(found: Reproduction) -> None:
    environment, differences = found.environment, found.environment.differences
    where = "environment" if found.second is None else "second environment"
    if not differences:
        output.print(f"{where}: as recorded.")
    else:
        arithmetic = len(environment.arithmetic.differences)
        output.print(f"{where}: {counted(len(differences), 'difference')}, {arithmetic} in arithmetic.")
    for difference in differences[:_ENVIRONMENT_LINES]:
        output.print(f"  {escape(str(difference))} ({difference.tier})")
    if environment.unknown:
        output.print(f"  {escape(unknown_text(environment))}.")
    if found.second is None and any(each.part.startswith(("package ", "Python")) for each in differences):
        output.print("  Packages are compared, not swapped: --environment build (or DIR) trains in the recorded ones.")


def _print_today(today: AsOfToday) -> None:
    if today.problem is not None:
        output.print(f"As of today: could not be tried: {escape(today.problem)}", soft_wrap=True)
        return
    recipe = "the recorded recipe" if today.recipe_file is None else f"recipe {today.recipe_file}"
    if today.trials is None:
        output.print(f"As of today, with {escape(recipe)}: nothing moved, so the same model.", soft_wrap=True)
        return
    output.print(f"As of today, with {escape(recipe)}: {_said(today.trials)}", soft_wrap=True)
    print_table(list(_factors(today.trials)))
    for factor, lines in today.moved.items():
        for line in lines:
            output.print(f"  {factor}: {escape(line)}")


def _said(trials: Trials) -> str:
    if trials.together.same:
        return f"[bold]the same model[/] ({trials.together.results})."
    if not trials.culprits:
        return "[bold]another model[/]; no factor does it alone."
    names = f"[bold]another model, because of {' and '.join(trials.culprits)}[/]"
    proof = (
        "with what was recorded, the same model comes out again"
        if trials.put_back.same
        else "with what was recorded of them it is still another"
    )
    return f"{names}; {proof}."


def _factors(trials: Trials) -> Iterator[dict[str, str]]:
    """One line each of those that moved, with the last thing that says the verdict: metrics, or else predictions."""
    for trial in trials.trials:
        line = next(line for line in reversed(trial.effect.lines) if line.verdict == trial.effect.results)
        base = " (on the sources as they are now)" if trial.on_sources else ""
        yield {
            "swapped": f"{trial.factor}{base}",
            "model": trial.effect.results,
            "seen in": line.thing,
            "": escape(line.detail),
        }


def _print_seeds(seeds: Mapping[str, SeedBand]) -> None:
    band = next(iter(seeds.values()))
    output.print(f"What the seed alone moves, over {counted(len(band.values), 'other seed')}; band: {BAND}.")
    print_table([{"metric": name, **_band(found)} for name, found in seeds.items()])
    observed = band.observed
    if observed is None:
        output.print("gap: none was observed, as today's training could not be tried.")
    elif not observed.same_data:
        output.print(
            f"{escape(observed.against)} was trained or measured on other rows or values: its gap is not of seed alone."
        )


def _band(band: SeedBand) -> dict[str, str]:
    low, high = band.band
    shown = {
        "mean": f"{band.mean:.4f}",
        "std": f"{band.std:.2g}",
        "min - max": f"{min(band.values.values()):.4f} - {max(band.values.values()):.4f}",
        "band": f"{low:.4f} - {high:.4f}",
    }
    if band.observed is None:
        return shown
    verdict = "[green]inside[/]" if band.inside else "[red]outside[/]"
    gap = f"{band.observed.gap:+.4f}, {verdict} ±{band.gap_band:.4f}"
    return {**shown, f"gap to {escape(band.observed.against)}": gap}
