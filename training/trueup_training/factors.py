"""Which factor makes another model: each is swapped alone, then all, then those that mattered are put back. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trueup.models.environment_diff import EnvironmentDiff
from trueup_training.outcome import Comparison, Outcome, compare_outcomes

Factor = Literal["data", "code", "recipe", "seed", "threads", "environment"]
"""data: the sources' rows. code: the tree, feature definitions included. recipe: all of it but the seed. threads: of
the fit, and the variables that set them. environment: interpreter and packages, and the variables that choose kernels,
locale, encoding, time zone and hash seed."""
FACTORS: tuple[Factor, ...] = ("data", "code", "recipe", "seed", "threads", "environment")
Culprit = Factor | Literal["randomness", "unexplained"]
Swap = frozenset[Factor]
"""The factors that are as they are today; the others are as they were recorded."""


@dataclass(frozen=True)
class Trial:
    """One factor as it is today, the others as recorded. effect: from the training without the swap to this one.

    from_recorded: from the recorded run to this one. on_sources: the swap asks for rows that only the sources as they
    are now can give, so both sides of the effect were read from them.
    """

    factor: Factor
    effect: Comparison
    from_recorded: Comparison
    on_sources: bool = False


@dataclass(frozen=True)
class Trials:
    """together: from the reproduction to everything as it is today. put_back: to the same without the culprits."""

    trials: tuple[Trial, ...]
    together: Comparison
    put_back: Comparison

    @property
    def culprits(self) -> tuple[Factor, ...]:
        """Whose swap alone gives another model."""
        return tuple(trial.factor for trial in self.trials if not trial.effect.same)

    def to_json(self) -> dict[str, Any]:
        return {
            "culprits": list(self.culprits),
            "trials": [
                {"factor": trial.factor, "on_sources": trial.on_sources, "effect": trial.effect.to_json()}
                for trial in self.trials
            ],
            "together": self.together.to_json(),
            "put_back": self.put_back.to_json(),
        }


def try_factors(
    moved: Sequence[Factor],
    train: Callable[[Swap], Outcome],
    *,
    recorded: Outcome,
    on_sources: Swap = frozenset(),
) -> Trials:
    """moved: the factors that are not as they were, in the order of `FACTORS`. train: with a swap; the empty one is the
    reproduction. recorded: what the run itself left. on_sources: factors whose swap needs the sources as they are now.
    """
    reproduced = train(frozenset())
    trials = []
    for factor in moved:
        before: Swap = frozenset({"data"} if factor in on_sources and "data" in moved else ())
        after = train(before | {factor})
        trials.append(
            Trial(
                factor,
                compare_outcomes(train(before), after),
                compare_outcomes(recorded, after),
                on_sources=factor in on_sources and "data" in moved,
            )
        )
    culprits = {trial.factor for trial in trials if not trial.effect.same}
    return Trials(
        trials=tuple(trials),
        together=compare_outcomes(reproduced, train(frozenset(moved))),
        put_back=compare_outcomes(reproduced, train(frozenset(moved) - culprits)),
    )


def why_not_reproduced(
    trials: Trials | None, environment: EnvironmentDiff, *, deterministic: bool
) -> tuple[Culprit, ...]:
    """What names a reproduction that differs. deterministic: training again twice alike gave one model.

    A factor whose swap to today's gives the recorded model is the culprit: what was recorded of it is not what the run
    was trained with. What of the environment could not be restored (packages without a second environment, the
    processor) cannot be swapped: it is named when no swap helps and it differs in what can change a value.
    """
    if not deterministic:
        return ("randomness",)
    if helped := tuple(trial.factor for trial in trials.trials if trial.from_recorded.same) if trials else ():
        return helped
    matters = any(difference.tier != "rest" for difference in environment.differences)
    return ("environment",) if matters else ("unexplained",)
