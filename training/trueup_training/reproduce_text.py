"""A reproduction for a terminal: tables of at most 100 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.markup import escape

from trueup.cli import print_table
from trueup.console import output
from trueup.models.environment_diff import EnvironmentDiff, unknown_text
from trueup.wording import counted
from trueup_training.factors import Culprit, Trials
from trueup_training.outcome import TIER, Comparison
from trueup_training.reproduce import AsOfToday, Reproduction

_ENVIRONMENT_LINES = 6
_MEANING: Mapping[Culprit, str] = {
    "data": "the sources as they are now give the recorded model; the recorded snapshot does not",
    "code": "the tree as it is now gives the recorded model; the recorded commit does not",
    "recipe": "the recipe as it is now gives the recorded model; the recorded one does not",
    "seed": "the seed of now gives the recorded model; the recorded one does not",
    "threads": "the threads of now give the recorded model; the recorded ones do not",
    "environment": "no factor that can be swapped explains it, and the environment's arithmetic differs",
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
    _print_environment(found.environment)
    for culprit in found.culprits:
        output.print(f"[bold]Culprit: {culprit}[/]: {_MEANING[culprit]}.")
    output.print()
    _print_today(found.today)


def _print_comparison(comparison: Comparison) -> None:
    print_table(
        [{"compared": line.thing, "verdict": line.verdict, "": escape(line.detail)} for line in comparison.lines]
    )


def _print_environment(environment: EnvironmentDiff) -> None:
    differences = environment.differences
    if not differences:
        output.print("environment: as recorded.")
    else:
        arithmetic = len(environment.arithmetic.differences)
        output.print(f"environment: {counted(len(differences), 'difference')}, {arithmetic} in arithmetic.")
    for difference in differences[:_ENVIRONMENT_LINES]:
        output.print(f"  {escape(str(difference))} ({difference.tier})")
    if environment.unknown:
        output.print(f"  {escape(unknown_text(environment))}.")


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
