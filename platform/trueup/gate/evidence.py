"""`Evidence`: one finding for or against a promotion.

What could not be asked is no pass: it stops a promotion as a failure does, under its own name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Outcome = Literal["pass", "fail", "could not run"]


@dataclass(frozen=True)
class Evidence:
    """said: one sentence with the numbers it rests on."""

    name: str
    verdict: Outcome
    said: str

    def to_json(self) -> dict[str, str]:
        return {"name": self.name, "verdict": self.verdict, "said": self.said}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evidence:
        return cls(data["name"], data["verdict"], data["said"])


def joint(evidence: Iterable[Evidence]) -> Outcome:
    """`fail` if any failed; `pass` only if all passed and there was one."""
    verdicts = [item.verdict for item in evidence]
    if "fail" in verdicts:
        return "fail"
    return "could not run" if not verdicts or "could not run" in verdicts else "pass"
