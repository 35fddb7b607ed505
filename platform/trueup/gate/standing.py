"""The verdict that counts for a model version under an alias, of all that are kept with it. Pure.

The newest that passed or failed counts: a refusal takes back what was allowed before, a gate that could not run does
not. Documents are ordered by what they say themselves, not by the tags they are kept under.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from trueup.errors import GateError
from trueup.gate.evidence import ASKED
from trueup.gate.keys import VerifyKey
from trueup.gate.verdict import Verdict, document_id, read, verify
from trueup.instants import format_instant

_TAG = "trueup.verdict."
_PROMOTE = "Ask the gate: trueup promote."


@dataclass(frozen=True)
class Kept:
    """A verdict as it is kept, its signature not asked."""

    verdict: Verdict
    document: bytes

    @property
    def id(self) -> str:
        return document_id(self.document)

    @property
    def tag(self) -> str:
        """Name of the tag it is kept under, with the version it is of."""
        return f"{_TAG}{self.verdict.alias}.{format_instant(self.verdict.at)}.{self.id[:8]}"


def kept_verdicts(tags: Mapping[str, str]) -> tuple[Kept, ...]:
    """Of one version's tags, oldest first. Raises GateError for one that cannot be read."""
    documents = [text.encode() for name, text in tags.items() if name.startswith(_TAG)]
    return tuple(sorted((Kept(read(each), each) for each in documents), key=lambda kept: (kept.verdict.at, kept.id)))


def is_the_gates(tags: Iterable[Mapping[str, str]], alias: str) -> bool:
    """Whether the gate was ever asked for this alias of a model, whatever came of it. tags: those of each version.

    A verdict that cannot be read counts for every alias: nobody can say which it was about.
    """
    try:
        return any(kept.verdict.alias == alias for each in tags for kept in kept_verdicts(each))
    except GateError:
        return True


def standing(
    tags: Mapping[str, str], key: VerifyKey, *, model: str, version: int, alias: str, files: Mapping[str, str]
) -> Kept:
    """The verdict that lets this version have this alias. files: SHA-256 of the model's files as they are now.

    Raises GateError when there is none, or it is a refusal, another model's or version's, of other files, changed,
    signed with another key, or of a gate that did not ask for all of today's evidence.
    """
    name = f"{model}@{version}"
    found = [
        kept for kept in kept_verdicts(tags) if kept.verdict.alias == alias and kept.verdict.outcome != "could not run"
    ]
    if not found:
        raise GateError(f"{name} has no verdict for {alias}.", hint=_PROMOTE)
    newest = found[-1]
    verdict = verify(newest.document, key)
    if (verdict.model, verdict.version) != (model, version):
        raise GateError(f"{verdict} is kept with {name}: it says nothing of it.", hint=_PROMOTE)
    if changed := [file for file, digest in verdict.files.items() if files.get(file) != digest]:
        raise GateError(
            f"{name} is not what its {verdict} was given for: {', '.join(changed)} changed since.", hint=_PROMOTE
        )
    if verdict.outcome == "pass" and (unasked := set(ASKED) - {item.name for item in verdict.evidence}):
        raise GateError(
            f"{verdict} was given without {', '.join(name for name in ASKED if name in unasked)}: by an older gate.",
            hint=_PROMOTE,
        )
    if verdict.outcome != "pass":
        failed = ", ".join(item.name for item in verdict.evidence if item.verdict == "fail")
        raise GateError(
            f"{name} was refused as {alias} on {format_instant(verdict.at)}: {failed}.",
            hint=f"See why: trueup gate show {model}.",
        )
    return newest
