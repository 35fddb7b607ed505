"""`Verdict`: what the gate found of one model version for one alias, as a document that is signed. Pure.

The signature is of the canonical JSON of `verdict`. A document says itself what it is about, so that no tag it is kept
under, and no place it is copied to, changes that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from trueup.errors import GateError, TrueupError
from trueup.gate.evidence import Evidence, Outcome, joint
from trueup.gate.keys import ALGORITHM, SigningKey, VerifyKey
from trueup.hashing import canonical_json, digest_bytes
from trueup.instants import format_instant, parse_instant

FORMAT = 1
"""Version of the JSON form; bump it when a field changes its meaning."""
_AGAIN = "Ask the gate again: trueup promote."


@dataclass(frozen=True)
class Verdict:
    """model, version, alias: which version was asked for which alias. run: of MLflow, that logged the version.

    files: name -> SHA-256 of what decides its predictions. contract, snapshot: hashes that its card names; None of a
    card without a snapshot. trained_in, judged_in: hashes of the environments. trueup: the version that asked, at `at`.
    """

    model: str
    version: int
    alias: str
    evidence: tuple[Evidence, ...]
    run: str | None
    files: Mapping[str, str]
    contract: str
    snapshot: str | None
    trained_in: str
    judged_in: str
    at: datetime
    trueup: str

    def __str__(self) -> str:
        return f"verdict of {self.model}@{self.version} for {self.alias}"

    @property
    def outcome(self) -> Outcome:
        return joint(self.evidence)

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "model": self.model,
            "version": self.version,
            "alias": self.alias,
            "outcome": self.outcome,
            "evidence": [item.to_json() for item in self.evidence],
            "run": self.run,
            "files": dict(self.files),
            "contract": self.contract,
            "snapshot": self.snapshot,
            "environment": {"trained_in": self.trained_in, "judged_in": self.judged_in},
            "at": format_instant(self.at),
            "trueup": self.trueup,
        }

    def signed(self, key: SigningKey) -> bytes:
        """The document to keep. The same verdict and key give the same bytes."""
        said = self.to_json()
        signature = {
            "algorithm": ALGORITHM,
            "key": key.verify_key.id,
            "value": key.sign(canonical_json(said)),
        }
        return canonical_json({"verdict": said, "signature": signature})


def document_id(document: bytes) -> str:
    """Names a kept document: the SHA-256 of its bytes, in hex."""
    return digest_bytes(document)


def read(document: bytes) -> Verdict:
    """What a document says, its signature not asked. Raises GateError for one of another format or none at all."""
    said = _parsed(document)["verdict"]
    found = said.get("format")
    if found != FORMAT:
        raise GateError(f"verdict format {found!r} cannot be read; this version reads {FORMAT}.", hint=_AGAIN)
    try:
        verdict = Verdict(
            model=said["model"],
            version=said["version"],
            alias=said["alias"],
            evidence=tuple(Evidence.from_json(item) for item in said["evidence"]),
            run=said["run"],
            files=dict(said["files"]),
            contract=said["contract"],
            snapshot=said["snapshot"],
            trained_in=said["environment"]["trained_in"],
            judged_in=said["environment"]["judged_in"],
            at=parse_instant(said["at"]),
            trueup=said["trueup"],
        )
    except (KeyError, TypeError, ValueError, AttributeError, TrueupError) as error:
        raise GateError(f"a verdict is incomplete ({type(error).__name__}: {error}).", hint=_AGAIN) from error
    if said != verdict.to_json():
        raise GateError(f"{verdict} says more, or otherwise, than its evidence does.", hint=_AGAIN)
    return verdict


def verify(document: bytes, key: VerifyKey) -> Verdict:
    """What a document says, once its signature is found to be the key's. Raises GateError when it is not."""
    parsed = _parsed(document)
    verdict = read(document)
    signature = parsed["signature"]
    if signature.get("algorithm") != ALGORITHM:
        raise GateError(f"{verdict} is signed by {signature.get('algorithm')!r}; expected {ALGORITHM}.", hint=_AGAIN)
    if signature.get("key") != key.id:
        raise GateError(
            f"{verdict} was signed with key {signature.get('key')}; the gate's key here is {key.id}.",
            hint="Name the key it was signed with, or ask the gate again under this one: trueup promote.",
        )
    if not key.signed(canonical_json(parsed["verdict"]), str(signature.get("value"))):
        raise GateError(f"{verdict} is not what was signed: it was changed.", hint=_AGAIN)
    return verdict


def _parsed(document: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(document)
        if not (isinstance(parsed["verdict"], dict) and isinstance(parsed["signature"], dict)):
            raise TypeError("its parts are no objects")
    except (ValueError, KeyError, TypeError) as error:
        raise GateError(f"a verdict cannot be read ({type(error).__name__}: {error}).", hint=_AGAIN) from error
    return dict(parsed)
