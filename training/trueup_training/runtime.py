"""`Runtime`: what a training process runs in: an interpreter with its packages, and the variables that steer it. Pure.

Of these variables, those that set thread counts are part of the factor `threads`; the others, which choose kernels,
locale, encoding, time zone and hash seed, are part of `environment`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from trueup.models.environment import HASH_SEED, TEXT_VARIABLES, VARIABLES, Environment
from trueup.models.environment_diff import diff

PROCESS_VARIABLES = (*VARIABLES, *TEXT_VARIABLES, HASH_SEED)
"""Every environment variable that is restored, or taken away where it was not set."""
_THREADS = "_THREADS"


@dataclass(frozen=True)
class Runtime:
    """variables: those of `PROCESS_VARIABLES` that are set. paths: what the interpreter needs to find trueup."""

    python: Path
    variables: Mapping[str, str]
    paths: tuple[Path, ...] = ()

    def swapped(self, today: Runtime, *, environment: bool, threads: bool) -> Runtime:
        """This one, with what belongs to either factor as it is today."""
        base = today if environment else self
        own, other = (self.variables, today.variables)
        variables = {name: value for name, value in (other if environment else own).items() if not _of_threads(name)}
        variables |= {name: value for name, value in (other if threads else own).items() if _of_threads(name)}
        return Runtime(base.python, variables, base.paths)


def recorded_variables(environment: Environment, own: Mapping[str, str]) -> dict[str, str]:
    """own: of this process; what the record does not say is left as it is there."""
    text = own_variables(own, TEXT_VARIABLES) if environment.text_variables is None else environment.text_variables
    seed = {HASH_SEED: environment.hash_seed} if environment.hash_seed != "random" else {}
    return {**dict(environment.variables), **dict(text), **seed}


def own_variables(own: Mapping[str, str], names: tuple[str, ...] = PROCESS_VARIABLES) -> dict[str, str]:
    return {name: own[name] for name in names if name in own}


def moved_threads(recorded: Runtime, today: Runtime, threads: tuple[int, int]) -> Iterator[str]:
    """threads: of the fit, then and now."""
    if threads[0] != threads[1]:
        yield f"threads: {threads[0]} -> {threads[1]}"
    for name in sorted(filter(_of_threads, {*recorded.variables, *today.variables})):
        then, now = recorded.variables.get(name), today.variables.get(name)
        if then != now:
            yield f"{name}: {then or 'none'} -> {now or 'none'}"


def moved_environment(again: Environment, here: Environment) -> Iterator[str]:
    """again: of a training as recorded, on this very machine: what it could not restore is not swapped either.

    First what can change most numbers. How many threads there are is another factor.
    """
    for difference in diff(again, here).differences:
        part = difference.part
        if not (part == "CPUs" or part.endswith(" threads") or _of_threads(part)):
            yield str(difference)


def _of_threads(name: str) -> bool:
    return name.endswith(_THREADS)
