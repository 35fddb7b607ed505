"""The JSON Schema of the report's JSON form, made from the types themselves: the file cannot say anything else.

Objects are open: a later minor version may add a field, and a reader ignores what it does not know. The number in
`trueup.parity/2` goes up when a field changes its meaning or goes away.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from trueup.parity.report import NOT_FINITE, SCHEMA, Report
from trueup.parity.results import Verdict

FILE = "report.schema.json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


class JointTotals(TypedDict):
    """Totals of the results of one check, in cells unless they say rows. by_cause: without `unexplained`."""

    verdict: Verdict
    rows: int
    compared: int
    mismatched: int
    unexplained: int
    by_cause: dict[str, int]
    stale_equal: int
    forgotten: int
    during_materialization: int
    uncompared: dict[str, int]


class DriftTotals(TypedDict):
    """Totals of a `distribution` result. drifted: names of features."""

    verdict: Verdict
    reference: str
    current: str
    reference_rows: int
    rows: int
    features: int
    drifted: list[str]
    uncompared: dict[str, int]


class ExpectationTotals(TypedDict):
    """Totals of an `expectations` result. expectations, failed: how many."""

    verdict: Verdict
    suite: str
    rows: int
    expectations: int
    failed: int
    uncompared: dict[str, int]


class Totals(TypedDict):
    """By model (`model@version` where one has several) for the checks of models, all together for those of views
    (null: the check was not run)."""

    verdict: Verdict
    served: dict[str, JointTotals]
    online: JointTotals | None
    replay: dict[str, JointTotals]
    transforms: JointTotals | None
    distribution: dict[str, DriftTotals]
    expectations: dict[str, ExpectationTotals]


class Remedy(TypedDict):
    """What a cause means, and what to do about it."""

    meaning: str
    advice: str


class _Beside(TypedDict):
    """What the JSON form has for whoever reads it, beside the report's own fields. causes: those that were found."""

    summary: Totals
    causes: dict[str, Remedy]


class AsWritten(GenerateJsonSchema):
    """As JSON forms are written: every field is there."""

    def field_is_required(self, field: Any, total: bool) -> bool:  # noqa: ARG002 (pydantic's signature)
        return True

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


class _Generate(AsWritten):
    """A number that JSON has not is its name."""

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:  # noqa: ARG002
        return {"anyOf": [{"type": "number"}, {"enum": list(NOT_FINITE.values())}]}


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of what `render_json` gives."""
    parts: list[TypeAdapter[Any]] = [TypeAdapter(_Beside), TypeAdapter(Report)]
    refs, joined = TypeAdapter.json_schemas(
        [(index, "serialization", part) for index, part in enumerate(parts)], schema_generator=_Generate
    )
    definitions = joined["$defs"]
    beside, report = (definitions.pop(ref["$ref"].rpartition("/")[2]) for ref in refs.values())
    return {
        "$schema": DIALECT,
        "title": SCHEMA,
        "description": report["description"],
        "type": "object",
        "required": ["schema", *beside["required"], *report["required"]],
        "properties": {"schema": {"const": SCHEMA}, **beside["properties"], **report["properties"]},
        "$defs": definitions,
    }


def render_schema() -> str:
    """The committed file's text."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def committed() -> dict[str, Any]:
    """The schema as it is in the package."""
    text = files("trueup.parity.sinks").joinpath(FILE).read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
