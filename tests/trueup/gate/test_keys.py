"""Laws of the gate's key: its owner alone may read it, it is never overwritten, and its public half signs nothing."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from trueup.errors import GateError
from trueup.gate.keys import new_key, read_signing_key, read_verify_key


def test_a_key_comes_back_and_its_public_half_checks_what_it_signs(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "gate.pem"
    made = new_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    signature = read_signing_key(path).sign(b"said")
    for public in (path, path.with_name("gate.pem.pub")):
        key = read_verify_key(public)
        assert key.id == made.verify_key.id
        assert key.signed(b"said", signature)
        assert not key.signed(b"said otherwise", signature)
        assert not key.signed(b"said", "no base64!")


def test_a_key_is_not_overwritten(tmp_path: Path) -> None:
    new_key(tmp_path / "gate.pem")
    before = (tmp_path / "gate.pem").read_bytes()
    with pytest.raises(GateError, match=r"gate\.pem exists; it is not overwritten"):
        new_key(tmp_path / "gate.pem")
    assert (tmp_path / "gate.pem").read_bytes() == before


def test_without_a_key_the_error_says_how_to_make_one() -> None:
    with pytest.raises(GateError, match=r"cannot be signed\. Make one with `trueup gate key --out PATH`.*TRUEUP_GATE"):
        read_signing_key(None)
    with pytest.raises(GateError, match="cannot be checked"):
        read_verify_key(None)


def test_what_is_no_private_key_does_not_sign(tmp_path: Path) -> None:
    new_key(tmp_path / "gate.pem")
    with pytest.raises(GateError, match=r"gate\.pem\.pub is public: it can check verdicts and sign none"):
        read_signing_key(tmp_path / "gate.pem.pub")
    (tmp_path / "broken").write_text("-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n")
    with pytest.raises(GateError, match="broken holds no Ed25519 key in PEM") as refused:
        read_signing_key(tmp_path / "broken")
    assert "secret" not in str(refused.value)
    with pytest.raises(GateError, match="none cannot be read: No such file"):
        read_signing_key(tmp_path / "none")
