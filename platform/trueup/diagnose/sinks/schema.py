"""The JSON Schema of `GapLedger.to_json()`, made from the types themselves: the file cannot say anything else.

Objects are open: a later minor version may add a field, and a reader ignores what it does not know. The number in
`trueup.gap-ledger/1` goes up when a field changes its meaning or goes away. `trueup diagnose --json` writes one ledger,
or a list of them where it was asked for several models.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from pydantic import TypeAdapter

from trueup.diagnose.gap_ledger import CONFIDENCE, SCHEMA, GapLedger
from trueup.parity.sinks.schema import DIALECT, AsWritten

FILE = "gap_ledger.schema.json"


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of one ledger."""
    ledger = TypeAdapter(GapLedger).json_schema(mode="serialization", schema_generator=AsWritten)
    beside = {"schema": {"const": SCHEMA}, "sums_exact": {"type": "boolean"}, "confidence": {"const": CONFIDENCE}}
    return {
        "$schema": DIALECT,
        "title": SCHEMA,
        "description": ledger["description"],
        "type": "object",
        "required": [*beside, *ledger["required"]],
        "properties": {**beside, **ledger["properties"]},
        "$defs": ledger["$defs"],
    }


def render_schema() -> str:
    """The committed file's text."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def committed() -> dict[str, Any]:
    """The schema as it is in the package."""
    text = files("trueup.diagnose.sinks").joinpath(FILE).read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
