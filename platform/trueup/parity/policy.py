"""What a parity run is allowed to find: which mismatches fail it, and how many a feature may have. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Policy:
    """When a check that compares cells fails.

    fail_on: names of causes, `unexplained` among them; None: any mismatch. A mismatch whose causes are all others is
    counted and shown, and does not fail. allowed: feature -> share (0 to 1) of its compared cells that may mismatch;
    none by default.
    """

    fail_on: tuple[str, ...] | None = None
    allowed: Mapping[str, float] = field(default_factory=dict)

    def fails(self, feature: str, *, compared: int, mismatched: int, by_cause: Mapping[str, int]) -> bool:
        """Whether a feature with these counts fails. by_cause: cells of each cause, and `unexplained`."""
        if mismatched <= self.allowed.get(feature, 0.0) * compared:
            return False
        return self.fail_on is None or any(by_cause.get(cause) for cause in self.fail_on)


STRICT = Policy()
"""Any mismatch fails."""
