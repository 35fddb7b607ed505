"""A verdict and a key to try things on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trueup.gate.evidence import ASKED, Evidence
from trueup.gate.keys import SigningKey
from trueup.gate.verdict import Verdict

AT = datetime(2024, 6, 1, tzinfo=UTC)
KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER_KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(32)))
FILES = {"model.skops": "a" * 64, "trueup_card.json": "b" * 64}
PASSED = Verdict(
    model="shop",
    version=2,
    alias="champion",
    evidence=(
        Evidence("contract", "pass", "é: all 4 features are the registry's."),
        *(Evidence(name, "pass", "s") for name in ASKED[1:-1]),
        Evidence(ASKED[-1], "not applicable", "n"),
    ),
    run="r",
    files=FILES,
    contract="c" * 64,
    snapshot=None,
    trained_in="d" * 64,
    judged_in="e" * 64,
    at=AT,
    trueup="0.1.0",
)
REFUSED = replace(PASSED, evidence=(PASSED.evidence[0], Evidence("snapshot", "fail", "gone")))


def verdict(**changes: Any) -> Verdict:
    return replace(PASSED, **changes)
