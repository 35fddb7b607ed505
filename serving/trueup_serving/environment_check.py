"""Whether a model is served in the environment it was trained in. Asked once, when a model is loaded."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from trueup.errors import ModelError
from trueup.models.environment import Environment, take_environment
from trueup.models.environment_diff import Difference, EnvironmentDiff, diff
from trueup.models.tracking import Registered, Tracking
from trueup.wording import counted
from trueup_serving.config import EnvironmentCheck

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckedEnvironment:
    """From a model's training environment to the server's. found: None when the former is not known.

    problem: why it is not; None when it is.
    """

    found: EnvironmentDiff | None
    problem: str | None = None


CheckEnvironment = Callable[[Registered], CheckedEnvironment | None]
"""Checks a model version; None when environments are not checked."""


def environment_check(mode: EnvironmentCheck, tracking: Tracking) -> CheckEnvironment:
    """A check of model versions against this process, whose environment is taken now.

    `warn` logs what can change numbers, or that it is not known. `refuse` raises ModelError for either. A part that
    only one of the two knows (the CPU features, of a model that an older trueup trained) is logged in both modes.
    """
    if mode == "off":
        return lambda _version: None
    here = take_environment()

    def check(version: Registered) -> CheckedEnvironment:
        checked = _compare(version, here, tracking)
        message = _message(version, checked)
        if mode == "refuse" and (checked.found is None or checked.found.arithmetic):
            raise ModelError(
                f"{message}\n",
                hint="Serve it in the environment it was trained in, or train it again in this one. "
                'To serve it all the same: environment_check = "warn".',
            )
        if message is not None:
            logger.warning("%s", message)
        return checked

    return check


def _compare(version: Registered, here: Environment, tracking: Tracking) -> CheckedEnvironment:
    try:
        trained = tracking.load_environment(version.name, version.version)
    except ModelError as error:
        return CheckedEnvironment(None, str(error))
    return CheckedEnvironment(diff(trained, here))


def _message(version: Registered, checked: CheckedEnvironment) -> str | None:
    """None when nothing that can change a number differs, and all of it is known."""
    if checked.found is None:
        return f"{version}: whether this environment can change its predictions is not known. {checked.problem}"
    parts = []
    arithmetic = checked.found.arithmetic
    if differing := arithmetic.differences:
        count = counted(len(differing), "difference")
        parts.append(f"{version}: {count} that can change its predictions, from training to here:{_listed(differing)}")
    if unknown := arithmetic.unknown:
        parts.append(f"{version}: not known, in training or here:{_listed(unknown)}")
    return "\n".join(parts) or None


def _listed(differences: tuple[Difference, ...]) -> str:
    return "".join(f"\n  {difference}" for difference in differences)
