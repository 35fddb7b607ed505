"""What the processes of the bench do: truths first, then worlds. What worlds share is made once, and sent."""

from __future__ import annotations

import os

# Before any library reads it: on shared processors, OpenMP's threads wait for each other far longer than they work.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.ledger_bench.measure import measure
from tests.ledger_bench.oracle import Oracle, Truth
from tests.ledger_bench.plants import Plan
from tests.ledger_bench.worlds import Kit

Name = tuple[tuple[str, ...], bool, str]

_KIT: list[Kit] = []
"""Of this process."""


def begin(kit: Kit) -> None:
    _KIT.append(kit)


def name(plan: Plan) -> Name:
    """Of its truth, which is that of every seed."""
    return plan.plants, plan.shifted, plan.metric


def truths(wanted: Sequence[Plan]) -> dict[Name, Truth]:
    oracle = Oracle(_KIT[0].models)
    return {name(plan): oracle.truth(plan) for plan in wanted}


def world(plan: Plan, folder: Path, truth: Truth) -> dict[str, Any]:
    return measure(plan, folder, _KIT[0], truth)
