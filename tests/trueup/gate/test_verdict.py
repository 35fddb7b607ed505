"""Laws of the verdict: what was signed is what is read, and nothing else is taken for it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.trueup.gate.examples import AT, FILES, KEY, OTHER_KEY, PASSED, REFUSED, verdict

from trueup.errors import GateError
from trueup.gate.evidence import Evidence
from trueup.gate.standing import Kept, standing
from trueup.gate.verdict import Verdict, read, verify

PUBLIC = KEY.verify_key


def tags(*verdicts: Verdict, key: Any = KEY) -> dict[str, str]:
    kept = [Kept(each, each.signed(key)) for each in verdicts]
    return {"trueup.known_at": "served", **{each.tag: each.document.decode() for each in kept}}


def ask(found: dict[str, str], **changes: Any) -> Kept:
    asked = {"model": "shop", "version": 2, "alias": "champion", "files": FILES, **changes}
    return standing(found, PUBLIC, **asked)


def test_a_signed_verdict_is_verified_and_is_the_same_bytes_each_time() -> None:
    document = PASSED.signed(KEY)
    assert verify(document, PUBLIC) == PASSED
    assert document == PASSED.signed(KEY)


@pytest.mark.parametrize("name", ["model", "version", "alias", "run", "files", "contract", "snapshot", "at", "trueup"])
def test_a_verdict_whose_words_were_changed_is_refused(name: str) -> None:
    document = json.loads(PASSED.signed(KEY))
    changed = {"version": 3, "at": "2024-06-01T00:00:01Z", "files": {}}.get(name, "other")
    assert document["verdict"][name] != changed
    document["verdict"][name] = changed
    with pytest.raises(GateError, match="is not what was signed: it was changed"):
        verify(json.dumps(document).encode(), PUBLIC)


def test_a_refusal_cannot_be_turned_into_a_pass() -> None:
    document = json.loads(REFUSED.signed(KEY))
    document["verdict"]["outcome"] = "pass"
    with pytest.raises(GateError, match="says more, or otherwise, than its evidence does"):
        verify(json.dumps(document).encode(), PUBLIC)
    document["verdict"]["evidence"][1]["verdict"] = "pass"
    with pytest.raises(GateError, match="was changed"):
        verify(json.dumps(document).encode(), PUBLIC)


def test_another_key_is_named() -> None:
    said = rf"was signed with key {OTHER_KEY.verify_key.id}; the gate's key here is {PUBLIC.id}"
    with pytest.raises(GateError, match=said):
        verify(PASSED.signed(OTHER_KEY), PUBLIC)
    forged = json.loads(PASSED.signed(OTHER_KEY))
    forged["signature"]["key"] = PUBLIC.id
    with pytest.raises(GateError, match="was changed"):
        verify(json.dumps(forged).encode(), PUBLIC)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"{", "cannot be read"),
        (b"[]", "cannot be read"),
        (b'{"verdict": {}, "signature": 3}', "cannot be read"),
        (b'{"verdict": {"format": 2}, "signature": {}}', "format 2 cannot be read; this version reads 1"),
        (b'{"verdict": {"format": 1}, "signature": {}}', "is incomplete"),
    ],
)
def test_what_is_no_verdict_is_refused(document: bytes, said: str) -> None:
    with pytest.raises(GateError, match=said):
        read(document)


def test_an_unknown_algorithm_is_refused() -> None:
    document = json.loads(PASSED.signed(KEY))
    document["signature"]["algorithm"] = "none"
    with pytest.raises(GateError, match="is signed by 'none'; expected Ed25519"):
        verify(json.dumps(document).encode(), PUBLIC)


def test_no_evidence_is_no_pass() -> None:
    assert verdict(evidence=()).outcome == "could not run"


def test_the_newest_that_passed_or_failed_counts() -> None:
    later = replace(REFUSED, at=AT + timedelta(seconds=1))
    latest = verdict(at=AT + timedelta(seconds=2))
    unasked = verdict(at=AT + timedelta(seconds=3), evidence=(Evidence("contract", "could not run", "no registry"),))
    assert ask(tags(PASSED)).verdict == PASSED
    with pytest.raises(GateError, match=r"shop@2 was refused as champion on 2024-06-01T00:00:01Z: snapshot\."):
        ask(tags(later, PASSED))
    assert ask(tags(latest, later, PASSED)).verdict == latest
    assert ask(tags(unasked, latest, later)).verdict == latest


def test_tags_that_are_renamed_change_no_order() -> None:
    later = replace(REFUSED, at=AT + timedelta(seconds=1))
    (old,) = [text for name, text in tags(PASSED).items() if name.startswith("trueup.verdict.")]
    with pytest.raises(GateError, match="was refused"):
        ask({**tags(later), "trueup.verdict.champion.2099-01-01T00:00:00Z.00000000": old})


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ({}, r"shop@2 has no verdict for champion\. Ask the gate"),
        (tags(verdict(alias="challenger")), "has no verdict for champion"),
        (tags(verdict(version=1)), "verdict of shop@1 for champion is kept with shop@2: it says nothing of it"),
        (tags(verdict(model="other")), "verdict of other@2 for champion is kept with shop@2"),
        (tags(PASSED, key=OTHER_KEY), "was signed with key"),
        (tags(verdict(files={**FILES, "model.skops": "0" * 64})), r"was given for: model\.skops changed since"),
    ],
)
def test_what_is_not_this_versions_own_verdict_is_none(kept: dict[str, str], said: str) -> None:
    with pytest.raises(GateError, match=said):
        ask(kept)
