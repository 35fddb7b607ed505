"""`Evidence`: one finding for or against a promotion.

What could not be asked is no pass: it stops a promotion as a failure does, under its own name. What there is nothing to
ask about (`not applicable`) stops nothing, and by itself allows nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Outcome = Literal["pass", "fail", "could not run"]
Finding = Literal["pass", "fail", "could not run", "not applicable"]


ASKED = (
    "contract",
    "snapshot",
    "reproduced",
    "holdout metric",
    "transforms",
    "expectations",
    "golden predictions",
    "load and query",
    "latency",
    "error budget",
    "shadow parity",
)
"""Every item of evidence, in the order it is shown. A verdict of an older gate that asked for less is none."""


@dataclass(frozen=True)
class Evidence:
    """said: one sentence with the numbers it rests on."""

    name: str
    verdict: Finding
    said: str

    @property
    def met(self) -> bool:
        """Whether a promotion may go on as far as this one is concerned."""
        return self.verdict in ("pass", "not applicable")

    def to_json(self) -> dict[str, str]:
        return {"name": self.name, "verdict": self.verdict, "said": self.said}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evidence:
        return cls(data["name"], data["verdict"], data["said"])


def joint(evidence: Iterable[Evidence]) -> Outcome:
    """`fail` if any failed; `pass` only if all that applied passed, and there was one."""
    verdicts = {item.verdict for item in evidence} - {"not applicable"}
    if "fail" in verdicts:
        return "fail"
    return "pass" if verdicts == {"pass"} else "could not run"
