"""The JSON Schema of a parity report, held in the package. Regenerate it when the report's types change:

python -m tests.golden.report_schema
"""

from __future__ import annotations

from pathlib import Path

from trueup.parity.sinks import schema

PATH = Path(schema.__file__).with_name(schema.FILE)

if __name__ == "__main__":
    PATH.write_text(schema.render_schema(), encoding="utf-8")
