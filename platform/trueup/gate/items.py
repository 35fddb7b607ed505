"""What a promotion asks for, in the order it is shown. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from trueup.gate.evidence import ASKED, Evidence
from trueup.gate.facts import Facts
from trueup.gate.model_items import contract, expectations, golden, metric, reproduced, snapshot, transforms
from trueup.gate.said import Said
from trueup.gate.serving_items import error_budget, latency, load_and_query, shadow_parity

_ASK: tuple[Callable[[Facts], Said], ...] = (
    contract,
    snapshot,
    reproduced,
    metric,
    transforms,
    expectations,
    golden,
    load_and_query,
    latency,
    error_budget,
    shadow_parity,
)
ITEMS: Mapping[str, Callable[[Facts], Said]] = dict(zip(ASKED, _ASK, strict=True))


def judge(facts: Facts) -> tuple[Evidence, ...]:
    """Every item."""
    return tuple(Evidence(name, *ask(facts)) for name, ask in ITEMS.items())
