"""What one part of `make ops-check` came to."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class Outcome:
    """reason: why it failed or was skipped, and what to do; of one that passed what was shown. facts: numbers."""

    part: str
    status: Status
    reason: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def missing(*tools: str) -> tuple[str, ...]:
    """Of these programs those that this machine does not have. Nothing is installed for them."""
    return tuple(tool for tool in tools if shutil.which(tool) is None)
