"""The gate's Ed25519 key: private to sign, public to verify. Files in PEM, as `openssl pkey` reads and writes them."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from trueup.errors import GateError
from trueup.hashing import digest_bytes

ALGORITHM = "Ed25519"
PUBLIC_SUFFIX = ".pub"
HOW_TO_GET_A_KEY = "Make one with `trueup gate key --out PATH`, and name it with TRUEUP_GATE_KEY or --key."
_ID_DIGITS = 16


@dataclass(frozen=True)
class VerifyKey:
    """The public half."""

    public: Ed25519PublicKey

    @property
    def id(self) -> str:
        """First digits of the SHA-256 of its 32 bytes."""
        return digest_bytes(self.public.public_bytes(Encoding.Raw, PublicFormat.Raw))[:_ID_DIGITS]

    def signed(self, message: bytes, signature: str) -> bool:
        """Whether the signature (base64) is this key's of the message."""
        try:
            self.public.verify(base64.b64decode(signature, validate=True), message)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True)
class SigningKey:
    """The private half, and with it the public one."""

    private: Ed25519PrivateKey

    @property
    def verify_key(self) -> VerifyKey:
        return VerifyKey(self.private.public_key())

    def sign(self, message: bytes) -> str:
        """In base64."""
        return base64.b64encode(self.private.sign(message)).decode("ascii")


def new_key(path: Path) -> SigningKey:
    """A new key in a new file that its owner alone may read, and its public half beside it (`PATH.pub`).

    Raises GateError when either file exists or cannot be written: a key that was overwritten is gone.
    """
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    secret = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _create(path, secret, 0o600)
    _create(path.with_name(path.name + PUBLIC_SUFFIX), public, 0o644)
    return SigningKey(private)


def read_signing_key(path: Path | None) -> SigningKey:
    """Raises GateError without a path, and for a file that holds no private Ed25519 key in PEM."""
    if path is None:
        raise GateError("no gate key is named, so a verdict cannot be signed.", hint=HOW_TO_GET_A_KEY)
    found = _read(path)
    if not isinstance(found, SigningKey):
        raise GateError(
            f"gate key {path} is public: it can check verdicts and sign none.",
            hint="Name the private key it belongs to.",
        )
    return found


def read_verify_key(path: Path | None) -> VerifyKey:
    """Of a public or a private key's file. Raises GateError as `read_signing_key` does."""
    if path is None:
        raise GateError("no gate key is named, so a verdict cannot be checked.", hint=HOW_TO_GET_A_KEY)
    found = _read(path)
    return found.verify_key if isinstance(found, SigningKey) else found


def _read(path: Path) -> SigningKey | VerifyKey:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise GateError(f"gate key {path} cannot be read: {error.strerror or error}.", hint=HOW_TO_GET_A_KEY) from error
    try:
        if b"PRIVATE KEY" in content:
            private = load_pem_private_key(content, password=None)
            if isinstance(private, Ed25519PrivateKey):
                return SigningKey(private)
        else:
            public = load_pem_public_key(content)
            if isinstance(public, Ed25519PublicKey):
                return VerifyKey(public)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        pass  # said below, without what the file holds
    raise GateError(f"gate key {path} holds no {ALGORITHM} key in PEM without a password.", hint=HOW_TO_GET_A_KEY)


def _create(path: Path, content: bytes, mode: int) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
    except FileExistsError as error:
        raise GateError(f"gate key {path} exists; it is not overwritten.", hint="Name another file.") from error
    except OSError as error:
        raise GateError(f"gate key {path} cannot be written: {error.strerror or error}.") from error
