"""Whether a model may have the alias it is served under: the gate's verdict, asked when a model is loaded and after."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from trueup.errors import GateError
from trueup.gate.keys import VerifyKey, read_verify_key
from trueup.gate.stored import standing_of
from trueup.models.tracking import Registered, Tracking

logger = logging.getLogger(__name__)

NO_KEY = "no gate key is set, so no verdict can be told from a forged one"


@dataclass(frozen=True)
class CheckedVerdict:
    """at: when the gate was asked; None of a model that has no valid verdict. problem: why it has none.

    files: digests of the model's files as they were loaded; empty without a key.
    """

    at: datetime | None
    problem: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)


class VerdictCheck:
    """Checks model versions against the verdicts kept with them.

    gate_key: file of the gate's key, of which the public half is enough. Raises GateError for a key that cannot be
    read, and where there is no key and nothing allows to serve without.
    """

    def __init__(self, gate_key: Path | None, allow_unverified: bool, tracking: Tracking) -> None:
        if gate_key is None and not allow_unverified:
            raise GateError(
                f"{NO_KEY}, and nothing is served unverified.",
                hint="Make a key (trueup gate key --out gate.pem), promote the models with it "
                "(TRUEUP_GATE_KEY=gate.pem trueup promote MODEL@VERSION --to champion), and give the server its public "
                'half (gate_key = "gate.pem.pub"). To serve without, in development: --allow-unverified.',
            )
        self._key: VerifyKey | None = None if gate_key is None else read_verify_key(gate_key)
        self._tracking = tracking
        self.allow_unverified = allow_unverified

    def check(self, version: Registered, alias: str) -> CheckedVerdict:
        """Before a version is served. Raises GateError for one without a valid verdict for the alias.

        With `allow_unverified` that is logged, and served.
        """
        files = {} if self._key is None else self._tracking.file_digests(version.name, version.version)
        try:
            return self._standing(version, alias, files)
        except GateError as error:
            if not self.allow_unverified:
                raise GateError(
                    f"alias {alias} of {version.name} is not served: {error.message}",
                    hint=f"{error.hint or ''} To serve it all the same, in development: --allow-unverified.".strip(),
                ) from error
            logger.warning("%s is served as %s without a valid verdict: %s", version, alias, error.message)
            return CheckedVerdict(None, error.message, files)

    def check_again(self, version: Registered, alias: str, before: CheckedVerdict) -> CheckedVerdict:
        """While it is served: a verdict may be newer, or taken back by a refusal. Reads tags, and no file."""
        try:
            return self._standing(version, alias, before.files)
        except GateError as error:
            return CheckedVerdict(None, error.message, before.files)

    def _standing(self, version: Registered, alias: str, files: Mapping[str, str]) -> CheckedVerdict:
        """Raises GateError when there is no valid one."""
        if self._key is None:
            raise GateError(NO_KEY)
        kept = standing_of(self._tracking, version, alias, self._key, files=files)
        return CheckedVerdict(kept.verdict.at, None, files)
