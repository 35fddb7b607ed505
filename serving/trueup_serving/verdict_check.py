"""Whether a model may have the alias it is served under: the gate's verdict, asked once, when a model is loaded."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from trueup.errors import GateError
from trueup.gate.keys import read_verify_key
from trueup.gate.stored import standing_of
from trueup.models.tracking import Registered, Tracking

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckedVerdict:
    """at: when the gate was asked; None of a model that is served without a valid verdict. problem: why it has none."""

    at: datetime | None
    problem: str | None = None


CheckVerdict = Callable[[Registered, str], CheckedVerdict | None]
"""Checks a model version for an alias; None when verdicts are not asked for."""


def verdict_check(gate_key: Path | None, allow_unverified: bool, tracking: Tracking) -> CheckVerdict:
    """A check of model versions against the verdicts kept with them.

    gate_key: file of the gate's key, of which the public half is enough; None: a verdict could not be told from a
    forged one, so none is asked for. The check raises GateError for a version without a valid verdict for the alias;
    with `allow_unverified` it logs that and goes on. Raises GateError for a key that cannot be read.
    """
    if gate_key is None:
        return lambda _version, _alias: None
    key = read_verify_key(gate_key)

    def check(version: Registered, alias: str) -> CheckedVerdict:
        try:
            return CheckedVerdict(standing_of(tracking, version, alias, key).verdict.at)
        except GateError as error:
            if not allow_unverified:
                raise GateError(
                    f"alias {alias} of {version.name} is not served: {error.message}",
                    hint=f"{error.hint or ''} To serve it all the same, in development: --allow-unverified.".strip(),
                ) from error
            logger.warning("%s is served as %s without a valid verdict: %s", version, alias, error.message)
            return CheckedVerdict(None, error.message)

    return check
