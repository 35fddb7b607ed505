"""Golden assignments: (salt, unit, weights) -> position and variant, held still for ever.

Changing them would reassign every unit of every running experiment. Regenerate (only when that is meant):

    python -m tests.golden.assignment
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from trueup.experiments.assign import assign, position
from trueup.experiments.design import Experiment, Layer, Variant

PATH = Path(__file__).with_name("assignment.json")
_SALTS = ("ab-2013-11", "another salt", "Ωμέγα")
_UNITS = ("UA1545-EWR-20131101T1015Z", "1", "-7", "9007199254740993", "née", "🛫", 'a"b\\c', " ")
_WEIGHTS = ((50, 50), (90, 10), (1, 1, 1), (1, 0, 3))
_SHARES = (0.1, 0.5, 0.9)


def design(salt: str, weights: tuple[int, ...]) -> Experiment:
    """Variants `v0`, `v1`... of these weights."""
    variants = tuple(Variant(f"v{number}", "model", "champion", weight) for number, weight in enumerate(weights))
    return Experiment("golden", unit="flight_id", salt=salt, variants=variants)


def taking_part(salt: str, **who: Any) -> Experiment:
    """Two variants, half and half, of the units that take part."""
    return replace(design(salt, (50, 50)), **who)


def vectors() -> list[dict[str, Any]]:
    """What trueup answers now."""
    return [
        {
            "salt": salt,
            "unit": unit,
            "position": position(salt, unit),
            "variants": {
                "/".join(map(str, weights)): assign(design(salt, weights), unit).variant.name for weights in _WEIGHTS
            },
            "traffic": {str(share): assign(taking_part(salt, traffic=share), unit).exposure for share in _SHARES},
            "holdout": {str(share): assign(taking_part(salt, holdout=share), unit).exposure for share in _SHARES},
            "layer": {
                str(share): assign(taking_part(salt, layer=Layer("layer", salt, 0, share)), unit).exposure
                for share in _SHARES
            },
        }
        for salt in _SALTS
        for unit in _UNITS
    ]


if __name__ == "__main__":
    PATH.write_text(json.dumps(vectors(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
