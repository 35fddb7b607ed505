"""`ServingVersion`: how a server answers, as a value with a hash. Pure.

A prediction is decided by the model, the features, the environment, and by the server's own settings: a shorter
time-out or another fallback gives other answers at the same load. Each logged row names the version it was served
under, and the log keeps what that version says, so that two windows, or two models, can be held against each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, Literal

from trueup.hashing import digest

FORMAT = 1
"""Version of the JSON form, and part of what is hashed."""
_FORMAT = "format"

Fallback = Literal["refuse", "missing"]
"""Where the online store does not answer in time. refuse: no prediction. missing: one of features that are missing."""

Document = Mapping[str, Any]
"""A version's JSON form, of this or of another trueup's format."""


@dataclass(frozen=True)
class ServingVersion:
    """Settings that change an answer, whether there is one, or whether its row is logged. Times are in seconds.

    workers: processes behind one address. service_threads: threads of each that read and predict. model_threads: of a
    prediction (OMP_NUM_THREADS); None: not set, the library chooses. concurrency: requests at once, more are refused.
    max_rows, max_body_bytes: of a request. online_timeout_seconds: of a read of the online store. stop_seconds: that
    running requests have when the server stops. clock: what features are read as of. log_*: of the log's batches.
    What a row says by itself (its model, contract, variant and role) is not here.
    """

    workers: int
    service_threads: int
    model_threads: int | None
    concurrency: int
    max_rows: int
    max_body_bytes: int
    online_timeout_seconds: float
    stop_seconds: int
    fallback: Fallback
    clock: str
    log_queue_rows: int
    log_batch_rows: int
    log_batch_seconds: float

    @cached_property
    def hash(self) -> str:
        return digest(self.to_json())

    def to_json(self) -> dict[str, Any]:
        return {_FORMAT: FORMAT, **asdict(self)}


SETTINGS: Mapping[str, str] = {item.name: str(item.type) for item in fields(ServingVersion)}
"""Setting -> its type, as text."""


def differences(before: Document, after: Document) -> tuple[str, ...]:
    """The settings in which two documents differ, in order; one that only another format has is not known."""
    names = [name for name in dict.fromkeys([*before, *after]) if name != _FORMAT]
    return tuple(
        f"{name} {_said(before, name)} -> {_said(after, name)}"
        for name in names
        if name not in before or name not in after or before[name] != after[name]
    )


def unmet(expected: Mapping[str, Any], found: Document) -> tuple[str, ...]:
    """The expected settings that a document does not have."""
    return tuple(
        f"{name} is {_said(found, name)}, expected {_value(value)}"
        for name, value in expected.items()
        if name not in found or found[name] != value
    )


def described(document: Document) -> str:
    """All of it, in one line."""
    return ", ".join(f"{name} {_value(value)}" for name, value in document.items() if name != _FORMAT)


def _said(document: Document, name: str) -> str:
    return _value(document[name]) if name in document else "not known"


def _value(value: Any) -> str:
    return "not set" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
