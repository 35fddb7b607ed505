"""The report as a JSON document. The same report gives the same bytes."""

from __future__ import annotations

import json

from trueup.errors import InputError
from trueup.parity.report import Report


def render_json(report: Report) -> str:
    """UTF-8 text, indented, with a final line break. Keys are in the report's own order."""
    return json.dumps(report.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def parse_json(text: str) -> Report:
    """The reverse of `render_json`. Raises InputError for anything else."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError("report", f"this report is not JSON: {error}.") from error
    if not isinstance(data, dict):
        raise InputError("report", f"this report is a JSON {type(data).__name__}; expected an object.")
    return Report.from_json(data)
