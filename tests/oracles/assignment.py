"""Assignment, slowly: every unit is a fraction of 1, and every part of 0 to 1 is walked through in order."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from fractions import Fraction
from typing import Any


def place(*texts: str) -> Fraction:
    """Where a unit stands, in 0 to 1."""
    text = json.dumps(list(texts), separators=(",", ":"), ensure_ascii=False)
    return Fraction(int(hashlib.sha256(text.encode("utf-8")).hexdigest()[:16], 16), 2**64)


def assigned(split: dict[str, Any], unit: str, at: datetime | None) -> tuple[str, str]:
    """Variant and exposure. split: the document that a served row names, as JSON has it."""
    control, layer, salt = split["control"], split["layer"], split["salt"]
    if layer is not None:
        inside = place("layer", layer["salt"], unit)
        if inside < Fraction(str(layer["begin"])) or inside >= Fraction(str(layer["end"])):
            return control, "outside layer"
    if at is not None and split["start"] is not None and at < datetime.fromisoformat(split["start"]):
        return control, "not started"
    if at is not None and split["end"] is not None and at >= datetime.fromisoformat(split["end"]):
        return control, "ended"
    kept_out = place("holdout", layer["salt"] if layer is not None else salt, unit)
    if kept_out < Fraction(str(split["holdout"])):
        return control, "holdout"
    if place("traffic", salt, unit) >= Fraction(str(split["traffic"])):
        return control, "not in traffic"
    stands, total = place(salt, unit), sum(variant["weight"] for variant in split["variants"])
    upper = Fraction(0)
    for variant in split["variants"]:
        upper += Fraction(variant["weight"], total)
        if stands < upper:
            return variant["name"], "assigned"
    raise AssertionError("the shares of the variants add up to 1")
