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


CheckVerdict = Callable[[Registered, str], CheckedVerdict]
"""Checks a model version for an alias. Raises GateError for one that may not be served under it."""

NO_KEY = "no gate key is set, so no verdict can be told from a forged one"


def verdict_check(gate_key: Path | None, allow_unverified: bool, tracking: Tracking) -> CheckVerdict:
    """A check of model versions against the verdicts kept with them.

    gate_key: file of the gate's key, of which the public half is enough. The check raises GateError for a version
    without a valid verdict for the alias; with `allow_unverified` it logs that and goes on. Raises GateError for a key
    that cannot be read, and where there is no key and nothing allows to serve without.
    """
    if gate_key is None:
        if not allow_unverified:
            raise GateError(
                f"{NO_KEY}, and nothing is served unverified.",
                hint="Make a key (trueup gate key --out gate.pem), promote the models with it "
                "(TRUEUP_GATE_KEY=gate.pem trueup promote MODEL@VERSION --to champion), and give the server its public "
                'half (gate_key = "gate.pem.pub"). To serve without, in development: --allow-unverified.',
            )
        return _unverified
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


def _unverified(version: Registered, alias: str) -> CheckedVerdict:
    logger.warning("%s is served as %s without a verdict: %s", version, alias, NO_KEY)
    return CheckedVerdict(None, NO_KEY)
